"""Compositions as arrays: atomic numbers and amounts, padded with zeros; and what makes two of them akin."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxsci.data.materials.formula import ATOMIC_NUMBER, Amounts

__all__ = [
    "Compositions",
    "concatenated",
    "contains",
    "dense",
    "encode",
    "fractions",
    "same_composition",
    "same_system",
    "taken",
    "widened",
]

SLOTS = 12  # elements of a composition, as in npj Comput. Mater. 9, 71; longer ones widen the arrays
_RESOLUTION = 1000  # compositions whose fractions agree to 1/1000 are one


class Compositions(NamedTuple):
    """Many compositions; the elements of each in the order of their atomic numbers, then padding."""

    elements: np.ndarray  # int32 [composition, slot] atomic numbers; 0 is padding
    amounts: np.ndarray  # float32 [composition, slot] as written; 0 is padding


def encode(compositions: Sequence[Amounts], slots: int = SLOTS) -> Compositions:
    """Compositions of any number of elements as arrays with at least so many slots."""
    slots = max([slots, *map(len, compositions)])
    elements = np.zeros((len(compositions), slots), np.int32)
    amounts = np.zeros((len(compositions), slots), np.float32)
    for row, composition in enumerate(compositions):
        pairs = sorted((ATOMIC_NUMBER[symbol], amount) for symbol, amount in composition.items())
        elements[row, : len(pairs)], amounts[row, : len(pairs)] = zip(*pairs, strict=True)
    return Compositions(elements, amounts)


def widened(compositions: Compositions, slots: int) -> Compositions:
    """The same compositions with at least so many slots."""
    more = max(0, slots - compositions.elements.shape[1])
    return Compositions(*(np.pad(array, ((0, 0), (0, more))) for array in compositions))


def concatenated(*parts: Compositions) -> Compositions:
    """All compositions of the parts, in their order."""
    slots = max(part.elements.shape[1] for part in parts)
    wide = [widened(part, slots) for part in parts]
    return Compositions(*(np.concatenate(arrays) for arrays in zip(*wide, strict=True)))


def taken(compositions: Compositions, rows: np.ndarray) -> Compositions:
    """The compositions of these rows."""
    return Compositions(*(array[rows] for array in compositions))


def fractions(compositions: Compositions) -> np.ndarray:
    """Atomic fractions, float32 [composition, slot]: "Mg2B4" is "MgB2"."""
    amounts = compositions.amounts.astype(np.float64)
    return (amounts / amounts.sum(axis=1, keepdims=True)).astype(np.float32)


def dense(compositions: Compositions, elements: int) -> np.ndarray:
    """The amounts as written, float32 [composition, element]: column i is the element of atomic number i + 1.

    Every composition has its elements among the first so many.
    """
    table = np.zeros((len(compositions.elements), elements + 1), np.float32)
    np.put_along_axis(table, compositions.elements, compositions.amounts, axis=1)  # padding goes to column 0
    return table[:, 1:]


def contains(compositions: Compositions, *symbols: str) -> np.ndarray:
    """Whether a composition has any of these elements, bool [composition]."""
    found = np.isin(compositions.elements, [ATOMIC_NUMBER[symbol] for symbol in symbols])
    return np.asarray(found.any(axis=1))


def same_composition(compositions: Compositions) -> np.ndarray:
    """A number a composition, int64 [composition]: equal where all atomic fractions agree when rounded to 1/1000."""
    return _numbered(np.concatenate(_rounded(compositions), axis=1))


def identities(compositions: Compositions) -> list[np.ndarray]:
    """What those of `same_composition` share and others do not: elements and their fractions in 1/1000, int32 [2, element] of each."""
    kept, rounded = _rounded(compositions)
    return [np.stack([row[row > 0], part[row > 0]]).astype(np.int32) for row, part in zip(kept, rounded, strict=True)]


def _rounded(compositions: Compositions) -> tuple[np.ndarray, np.ndarray]:
    """Elements and fractions in 1/1000, each [composition, slot], traces below that resolution left out."""
    rounded = np.rint(fractions(compositions) * _RESOLUTION).astype(np.int32)
    kept = np.where(rounded > 0, compositions.elements, 0)
    order = np.argsort(kept == 0, axis=1, kind="stable")
    return np.take_along_axis(kept, order, axis=1), np.take_along_axis(rounded, order, axis=1)


def same_system(compositions: Compositions) -> np.ndarray:
    """A number a chemical system, int64 [composition]: equal where the elements are the same, whatever their amounts."""
    return _numbered(compositions.elements)


def _numbered(keys: np.ndarray) -> np.ndarray:
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
