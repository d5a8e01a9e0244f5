"""Named columns of numbers from .csv, .npz or .root files."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxsci.data.reading import reading
from jaxsci.errors import InputError

__all__ = ["read", "require"]

SUFFIXES = (".root", ".csv", ".npz")


def read(path: str | Path, *, tree: str | None = None) -> dict[str, np.ndarray]:
    """All columns of a table: numbers as float64, whole numbers as int64, everything else as text.

    Args:
        path: .csv with names in its first line, .npz with one array [row] a column, or .root with a TTree or RNTuple.
        tree: its name in a ROOT file; None: the only one there is.

    Raises:
        InputError: no such file, unknown suffix, damaged, no rows, columns of different lengths, several trees to choose from.
    """
    with reading(path, "a table in .root, .csv or .npz") as path:
        readers = {".root": lambda p: _root(p, tree), ".csv": _csv, ".npz": _npz}
        if path.suffix not in readers:
            raise InputError(
                f"{path}: expected a file {', '.join(SUFFIXES)}, got {path.suffix or 'no suffix'}; convert it"
            )
        columns = {name: _tidy(np.asarray(column)) for name, column in readers[path.suffix](path).items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise InputError(
            f"{path}: expected columns of one length, got lengths {sorted(lengths)}; write one array [row] a column"
        )
    if lengths == {0}:
        raise InputError(f"{path}: expected rows, got a table without any; check how it was written")
    return columns


def require(path: str | Path, columns: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Raise InputError unless all of these columns are there and are numbers."""
    missing = [name for name in names if name not in columns]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(names)}, but {', '.join(missing)} is missing; found {', '.join(columns)}"
        )
    text = [name for name in names if columns[name].dtype.kind not in "if"]
    if text:
        raise InputError(f"{path}: expected numbers in the column {text[0]}, got text such as {columns[text[0]][0]!r}")


def _tidy(column: np.ndarray) -> np.ndarray:
    if column.ndim != 1:
        raise InputError(
            f"columns [row] of one number each are expected, got one of shape {column.shape}; leave it out"
        )
    if column.dtype.kind in "biu":
        return column.astype(np.int64)
    return column.astype(np.float64) if column.dtype.kind == "f" else column.astype(str)


def _csv(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = [row for row in csv.reader(file) if row]
    head, body = [name.strip() for name in rows[0]], rows[1:]
    for number, row in enumerate(body, start=2):
        if len(row) != len(head):
            raise InputError(
                f"{path}: expected {len(head)} entries a line, got {len(row)} in line {number}; mend that line"
            )
    return {name: _numbers([row[i].strip() for row in body]) for i, name in enumerate(head)}


def _numbers(texts: list[str]) -> np.ndarray:
    for kind in (np.int64, np.float64):
        try:
            return np.array(texts, kind)
        except ValueError:
            continue
    return np.array(texts)


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if file[name].ndim}
    except ValueError as error:
        raise InputError(f"{path}: expected plain arrays, got Python objects; save them as numbers") from error


def _root(path: Path, tree: str | None) -> dict[str, np.ndarray]:
    try:
        import uproot
    except ImportError as error:
        raise InputError(
            f"{path}: reading ROOT files needs uproot; pip install 'jaxsci[root]', or convert to .csv"
        ) from error
    try:
        file = uproot.open(path)
    except ValueError as error:  # not a ROOT file at all
        raise OSError(str(error).splitlines()[0]) from error
    with file:
        kinds = file.classnames(recursive=True, cycle=False)
        trees = [name for name, kind in kinds.items() if kind.startswith(("TTree", "TNtuple", "ROOT::RNTuple"))]
        if tree is None and len(trees) != 1:
            raise InputError(f"{path}: expected one tree, found {', '.join(trees) or 'none'}; name one with --tree")
        if tree is not None and tree not in trees:
            raise InputError(f"{path}: expected a tree {tree}, found {', '.join(trees) or 'none'}; name one of these")
        chosen = file[tree or trees[0]]
        if chosen.num_entries == 0:
            raise InputError(
                f"{path}: expected rows, but the tree {tree or trees[0]} is empty; check how it was written"
            )
        return {str(name): column for name, column in chosen.arrays(library="np").items()}
