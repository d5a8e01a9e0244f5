"""From the columns of a table to numbers: what is learned of the training rows, and is applied unchanged to every other row."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxsci.core import Array
from jaxsci.data.columns import SODIUM, is_missing, number
from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.errors import InputError

ONE_HOT = 16  # categories of a column; more are embedded
MOST = 1000  # categories of a column
# Whole names: "Monkey 7" and "Marker 12" are no dates.
_DAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?)"
)
_FORMS = 10  # different texts that begin with a number, which may still be names of categories
# Text that begins with a number: 39(1), 39±1, <4, 1 234, 50 %, 2020-01-31.
_WRITTEN = re.compile(
    r"[^\w\s]*\s*\d[\d.,'()±<>~=%/:\s\-−–+]*(?:[A-Za-zμµ°%/€£¥$]{1,8})?|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[-+][\d:]+)?"
    rf"|(?i:{_DAY}[., ]+\d[\d\s./:,-]*)|(?i:(?:{_DAY}[., ]+)?\d*[\s./-]*{_MONTH}[\s.,/-]+\d[\d\s.,:/-]*)"
)
_ROUNDING = 32 * np.finfo(np.float64).eps  # of its size, below which numbers of a column are one


class Column(NamedTuple):
    """What is known of a column: categories, or the median, mean and scale of its numbers."""

    name: str
    categories: tuple[str, ...] | None  # None: numbers
    missing: bool  # whether rows of --data lack it; then a further input says which do, or missing is a category
    median: float = 0.0  # stands for a number that is missing
    mean: float = 0.0
    scale: float = 1.0

    @property
    def size(self) -> int:
        """How many categories there are, missing included."""
        assert self.categories is not None
        return len(self.categories) + self.missing

    @property
    def embedded(self) -> bool:
        """Whether the column is a category with a learned vector."""
        return self.categories is not None and self.size > ONE_HOT


class Rows(NamedTuple):
    """The inputs of a network, without axis or with a leading one of rows."""

    numbers: Array | np.ndarray  # float32 [..., input]
    codes: Array | np.ndarray  # int32 [..., embedded column]


def learn(
    path: object, table: Mapping[str, np.ndarray], rows: np.ndarray, categorical: Collection[str]
) -> list[Column]:
    """What the training rows say of each column.

    Raises:
        InputError: a column with numbers and text, with infinity, or with too many categories; no column that varies.
    """
    columns = []
    for name, values in table.items():
        numbers = None if name in categorical else numbers_of(path, name, values)
        if numbers is None:
            texts = texts_of(values)
            _refuse_doubtful_sodium(path, name, values)
            known = sorted(set(texts) - {""})  # of all parts: what may be asked is no secret of the test part
            if name not in categorical:
                refuse_written(path, name, known, f"--categorical {name} or --ignore {name}")
            if len(known) > MOST:
                raise InputError(
                    f"{path}: expected at most {MOST:,} categories in the column {name}, got {len(known):,} in {len(texts):,} rows; if it "
                    f"is an identifier, leave it out by --ignore {name}"
                )
            columns.append(Column(name, tuple(known), bool("" in texts)))
            continue
        there = numbers[rows][~np.isnan(numbers[rows])]
        if there.size:
            missing = bool(np.isnan(numbers).any())
            with np.errstate(over="ignore", invalid="ignore"):
                mean, scale = float(there.mean()), float(there.std())
            if not np.isfinite([mean, scale]).all():
                raise InputError(
                    f"{path}: expected numbers that float32 can hold in the column {name}, got {there[np.abs(there).argmax()]:g}; leave "
                    "cells without a value blank, or rescale the column"
                )
            varied = scale > _ROUNDING * float(np.abs(there).max())
            columns.append(Column(name, None, missing, float(np.median(there)), mean, scale if varied else 1.0))
    if not columns:
        raise InputError(f"{path}: expected columns besides the target, got none with entries; add some")
    return columns


def encode(path: object, columns: Sequence[Column], table: Mapping[str, np.ndarray]) -> Rows:
    """The inputs of all rows.

    Raises:
        InputError: a column is missing, has text for numbers, a category that is new, or lacks an entry where no training row does.
    """
    numbers, codes = [], []
    lacking = [column.name for column in columns if column.name not in table]
    if lacking:
        raise InputError(f"{path}: expected the columns of the run, but {', '.join(lacking)} is missing; add it")
    for column in columns:
        if column.categories is None:
            found = numbers_of(path, column.name, table[column.name])
            if found is None:
                raise InputError(
                    f"{path}: expected numbers in the column {column.name}, as in training, got text; mend it"
                )
            absent = np.isnan(found)
            _require_entries(path, column, absent)
            scaled = (np.where(absent, column.median, found) - column.mean) / column.scale
            numbers += [scaled, absent] if column.missing else [scaled]
            continue
        index = index_of(column.categories)
        texts = texts_of(table[column.name])
        _require_entries(path, column, np.array([text == "" for text in texts]))
        index[""] = len(column.categories)
        new = next((i for i, text in enumerate(texts) if text not in index), None)
        if new is not None:
            raise InputError(
                f"{path}: expected a category of the training rows in the column {column.name}, got {texts[new][:40]!r} in row {new} "
                "(counted from 0); leave such rows out, or train again with some"
            )
        found = np.array([index[text] for text in texts], np.int32)
        if column.embedded:
            codes.append(found)
        else:
            numbers += list(np.eye(column.size)[found].T)
    count = len(next(iter(table.values())))
    inputs = np.stack(numbers, 1) if numbers else np.zeros((count, 0))
    large = np.abs(inputs) > np.finfo(np.float32).max
    if large.any():
        raise InputError(
            f"{path}: expected numbers that float32 can hold, got {inputs[large][0]:g}; rescale the column"
        )
    return Rows(
        inputs.astype(np.float32), np.stack(codes, 1).astype(np.int32) if codes else np.zeros((count, 0), np.int32)
    )


def refuse_written(path: object, name: str, distinct: Sequence[str], remedy: str) -> None:
    """Raise InputError for texts that are numbers with something to them."""
    if len(distinct) > _FORMS and all(_WRITTEN.fullmatch(text) for text in distinct):
        raise InputError(
            f"{path}: expected plain numbers, or categories, in the column {name}, got {len(distinct):,} different texts such as "
            f"{distinct[0][:40]!r}; write plain numbers, or choose {remedy}"
        )


def _refuse_doubtful_sodium(path: object, name: str, values: np.ndarray) -> None:
    """Raise InputError for NA or na among symbols of elements that are all written so: CL and FE, where NA may be sodium or none."""
    written = {str(value).strip() for value in values.tolist()}
    elements = {text for text in written if not is_missing(text)}
    if not all(text.capitalize() in SYMBOLS for text in elements):
        return
    for doubtful, case in ((SODIUM.upper(), str.upper), (SODIUM.lower(), str.lower)):
        if doubtful in written and any(len(text) > 1 and text == case(text) for text in elements):
            raise InputError(
                f"{path}: expected sodium as {SODIUM} and cells without a value blank in the column {name} of elements, got {doubtful}, "
                "which may be either; write one or the other"
            )


def _require_entries(path: object, column: Column, absent: np.ndarray) -> None:
    if absent.any() and not column.missing:
        raise InputError(
            f"{path}: expected an entry in every row of the column {column.name}, as in training, got none in row {int(absent.argmax())} "
            "(counted from 0); fill it in or leave the row out"
        )


def index_of(names: Sequence[str]) -> dict[str, int]:
    """The place of each name; whole numbers also without a decimal point, by which runs of earlier versions know them."""
    found = {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        found.setdefault(re.sub(r"(?<=\d)\.0$", "", name), i)
    return found


def texts_of(values: np.ndarray) -> list[str]:
    """Entries as text, whole numbers without a decimal point whatever their type; "" for none."""
    texts = [str(value).strip() for value in values.tolist()]
    if values.dtype.kind == "f":
        texts = [text.removesuffix(".0") for text in texts]
    return ["" if is_missing(text) else text for text in texts]


def as_numbers(path: object, table: Mapping[str, np.ndarray], categorical: Collection[str]) -> dict[str, np.ndarray]:
    """Columns of numbers as float64, NaN where one is missing, the others as they are; InputError for one that is mixed."""
    found = {name: None if name in categorical else numbers_of(path, name, values) for name, values in table.items()}
    return {name: values if (numbers := found[name]) is None else numbers for name, values in table.items()}


def numbers_of(path: object, name: str, values: np.ndarray) -> np.ndarray | None:
    """The numbers of a column as float64, NaN where one is missing; None for a column of text."""
    if values.dtype.kind != "U":
        found = values.astype(np.float64)
    else:
        texts = texts_of(values)
        parsed = [number_of(text) for text in texts]
        bad = [i for i, value in enumerate(parsed) if value is None]
        there = sum(text != "" for text in texts)
        if there and len(bad) == there:
            return None
        if bad:
            raise InputError(
                f"{path}: expected numbers in the column {name}, got text such as {texts[bad[0]][:40]!r} in row {bad[0]} (counted from 0); "
                f"mend it, or add --categorical {name}"
            )
        found = np.array(parsed, np.float64)
    if np.isinf(found).any():
        row = int(np.isinf(found).argmax())
        raise InputError(f"{path}: expected finite numbers in the column {name}, got infinity in row {row}; mend it")
    return found


def number_of(text: str) -> float | None:
    """The number that a text is, NaN for an empty one; None where it is none."""
    try:
        return number(text, comma=True) if text else float("nan")
    except ValueError:
        return None
