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
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxsci.data import _arrays as arrays
from jaxsci.data import sources
from jaxsci.data.jets import _checks as checks
from jaxsci.data.jets import compact, kinematics, records, reference
from jaxsci.data.jets.records import Records
from jaxsci.data.reading import reading, require_memory
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
]

_EXPECTED = "jets in an HDF5, .npz or JetClass .root file"
_JETS_AT_ONCE = 10_000
_NUMBERS_AT_ONCE = 8_000_000  # some 250 MB while they are read and checked
_FAIR = 5.0  # standard deviations by which the classes of the first jets may differ from the file's


class JetSample(NamedTuple):
    """Jets and their labels. One of `constituents` and `images` is None."""

    constituents: (
        np.ndarray | None
    )  # float32 [jet, constituent, 4]: E, px, py, pz in GeV, hardest first, padded with zeros
    images: np.ndarray | None  # float32 [jet, row, column]: pT fractions that add up to 1
    labels: np.ndarray | None  # uint8 [jet]: 1 top, 0 background; None where the file has none


def read(
    path: str | Path, *, labels: Literal["required", "optional"] = "required", limit: int | None = None
) -> JetSample:
    """Read the jets of a file, all or a fair selection of `limit`.

    The selection is the first `limit` jets where they hold the classes in the proportions of the file, within 5 standard deviations
    of a random draw. In a sorted file they do not: then jets are drawn at random from each class, in these proportions (always the
    same ones), and stay in the order of the file.

    Needs the memory of the arrays it returns and less than 1 GiB more; of the compact format, twice all its arrays.

    Raises:
        InputError: the file is missing, damaged or of no known format; an array is missing or of a wrong shape or type; a number cannot
            be part of a jet; a label is not 0 or 1; there are no jets, or (`labels="required"`) no labels; the memory is too small.
    """
    with _all_opened(path) as parts:
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
        jets = np.empty(shape, np.float32)
        marks = None if source.labels is None else np.empty(len(rows), np.uint8)
        first = filled = 0
        for block, block_labels in (block for part in parts for block in _cleaned(*part, _JETS_AT_ONCE)):
            last = int(np.searchsorted(rows, first + len(block)))
            taken = rows[filled:last] - first
            jets[filled:last] = block[taken]
            if marks is not None and block_labels is not None:
                marks[filled:last] = block_labels[taken]
            first, filled = first + len(block), last
            if filled == len(rows):
                break
    return _sample(source, jets, marks)


def stream(path: str | Path, *, chunk: int = _JETS_AT_ONCE) -> Iterator[JetSample]:
    """Read a file up to `chunk` jets at a time, in bounded memory (the compact format excepted), with labels where there are any.

    Raises:
        InputError: as in `read`.
    """
    with _all_opened(path) as parts:
        for file, source in parts:
            for block, labels in _cleaned(file, source, chunk):
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
    with _all_opened(path) as parts:
        source = parts[0][1]
        return source.images, (sum(part.shape[0] for _, part in parts), *source.shape[1:])


def rows(path: Path) -> Reader:
    """Open a file of jets for reading ranges of rows: `constituents` or `images`, and `labels` where there are any, checked as in `read`.

    Raises:
        InputError: as in `read`, or the file can only be read as a whole.
    """
    stack = contextlib.ExitStack()
    source = stack.enter_context(_opened(path))
    if source.between is None:
        raise InputError(
            f"{path}: expected jets of which rows can be read without the rest, got a compressed .npz or the compact format; read it whole "
            "or write the arrays constituents and labels as HDF5"
        )
    between, clean = source.between, checks.clean_images if source.images else checks.clean_constituents
    name = "images" if source.images else "constituents"
    columns = {name: Column(source.shape[1:], "<f4")}
    if source.labels is not None:
        columns["labels"] = Column((), "|u1")

    def cleaned(first: int, last: int) -> dict[str, np.ndarray]:
        assert stack  # the file stays open as long as this function is kept
        jets, labels = between(first, last)
        found = {name: clean(path, jets, first)}
        return found if labels is None else {**found, "labels": checks.clean_labels(path, labels, first)}

    return Reader(source.shape[0], source.stored, columns, cleaned)


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


@contextlib.contextmanager
def _all_opened(pattern: str | Path) -> Iterator[list[tuple[Path, Records]]]:
    """The file, or those that match the pattern, all of one form."""
    with contextlib.ExitStack() as stack:
        parts = [(path, stack.enter_context(_opened(path))) for path in sources.files(pattern)]
        (first, like), *others = parts
        for path, part in others:
            found, wanted = (_words(one) for one in (part, like))
            if found != wanted:
                raise InputError(
                    f"{path}: expected {wanted} as in {first}, got {found}; write the files alike, or leave one out"
                )
        yield parts


def _words(source: Records) -> str:
    kind = "images" if source.images else "constituents"
    return f"{kind} {list(source.shape[1:])} {'without' if source.labels is None else 'with'} labels"


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Records]:
    import h5py

    with reading(path, _EXPECTED) as path:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                yield _not_empty(path, records.from_arrays(path, arrays.npz_arrays(path, archive)))
        elif start.startswith(b"root"):
            from jaxsci.data.jets.files import jetclass

            yield _not_empty(path, jetclass.records(path))
        elif h5py.is_hdf5(path):
            with h5py.File(path, "r") as hdf5:
                yield _not_empty(path, _hdf5_records(path, hdf5))
        else:
            raise InputError(
                f"{path}: expected {_EXPECTED}, got a file that begins with {start!r}; convert it, see `jaxsci data --help`"
            )


def _hdf5_records(path: Path, file: Any) -> Records:
    import h5py

    if file.attrs.get("format") == compact.FORMAT:
        return _compact_records(path)
    table = file.get(reference.KEY)
    if isinstance(table, h5py.Group):
        return reference.records(path, table)
    return records.from_arrays(path, arrays.hdf5_arrays(path, file))


def _compact_records(path: Path) -> Records:
    constituents, labels = compact.read(path)

    def blocks(rows: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, len(labels), rows):
            yield constituents[start : start + rows], labels[start : start + rows]

    return Records(False, constituents.shape, lambda: labels, blocks)


def _not_empty(path: Path, source: Records) -> Records:
    if source.shape[0] == 0:
        raise InputError(f"{path}: expected jets, got a file with none (no rows); check how it was written")
    return source


def _cleaned(path: Path, source: Records, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    clean = checks.clean_images if source.images else checks.clean_constituents
    row, numbers = 0, math.prod(source.shape[1:])
    for jets, labels in source.blocks(max(1, min(rows, _NUMBERS_AT_ONCE // numbers))):
        yield clean(path, jets, row), None if labels is None else checks.clean_labels(path, labels, row)
        row += len(jets)


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
