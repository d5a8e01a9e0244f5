"""Named arrays in .npz and HDF5 files, whole or by rows so that a file larger than the memory can be streamed; an open file."""

import contextlib
import importlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from jaxsci.data.reading import require_memory
from jaxsci.errors import InputError


class Rows(NamedTuple):
    """An array in an open file."""

    shape: tuple[int, ...]  # [row, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[int], Iterator[np.ndarray]]  # (rows at once) -> consecutive blocks
    between: Callable[[int, int], np.ndarray] | None = (
        None  # (first, one after the last) -> rows; None: not without the rest
    )
    stored: int = 1  # rows that the file keeps together
    unit: str = ""  # as an attribute of HDF5 says


class Column(NamedTuple):
    """What a row has in one of the arrays."""

    shape: tuple[int, ...]
    dtype: str


class Reader(NamedTuple):
    """An open file."""

    length: int  # rows
    stored: int  # rows that the file keeps together, such as the chunks of HDF5: ranges of a multiple of them are read fastest
    columns: Mapping[str, Column]
    rows: Callable[[int, int], dict[str, np.ndarray]]  # (first, one after the last) -> each [row, ...], checked
    # The same of rows that were checked before, without the checks; None: there is nothing to save.
    again: Callable[[int, int], dict[str, np.ndarray]] | None = None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[dict[str, Rows]]:
    """The arrays of an .npz or HDF5 file, told apart by content, by name; none for any other file. Pickled objects are refused."""
    import h5py

    if is_zip(path):
        with zipfile.ZipFile(path) as archive:
            yield npz_arrays(path, archive)
    elif h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            yield hdf5_arrays(path, file)
    else:
        yield {}


def is_zip(path: Path) -> bool:
    """Whether the file begins as an .npz file does."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def load(path: Path, arrays: Mapping[str, Rows], name: str) -> np.ndarray:
    """One of the arrays as a whole; text of HDF5, which would be Python objects, as bytes.

    Raises:
        InputError: it holds neither numbers nor text, or the memory is too small.
    """
    import h5py

    rows = arrays[name]
    text = h5py.check_string_dtype(rows.dtype) is not None
    if rows.dtype.kind not in "biufcSU" and not text:
        raise InputError(f"{path}: expected numbers in {name}, got type {rows.dtype}; save it as an array of numbers")
    require_memory(path, 2 * math.prod(rows.shape) * rows.dtype.itemsize, name)
    blocks = list(rows.blocks(max(1, rows.shape[0] if rows.shape else 1)))
    whole = blocks[0] if len(blocks) == 1 else np.concatenate([np.empty((0, *rows.shape[1:]), rows.dtype), *blocks])
    return whole.astype(np.bytes_) if text else whole


def npz_arrays(path: Path, archive: zipfile.ZipFile) -> dict[str, Rows]:
    """The arrays of an .npz file by name. Pickled objects are refused."""
    members = [name for name in archive.namelist() if name.endswith(".npy")]
    if len(set(members)) < len(members):
        raise InputError(f"{path}: expected each array once, got {', '.join(members)[:200]}; write the file again")
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


def _require_unpacked(path: Path, dataset: Any) -> None:
    """Raise InputError for numbers that attributes say to scale first, as netCDF and others pack them."""
    for name, neutral in (("scale_factor", 1), ("add_offset", 0), ("slope", 1), ("intercept", 0)):
        if name in dataset.attrs and not (np.asarray(dataset.attrs[name]) == neutral).all():
            raise InputError(
                f"{path}: expected numbers as they are in {dataset.name}, got the attribute {name} = {str(dataset.attrs[name])[:40]}; "
                "apply it, and save the numbers without"
            )


def _hdf5_dataset(path: Path, dataset: Any) -> Rows:
    shape = dataset.shape or ()

    def blocks(rows: int) -> Iterator[np.ndarray]:
        require_filters(path, dataset)
        _require_unpacked(path, dataset)
        if not shape:
            yield np.asarray(dataset[()])
        for start in range(0, shape[0] if shape else 0, rows):
            yield dataset[start : start + rows]

    def between(first: int, last: int) -> np.ndarray:
        require_filters(path, dataset)
        _require_unpacked(path, dataset)
        return np.asarray(dataset[first:last])

    unit = next((dataset.attrs[name] for name in ("units", "unit") if name in dataset.attrs), "")
    unit = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
    return Rows(shape, dataset.dtype, blocks, between, dataset.chunks[0] if dataset.chunks else 1, unit.strip())


def _npz_member(path: Path, archive: zipfile.ZipFile, member: str) -> Rows:
    with archive.open(member) as stream:
        shape, dtype, column_major = _npy_header(path, stream, member)
        size, due = archive.getinfo(member).file_size - stream.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != due:
        raise InputError(
            f"{path}: expected {due:,} bytes in {member} for shape {list(shape)}, got {size:,}; copy or write the file again"
        )

    def blocks(rows: int) -> Iterator[np.ndarray]:
        with archive.open(member) as stream:
            _npy_header(path, stream, member)
            if not shape or (column_major and len(shape) > 1):  # a row lies scattered over the whole
                require_memory(path, size, member)
                whole = np.frombuffer(stream.read(size), dtype).reshape(shape, order="F")
                yield from (whole[start : start + rows] for start in range(0, shape[0], rows)) if shape else (whole,)
                return
            for start in range(0, shape[0], rows):
                block = (min(rows, shape[0] - start), *shape[1:])
                yield np.frombuffer(stream.read(math.prod(block) * dtype.itemsize), dtype).reshape(block)

    return Rows(shape, dtype, blocks, _mapped(path, archive, member, shape, dtype, column_major))


def _mapped(
    path: Path, archive: zipfile.ZipFile, member: str, shape: tuple[int, ...], dtype: np.dtype[Any], column_major: bool
) -> Callable[[int, int], np.ndarray] | None:
    """Rows of an array that is not compressed, mapped anew each time: the pages of a map that is kept would stay in memory."""
    info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED or not shape:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # of the local header: lengths of the name and of what follows it
        lengths = np.frombuffer(file.read(4), "<u2")
    size = math.prod(shape) * dtype.itemsize
    offset = info.header_offset + 30 + int(lengths.sum()) + info.file_size - size
    order: Literal["F", "C"] = "F" if column_major else "C"
    return lambda first, last: np.array(np.memmap(path, dtype, "r", offset, shape, order)[first:last])


def _npy_header(path: Path, stream: IO[bytes], member: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
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
    return shape, dtype, column_major
