"""Hosono's list when every other material trains: an ensemble in folds, and the Gaussian process on all of them.

`python -m benchmarks.superconductors.folds --target tc|class --data FOLDER`, FOLDER as `jaxsci data fetch superconductors` and `elements`
fill it, or JAXSCI_DATA. One fifth of the chemical systems after another is left out: the members of that fold train on the others and stop
early by it. What they and a process say of the systems left out decides the weight of the process, and for the class the threshold; then
all members predict, and a process on everything.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from benchmarks.arguments import Parser
from jaxsci.core import Batch
from jaxsci.data import download
from jaxsci.data.materials import elements
from jaxsci.data.materials import superconductors as sc
from jaxsci.data.materials.compositions import Compositions, dense, encode, same_system
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import parse
from jaxsci.files import write_json
from jaxsci.metrics import auc
from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.tasks.superconductors.ensemble.calibration import calibrate, weights
from jaxsci.tasks.superconductors.ensemble.prediction import outputs_of
from jaxsci.tasks.superconductors.networks import TABLES, UNIT, Network, Target, make_recipe, network, to_units
from jaxsci.tasks.superconductors.samples import Sample, Sources, read_class, read_tc
from jaxsci.training import fit_ensemble

FOLDS = 5
RESAMPLES = 4000
DRAWS = 40  # of chemical systems that choose a threshold
CHOOSING = 0.16  # fraction of the systems that do, as in a validation split
# A misprint of the list: its neighbors are FeAs1.9Sb0.1, and no material has 22 atoms of arsenic to one of iron.
MISPRINT, MEANT = "Ca0.85La0.15FeAs21.98Sb0.02", "Ca0.85La0.15FeAs1.98Sb0.02"


class Crossed(NamedTuple):
    """Predictions of the members, and of the process, for materials they do not know."""

    left_out: np.ndarray  # [2, material]: of every material, by the mean of the members and the process of its fold
    asked: np.ndarray  # [2, asked]: by the mean of all members, and a process on all materials
    number: int  # materials of that process


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print, and write."""
    parser = Parser("superconductors.folds", __doc__)
    parser.add_argument("--target", choices=("tc", "class"), default="tc")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("JAXSCI_DATA", download.cache_folder())))
    parser.add_argument("--members", type=int, default=3, help="of each fold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    study = of_tc if options.target == "tc" else of_class
    result = study(options.data, options.members, options.seed)
    for name, value in result.items():
        print(f"{name:70} {value}")
    if options.out is not None:
        write_json(options.out, {"machine": machine.describe(), **result})


def of_tc(data: Path, members: int, seed: int) -> dict[str, Any]:
    """Errors in K of the systems left out and of the superconductors of the list."""
    files = {name: data / "superconductors" / file for name, file in sc.FILES.items()}
    sample = read_tc(Sources(files["stanev"], "stanev", more=files["nims"], tested=files["hosono"]), "random", seed)
    assert sample.tested is not None
    rows = sample.tested.tc > 0
    tc, names = sample.tested.tc[rows], sample.tested.formulas[rows].tolist()
    meant = dense(encode([parse(MEANT)]), ELEMENTS)
    asked = np.concatenate([dense(sample.tested.compositions, ELEMENTS)[rows], meant])
    found = crossed("tc", sample, to_units(sample.tc), asked, data, members, seed)

    ensemble, process = found.left_out
    weight = gaussian_process.best_weight(process, ensemble, to_units(sample.tc))
    both = np.array([1 - weight, weight])
    kelvin = UNIT * np.maximum(both @ found.asked, 0)
    corrected = kelvin[:-1].copy()
    corrected[names.index(MISPRINT)] = kelvin[-1]
    errors = {
        "systems left out, networks": UNIT * ensemble - sample.tc,
        "systems left out, process": UNIT * process - sample.tc,
        "systems left out, both": UNIT * (both @ found.left_out) - sample.tc,
        f"list, {len(tc)} superconductors": kelvin[:-1] - tc,
        f"list, {MISPRINT} read as {MEANT}": corrected - tc,
    }
    numbers = {"materials of the process": found.number, "weight of the process": weight}
    return numbers | {name: bootstrap(_rmse, np.square(error)) for name, error in errors.items()}


def of_class(data: Path, members: int, seed: int) -> dict[str, Any]:
    """AUC, precision, recall and F1 of the systems left out that were studied as superconductors; the last three of the list too."""
    files = {name: data / "superconductors" / file for name, file in sc.FILES.items()}
    sources = Sources(files["stanev"], "stanev", files["cod"], files["nims"], files["stanev"], files["hosono"])
    sample = read_class(sources, "system", seed, published=False)
    assert sample.tested is not None
    asked, truth = dense(sample.tested.compositions, ELEMENTS), sample.tested.tc > 0
    target = sample.superconducting.astype(np.float32)
    found = crossed("class", sample, target, asked, data, members, seed)

    calibration = calibrate(found.left_out, sample.superconducting, sample.studied, None)
    slopes = np.array([calibration.slope, calibration.gp_slope])

    def says(scores: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(slopes @ scores + calibration.offset))) > calibration.threshold

    answers = {
        "systems left out, studied": (says(found.left_out)[sample.studied], sample.superconducting[sample.studied]),
        f"list, {len(truth)} materials": (says(found.asked), truth),
    }
    result: dict[str, Any] = {"materials of the process": found.number, **calibration._asdict()}
    result |= thresholds(found.left_out, sample, seed)
    scores = {"networks": found.left_out[0], "process": found.left_out[1], "both": slopes @ found.left_out}
    for name, score in scores.items():
        area = auc(jnp.asarray(score[sample.studied]), jnp.asarray(sample.superconducting[sample.studied]))
        result[f"systems left out, studied, {name}, AUC"] = float(area)
    for name, (said, true) in answers.items():
        for measure, function in (("precision", _precision), ("recall", _recall), ("F1", _f1)):
            result[f"{name}, {measure}"] = bootstrap(function, np.stack([said & true, said, true], axis=1))
    return result


