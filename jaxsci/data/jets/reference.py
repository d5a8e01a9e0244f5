"""The reference data set of top tagging (arXiv:1902.09914, Zenodo record 2603256): `train.h5`, `val.h5`, `test.h5`.

A file holds one pandas DataFrame in "table" format under the key `table`, 806 columns a jet:

- `E_0, PX_0, PY_0, PZ_0, ..., E_199, PX_199, PY_199, PZ_199`: constituents in GeV, hardest first, padded with zeros;
- `truthE, truthPX, truthPY, truthPZ`, the top quark, and `ttv`, the part the jet belongs to: not used here;
- `is_signal_new`: 1 for top, 0 for QCD.

pandas keeps columns of one type together in a block, a field of the HDF5 table `/table/table`, and their names as a pickled list in an
attribute. Unpickling a file from elsewhere runs whatever code is in it, and PyTables does so on opening; here the names are read from the
opcodes of the pickle, of which only those that build lists of strings are accepted. The published files are compressed with Blosc,
which h5py reads with the filters of the package hdf5plugin.
"""

import pickletools
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.data._arrays import require_filters
from jaxsci.data.jets.records import Records, by_ranges
from jaxsci.errors import InputError

__all__ = ["list_of_strings", "records"]

KEY = "table"
LABEL = "is_signal_new"
_COMPONENTS = ("E", "PX", "PY", "PZ")

_LIST_OPCODES = {"PROTO", "FRAME", "MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "STOP"}
_MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_STRING_OPCODES = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}


def records(path: Path, group: Any) -> Records:
    """The jets of the open group `table` of a file of the reference data set, or of any table with its columns.

    Raises:
        InputError: it is no such table, a column is missing, or its compression cannot be read.
    """
    import h5py

    table = group.get(KEY)
    if not isinstance(table, h5py.Dataset) or not table.dtype.names or len(table.shape) != 1:
        kind = group.attrs.get("pandas_type", b"unknown")
        raise InputError(
            f"{path}: expected a pandas DataFrame in table format under the key {KEY}, got the format "
            f"{kind.decode() if isinstance(kind, bytes) else kind}; write it with "
            f'frame.to_hdf(file, key="{KEY}", format="table")'
        )
    columns = _columns(table)
    places = _constituent_places(path, columns)
    label = columns.get(LABEL)
    require_filters(path, table)

    def between(first: int, last: int) -> tuple[np.ndarray, np.ndarray | None]:
        block = table[first:last]
        return _take(block, places).reshape(len(block), -1, 4), None if label is None else _take(block, [label])[:, 0]

    every_label = None if label is None else lambda: table[label[0]].reshape(len(table), -1)[:, label[1]]
    found = by_ranges((len(table), len(places) // 4, 4), every_label, between, table.chunks[0] if table.chunks else 1)
    others = {name: place for name, place in columns.items() if name != LABEL and place not in places}
    return found._replace(numbers={name: partial(_column, table, *place) for name, place in others.items()})


def _column(table: Any, field: str, index: int) -> np.ndarray:
    return np.asarray(table[field]).reshape(len(table), -1)[:, index]


def list_of_strings(pickled: bytes) -> list[str] | None:
    """The strings of a pickled list of strings, without unpickling it; None if it is anything else."""
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in _STRING_OPCODES:
                strings.append(str(argument))
            elif opcode.name not in _LIST_OPCODES | _MEMO_OPCODES:
                return None
    except Exception:  # genops raises many types on what is no pickle
        return None
    return strings


def _columns(table: Any) -> dict[str, tuple[str, int]]:
    """Where each column of numbers is: (field of the table, index in the field)."""
    columns: dict[str, tuple[str, int]] = {}
    for field in table.dtype.names:
        if table.dtype[field].base.kind not in "biuf":
            continue
        pickled = table.attrs.get(f"{field}_kind")
        names = list_of_strings(bytes(pickled)) if isinstance(pickled, bytes) else None
        width = int(np.prod(table.dtype[field].shape))
        if names is None or len(names) != width:
            names = [field] if width == 1 else []
        columns |= {name: (field, index) for index, name in enumerate(names)}
    return columns


def _constituent_places(path: Path, columns: dict[str, tuple[str, int]]) -> list[tuple[str, int]]:
    numbers = [int(name[2:]) for name in columns if re.fullmatch(r"E_\d{1,6}", name)]
    wanted = [f"{component}_{i}" for i in range(max(numbers, default=0) + 1) for component in _COMPONENTS]
    missing = next((name for name in wanted if name not in columns), None)
    if missing is not None:
        raise InputError(
            f"{path}: expected the columns E_0, PX_0, PY_0, PZ_0, E_1, ... without gaps and {LABEL}, got {len(columns)} columns "
            f"without {missing}; rename or complete the columns"
        )
    return [columns[name] for name in wanted]


def _take(block: np.ndarray, places: list[tuple[str, int]]) -> np.ndarray:
    """The columns at `places` of some rows of the table, [row, column]."""
    fields = list(dict.fromkeys(field for field, _ in places))
    if len(fields) == 1:
        indices = [index for _, index in places]
        in_order = indices == list(range(indices[0], indices[0] + len(indices)))  # as published: a view, not a copy
        return block[fields[0]].reshape(len(block), -1)[:, slice(indices[0], indices[-1] + 1) if in_order else indices]
    return np.stack([block[field].reshape(len(block), -1)[:, index] for field, index in places], axis=1)
