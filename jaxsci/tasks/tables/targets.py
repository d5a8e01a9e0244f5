"""The target of a table, which classes it has or its numbers, and the weights of its rows; what cannot be is refused."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from jaxsci.data.columns import likeness
from jaxsci.data.reading import sentinel
from jaxsci.errors import InputError
from jaxsci.tasks.tables import encoding
from jaxsci.tasks.tables.encoding import index_of, number_of, numbers_of, refuse_written, texts_of

__all__ = ["class_codes", "classes_of", "target_numbers", "weights_of"]

_CLASSES = 10  # different whole numbers that are still classes
_NOTHING = re.compile(r"[-–—.*_]+|#[A-Z0-9/]+[!?]")  # no class among others: dashes, dots, errors of spreadsheets


def classes_of(path: object, name: str, values: np.ndarray, kind: str) -> tuple[str, ...] | None:
    """The classes of a target column; None for a regression.

    Raises:
        InputError: rows without target, one value alone, or text for a regression.
    """
    texts = texts_of(values)
    empty = [i for i, text in enumerate(texts) if text == ""]
    if empty:
        raise InputError(
            f"{path}: expected a target in every row, got none in row {empty[0]} (counted from 0), in {len(empty):,} in all; remove them"
        )
    distinct = sorted(set(texts), key=lambda text: (float(text), text) if values.dtype.kind in "iuf" else (0.0, text))
    if len(distinct) == 1:
        raise InputError(
            f"{path}: expected a target that varies, got {distinct[0]!r} in every row of {name}; choose another"
        )
    whole = values.dtype.kind in "iu" or (
        values.dtype.kind == "f" and bool((np.isfinite(values) & (values == np.rint(values))).all())
    )
    few = values.dtype.kind == "U" or (whole and len(distinct) <= _CLASSES)
    if kind == "auto" and values.dtype.kind == "U":
        _refuse_numbers(path, name, distinct)
    if kind == "regression" or (kind == "auto" and not few):
        numbers = target_numbers(path, name, values)
        if kind == "auto":
            none = sentinel(numbers)
            if none is not None and none[0] != 0:  # which is nothing, measured
                _refuse_sentinel(path, name, none, "regression")
        return None
    if kind == "auto" and values.dtype.kind != "U":
        _refuse_sentinel(path, name, sentinel(values, customary=True), "classification")
    if len(distinct) > encoding.MOST:
        raise InputError(
            f"{path}: expected at most {encoding.MOST:,} classes in {name}, got {len(distinct):,}; --kind regression?"
        )
    return tuple(distinct)


def _refuse_sentinel(path: object, name: str, none: tuple[float, int] | None, kind: str) -> None:
    if none is not None:
        raise InputError(
            f"{path}: expected numbers that were measured in {name}, got {none[0]:g} {none[1]:,} times, far from all others; remove rows "
            f"without a target, or choose --kind {kind}"
        )


def _refuse_numbers(path: object, name: str, distinct: Sequence[str]) -> None:
    """Raise InputError for texts that may not be classes: numbers among others, or such that differ by case alone."""
    refuse_written(path, name, distinct, "--kind classification")
    numeric = [number_of(text) is not None for text in distinct]
    odd = next((text for text, is_number in zip(distinct, numeric, strict=True) if not is_number), None)
    if odd is not None and sum(numeric) > len(distinct) / 2:
        raise InputError(
            f"{path}: expected numbers in {name}, or classes, got text such as {odd[:40]!r} among numbers; mend it, or choose "
            "--kind classification"
        )
    blank = next((text for text in distinct if _NOTHING.fullmatch(text)), None)
    levels = sum(set(text) == {"*"} for text in distinct) > 1  # of significance: ns, *, **
    if blank and not levels and any(re.search(r"[^\W_]", text) for text in distinct if not _NOTHING.fullmatch(text)):
        raise InputError(
            f"{path}: expected a class in every row of {name}, got {blank[:40]!r}, which seems to stand for none; remove such rows, or "
            "choose --kind classification"
        )
    folded = [likeness(text) for text in distinct]
    if twice := next((text for text, alike in zip(distinct, folded, strict=True) if folded.count(alike) > 1), None):
        raise InputError(
            f"{path}: expected classes that differ by more than case in {name}, got {twice[:40]!r} in two ways; write them alike, or take "
            "--kind classification"
        )


def target_numbers(path: object, name: str, values: np.ndarray) -> np.ndarray:
    """The numbers of a column that has one in every row; InputError where it has not."""
    found = numbers_of(path, name, values)
    if found is None or np.isnan(found).any():
        raise InputError(f"{path}: expected a number in every row of {name}, got text or nothing; mend it")
    return found


def class_codes(path: object, name: str, values: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The class of each row as a whole number; InputError for one that the run does not know."""
    index, texts = index_of(classes), texts_of(values)
    new = next((i for i, text in enumerate(texts) if text not in index), None)
    if new is not None:
        raise InputError(
            f"{path}: expected one of the {len(classes)} classes of the run in {name}, got {texts[new][:40]!r} in row {new}; "
            "remove such rows"
        )
    return np.array([index[text] for text in texts], np.int32)


def weights_of(path: object, name: str | None, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """The weights of the rows, the numbers of a column; ones without a name. InputError where they cannot be weights."""
    if name is None:
        return np.ones(len(next(iter(table.values()))))
    if name not in table:
        raise InputError(f"{path}: expected the weights {name}, found {', '.join(table)[:200]}; add them")
    found = target_numbers(path, name, table[name])
    with np.errstate(over="ignore"):
        total = found.sum()
    none = sentinel(found, customary=True)
    if none or found.min() < 0 or not 0 < total < np.inf:
        row = f"{found.min():g} in row {int(found.argmin())} (counted from 0)"
        rest = f"{none[0]:g}, which seems to stand for none" if none else "a sum beyond all numbers"
        what = row if found.min() < 0 else "0 in every row" if total == 0 else rest
        raise InputError(f"{path}: expected weights of at least 0 in {name}, some above, got {what}; mend them")
    return found
