"""Cross-validation: as many trainings as there are folds of the data, each measured on the fold that it left out."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from jaxsci.core import Batch, Key, Params
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.runs import figures
from jaxsci.runs import folder as runs
from jaxsci.runs.estimate import Estimate
from jaxsci.runs.folder import Training, train
from jaxsci.runs.page import Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.runs.task import Session
from jaxsci.tasks.parts import Splits
from jaxsci.training import Recipe, Settings

__all__ = ["Fold", "alike", "refuse", "refuse_in_sweep", "require", "run", "section", "splits"]

_RESULT = "fold.json"
WORDS = (
    "Every example is in the test part of one training and in the training or validation part of all others; none is used for a choice "
    "of the training that is tested on it. What one training is tested on, the others are trained on, so that their results are not "
    "independent: the standard deviation over the folds says how much a result changes with the training and the test part; divided by "
    "the root of their number it is not the error of the mean, of which no unbiased estimate exists (Bengio and Grandvalet 2004, JMLR 5, "
    "1089)."
)


class Options(Protocol):
    """Options of a task that can be cross-validated."""

    @property
    def folds(self) -> int | None:
        """How many folds; None for one training."""

    @property
    def validation(self) -> Path | None:
        """A file of the user's own, which folds have no use for."""

    @property
    def test(self) -> Path | None:
        """Likewise."""


class Fold(NamedTuple):
    """What a training of a cross-validation is given, and what is measured of it."""

    train: Batch
    validation: Batch
    measure: "Measure"


class Measure(Protocol):
    """The metrics of the parameters of a training on the fold that it left out."""

    def __call__(self, params: Params, /) -> Mapping[str, Any]:
        """As `binary_evaluation.classification` gives them."""


def require(options: Options) -> None:
    """Raise InputError for a number of folds that cannot be, or beside files for the parts."""
    if options.folds is None:
        return
    if options.folds < 2:
        raise InputError(f"--folds: expected at least 2, got {options.folds}; leave it out for one training")
    if jax.process_count() > 1:
        raise InputError("--folds: expected one process, got several; leave out --distributed and --processes")
    for name in ("validation", "test"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name}: expected none with --folds, which are the test parts in turn; leave out one of both"
            )


def refuse_in_sweep(options: Options) -> None:
    """Raise InputError where the trials of a sweep would be cross-validations."""
    if options.folds is not None:
        raise InputError(f"--folds: expected one training for each trial of a sweep, got {options.folds}; leave it out")


def refuse(folder: Path, options: Options) -> None:
    """Raise InputError where a run is a cross-validation, of which no network is kept."""
    if options.folds is not None:
        raise InputError(
            f"{folder}: expected a run of one training, got a cross-validation of {options.folds}, which is read in its report.html; train "
            "without --folds for a network that answers"
        )


def splits(
    labels: np.ndarray, folds: int, *, seed: int, share: float, groups: np.ndarray | None = None
) -> list[Splits]:
    """Training, validation and test part of each fold.

    The examples of each class are dealt to the folds in a random order, so that each example is in one test part and these differ by
    one example a class at most. Groups are dealt as a whole, each to the smallest fold, and are in one part of it alone.

    Args:
        labels: [n] whole numbers.
        folds: at least 2.
        seed: the same seed and labels give the same parts.
        share: the part of the rest that is the validation part.
        groups: [n] whole numbers; equal ones stay together.

    Raises:
        InputError: there are fewer examples of a class, or groups, than folds, or so large a group that a fold leaves one alone.
    """
    rng = np.random.default_rng([seed, folds])
    fold = np.empty(len(labels), np.int64)
    units = labels if groups is None else np.arange(groups.max() + 1)
    least = len(units) if groups is not None else int(np.bincount(np.unique(labels, return_inverse=True)[1]).min())
    if least < folds:
        what = "groups" if groups is not None else "examples of each class"
        raise InputError(f"--folds: expected at most {least} folds for {least} {what}, got {folds}; take fewer")
    if groups is None:
        first = 0
        for label in np.unique(labels):
            members = rng.permutation(np.flatnonzero(labels == label))
            fold[members] = (first + np.arange(len(members))) % folds
            first += len(members)
    else:
        sizes, filled = np.bincount(groups), np.zeros(folds, np.int64)
        of = np.empty(len(sizes), np.int64)
        for group in rng.permutation(len(sizes)):
            of[group] = smallest = int(filled.argmin())
            filled[smallest] += sizes[group]
        fold = of[groups]
    found = []
    for k in range(folds):
        rest = np.flatnonzero(fold != k)
        if groups is None:
            train, *others = split(labels[rest], seed=seed, fractions=(1 - share, share / 2, share / 2))
            validation = np.concatenate(others)
        else:
            train, validation = _of_groups(groups[rest], share, np.random.default_rng([seed, k]))
        found.append((rest[train], rest[validation], rng.permutation(np.flatnonzero(fold == k))))
    parts = [len(train) for train, _, _ in found]
    if groups is not None and min(parts) < max(parts) / 2:
        raise InputError(
            f"--folds: expected training parts of similar size, got {min(parts):,} and {max(parts):,} examples; take more folds or smaller "
            f"groups, of which the largest has {np.bincount(groups).max():,}"
        )
    return found


