"""Critical temperatures of Hosono's list when every other material trains: an ensemble in folds, and the process on all of them.

`python -m benchmarks.superconductor_folds --data FOLDER`, FOLDER as `jaxsci data fetch superconductors` and `elements` fill it, or
JAXSCI_DATA. One fifth of the chemical systems after another is left out: the members of that fold train on the others and stop early by it.
What they and a process say of the systems left out decides the share of the process; then all members answer, and a process on everything.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from jaxsci.core import Batch
from jaxsci.data import download, elements
from jaxsci.data import superconductors as sc
from jaxsci.data.compositions import Compositions, dense, encode, same_system
from jaxsci.data.elements import ELEMENTS
from jaxsci.data.formula import parse
from jaxsci.files import write_json
from jaxsci.tasks import superconductor_process as processes
from jaxsci.tasks.superconductor_calibration import outputs_of
from jaxsci.tasks.superconductor_data import Sample, Sources, read_tc
from jaxsci.tasks.superconductor_networks import TABLES, UNIT, Network, make_recipe, network, to_units
from jaxsci.training import fit_ensemble

FOLDS = 5
RESAMPLES = 4000
# A misprint of the list: its neighbours are FeAs1.9Sb0.1, and no material has 22 atoms of arsenic to one of iron.
MISPRINT, MEANT = "Ca0.85La0.15FeAs21.98Sb0.02", "Ca0.85La0.15FeAs1.98Sb0.02"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("JAXSCI_DATA", download.cache_folder())))
    parser.add_argument("--members", type=int, default=3, help="of each fold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    result = study(options.data, options.members, options.seed)
    for name, value in result.items():
        print(f"{name:60} {value}")
    if options.out is not None:
        write_json(options.out, {"machine": machine.describe(), **result})


def study(data: Path, members: int, seed: int) -> dict[str, Any]:
    """Errors in K of the systems left out and of the list, with 68 % intervals of the bootstrap over materials."""
    files = {name: data / "superconductors" / file for name, file in sc.FILES.items()}
    sample = read_tc(Sources(files["stanev"], "stanev", more=files["nims"], tested=files["hosono"]), "random", seed)
    assert sample.tested is not None
    table = elements.standardised(elements.table(TABLES["best"], data / "elements" / "mendeleev_v0.6.0_elements.db"))
    best = network("best", "tc", table)
    assert best.process is not None
    amounts, target = sample.amounts, to_units(sample.tc)
    rows = sample.tested.tc > 0
    listed, tc = dense(sample.tested.compositions, ELEMENTS)[rows], sample.tested.tc[rows]
    names = sample.tested.formulas[rows].tolist()
    meant = dense(encode([parse(MEANT)]), ELEMENTS)
    asked = np.concatenate([listed, meant])

    fold = folds(sample.compositions, seed)
    ensemble, process = np.zeros(len(target)), np.zeros(len(target))
    of_members = []
    for left_out in range(FOLDS):
        train, rest = np.flatnonzero(fold != left_out), np.flatnonzero(fold == left_out)
        params = _trained(best, sample, train, rest, jax.random.split(jax.random.key(seed + left_out), members))
        ensemble[rest] = _medians(best, params, amounts[rest]).mean(axis=0)
        of_members.append(_medians(best, params, asked))
        mean, _ = processes.conditioned(best.process, amounts[train], target[train], table, seed)
        process[rest] = np.asarray(jax.jit(mean)(jnp.asarray(amounts[rest])))
    share = processes.best_share(process, ensemble, target)
    mean, number = processes.conditioned(best.process, amounts, target, table, seed)
    answer = share * np.asarray(jax.jit(mean)(jnp.asarray(asked))) + (1 - share) * np.concatenate(of_members).mean(0)
    kelvin = UNIT * np.maximum(answer, 0)
    corrected = kelvin[:-1].copy()
    corrected[names.index(MISPRINT)] = kelvin[-1]
    blend = share * process + (1 - share) * ensemble
    return {
        "materials": number,
        "systems left out, networks": _rmse(UNIT * (ensemble - target)),
        "systems left out, process": _rmse(UNIT * (process - target)),
        "systems left out, both": _rmse(UNIT * (blend - target)),
        "share of the process": share,
        f"list, {len(tc)} superconductors": _rmse(kelvin[:-1] - tc),
        f"list, {MISPRINT} read as {MEANT}": _rmse(corrected - tc),
    }


def folds(compositions: Compositions, seed: int) -> np.ndarray:
    """The fold of each material, 0 to FOLDS - 1: materials of the same elements are in one."""
    system = same_system(compositions)
    return np.random.default_rng(seed).permutation(np.arange(system.max() + 1) % FOLDS)[system]


def _trained(net: Network, sample: Sample, train: np.ndarray, rest: np.ndarray, keys: jax.Array) -> Any:
    amounts, target = sample.amounts, to_units(sample.tc)
    parts = [
        Batch(jnp.asarray(amounts[r]), jnp.asarray(target[r], jnp.float32), jnp.ones(len(r), jnp.float32))
        for r in (train, rest)
    ]
    recipe = make_recipe(net, "tc", len(train))
    return fit_ensemble(lambda hyper: recipe, {}, *parts, keys=keys, settings=net.settings, in_turn=True).params


def _medians(net: Network, params: Any, amounts: np.ndarray) -> np.ndarray:
    """[member, material], in units of the network."""
    outputs = outputs_of(net, params, amounts)
    return outputs[..., outputs.shape[-1] // 2]


def _rmse(error: np.ndarray) -> str:
    """The root of the mean square and its 68 % interval."""
    rng = np.random.default_rng(0)
    draws = [np.sqrt(np.mean(error[rng.integers(0, len(error), len(error))] ** 2)) for _ in range(RESAMPLES)]
    low, high = np.percentile(draws, [16, 84])
    return f"RMSE {np.sqrt(np.mean(error**2)):.2f} K ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
