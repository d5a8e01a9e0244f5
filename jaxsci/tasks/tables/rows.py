"""The table of a run: read, split, and turned into inputs and targets by what its training rows say."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.core import Batch
from jaxsci.data import columns
from jaxsci.data.reading import is_weight_name
from jaxsci.data.split import split, split_groups
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen, weights
from jaxsci.runs.task import OnProgress
from jaxsci.tasks import folds, parts
from jaxsci.tasks.tables import encoding, targets
from jaxsci.tasks.tables.encoding import Column, Rows
from jaxsci.tasks.tables.options import Options
from jaxsci.tasks.tables.suspects import require_no_total, suspects

NAME = "table"
_ROOM = 100  # possible rows for each that is there, from which on two equal ones are no accident
FRACTIONS = (0.7, 0.1, 0.2)  # training, validation, test


class Meaning(NamedTuple):
    """What the numbers of a run mean; kept in its config.json."""

    columns: list[Column]
    classes: tuple[str, ...] | None  # None: a regression
    mean: float  # of the target of the training rows, and its standard deviation
    scale: float
    constant: list[float]  # the answer without looking: the part of each class, or the mean


class Data(NamedTuple):
    """A table with labels, ready for training or evaluation."""

    rows: Rows
    target: np.ndarray  # [row]: classes as whole numbers, or numbers as they are
    weights: np.ndarray  # [row]


def class_count(meaning: Meaning) -> int | None:
    """How many classes there are; None for a regression."""
    return None if meaning.classes is None else len(meaning.classes)


class Given(NamedTuple):
    """The rows of a run, those of all its files one after the other."""

    meaning: Meaning
    data: Data
    splits: parts.Splits


class _Opened(NamedTuple):
    """The table of --data before anything is learned of it."""

    path: Path
    table: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]  # the columns that are not the target nor anything else
    classes: tuple[str, ...] | None  # None: a regression
    codes: np.ndarray | None  # [row] the place of its class


def _opened(options: Options, progress: OnProgress) -> _Opened:
    runs.require_positive(
        options, "members", "epochs", "batch_size", "learning_rate", "patience", or_zero=("weight_decay",)
    )
    if options.data is None or options.target is None:
        raise InputError(
            "--data and --target: expected a table and the column to predict; as in --data F.csv --target y"
        )
    progress("reading the table", 0.0, "")
    table = columns.read(options.data)
    require_no_total(options.data, table)
    for note in columns.notes(options.data):
        progress("reading the table", 0.5, note)
    if left := [name for name in columns.names(options.data) if name and name not in table]:
        progress("reading the table", 0.5, f"note: not one entry a row, and not used: {', '.join(left)[:200]}")
    special = [name for name in (options.target, options.weights, options.groups, *options.ignore) if name is not None]
    for name in (*special, *options.categorical):
        if name not in table:
            raise InputError(
                f"{options.data}: expected a column {name}, found {', '.join(table)[:200]}; check the name"
            )
    inputs = {name: values for name, values in table.items() if name not in special}
    for name in filter(is_weight_name, inputs if options.weights is None else ()):
        words = f"note: the column {name} is an input; --weights {shlex.quote(name)} weights the rows by it"
        progress("reading the table", 0.5, words)
    classes = targets.classes_of(options.data, options.target, table[options.target], options.kind)
    codes = (
        None if classes is None else targets.class_codes(options.data, options.target, table[options.target], classes)
    )
    numbers = encoding.as_numbers(options.data, inputs, options.categorical)
    for name, what in suspects(numbers, table[options.target]).items():
        progress(
            "reading the table", 0.5, f"note: the column {name} {what}; --ignore {shlex.quote(name)} leaves it out"
        )
    return _Opened(options.data, table, inputs, classes, codes)


def read(options: Options, progress: OnProgress, meaning: Meaning | None) -> Given:
    """The rows of a run, what their numbers mean (learned of the training part unless it is known), and the parts they are in."""
    source, table, inputs, classes, codes = _opened(options, progress)
    others = {path: columns.read(path) for path in parts.files(options).values()}
    splits = _split(options, [table, *others.values()], codes)
    known = meaning or _learn(options, inputs, (classes, codes), table, splits[0])
    data = _joined([labeled(path, options, known, of) for path, of in {source: table, **others}.items()])
    _require_weights(options, data, splits)
    progress("reading the table", 1.0, f"{len(data.target):,} rows")
    return Given(known, data, splits)


def read_folds(options: Options, progress: OnProgress) -> list[Given]:
    """For every fold the rows, what their numbers mean by its training part, and its parts.

    Raises:
        InputError: as in `read`, or a number of folds that cannot be.
    """
    folds.require(options)
    assert options.folds is not None
    source, table, inputs, classes, codes = _opened(options, progress)
    labels = np.zeros(len(next(iter(table.values()))), np.int64) if codes is None else codes
    groups = None if options.groups is None else np.unique(table[options.groups], return_inverse=True)[1]
    share = FRACTIONS[1] / (FRACTIONS[0] + FRACTIONS[1])
    found = []
    for splits in folds.splits(labels, options.folds, seed=options.seed, share=share, groups=groups):
        meaning = _learn(options, inputs, (classes, codes), table, splits[0])
        data = labeled(source, options, meaning, table)
        _require_weights(options, data, splits)
        found.append(Given(meaning, data, splits))
    _require_columns(options, [{column.name for column in given.meaning.columns} for given in found])
    progress("reading the table", 1.0, f"{len(labels):,} rows")
    return found


def _require_columns(options: Options, found: Sequence[set[str]]) -> None:
    """Raise InputError where the training part of a fold has no entry of a column that others have: networks would differ in inputs."""
    for k, names in enumerate(found, 1):
        if lacking := sorted(set().union(*found) - names):
            raise InputError(
                f"{options.data}: expected entries of the column {lacking[0]} in the training part of each fold, got none in that of fold "
                f"{k}; take more folds, or leave it out by --ignore {' '.join(lacking)}"
            )


def _require_weights(options: Options, data: Data, splits: parts.Splits) -> None:
    for part, rows in zip(parts.NAMES, splits, strict=True):
        if not data.weights[rows].sum() > 0:
            file = parts.files(options).get(part, options.data)
            raise InputError(f"{file}: expected a positive sum of the weights of the {part} part, got 0; add rows")


def _joined(found: Sequence[Data]) -> Data:
    rows = Rows(*(np.concatenate(leaves) for leaves in zip(*(data.rows for data in found), strict=True)))
    return Data(rows, *(np.concatenate([data[i] for data in found]) for i in (1, 2)))


def _split(options: Options, tables: Sequence[Mapping[str, np.ndarray]], codes: np.ndarray | None) -> parts.Splits:
    """The parts of the rows: of --data, with its classes `codes`, and of the files for validation and test."""
    own = parts.files(options)
    numbers = dict(zip(("data", *own), (len(next(iter(table.values()))) for table in tables), strict=True))
    groups = _groups(options, tables, own) if options.groups is not None else None

    def draw(fractions: tuple[float, float, float]) -> parts.Splits:
        if groups is not None:
            return split_groups(groups, seed=options.seed, fractions=fractions)
        labels = np.zeros(numbers["data"], np.int64) if codes is None else codes
        return split(labels, seed=options.seed, fractions=fractions)

    lengths = numbers["data"], numbers.get("validation", 0), numbers.get("test", 0)
    return parts.splits(lengths, seed=options.seed, fractions=FRACTIONS, draw=draw)


def _groups(options: Options, tables: Sequence[Mapping[str, np.ndarray]], own: Mapping[str, Path]) -> np.ndarray:
    """The group of each row of --data; InputError where one is in two files."""
    name = str(options.groups)
    seen: dict[str, object] = {}
    for path, table in zip((options.data, *own.values()), tables, strict=True):
        if name not in table:
            raise InputError(f"{path}: expected the column {name} of --groups, found {', '.join(table)[:200]}; add it")
        for group in sorted({str(value) for value in np.unique(table[name])}):
            if seen.setdefault(group, path) != path:
                raise InputError(
                    f"{path}: expected groups that are in no other part, got {group[:40]!r} of the column {name}, "
                    f"which is in {seen[group]} too; put its rows into one of both"
                )
    return np.unique(tables[0][name], return_inverse=True)[1]


def _learn(
    options: Options,
    inputs: Mapping[str, np.ndarray],
    target: tuple[tuple[str, ...] | None, np.ndarray | None],
    table: Mapping[str, np.ndarray],
    rows: np.ndarray,
) -> Meaning:
    assert options.target is not None
    learned = encoding.learn(options.data, inputs, rows, options.categorical)
    (classes, codes), weight = target, targets.weights_of(options.data, options.weights, table)[rows]
    if not weight.sum() > 0:
        raise InputError(
            f"{options.data}: expected a positive sum of the weights of the training part, got 0; add rows"
        )
    if classes is not None and codes is not None:
        parts = np.bincount(codes[rows], weight, len(classes)) / weight.sum()
        return Meaning(learned, classes, 0.0, 1.0, parts.tolist())
    values = targets.target_numbers(options.data, options.target, table[options.target])[rows]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.average(values, weights=weight))
        scale = float(np.sqrt(np.average(np.square(values - mean), weights=weight))) or 1.0
    if not np.isfinite(mean + scale):
        raise InputError(f"{options.data}: expected numbers in {options.target} whose squares are numbers; rescale it")
    return Meaning(learned, None, mean, scale, [mean])


def labeled(path: object, options: Options, meaning: Meaning, table: Mapping[str, np.ndarray]) -> Data:
    """The rows of a table with the target of the run."""
    assert options.target is not None
    if options.target not in table:
        raise InputError(f"{path}: expected the target {options.target}, found {', '.join(table)[:200]}; add it")
    values = table[options.target]
    target = (
        targets.target_numbers(path, options.target, values)
        if meaning.classes is None
        else targets.class_codes(path, options.target, values, meaning.classes)
    )
    return Data(encoding.encode(path, meaning.columns, table), target, targets.weights_of(path, options.weights, table))


def take(data: Data, rows: np.ndarray) -> Data:
    """These rows."""
    return Data(Rows(*(leaf[rows] for leaf in data.rows)), data.target[rows], data.weights[rows])


def as_batch(meaning: Meaning, data: Data) -> Batch:
    """What a network is trained on; the target of a regression is standardized."""
    target = data.target if meaning.classes is not None else (data.target - meaning.mean) / meaning.scale
    kind = np.int32 if meaning.classes is not None else np.float32
    return Batch(data.rows, target.astype(kind), data.weights.astype(np.float32))


def contents(rows: Rows) -> Iterator[np.ndarray]:
    """Of each row what tells it from others."""
    numbers, codes = (np.asarray(leaf) for leaf in rows)
    return (np.concatenate([a, b.astype(np.float32)]) for a, b in zip(numbers, codes, strict=True))


def marks(options: Options, rows: Rows) -> np.ndarray | None:
    """The hashes of `contents`, for `parts.compare`; None for one file whose columns have so few values that equal rows are no surprise."""
    values = [len(np.unique(column)) for leaf in rows for column in np.asarray(leaf).T]
    possible = sum(np.log(values))
    return (
        seen.hashes(contents(rows))
        if parts.files(options) or possible > np.log(_ROOM * len(np.asarray(rows.numbers)))
        else None
    )


def digest(data: Data) -> str:
    """By which runs on the same rows are known."""
    return weights.digest(*map(np.asarray, data.rows), data.target.astype(np.float64), data.weights)


def read_options(folder: Path) -> Options:
    """The options a run was started with."""
    return runs.read_options(folder, NAME, Options, ("data", "validation", "test"))


def meaning_of(config: Mapping[str, Any]) -> Meaning:
    """What the numbers of a run mean, from its config.json."""
    data = config["data"]
    learned = [
        Column(**{**column, "categories": None if column["categories"] is None else tuple(column["categories"])})
        for column in data["columns"]
    ]
    classes = None if data["classes"] is None else tuple(data["classes"])
    return Meaning(learned, classes, data["mean"], data["scale"], data["constant"])