def _of_groups(groups: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of whole groups: the second has those that fit into its share, in a random order, or the smallest alone."""
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise InputError(
            f"--folds: expected groups of which two remain where a fold is left out, for training and validation, got one of "
            f"{len(groups):,} examples; take more folds or smaller groups"
        )
    chosen, room = np.zeros(len(sizes), bool), share * len(groups)
    for group in rng.permutation(len(sizes)):
        if sizes[group] <= room:
            chosen[group], room = True, room - sizes[group]
    if not chosen.any():
        chosen[sizes.argmin()] = True
    apart = chosen[index]
    return rng.permutation(np.flatnonzero(~apart)), rng.permutation(np.flatnonzero(apart))


def alike(batch: Batch, examples: int) -> Batch:
    """The batch with so many examples, the further ones of weight 0: trainings of equal shapes are compiled once."""
    own = len(batch.weight)
    rows = np.arange(examples) % own
    x, y = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], (batch.x, batch.y))
    return Batch(x, y, np.pad(np.asarray(batch.weight), (0, examples - own)))


def run(
    folder: Path,
    program: tuple[Recipe, Settings, Key],
    folds: Iterable[Fold],
    session: Session,
    *,
    number: int,
    resume: bool,
) -> dict[str, Any]:
    """Train on all folds in a row, in the folders fold-1, fold-2, ... of the run, and say what was measured.

    Args:
        folder: of the run.
        program: what each training is, the same for all.
        folds: made one after the other.
        session: with its progress.
        number: of folds.
        resume: go on with the folds that are not finished.

    Returns:
        The metrics of all folds, "each" in a list, with mean and standard deviation.
    """
    recipe, settings, key = program
    found = []
    for k, fold in enumerate(folds, 1):
        place = folder / f"fold-{k}"
        if resume and (place / _RESULT).exists():
            found.append(runs.read_json(place / _RESULT, f"remove {place} and resume"))
            continue
        place.mkdir(exist_ok=True)

        def progress(stage: str, fraction: float, words: str, k: int = k) -> None:
            session.progress(stage, (k - 1 + fraction) / number, f"fold {k} of {number}, {words}")

        pair = fold.train, fold.validation
        going = resume and (place / "checkpoints").exists()
        result = train(
            place, Training(recipe, settings, key), pair, resume=going, progress=progress, execution=session.execution
        )
        measured = dict(fold.measure(result.params))
        runs.write_record(place / _RESULT, measured)
        found.append(measured)
    return {"folds": number, "metrics": _summary(found), "each": found}


def _summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For each metric that all folds have its mean, and its standard deviation of K - 1 degrees of freedom."""
    summary = {}
    for name in (name for name, entry in found[0].items() if isinstance(entry, Mapping) and "value" in entry):
        values = [of[name]["value"] for of in found if name in of]
        if len(values) == len(found) and None not in values:
            summary[name] = {"value": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}
    return summary


def section(result: Mapping[str, Any], titles: Mapping[str, str], sizes: Sequence[int], noun: str) -> Section:
    """The part of a report with the metrics of every fold, their mean and their standard deviation.

    Args:
        result: as from `run`.
        titles: of the metrics to show, by their names.
        sizes: examples in each fold.
        noun: what they are, in the plural.
    """
    names = [name for name in titles if name in result["metrics"]]
    rows: list[list[Cell]] = [
        [f"fold {k}", size, *(figures.estimate(of[name]) for name in names)]
        for k, (size, of) in enumerate(zip(sizes, result["each"], strict=True), 1)
    ]
    means = [result["metrics"][name] for name in names]
    rows.append(
        [
            "mean ± standard deviation",
            sum(sizes),
            *(Estimate(of["value"], of["value"] - of["deviation"], of["value"] + of["deviation"]) for of in means),
        ]
    )
    table = Table(
        [Column("left out"), Column(noun), *(Column(titles[name]) for name in names)],
        rows,
        "Each fold by the training that left it out.",
        [
            "Of a fold, intervals are 68 % and count its examples; of the mean it is the standard deviation over the folds."
        ],
    )
    return Section("The folds", WORDS, table=table)
