"""Predictions written as they come, in the format of the file's name; the file is whole or absent."""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
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


def write(path: Path, chunks: Iterable[Columns], unknown: Collection[str] = ()) -> None:
    """Write the columns of all chunks, one chunk in memory at a time (.npz and .h5: the columns of all).

    Args:
        path: its suffix says the format.
        chunks: all with the same columns.
        unknown: names of columns whose NaN stand for what is not known; in .csv they are blank.

    Raises:
        InputError: another suffix than .csv, .h5 or .npz, or no example at all.
    """
    check(path)
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            _write_csv(temporary, iter(chunks), unknown)
        else:
            (_write_hdf5 if path.suffix == ".h5" else _write_npz)(temporary, iter(chunks))


def _first(chunks: Iterator[Columns]) -> Columns:
    for chunk in chunks:
        return chunk
    raise InputError("expected at least one example to predict, got none; check the input file")


def _write_csv(path: Path, chunks: Iterator[Columns], unknown: Collection[str]) -> None:
    first = _first(chunks)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(first)
        for chunk in _chain(first, chunks):
            columns = (_or_blank(values) if name in unknown else values.tolist() for name, values in chunk.items())
            writer.writerows(zip(*columns, strict=True))


def _or_blank(values: np.ndarray) -> list[Any]:
    return ["" if np.isnan(value) else value for value in values.tolist()]


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
