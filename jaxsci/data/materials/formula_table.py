"""Tables of formulas, with or without critical temperatures, read row by row: a million rows need no more memory than a thousand."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from jaxsci.data._delimited import delimiter, is_above, number, require_utf8
from jaxsci.data.materials._table_header import AMBIENT, Layout, find_columns
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import ATOMIC_NUMBER, SYMBOLS, Amounts, FormulaError, parse
from jaxsci.data.reading import reading
from jaxsci.errors import InputError

__all__ = ["Chunk", "Fault", "RowError", "stream"]

_OTHER_UNIT = re.compile(r"(?i)[\s(\[]*(?:[mμµu]k|milli-?kelvin|°?[cf]|celsius|m?ev)[\s)\]]*")
HOTTEST = 400.0  # K; a larger number is taken for another unit, of which a message warns
_MEASURED = re.compile(r"([-+]?[\d.,]+(?:e[-+]?\d+)?)\s*([a-z]*)")
_NO_NUMBER = {"", "-", "–", "na", "n/a", "nan", "none", "null", "ambient", "amb", "amb."}

Fault = Literal["encoding", "columns", "formula", "element", "pressure", "tc"]


class Chunk(NamedTuple):
    """Consecutive good rows of a table."""

    rows: list[int]  # the line of each in the file, counted from 1
    formulas: list[str]
    compositions: list[Amounts]
    tc: list[float]  # K; NaN where the table has none
    bad: Counter[Fault]  # rows left out since the chunk before, by reason
    first_bad: str  # the message of the first of them
    others: dict[str, list[str]]  # the other columns as they stand there, by name, where no Tc is looked for


class RowError(InputError):
    """One row of a table cannot be used; `fault` is the kind of reason."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def stream(
    path: str | Path,
    *,
    with_tc: bool = False,
    skip_bad: bool = False,
    chunk: int = 10_000,
    columns: tuple[str | None, str | None] | None = (None, None),
    header_row: int = 1,
) -> Iterator[Chunk]:
    """Read a table of formulas: fields separated by commas, semicolons or tabs, or one formula per line; UTF-8; blank lines are skipped.

    Every row has as many fields as the header: one with more has usually a comma inside a number. Where fields are not separated by
    commas, Tc may have a decimal comma, in all rows or in none.

    Args:
        path: the file. Its header names the columns; a file without one holds nothing but formulas.
        with_tc: whether a column of critical temperatures in K is required; otherwise one is not looked for.
        skip_bad: leave out rows that cannot be used, and count them, instead of raising.
        chunk: good rows that are yielded together.
        columns: names of the formula column and of the Tc column; None: the first of FORMULA_NAMES and TC_NAMES that is there. None for
            both together: no option can name them, and no message says so.
        header_row: line of the header.

    Yields:
        At least one chunk.

    Raises:
        InputError: no file, no row at all, no such column; a bad row, with its number and the reason, unless `skip_bad`.
    """
    with reading(path, "a table of formulas") as path, path.open("rb") as file:
        require_utf8(path, file.peek(4)[:4])
        # What is not UTF-8 is carried through the reader of CSV, and refused with its row.
        lines = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape")
        for _ in range(header_row - 1):
            next(lines, None)
        first = next(lines, "")
        while first and is_above(first):
            header_row, first = header_row + 1, next(lines, "")
        reader = csv.reader(lines, delimiter=delimiter(first), strict=True)
        try:
            header = next(csv.reader([first], delimiter=delimiter(first)), [])
            layout, is_header = find_columns(path, header, delimiter(first), with_tc, columns)
            rows = ((fields, header_row + reader.line_num) for fields in reader)
            yield from _chunks(layout, rows if is_header else chain([(header, header_row)], rows), skip_bad, chunk)
        except csv.Error as error:
            line = header_row + reader.line_num
            raise InputError(
                f"{path}: expected a table of formulas, but {error} in line {line}; check the quotation marks"
            ) from error


