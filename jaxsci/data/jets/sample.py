"""Samples of jets in memory, and how they are read from files.

Formats, told apart by content:

- HDF5 with the datasets `constituents` [jet, constituent, 4], (E, px, py, pz) in GeV padded with zeros, or `images` [jet, row, column],
  and `labels` [jet]: what `jaxsci data generate jets` writes;
- .npz with arrays of the same names;
- the compact format of `jaxsci.data.jets.compact`;
- the reference data set of top tagging, `jaxsci.data.jets.reference`;
- JetClass, `jaxsci.data.jets.files.jetclass`: top quarks against QCD.

Several files, by a pattern such as `train_*.h5`, are read as one.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxsci.data.jets import _checks as checks
from jaxsci.data.jets import kinematics, records, reference
from jaxsci.data.jets.files._opening import all_opened, opened
from jaxsci.data.jets.records import Records
from jaxsci.data.reading import require_memory
from jaxsci.data.sources import Column, Reader
from jaxsci.errors import InputError

__all__ = [
    "JetSample",
    "count",
    "embedded",
    "form",
    "mass",
    "read",
    "require_both_classes",
    "rows",
    "stream",
    "weight_names",
]

_JETS_AT_ONCE = 10_000
_FEWEST_AT_ONCE = 2_000  # so many tell a beam along x or y from one along z
_NUMBERS_AT_ONCE = 8_000_000  # some 250 MB while they are read and checked
_FAIR = 5.0  # standard deviations by which the classes of the first jets may differ from the file's


class JetSample(NamedTuple):
    """Jets and their labels. One of `constituents` and `images` is None."""

    constituents: (
        np.ndarray | None
    )  # float32 [jet, constituent, 4]: E, px, py, pz in GeV, hardest first, padded with zeros
    images: np.ndarray | None  # float32 [jet, row, column]: pT fractions that add up to 1
    labels: np.ndarray | None  # uint8 [jet]: 1 top, 0 background, or the class; None where the file has none
    weights: np.ndarray | None = None  # float64 [jet], at least 0; None: all count alike


def read(
    path: str | Path,
    *,
    labels: Literal["required", "optional"] = "required",
    limit: int | None = None,
    weights: str | None = None,
    classes: Sequence[str] | None = None,
) -> JetSample:
    """Read the jets of a file, all or a fair selection of `limit`.

    The selection is the first `limit` jets where they hold the classes in the proportions of the file, within 5 standard deviations
    of a random draw. In a sorted file they do not: then jets are drawn at random from each class, in these proportions (always the
    same ones), and stay in the order of the file.

    Needs the memory of the arrays it returns and less than 1 GiB more; of the compact format, also that of the unpacked file.

    Args:
        path: of the file, or a pattern.
        labels: whether jets without labels are refused.
        limit: how many are read.
        weights: name of the array with the weight of each jet.
        classes: their names, in the order of the labels 0, 1, ...; of JetClass those of its classes that the files have. None: 1 is
            top, 0 is background.

    Raises:
        InputError: the file is missing, damaged or of no known format; an array is missing or of a wrong shape or type; a number cannot
            be part of a jet or a weight; a label is not of these; there are no jets, or (`labels="required"`) no labels; the memory is
            too small.
    """
    with all_opened(path, classes) as parts:
        source = parts[0][1]
        if labels == "required" and source.labels is None:
            raise InputError(
                f"{path}: expected labels, 1 for top and 0 for background, got jets without; add an array labels [n] "
                f"(in a table of the reference data set, the column {reference.LABEL})"
            )
        total = sum(part.shape[0] for _, part in parts)
        shape = (min(total, limit or total), *source.shape[1:])
        require_memory(path, 4 * math.prod(shape), "its jets")
        rows = _selected([part for _, part in parts], shape[0])
        found = None if weights is None else records.weights(parts, weights)[rows]
        jets = np.empty(shape, np.float32)
        marks = None if source.labels is None else np.empty(len(rows), np.uint8)
        first = filled = 0
        at_once = min(_JETS_AT_ONCE, max(int(rows[-1]) + 1, _FEWEST_AT_ONCE))
        for block, block_labels in (block for part in parts for block in _cleaned(*part, at_once, classes)):
            last = int(np.searchsorted(rows, first + len(block)))
            taken = rows[filled:last] - first
            jets[filled:last] = block[taken]
            if marks is not None and block_labels is not None:
                marks[filled:last] = block_labels[taken]
            first, filled = first + len(block), last
            if filled == len(rows):
                break
    return _sample(source, jets, marks)._replace(weights=found)


def stream(
    path: str | Path, *, chunk: int = _JETS_AT_ONCE, classes: Sequence[str] | None = None
) -> Iterator[JetSample]:
    """Read a file up to `chunk` jets at a time, in bounded memory, with labels where there are any.

    Of the compact format all that is stored is held.

    Raises:
        InputError: as in `read`.
    """
    with all_opened(path, classes) as parts:
        for file, source in parts:
            for block, labels in _cleaned(file, source, chunk, classes):
                yield _sample(source, block, labels)


def count(path: str | Path) -> int:
    """How many jets a file has.

    Raises:
        InputError: as in `read`, but for the numbers themselves.
    """
    return form(path)[1][0]


def form(path: str | Path) -> tuple[bool, tuple[int, ...]]:
    """Whether jets are images, and the shape of all of them as one array.

    Raises:
        InputError: as in `read`, but for the numbers themselves.
    """
    with all_opened(path) as parts:
        source = parts[0][1]
        return source.images, (sum(part.shape[0] for _, part in parts), *source.shape[1:])


def rows(path: Path) -> Reader:
    """Open a file of jets for reading ranges of rows: `constituents` or `images`, and `labels` where there are any, checked as in `read`.

    Raises:
        InputError: as in `read`, or the file can only be read as a whole.
    """
    stack = contextlib.ExitStack()
    source = stack.enter_context(opened(path))
    if source.between is None:
        raise InputError(
            f"{path}: expected jets of which rows can be read without the rest, got a compressed .npz or the compact format; read it whole "
            "or write the arrays constituents and labels as HDF5"
        )
    between, clean = source.between, _cleaning(source)
    arrange = checks.normalized if source.images else checks.hardest_first
    name = "images" if source.images else "constituents"
    columns = {name: Column(source.shape[1:], "<f4")}
    if source.labels is not None:
        columns["labels"] = Column((), "|u1")

    def cleaned(clean: Callable[[np.ndarray, int], np.ndarray], first: int, last: int) -> dict[str, np.ndarray]:
        assert stack  # the file stays open as long as this function is kept
        jets, labels = between(first, last)
        found = {name: clean(jets, first)}
        return found if labels is None else {**found, "labels": checks.clean_labels(path, labels, first)}

    checked = partial(cleaned, lambda jets, first: clean(path, jets, first))
    again = partial(cleaned, lambda jets, _: arrange(jets))
    return Reader(source.shape[0], source.stored, columns, checked, again)


def weight_names(path: str | Path) -> list[str]:
    """Names of arrays with a number a jet that are weights by their name, as `weights` and `mc_weight` are.

    Raises:
        InputError: as in `read`, but for the numbers themselves.
    """
    with all_opened(path) as parts:
        return records.weight_names(parts[0][1])


def require_both_classes(labels: np.ndarray, path: str | Path) -> None:
    """Training and evaluation need tops and background.

    Raises:
        InputError: all labels, read from `path`, are the same.
    """
    tops = int(np.count_nonzero(labels))
    if tops in (0, len(labels)):
        only, missing = ("top", "background") if tops else ("background", "top")
        raise InputError(
            f"{path}: expected jets of both classes, got {len(labels)} {only} jets only; add {missing} jets"
        )


def embedded() -> Path:
    """The sample of simulated jets that comes with the package, in the compact format."""
    return Path(str(resources.files("jaxsci.data.jets") / "embedded" / "top_tagging.h5"))


def mass(constituents: np.ndarray) -> np.ndarray:
    """Invariant mass in GeV of jets with constituents [jet, constituent, 4]: computed in float64, returned as float32 [jet]."""
    return kinematics.mass(kinematics.jet_momentum(constituents)).astype(np.float32)


def _cleaned(
    path: Path, source: Records, rows: int, classes: Sequence[str] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    clean = _cleaning(source)
    row, numbers = 0, math.prod(source.shape[1:])
    for jets, labels in source.blocks(max(1, min(rows, _NUMBERS_AT_ONCE // numbers))):
        yield clean(path, jets, row), None if labels is None else checks.clean_labels(path, labels, row, classes)
        row += len(jets)


def _cleaning(source: Records) -> Callable[[Path, np.ndarray, int], np.ndarray]:
    """What checks the jets of a file, range by range."""
    if source.images:
        return checks.clean_images
    beam = checks.Beam()
    return lambda path, jets, first: checks.clean_constituents(path, jets, first, beam)


def _selected(parts: list[Records], limit: int) -> np.ndarray:
    """The rows that `read` takes, rising."""
    total = sum(part.shape[0] for part in parts)
    labels = [part.labels for part in parts]
    if limit == total or labels[0] is None:
        return np.arange(limit)
    found, classes = np.unique(np.concatenate([each() for each in labels if each is not None]), return_inverse=True)
    share = np.bincount(classes) / total
    first = np.bincount(classes[:limit], minlength=len(found))
    if (np.abs(first - limit * share) <= _FAIR * np.sqrt(limit * share * (1 - share))).all():
        return np.arange(limit)
    wanted = np.diff(np.rint(np.cumsum([0, *share]) * limit).astype(np.int64))
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(np.flatnonzero(classes == i))[:number] for i, number in enumerate(wanted)]
    return np.sort(np.concatenate(drawn))


def _sample(source: Records, jets: np.ndarray, labels: np.ndarray | None) -> JetSample:
    return JetSample(None, jets, labels) if source.images else JetSample(jets, None, labels)
