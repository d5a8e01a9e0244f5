"""Rows of named arrays in files of any size: read by ranges of rows, and many files as one.

`source("train_*.h5")` reads HDF5, .npy, .npz and ROOT, told apart by content. Only what a range of rows asks for is read, and each process
keeps its own handles, so that a `Source` can be sent to other processes.
"""

import atexit
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxsci.data import _arrays as arrays
from jaxsci.data._arrays import Column, Reader, Rows
from jaxsci.data.reading import files, reading
from jaxsci.errors import InputError

__all__ = ["Checked", "Column", "FileState", "Known", "Opener", "Reader", "Source", "open_file", "source"]

_EXPECTED = "an HDF5, .npy, .npz or ROOT file"
_BYTES = 2**21  # that a range of rows should have at least: less is read slowly
_OPEN = 128  # files that a process holds open


class FileState(NamedTuple):
    """What changes when a file is written: as long as it is the same, what was found in the file holds."""

    inode: int
    size: int
    modified: int  # ns


class Checked(NamedTuple):
    """The files as they were at the first look, before any row was checked, and the rows that this process need not check again."""

    files: tuple[FileState, ...]  # in the order of the paths
    first: int = 0
    last: int = 0  # one after the last


class Known(NamedTuple):
    """What the file of some rows must still be, and whether these rows have been checked."""

    file: FileState
    rows: bool


Between: TypeAlias = Callable[[int, int], np.ndarray]
# Opens a file. A function at the top of a module, or a `functools.partial` of one, so that another process can be given it.
Opener: TypeAlias = Callable[[Path], Reader]


