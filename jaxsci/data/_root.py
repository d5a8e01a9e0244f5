"""Trees of ROOT files, read by ranges of rows."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.data._arrays import Column, Reader
from jaxsci.data.columns import opened_tree
from jaxsci.errors import InputError


def open_tree(path: Path, branches: tuple[str, ...], room: int = 0) -> Reader:
    """Open the tree that has these branches, or the only one.

    Args:
        path: of the file.
        branches: that are read; none: all with one number a row.
        room: numbers of a row in a branch of lists, [row, room]: filled up with zeros. Longer lists are refused.
    """
    tree = opened_tree(path, branches)
    present = [str(name) for name in tree.keys(recursive=False)]
    missing = [name for name in branches if name not in present]
    if missing:
        raise InputError(
            f"{path}: expected the branches {', '.join(branches)}, but {', '.join(missing)} is missing; found {', '.join(present)}"
        )
    found = {name: _column(tree[name], room) for name in branches or present}
    columns = {name: column for name, column in found.items() if column is not None}
    wrong = [name for name in branches if name not in columns]
    if wrong or not columns:
        raise InputError(
            f"{path}: expected numbers, or lists of them, in {wrong[0] if wrong else 'a branch'}, got "
            f"{tree[wrong[0]].typename if wrong else 'other things alone'}; choose other branches"
        )

    def rows(first: int, last: int) -> dict[str, np.ndarray]:
        values = tree.arrays(list(columns), entry_start=first, entry_stop=last, library="ak")
        return {name: _filled(path, name, values[name], column, first) for name, column in columns.items()}

    offsets = np.asarray(tree.common_entry_offsets()) if hasattr(tree, "common_entry_offsets") else np.zeros(1)
    return Reader(tree.num_entries, int(np.diff(offsets).max(initial=1)), columns, rows)


def _column(branch: Any, room: int) -> Column | None:
    """What a row has of a branch, by its first row; None for what is neither a number nor, where there is room, a list of them."""
    import awkward as ak

    start = branch.array(entry_stop=1, library="ak")
    if ak.fields(start) or start.ndim > (2 if room else 1) or "string" in str(start.type):
        return None
    return Column((room,) * (start.ndim - 1), ak.to_numpy(ak.flatten(start, axis=None)).dtype.newbyteorder("=").str)


def _filled(path: Path, name: str, values: Any, column: Column, first: int) -> np.ndarray:
    import awkward as ak

    if not column.shape:
        return np.asarray(ak.to_numpy(values), column.dtype)
    counts = ak.to_numpy(ak.num(values))
    if counts.max(initial=0) > column.shape[0]:
        raise InputError(
            f"{path}: expected at most {column.shape[0]} numbers a row in {name}, got {counts.max()} in row "
            f"{first + int(counts.argmax())}; ask for more room"
        )
    filled = np.zeros((len(counts), column.shape[0]), column.dtype)
    filled[np.arange(column.shape[0]) < counts[:, None]] = ak.to_numpy(ak.flatten(values))
    return filled
