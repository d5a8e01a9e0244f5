"""Named columns of numbers from .csv, .npz or .root files."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.data import _arrays as arrays
from jaxsci.data._delimited import (
    SODIUM,
    is_missing,
    is_number,
    likeness,
    number,
    read_rows,
    read_table,
    require_one_mark,
)
from jaxsci.data.reading import reading, require_memory, require_pages
from jaxsci.errors import InputError

__all__ = ["SODIUM", "SUFFIXES", "is_missing", "likeness", "names", "notes", "number", "read", "require"]

SUFFIXES = (".root", ".csv", ".npz")
_EXPECTED = "a table in .root, .csv or .npz"
_TREES = ("TTree", "TNtuple", "ROOT::RNTuple")


def names(path: str | Path, *, tree: str | None = None, wanted: Collection[str] = ()) -> list[str]:
    """The names of all columns of a table, whatever they hold.

    Args:
        path: as in `read`.
        tree: its name in a ROOT file; None: the only one, or the one with most of the columns that are `wanted`.
        wanted: names that tell which of several trees is meant.

    Raises:
        InputError: as in `read`.
    """
    with _table(path, tree) as path:
        if _kind(path) == ".root":
            with _root_tree(path, tree, wanted) as chosen:
                return [str(name) for name in chosen.keys(recursive=False)]
        if _kind(path) == ".npz":
            with arrays.opened(path) as found:
                return list(found)
        return read_rows(path)[0]


def read(
    path: str | Path, *, tree: str | None = None, only: Sequence[str] | None = None, nested: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Columns of a table: numbers as float64, whole numbers as int64 (uint64 above 2^63), everything else as text.

    Args:
        path: .csv with names in its first line (fields separated by commas, semicolons or tabs; with the latter two, decimals may
            have commas), .npz with one array [row] per column, or .root with a TTree or RNTuple.
        tree: its name in a ROOT file; None: the only one there is, or the one with most of the columns of `only`.
        only: names of the columns to read; None: all with one value per row.
        nested: names of columns of a ROOT file that hold a list per row; they come flat, with "NAME.counts" [row] beside them.

    Raises:
        InputError: no such file, unknown suffix, damaged, no rows, columns missing, of different lengths or not of one value per row,
            several trees to choose from.
    """
    with _table(path, tree) as path:
        if _kind(path) == ".root":
            columns = _root(path, tree, only, nested)
        else:
            columns = read_table(path, only) if _kind(path) == ".csv" else _npz(path, only)
        columns = {name: _tidy(path, name, column) for name, column in columns.items()}
    lengths = {len(column) for name, column in columns.items() if name not in nested or f"{name}.counts" not in columns}
    if len(lengths) != 1:
        raise InputError(
            f"{path}: expected columns of one length, got lengths {sorted(lengths)}; write one array [row] per column"
        )
    if lengths == {0}:
        raise InputError(f"{path}: expected rows, got a table without any; check how it was written")
    return columns


def notes(path: str | Path, *, tree: str | None = None, wanted: Collection[str] = ()) -> list[str]:
    """What is to be known of a table that can be read: of a tree that was written more than once the newest cycle is.

    Args:
        path: as in `read`.
        tree: as in `names`, and `wanted`.
        wanted: as there.

    Raises:
        InputError: as in `read`.
    """
    with _table(path, tree) as path:
        if _kind(path) != ".root":
            return []
        with (opened := _root_tree(path, tree, wanted)) as chosen:
            cycles = [key for key in opened.file.keys(recursive=True) if key.rpartition(";")[0] == opened.name]
            if len(cycles) == 1:
                return []
            return [
                f"note: {path} holds {len(cycles)} cycles of the tree {opened.name}; the newest, {chosen.num_entries:,} rows, is read"
            ]