def thresholds(scores: np.ndarray, sample: Sample, seed: int) -> dict[str, dict[str, float]]:
    """What two rules make of a few systems drawn at random: their threshold, and F1 of the studied materials of the other systems.

    Either is the mean over the draws with the standard deviation between them; F1 is weighted as the choice is. The rules: the largest F1
    that is expected of calibrated probabilities, which the predictor uses, and the largest that is counted.
    """
    system = same_system(sample.compositions)
    systems = system.max() + 1
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float]]] = {"expected": [], "counted": []}
    for _ in range(DRAWS):
        chooses = (rng.permutation(systems) < CHOOSING * systems)[system]
        truth = sample.superconducting[chooses]
        calibration = calibrate(scores[:, chooses], truth, sample.studied[chooses], None)
        logit = np.array([calibration.slope, calibration.gp_slope]) @ scores + calibration.offset
        probability = 1 / (1 + np.exp(-logit))
        those, others = chooses & sample.studied, ~chooses & sample.studied
        true = sample.superconducting[those]
        counted = _largest_counted(probability[those], true, weights(true, truth.mean()))
        true = sample.superconducting[others]
        weight = weights(true, truth.mean())
        for name, threshold in (("expected", calibration.threshold), ("counted", counted)):
            said = probability[others] > threshold
            found[name].append((threshold, _f1(np.array([weight @ (said & true), weight @ said, weight @ true]))))
    return {
        f"largest F1 {name}, {what}": {"mean": float(np.mean(values)), "standard deviation": float(np.std(values))}
        for name, pairs in found.items()
        for what, values in zip(("threshold", "F1 of other systems"), np.transpose(pairs), strict=True)
    }


