"""Jets in open files, read by rows, so that a file larger than the memory can be streamed: named arrays in .npz and HDF5 files."""

import importlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxsci.errors import InputError

__all__ = ["Records", "Rows", "from_arrays", "hdf5_arrays", "npz_arrays", "require_filters"]

_HELP = (
    "expected the arrays constituents [n, k, 4], (E, px, py, pz) in GeV padded with zeros, or images [n, height, width], "
    "and labels [n], 1 for top and 0 for background"
)


class Rows(NamedTuple):
    """An array in an open file."""

    shape: tuple[int, ...]  # [row, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[int], Iterator[np.ndarray]]  # (rows at once) -> consecutive blocks


class Records(NamedTuple):
    """Jets in an open file, with or without labels; not checked yet."""

    images: bool  # ready images [jet, row, column]; otherwise constituents [jet, constituent, 4]
    shape: tuple[int, ...]
    labeled: bool
    blocks: Callable[[int], Iterator[tuple[np.ndarray, np.ndarray | None]]]  # (jets at once) -> jets and labels


def from_arrays(path: Path, arrays: Mapping[str, Rows]) -> Records:
    """Jets from the arrays `constituents` or `images`, and `labels` where there are any.

    Raises:
        InputError: an array is missing, or its shape, type or length cannot be.
    """
    found = [name for name in ("constituents", "images") if name in arrays]
    if len(found) != 1:
        raise InputError(
            f"{path}: {_HELP}; found {_names(arrays)}; rename them, and keep one of constituents and images"
        )
    name = found[0]
    jets, labels = arrays[name], arrays.get("labels")
    if len(jets.shape) != 3 or (name == "constituents" and jets.shape[2] != 4) or min(jets.shape[1:]) < 1:
        raise InputError(f"{path}: {_HELP}; {name} has shape {list(jets.shape)}; reshape it")
    if jets.dtype.kind not in "fiu":
        raise InputError(f"{path}: {_HELP}; {name} has type {jets.dtype}; save real numbers")
    if labels is not None and labels.shape != jets.shape[:1]:
        raise InputError(
            f"{path}: {_HELP}; {name} has {jets.shape[0]} rows, labels shape {list(labels.shape)}; give one label a jet"
        )
    if labels is not None and labels.dtype.kind not in "biuf":
        raise InputError(f"{path}: {_HELP}; labels have type {labels.dtype}; save whole numbers")

    def blocks(rows: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        if labels is None:
            yield from ((block, None) for block in jets.blocks(rows))
        else:
            yield from zip(jets.blocks(rows), labels.blocks(rows), strict=True)

    return Records(name == "images", jets.shape, labels is not None, blocks)


def npz_arrays(path: Path, archive: zipfile.ZipFile) -> dict[str, Rows]:
    """The arrays of an .npz file by name. Pickled objects are refused."""
    members = [name for name in archive.namelist() if name.endswith(".npy")]
    return {member.removesuffix(".npy"): _npz_member(path, archive, member) for member in members}


def hdf5_arrays(path: Path, file: Any) -> dict[str, Rows]:
    """The datasets at the root of an open `h5py.File` by name."""
    import h5py

    datasets = {name: item for name in file if isinstance(item := file.get(name), h5py.Dataset)}
    return {name: _hdf5_dataset(path, dataset) for name, dataset in datasets.items()}


def require_filters(path: Path, dataset: Any) -> None:
    """Check that the compression of an `h5py.Dataset` can be read, with the filters of hdf5plugin where that is installed.

    Raises:
        InputError: a filter is missing.
    """
    import h5py

    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i) for i in range(creation.get_nfilters())]
    missing = [(code, name.decode()) for code, _, _, name in filters if not h5py.h5z.filter_avail(code)]
    if not missing:
        return
    try:
        importlib.import_module("hdf5plugin")  # registers its filters
    except ImportError as error:
        code, name = missing[0]
        raise InputError(
            f"{path}: expected data that plain HDF5 can read, got data compressed with {name} (filter {code}); "
            "the package hdf5plugin reads them: pip install hdf5plugin"
        ) from error


def _hdf5_dataset(path: Path, dataset: Any) -> Rows:
    def blocks(rows: int) -> Iterator[np.ndarray]:
        require_filters(path, dataset)
        for start in range(0, dataset.shape[0], rows):
            yield dataset[start : start + rows]

    return Rows(dataset.shape or (), dataset.dtype, blocks)


def _npz_member(path: Path, archive: zipfile.ZipFile, member: str) -> Rows:
    with archive.open(member) as stream:
        shape, dtype = _npy_header(path, stream, member)

    def blocks(rows: int) -> Iterator[np.ndarray]:
        with archive.open(member) as stream:
            _npy_header(path, stream, member)
            for start in range(0, shape[0], rows):
                block = (min(rows, shape[0] - start), *shape[1:])
                size = math.prod(block) * dtype.itemsize
                data = stream.read(size)
                if len(data) < size:
                    raise EOFError(f"{member} is shorter than its header says")
                yield np.frombuffer(data, dtype).reshape(block)

    return Rows(shape, dtype, blocks)


def _npy_header(path: Path, stream: IO[bytes], member: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    formats = np.lib.format
    try:
        version = formats.read_magic(stream)
        read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        shape, column_major, dtype = read(stream)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: expected an array in {member}, got: {reason}; write the file with numpy.savez"
        ) from error
    if dtype.hasobject:
        raise InputError(
            f"{path}: expected numbers in {member}, got pickled Python objects, which are never loaded; save arrays of numbers"
        )
    if column_major and len(shape) > 1:
        raise InputError(
            f"{path}: expected {member} in row-major order, got column-major; save numpy.ascontiguousarray(...) of it"
        )
    return shape, dtype


def _names(arrays: Mapping[str, Rows]) -> str:
    return ", ".join(sorted(arrays)[:10]) or "no arrays"
