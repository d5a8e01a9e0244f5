"""Samples of jets in memory, and how they are read from files.

Formats, told apart by content:

- HDF5 with the datasets `constituents` [jet, constituent, 4], (E, px, py, pz) in GeV padded with zeros, or `images` [jet, row, column],
  and `labels` [jet]: what `jaxsci data generate jets` writes;
- .npz with arrays of the same names;
- the compact format of `jaxsci.data.jets.compact`;
- the reference data set of top tagging, `jaxsci.data.reference`.
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
from jaxsci.data.jets import _checks as checks
from jaxsci.data.jets import compact, kinematics, records, reference
from jaxsci.data.jets.records import Records
from jaxsci.data.reading import reading, require_memory
from jaxsci.errors import InputError

__all__ = [
    "JetSample",
    "count",
    "embedded",
    "mass",
    "read",
    "require_both_classes",
    "stream",
]

_EXPECTED = "jets in an HDF5 or .npz file"
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
    with _opened(path) as source:
        if labels == "required" and source.labels is None:
            raise InputError(
                f"{path}: expected labels, 1 for top and 0 for background, got jets without; add an array labels [n] "
                f"(in a table of the reference data set, the column {reference.LABEL})"
            )
        shape = (min(source.shape[0], limit or source.shape[0]), *source.shape[1:])
        require_memory(path, 4 * math.prod(shape), "its jets")
        rows = _selected(source, shape[0])
        jets = np.empty(shape, np.float32)
        marks = None if source.labels is None else np.empty(len(rows), np.uint8)
        first = filled = 0
        for block, block_labels in _cleaned(Path(path), source, _JETS_AT_ONCE):
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
    with _opened(path) as source:
        for block, labels in _cleaned(Path(path), source, chunk):
            yield _sample(source, block, labels)


def count(path: str | Path) -> int:
    """How many jets a file has.

    Raises:
        InputError: as in `read`, but for the numbers themselves.
    """
    with _opened(path) as source:
        return source.shape[0]


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
def _opened(path: str | Path) -> Iterator[Records]:
    import h5py

    with reading(path, _EXPECTED) as path:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                yield _not_empty(path, records.from_arrays(path, arrays.npz_arrays(path, archive)))
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


def _selected(source: Records, limit: int) -> np.ndarray:
    """The rows that `read` takes, rising."""
    total = source.shape[0]
    if limit == total or source.labels is None:
        return np.arange(limit)
    found, classes = np.unique(source.labels(), return_inverse=True)
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