def _largest_counted(probability: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(-probability)
    found, said = np.cumsum((weight * truth)[order]), np.cumsum(weight[order])
    best = int(np.argmax(found / (said + found[-1])))
    return float(probability[order][best : best + 2].mean())


def crossed(
    target: Target, sample: Sample, y: np.ndarray, asked: np.ndarray, data: Path, members: int, seed: int
) -> Crossed:
    """Train the ensemble of this target in folds over whole chemical systems.

    Args:
        target: what is asked.
        sample: all materials; its splits are not used.
        y: [material], what the networks learn.
        asked: amounts of the materials asked for [asked, element].
        data: the folder of the data sets.
        members: of each fold.
        seed: of folds, members and whatever is drawn.
    """
    table = elements.standardized(elements.table(TABLES["best"], data / "elements" / "mendeleev_v0.6.0_elements.db"))
    net = network("best", target, table)
    assert net.gp is not None
    of_process = y if target == "tc" else 2 * y - 1
    left_out, answers = np.zeros((2, len(y))), []
    fold = folds(sample.compositions, seed)

    def process(rows: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, int]:
        assert net.gp is not None
        known = (sample.amounts[rows], of_process[rows])
        gp = gaussian_process.conditioned(net.gp, *known, table, seed, sample.studied[rows])
        mean = jax.jit(lambda x: gaussian_process.mean(gp, x, jnp.asarray(table)))
        return np.asarray(mean(jnp.asarray(amounts))), gp.materials

    for number in range(FOLDS):
        train, rest = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        params = _trained(net, target, sample, y, train, rest, jax.random.split(jax.random.key(seed + number), members))
        left_out[0, rest] = _middle(net, params, sample.amounts[rest]).mean(axis=0)
        left_out[1, rest] = process(train, sample.amounts[rest])[0]
        answers.append(_middle(net, params, asked).mean(axis=0))
        print(f"fold {number + 1} of {FOLDS}", flush=True)
    of_all, count = process(np.arange(len(y)), asked)
    return Crossed(left_out, np.stack([np.mean(answers, axis=0), of_all]), count)


def folds(compositions: Compositions, seed: int) -> np.ndarray:
    """The fold of each material, 0 to FOLDS - 1: materials of the same elements are in one."""
    system = same_system(compositions)
    return np.random.default_rng(seed).permutation(np.arange(system.max() + 1) % FOLDS)[system]


def _trained(
    net: Network, target: Target, sample: Sample, y: np.ndarray, train: np.ndarray, rest: np.ndarray, keys: jax.Array
) -> Any:
    parts = [
        Batch(jnp.asarray(sample.amounts[r]), jnp.asarray(y[r], jnp.float32), jnp.ones(len(r), jnp.float32))
        for r in (train, rest)
    ]
    recipe = make_recipe(net, target, len(train))
    return fit_ensemble(lambda hyper: recipe, {}, *parts, keys=keys, settings=net.settings, sequential=True).params


def _middle(net: Network, params: Any, amounts: np.ndarray) -> np.ndarray:
    """Median of Tc in units of the network, or log odds: [member, material]."""
    outputs = outputs_of(net, params, amounts)
    return outputs if outputs.ndim == 2 else outputs[..., outputs.shape[-1] // 2]


def bootstrap(measure: Any, columns: np.ndarray) -> dict[str, float]:
    """A function of the sums of these columns, [material, ...], with its 68 % interval over resamples of the materials."""
    rng = np.random.default_rng(0)
    draws = [measure(columns[rng.integers(0, len(columns), len(columns))].mean(axis=0)) for _ in range(RESAMPLES)]
    lower, upper = np.percentile(draws, [16, 84])
    return {"value": float(measure(columns.mean(axis=0))), "lower": float(lower), "upper": float(upper)}


def _rmse(square: np.ndarray) -> np.ndarray:
    return np.sqrt(square)


def _precision(means: np.ndarray) -> float:
    return float(means[0] / max(means[1], 1e-9))


def _recall(means: np.ndarray) -> float:
    return float(means[0] / max(means[2], 1e-9))


def _f1(means: np.ndarray) -> float:
    return float(2 * means[0] / max(means[1] + means[2], 1e-9))


if __name__ == "__main__":
    main()