def require(path: str | Path, columns: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Raise InputError unless all of these columns are there and are numbers; of one that is not, the first bad row is named."""
    missing = [name for name in names if name not in columns]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(names)}, but {', '.join(missing)} is missing; found {', '.join(columns)}"
        )
    for name in names:
        if columns[name].dtype.kind not in "iuf":
            row = next((i for i, text in enumerate(columns[name]) if not is_number(str(text))), 0)
            text = str(columns[name][row])
            what = f"text such as {text[:40]!r}" if text else "a blank cell"
            raise InputError(
                f"{path}: expected numbers in the column {name}, got {what} in row {row} (counted from 0); mend or remove that row"
            )


def _kind(path: str | Path) -> str:
    return Path(path).suffix.lower()


def _table(path: str | Path, tree: str | None) -> AbstractContextManager[Path]:
    if tree is not None and _kind(path) != ".root":
        raise InputError(f"{path}: expected a ROOT file, where trees are, got --tree {tree}; leave it out")
    if _kind(path) not in SUFFIXES and Path(path).is_file():
        raise InputError(
            f"{path}: expected a file {', '.join(SUFFIXES)}, got {Path(path).suffix or 'no suffix'}; convert it"
        )
    return reading(path, _EXPECTED)


def _tidy(path: Path, name: str, column: np.ndarray) -> np.ndarray:
    if column.ndim != 1:
        raise InputError(
            f"{path}: expected one value per row in the column {name}, got shape {list(column.shape)}; leave it out"
        )
    if column.dtype.kind == "c":
        raise InputError(f"{path}: expected real numbers in the column {name}, got complex ones; leave it out")
    if column.dtype.kind == "u" and column.dtype.itemsize == 8:
        return column.astype(np.uint64) if column.max(initial=0) > np.iinfo(np.int64).max else column.astype(np.int64)
    if column.dtype.kind in "biu":
        return column.astype(np.int64)
    return column.astype(np.float64) if column.dtype.kind == "f" else column.astype(str)


def _npz(path: Path, only: Sequence[str] | None) -> dict[str, np.ndarray]:
    with arrays.opened(path) as found:
        if not found:
            raise InputError(f"{path}: expected arrays as numpy.savez writes them, got none; write it again")
        wanted = [name for name, rows in found.items() if (rows.shape if only is None else name in only)]
        columns = {name: arrays.load(path, found, name) for name in wanted}
    texts = {name: [str(text) for text in column] for name, column in columns.items() if column.dtype.kind == "U"}
    require_one_mark(path, texts, ",")
    return columns


def _root(path: Path, tree: str | None, only: Sequence[str] | None, nested: Collection[str]) -> dict[str, np.ndarray]:
    import awkward as ak

    columns: dict[str, np.ndarray] = {}
    with _root_tree(path, tree, only or ()) as chosen:
        if chosen.num_entries == 0:
            raise InputError(f"{path}: expected rows, but the tree {chosen.name} is empty; check how it was written")
        present = [str(name) for name in chosen.keys(recursive=False)]
        for name in present if only is None else [name for name in only if name in present]:
            require_memory(path, 16 * chosen.num_entries, f"the column {name}")
            column = chosen[name].array(library="ak")
            if name in nested and column.ndim == 2:
                columns[f"{name}.counts"] = ak.to_numpy(ak.num(column))
                columns[name] = ak.to_numpy(ak.flatten(column))
            elif column.ndim == 1 and not ak.fields(column):
                columns[name] = np.asarray(ak.to_list(column)) if "string" in str(column.type) else ak.to_numpy(column)
            elif only is not None:
                raise InputError(
                    f"{path}: expected one value per row in the column {name}, got {column.type}; choose another"
                )
    return columns


def opened_tree(path: Path, wanted: Collection[str]) -> Any:
    """The only tree of a ROOT file, or the one with most of the branches that are `wanted`; the file stays open with it."""
    return _root_tree(path, None, wanted).__enter__()


class _root_tree:
    """Open a ROOT file and give the tree that is meant; as a context it closes the file."""

    def __init__(self, path: Path, tree: str | None, wanted: Collection[str]) -> None:
        self.path, self.tree, self.wanted = path, tree, wanted

    def __enter__(self) -> Any:
        try:
            import uproot
        except ImportError as error:
            raise InputError(
                f"{self.path}: reading ROOT files needs uproot; pip install 'jaxsci[root]', or convert to .csv"
            ) from error
        self.file = uproot.open(self.path)
        try:
            self.name = self._name()
            chosen = self.file[self.name]
            require_pages(self.path, chosen)
            return chosen
        except BaseException:
            self.file.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _name(self) -> str:
        kinds = self.file.classnames(recursive=True, cycle=False)
        trees = [name for name, kind in kinds.items() if kind.startswith(_TREES)]
        if self.tree is not None and self.tree not in trees:
            found = ", ".join(trees) or "none"
            raise InputError(f"{self.path}: expected a tree {self.tree}, found {found}; name one of these")
        if self.tree is None and len(trees) > 1:
            names = {name: set(self.file[name].keys(recursive=False)) & set(self.wanted) for name in trees}
            most = max(map(len, names.values()))
            fitting = [name for name in trees if len(names[name]) == most > 0]
            trees = fitting if len(fitting) == 1 else trees
        if self.tree is None and len(trees) != 1:
            found = ", ".join(trees) or "none"
            raise InputError(f"{self.path}: expected one tree, found {found}; name one with --tree")
        return self.tree or trees[0]
