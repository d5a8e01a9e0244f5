"""Trained taggers on jets that nothing was chosen by: AUC, rejections, and ratios of the rejections of two taggers.

    jaxsci data generate jets --n 60000 --seed 20 --compact --out fresh.h5
    jaxsci bench taggers --only pfn cnn pelican-10k --seeds 1 2 3 --logits FOLDER --fresh fresh.h5
    jaxsci bench fresh-jets fresh.h5 FOLDER [--against pfn] [--out benchmarks/results]

The 3,750 background jets of the test part cannot tell a rejection of 400 from one of 800. Here the networks that `jaxsci bench taggers`
trained, on the jets of the package, classify as many new jets as one cares to generate, with another seed of the same generator. Ratios of
rejections have intervals of a bootstrap: of the jets, the same for both taggers, and of the trainings of each. Results join those of the
other taggers. The jets are simulated at particle level: compare the taggers with each other, not with published numbers.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks import taggers
from benchmarks.arguments import Parser
from benchmarks.tagger_tables import as_markdown
from jaxsci.data import jets
from jaxsci.data.jets import kinematics
from jaxsci.errors import InputError
from jaxsci.files import write_json, write_text
from jaxsci.runs import binary_evaluation
from jaxsci.runs.binary_evaluation import EFFICIENCIES

RESAMPLES = 1000
LEVELS = (0.68, 0.95)
METRICS = ("auc", "rejection_0.3", "rejection_0.5")
TOGETHER = "{}, {} together"  # the mean log odds of all trainings of a tagger


def trained(folder: Path, sample: jets.JetSample) -> dict[str, np.ndarray]:
    """The log odds [training, jet] of each tagger of which the folder holds trainings, and of several trainings together.

    Raises:
        InputError: there are none, or those of other jets.
    """
    found: dict[str, list[np.ndarray]] = {}
    known = taggers.digest(sample)
    for path in sorted(folder.glob("*-*.npz")):
        with np.load(path) as file:
            if "fresh" not in file:
                continue
            logits, of = file["fresh"], str(file[taggers.DIGEST]) if taggers.DIGEST in file else None
        if of != known:
            others = "ones that do not say of which jets" if of is None else f"those of {len(logits):,} others"
            raise InputError(
                f"{path}: expected log odds of these jets, got {others}; train with --fresh and these jets"
            )
        found.setdefault(path.stem.rpartition("-")[0], []).append(logits)
    if not found:
        raise InputError(
            f"{folder}: expected log odds of fresh jets, got none; keep them by jaxsci bench taggers --logits --fresh"
        )
    alone = {name: np.stack(logits) for name, logits in found.items()}
    several = {name: logits for name, logits in alone.items() if len(logits) > 1}
    return alone | {TOGETHER.format(name, len(x)): x.mean(axis=0, keepdims=True) for name, x in several.items()}


class Ranked(NamedTuple):
    """Jets in the order of what one training thinks of them."""

    order: np.ndarray  # [place] the jet there, the most signal-like first
    signal: np.ndarray  # bool [place]
    last: np.ndarray  # [place] the last place of those with the same log odds


def rank(logits: np.ndarray, labels: np.ndarray) -> Ranked:
    """The jets by falling log odds [jet]."""
    order = np.argsort(-logits, kind="stable")
    last = np.searchsorted(-logits[order], -logits[order], side="right") - 1
    return Ranked(order, labels[order] == 1, last)


def passing(ranked: Ranked, drawn: np.ndarray) -> np.ndarray:
    """Background efficiencies [efficiency] of jets drawn so often [jet]; the cuts are those of `metrics.working_point`."""
    weight = drawn[ranked.order]
    signal, background = (np.cumsum(np.where(of, weight, 0)) for of in (ranked.signal, ~ranked.signal))
    least = np.searchsorted(signal, np.asarray(EFFICIENCIES) * signal[-1] * (1 - 1e-9))
    return background[ranked.last[least]] / background[-1]


def ratios(
    logits: dict[str, np.ndarray], labels: np.ndarray, against: str, number: int = RESAMPLES, seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """For each tagger and signal efficiency, how many times the rejection of the tagger `against` it has, with intervals.

    A rejection is here 1 over the mean background efficiency of the trainings, which is finite where one of them lets nothing pass. Where
    both taggers let nothing pass it is `unknown`, and in an interval it may be anything. Drawn with replacement are jets
    within each class, the same for all taggers, and trainings within each tagger.
    """
    rng = np.random.default_rng(seed)
    ranked = {name: [rank(one, labels) for one in several] for name, several in logits.items()}

    def efficiencies(drawn: np.ndarray, chosen: Callable[[int], Sequence[int]]) -> dict[str, np.ndarray]:
        return {
            name: np.mean([passing(several[i], drawn) for i in chosen(len(several))], axis=0)
            for name, several in ranked.items()
        }

    def draw() -> np.ndarray:
        drawn = np.zeros(len(labels), np.int64)
        for rows in (np.flatnonzero(labels == label) for label in (0, 1)):
            drawn[rows] = np.bincount(rng.integers(len(rows), size=len(rows)), minlength=len(rows))
        return drawn

    values = efficiencies(np.ones(len(labels), np.int64), range)
    resampled = [efficiencies(draw(), lambda n: rng.integers(n, size=n).tolist()) for _ in range(number)]
    found: dict[str, list[dict[str, Any]]] = {}
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing passes: an infinite ratio, or of both an unknown one
        for name in (name for name in logits if name != against):
            drawn = np.array([one[against] / one[name] for one in resampled])
            found[name] = [
                {
                    "efficiency": efficiency,
                    "value": binary_evaluation.number(values[against][i] / values[name][i]),
                    "unknown": bool(np.isnan(values[against][i] / values[name][i])),
                    **{str(level): _interval(drawn[:, i], level) for level in LEVELS},
                    "above_2": float(np.mean(drawn[:, i] > 2)),
                }
                for i, efficiency in enumerate(EFFICIENCIES)
            ]
    return found


def _interval(drawn: np.ndarray, level: float) -> list[float | None]:
    least, most = (np.where(np.isnan(drawn), value, drawn) for value in (0, np.inf))  # an unknown ratio may be any
    ends = np.quantile(least, (1 - level) / 2, method="lower"), np.quantile(most, (1 + level) / 2, method="higher")
    return [binary_evaluation.number(end) for end in ends]


def agreement(fresh: jets.JetSample, known: jets.JetSample) -> dict[str, Any]:
    """Whether these are other jets of the same kind: those in both samples, and p values of Kolmogorov-Smirnov tests for each class."""
    ours, theirs = _observables(fresh), _observables(known)
    tests = {}
    for label, kind in enumerate(("QCD", "top")):
        rows, others = fresh.labels == label, known.labels == label
        tests[kind] = {
            name: float(stats.ks_2samp(ours[name][rows], theirs[name][others]).pvalue) for name in ours if name != "phi"
        }
    return {"p_values": tests, "shared": shared(ours, theirs)}


def shared(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> int:
    """How many jets of one sample are in the other, to the precision of the small format of files."""
    order = np.argsort(theirs["phi"])
    first, last = (np.searchsorted(theirs["phi"][order], ours["phi"] + side) for side in (-1e-4, 1e-4))
    count = 0
    for i, (start, end) in enumerate(zip(first, last, strict=True)):
        near = order[start:end]
        same = np.abs(theirs["eta"][near] - ours["eta"][i]) < 1e-3
        same &= np.abs(theirs["pt"][near] - ours["pt"][i]) < 1e-3 * ours["pt"][i]
        # No division: a jet of one constituent has no mass.
        same &= np.abs(theirs["mass"][near] - ours["mass"][i]) <= 1e-2 * ours["mass"][i]
        count += bool(np.any(same))
    return count


def _observables(sample: jets.JetSample) -> dict[str, np.ndarray]:
    assert sample.constituents is not None
    p = kinematics.jet_momentum(sample.constituents)
    number = (sample.constituents[..., 0] > 0).sum(axis=1).astype(float)
    names = ("mass", "pt", "eta", "phi")
    return {name: getattr(kinematics, name)(p) for name in names} | {"number": number}


def measure(file: Path, folder: Path, against: str, number: int = RESAMPLES) -> dict[str, Any]:
    """Everything that is said of these jets."""
    sample = jets.read(file)
    labels = sample.labels
    assert labels is not None
    logits = trained(folder, sample)
    if against not in logits:
        raise InputError(f"--against: expected one of {', '.join(logits)}, got {against}; train it first")
    rows = {
        name: [
            {key: found[key] for key in METRICS} for found in (binary_evaluation.ranking(x, labels) for x in several)
        ]
        for name, several in logits.items()
    }
    background = int((labels == 0).sum())
    return {
        "jets": len(labels),
        "background": background,
        **agreement(sample, jets.read(jets.embedded())),
        "against": against,
        "resamples": number,
        "taggers": rows,
        "ratios": ratios(logits, labels, against, number),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and add to taggers.json and taggers.md."""
    parser = Parser("fresh_jets", __doc__)
    parser.add_argument("jets", type=Path, help="file that `jaxsci data generate jets` made")
    parser.add_argument("logits", type=Path, help="folder of `jaxsci bench taggers --logits FOLDER --fresh`")
    parser.add_argument("--against", default="pfn", help="tagger whose rejections are the unit of the ratios")
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    file = options.out / f"{taggers.NAME}.json"
    results = json.loads(file.read_text()) if file.is_file() else {"taggers": {}}
    results["fresh"] = measure(options.jets, options.logits, options.against, options.resamples)
    write_json(file, results)
    write_text(options.out / f"{taggers.NAME}.md", as_markdown(results))
    print(json.dumps(results["fresh"]["ratios"]))


if __name__ == "__main__":
    main()
