"""Predictions written as they come, in the format of the file's name; the file is whole or absent."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.errors import InputError
from jaxsci.files import replacing

__all__ = ["Columns", "check", "words", "write"]

Columns = Mapping[str, np.ndarray]  # of one chunk of examples, each [example]
SUFFIXES = (".csv", ".h5", ".npz")


def check(path: Path, source: Path | None = None) -> None:
    """Raise InputError unless the name ends in a format that can be written, and it is not the file of the examples itself."""
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"{path}: expected another file than the examples, which would be lost; choose another --out")
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: expected a name that ends in {', '.join(SUFFIXES)}, got {path.suffix!r}; rename the output"
        )


def words(named: Mapping[str, float]) -> str:
    """Numbers with their names in one cell, with all digits: "Mg:+12.25 B:-20.5"."""
    return " ".join(f"{name}:{value:+}" for name, value in named.items())


def write(path: Path, chunks: Iterable[Columns]) -> None:
    """Write the columns of all chunks, one chunk in memory at a time (.npz and .h5: the columns of all).

    Raises:
        InputError: another suffix than .csv, .h5 or .npz, or no example at all.
    """
    check(path)
    with replacing(path) as temporary:
        {".csv": _write_csv, ".h5": _write_hdf5, ".npz": _write_npz}[path.suffix](temporary, iter(chunks))


def _first(chunks: Iterator[Columns]) -> Columns:
    for chunk in chunks:
        return chunk
    raise InputError("expected at least one example to predict, got none; check the input file")


def _write_csv(path: Path, chunks: Iterator[Columns]) -> None:
    first = _first(chunks)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(first)
        for chunk in _chain(first, chunks):
            writer.writerows(zip(*map(_listed, chunk.values()), strict=True))


def _listed(column: np.ndarray) -> list[Any]:
    """The entries of a column; what is not known is blank."""
    if column.ndim > 1 or column.dtype.kind != "f" or not np.isnan(column).any():
        return list(column.tolist())
    return ["" if unknown else value for value, unknown in zip(column.tolist(), np.isnan(column), strict=True)]


def _write_hdf5(path: Path, chunks: Iterator[Columns]) -> None:
    import h5py

    first = _first(chunks)
    # In memory: where a disk is full, HDF5 keeps what it could not write and ends the process with a segmentation fault at its exit.
    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        for name, column in first.items():
            dtype = h5py.string_dtype() if column.dtype.kind == "U" else column.dtype
            file.create_dataset(
                name, shape=(0, *column.shape[1:]), maxshape=(None, *column.shape[1:]), dtype=dtype, chunks=True
            )
        for chunk in _chain(first, chunks):
            for name, column in chunk.items():
                dataset = file[name]
                dataset.resize(len(dataset) + len(column), axis=0)
                dataset[-len(column) :] = column.astype(object) if column.dtype.kind == "U" else column
        file.flush()
        path.write_bytes(file.id.get_file_image())


def _write_npz(path: Path, chunks: Iterator[Columns]) -> None:
    first = _first(chunks)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in first}
    for chunk in _chain(first, chunks):
        for name, column in chunk.items():
            columns[name].append(column)
    arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
    np.savez(path, **arrays)


def _chain(first: Columns, rest: Iterator[Columns]) -> Iterator[Columns]:
    yield first
    yield from rest