def _chunks(layout: Layout, rows: Iterable[tuple[list[str], int]], skip_bad: bool, chunk: int) -> Iterator[Chunk]:
    ready, any_row = _empty(layout), False
    for fields, line in rows:
        if not any(field.strip() for field in fields):
            continue
        any_row = True
        try:
            text, amounts, value = _read_row(layout, line, fields)
        except RowError as error:
            if not skip_bad:
                raise
            ready.bad[error.fault] += 1
            ready = ready._replace(first_bad=ready.first_bad or str(error))
            continue
        ready.rows.append(line)
        ready.formulas.append(text)
        ready.compositions.append(amounts)
        ready.tc.append(value)
        for name, column in layout.others.items():
            ready.others[name].append(fields[column])
        if len(ready.rows) == chunk:
            yield ready
            ready = _empty(layout)
    if not any_row:
        raise InputError(f"{layout.path}: expected at least one formula, got a table without rows; check the file")
    if ready.rows or ready.bad:
        yield ready


def _empty(layout: Layout) -> Chunk:
    return Chunk([], [], [], [], Counter(), "", {name: [] for name in layout.others})


def _read_row(layout: Layout, line: int, fields: list[str]) -> tuple[str, Amounts, float]:
    where = f"{layout.path}, row {line}"
    while len(fields) > layout.fields and not fields[-1].strip():  # separators at the end of a line
        fields.pop()
    if len(fields) != layout.fields:
        remedy = "quote a field with a separator in it, or complete the row"
        raise RowError("columns", f"{where}: expected {layout.fields} fields, got {len(fields)}; {remedy}")
    if layout.tc is not None and _OTHER_UNIT.fullmatch(fields[layout.tc]):  # a line of units beneath the names
        raise InputError(
            f"{where}: expected Tc in K, got the unit {fields[layout.tc].strip()!r}; convert the column to K"
        )
    text = fields[layout.formula].strip()
    for kept in (text, *(fields[column] for column in layout.others.values())):
        if any("\udc80" <= character <= "\udcff" or character == "\0" for character in kept):
            shown = kept.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise RowError("encoding", f"{where}: expected UTF-8 text, got {shown!r}; save the file as UTF-8")
    try:
        amounts = parse(text)
    except FormulaError as error:
        raise RowError("formula", f"{where}: {error}") from error
    beyond = [symbol for symbol in amounts if ATOMIC_NUMBER[symbol] > ELEMENTS]
    if beyond:
        raise RowError(
            "element",
            f"{where}: expected elements up to {SYMBOLS[ELEMENTS - 1]}, got {beyond[0]} in {text!r}; its properties are not known",
        )
    for column, name, most in layout.ambient:
        _require_ambient(where, name, fields[column].strip(), most)
    return text, amounts, math.nan if layout.tc is None else _read_tc(where, fields[layout.tc].strip(), layout)


def _require_ambient(where: str, name: str, text: str, most: float) -> None:
    """Raise RowError where a material was measured under pressure: the same formula has another Tc without."""
    if text.casefold() in _NO_NUMBER:
        return
    ambient, found = False, _MEASURED.fullmatch(text.casefold())
    if found is not None and (not found[2] or found[2] in AMBIENT):
        try:
            ambient = abs(number(found[1], comma=True)) <= (AMBIENT[found[2]] if found[2] else most)
        except ValueError:  # 1.2.3
            ambient = False
    if not ambient:
        raise RowError(
            "pressure",
            f'{where}: expected Tc without pressure or field, got {text[:40]} in the column "{name}"; leave out the row',
        )


def _read_tc(where: str, text: str, layout: Layout) -> float:
    marks = layout.marks | (set(text) & {".", ","})
    try:
        value = math.nan if len(marks) > 1 else number(text, comma=layout.delimiter != ",")
    except ValueError:
        value = math.nan
    if not 0 <= value <= HOTTEST:
        raise RowError(
            "tc",
            f"{where}: expected Tc in K, 0 to {HOTTEST:g}, got {text[:80]!r}; give a plain number in K, with one decimal mark",
        )
    layout.marks.update(marks)
    return value