@dataclass(frozen=True)
class Source:
    """The rows of one or more files, one file after the other."""

    paths: tuple[Path, ...]
    opener: Opener
    checked: Checked | None = None  # files that change from now on are refused

    def __len__(self) -> int:
        return int(self.ends[-1])

    @cached_property
    def ends(self) -> np.ndarray:
        """[file] the number of rows up to the end of each."""
        return np.cumsum([reader(self.opener, path).length for path in self.paths])

    @property
    def columns(self) -> Mapping[str, Column]:
        """The arrays, of which each file has the same."""
        return reader(self.opener, self.paths[0]).columns

    @cached_property
    def chunks(self) -> np.ndarray:
        """[chunk + 1] rows at which ranges begin that are read fast: some megabytes, none across files, the last one is the length."""
        row = sum(int(np.prod(c.shape, dtype=int)) * np.dtype(c.dtype).itemsize for c in self.columns.values())
        bounds = [np.zeros(1, np.int64)]
        for path, end in zip(self.paths, self.ends, strict=True):
            stored, length = reader(self.opener, path).stored, reader(self.opener, path).length
            step = stored * max(1, round(_BYTES / max(1, row * stored)))
            if step * row > 8 * _BYTES:  # more at once than a process should hold
                step = max(1, 8 * _BYTES // row)
            bounds.append(end - length + np.append(np.arange(step, length, step), length))
        return np.concatenate(bounds)

    def states(self) -> tuple[FileState, ...]:
        """What the files are now."""
        return tuple(map(state, self.paths))

    def with_checked(self, checked: Checked) -> "Source":
        """The same rows, of files that are refused if they change; what is known of their lengths stays known."""
        found = replace(self, checked=checked)
        vars(found).update({name: value for name, value in vars(self).items() if name in ("ends", "chunks")})
        return found

    def known(self, first: int, last: int) -> Known | None:
        """What is known of the rows from `first` up to `last`, which lie in one file; None before the first look."""
        if self.checked is None:
            return None
        return Known(self.checked.files[self._file(first)], self.checked.first <= first and last <= self.checked.last)

    def place(self, row: int) -> tuple[Path, int]:
        """The file that a row is in, and the number of the first row of that file."""
        file = self._file(row)
        return self.paths[file], int(self.ends[file - 1]) if file else 0

    def _file(self, row: int) -> int:
        return int(np.searchsorted(self.ends, row, side="right"))

    def rows(self, first: int, last: int) -> dict[str, np.ndarray]:
        """The rows from `first` up to `last`, which does not belong to them: each array [row, ...]."""
        if not 0 <= first < last <= len(self):
            raise InputError(f"rows: expected a range within 0 and {len(self)}, got {first} to {last}; choose others")
        parts = []
        while first < last:
            path, start = self.place(first)
            found = reader(self.opener, path)
            end = min(last, start + found.length)
            parts.append(read(self.opener, path, first - start, end - start))
            first = end
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def source(pattern: str | Path | Sequence[str | Path], opener: Opener | None = None) -> Source:
    """The rows of a file, or of all files whose names match a pattern, in the order of their numbers.

    Args:
        pattern: a path, one with the wildcards `*`, `?`, `[...]`, `{a,b}`, or several paths.
        opener: how a file is opened; by default by its content, with all arrays of HDF5 and .npz, and all branches of ROOT that have one
            number or text a row.

    Raises:
        InputError: no file matches, one of a numbered series is missing, a file is damaged, empty or not of a format that can be read
            by ranges of rows, or has other columns than the first.
    """
    found = Source(files(pattern), opener or open_file)
    for path in found.paths:
        here = reader(found.opener, path)
        if here.length == 0:
            raise InputError(f"{path}: expected rows, got a file with none; leave it out")
        _require_columns(path, here.columns, found.paths[0], found.columns)
    return found


def _require_columns(path: Path, here: Mapping[str, Column], first: Path, there: Mapping[str, Column]) -> None:
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            got, wanted = (
                f"{name} {c[name].dtype}{list(c[name].shape)}" if name in c else f"no {name}" for c in (here, there)
            )
            raise InputError(
                f"{path}: expected the same columns as in {first}, {wanted}, got {got}; write the files alike, or leave one out"
            )


def read(opener: Opener, path: Path, first: int, last: int, known: Known | None = None) -> dict[str, np.ndarray]:
    """Rows of one file; whatever goes wrong is an InputError that names it.

    With `known` a file that is no longer that one is refused, and rows that have been checked are not checked again.
    """
    with reading(path, _EXPECTED):
        now = state(path)
        if known is not None and now != known.file:
            raise InputError(
                f"{path}: expected the file as it was when the work began, got one that was written since; begin "
                "again, or go on with --resume where it holds the same rows"
            )
        found = _opened(opener, path, os.getpid(), now)
        again = found.again if known is not None and known.rows else None
        return (again or found.rows)(first, last)


def reader(opener: Opener, path: Path) -> Reader:
    """The open file, which this process keeps open."""
    return _opened(opener, path, os.getpid(), state(path))


def state(path: Path) -> FileState:
    """What the file is now."""
    with reading(path, _EXPECTED):
        now = path.stat()
    return FileState(now.st_ino, now.st_size, now.st_mtime_ns)


@lru_cache(maxsize=_OPEN)
def _opened(opener: Opener, path: Path, process: int, now: FileState) -> Reader:
    with reading(path, _EXPECTED) as path:
        return opener(path)


atexit.register(_opened.cache_clear)  # files are closed while the libraries that read them are still there


def open_file(path: Path) -> Reader:
    """Open a file by its content: HDF5, .npy, .npz or ROOT."""
    import h5py

    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x93NUMPY"):
        return _npy(path)
    if start.startswith(b"PK"):
        return _npz(path)
    if start.startswith(b"root"):
        from jaxsci.data import _root  # awkward and uproot are an extra

        return _root.open_tree(path, ())
    if h5py.is_hdf5(path):
        return _hdf5(path)
    raise InputError(f"{path}: expected {_EXPECTED}, got a file that begins with {start!r}; convert it")


def _hdf5(path: Path) -> Reader:
    import h5py

    return from_arrays(path, arrays.hdf5_arrays(path, h5py.File(path, "r")))


def _npz(path: Path) -> Reader:
    with zipfile.ZipFile(path) as archive:
        return from_arrays(path, arrays.npz_arrays(path, archive))


def _npy(path: Path) -> Reader:
    def mapped() -> np.ndarray:  # anew each time: the pages of a map that is kept would stay in memory
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def between(first: int, last: int) -> np.ndarray:
        return np.array(mapped()[first:last])

    return from_arrays(path, {"rows": Rows(mapped().shape, mapped().dtype, lambda rows: iter(()), between)})


def from_arrays(path: Path, found: Mapping[str, Rows]) -> Reader:
    """An open file of arrays of one length.

    Raises:
        InputError: there are none, their lengths differ, or one is compressed as a whole.
    """
    if not found:
        raise InputError(f"{path}: expected arrays of rows, got none; check how it was written")
    lengths = {name: rows.shape[0] if rows.shape else None for name, rows in found.items()}
    if len({*lengths.values()}) > 1 or None in lengths.values():
        words = ", ".join(f"{name} {length}" for name, length in list(lengths.items())[:5])
        raise InputError(f"{path}: expected arrays of one length, got {words}; write one row of each for every example")
    read = {name: require_ranges(path, name, rows.between) for name, rows in found.items()}
    columns = {name: Column(tuple(rows.shape[1:]), rows.dtype.str) for name, rows in found.items()}

    def between(first: int, last: int) -> dict[str, np.ndarray]:
        return {name: rows(first, last) for name, rows in read.items()}

    return Reader(next(iter(lengths.values())) or 0, max(rows.stored for rows in found.values()), columns, between)


def require_ranges(path: Path, name: str, between: Between | None) -> Between:
    """What reads a range of rows; InputError where there is nothing that could."""
    if between is None:
        raise InputError(
            f"{path}: expected arrays of which rows can be read without the rest, got the compressed {name}; write them with numpy.savez, "
            "without compression, or as HDF5"
        )
    return between
