"""Columns of a file of muon pairs as numbers, charges and types, each checked for what it can be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxsci.data import _arrays as arrays
from jaxsci.data import columns
from jaxsci.data.reading import is_weight_name
from jaxsci.errors import InputError

_FEW = 20  # different numbers, which do not all end in zeros, of ten or of two, by chance
_CUT = (
    (1e6, 1000),
    (2**24, 0),
)  # from where numbers as 1.235e+09 and those of single precision have lost digits, and the step between them
_MOST_OF_ONE = 50  # rows of one collision, in all combinations of tracks


def numbers(path: str | Path, table: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A column as float64, which must be there and hold numbers."""
    columns.require(path, table, (name,))
    return table[name].astype(np.float64)


def charge(path: str | Path, table: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The sign of a charge that is written as a number or as + and -."""
    column = table[name]
    if column.dtype.kind in "US" and np.isin(column, ["+", "-", "−"]).all():
        return np.where(column == "+", 1.0, -1.0)
    found = numbers(path, table, name)
    refuse(path, name, found, np.abs(found) != 1, "charges of -1 and 1")
    return found


def weight_names(path: str | Path, present: Sequence[str]) -> list[str]:
    """Which of the columns may be weights: those of the name of one; of the arrays of an .npz only those of a number a row."""
    names = [name for name in present if is_weight_name(name)]
    if not names or Path(path).suffix != ".npz":
        return names
    with arrays.opened(Path(path)) as found:
        return [name for name in names if len(found[name].shape) == 1]


def weight_of(
    path: str | Path, table: dict[str, np.ndarray], names: Sequence[str]
) -> tuple[np.ndarray | None, list[str]]:
    """The weight of each row, float64, of the columns of weights the one that differs from row to row; and the columns that were used.

    Equal columns are one. Lists of several weights in a row are those of variations of the simulation, which are none of the event, and a
    column of NaN alone was not filled.
    """
    one = [name for name in names if (table.get(f"{name}.counts", np.ones(1)) == 1).all()]
    found = {name: values for name in one if not np.isnan(values := numbers(path, table, name)).all()}
    varied: list[str] = []
    for name, values in found.items():
        differs = np.ptp(values) > 0 or not np.isfinite(values).all()
        if differs and not any(np.array_equal(values, found[other], equal_nan=True) for other in varied):
            varied.append(name)
    if len(varied) > 1:
        raise InputError(
            f"{path}: expected one column of weights, got {' and '.join(varied)}; remove those that are not meant"
        )
    return found[(varied or list(found))[0]] if found else None, list(found)


def letters(column: np.ndarray) -> np.ndarray:
    """Types as capitals without blanks."""
    return np.char.replace(np.char.upper(column.astype(str)), " ", "")


def require_exact(path: str | Path, table: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Raise InputError for numbers of runs or events, the last of the names, that are blank, cut to few digits, or all the same."""
    for name in names:
        column = table[name]
        blank = column == "" if column.dtype.kind == "U" else np.isnan(column.astype(np.float64))
        if blank.any():
            row = int(blank.argmax())
            raise InputError(
                f"{path}: expected a number in every row of {name}, got a blank cell in row {row} (counted from 0); remove it"
            )
        if column.dtype.kind == "f":
            refuse(path, name, column, np.abs(column) >= 2**53, "whole numbers, of which reals hold those below 2^53")
            for least, step in _CUT:
                large = np.unique(column[column >= least])
                if len(large) >= _FEW and _multiples(large, step):
                    raise InputError(
                        f"{path}: expected every digit of the numbers in the column {name}, got such as {large[-1]:g}; write whole numbers"
                    )
    events, rows = table[names[-1]], len(table[names[-1]])
    if rows > _MOST_OF_ONE and all((table[name] == table[name][0]).all() for name in names):
        raise InputError(
            f"{path}: expected numbers of collisions in {', '.join(names)}, got {events[0]} in all of {rows:,} rows; rename columns "
            "that are not filled"
        )


def _multiples(values: np.ndarray, step: int) -> bool:
    """Whether all are whole numbers of steps, or, for a step of 0, numbers of single precision."""
    rest = values - values.astype(np.float32).astype(np.float64) if step == 0 else values % step
    return not rest.any()


def refuse(
    path: str | Path, name: str, values: np.ndarray, bad: np.ndarray, expected: str, rows: np.ndarray | None = None
) -> None:
    """Raise InputError for the first of the values that are bad; `rows` are those of the file where it has several values in a row."""
    if bad.any():
        first = int(bad.argmax())
        row = first if rows is None else rows[first]
        raise InputError(
            f"{path}: expected {expected} in the column {name}, got {values[first]:g} in row {row} (counted from 0); remove it, or check "
            "unit and order of the columns"
        )
