"""Tables of formulas, with or without critical temperatures, read row by row: a million rows need no more memory than a thousand."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from jaxsci.data._delimited import delimiter, is_above, number, require_utf8
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import ATOMIC_NUMBER, SYMBOLS, Amounts, FormulaError, parse
from jaxsci.data.reading import reading
from jaxsci.errors import InputError

__all__ = ["Chunk", "Fault", "RowError", "stream"]

# Names of columns, best first: where two are there, the formula is not the common name. Case, underscores and hyphens do not matter,
# nor does the unit K behind Tc: "tc (K)", "critical_temp_K", "Tc/K".
FORMULA_NAMES = (
    *("formula", "chemical formula", "reduced formula", "pretty formula", "formula pretty", "formula sum"),
    *("composition", "chemical composition", "compound", "material", "matter", "element", "elements", "name"),
)
TC_NAMES = ("tc", "t c", "critical temp", "critical temperature", "transition temperature")
_OTHER_UNIT = re.compile(r"(?i)[\s(\[]*(?:[mμµu]k|milli-?kelvin|°?[cf]|celsius|m?ev)[\s)\]]*")
HOTTEST = 400.0  # K; a larger number is taken for another unit, of which a message warns

# A column of pressures or magnetic fields, with the unit in its name: "pressure (GPa)", "P/kbar", "H (T)". Without a unit a letter alone
# names neither, nor does "field", and of a pressure what is above 0 counts. Of each unit the largest value that is ambient:
_AMBIENT = {
    **{
        "gpa": 1.01e-3,
        "mpa": 1.01,
        "kpa": 110,
        "hpa": 1100,
        "pa": 1.1e5,
        "bar": 1.1,
        "kbar": 1.1e-2,
        "mbar": 1100,
        "atm": 1.1,
    },
    **{"torr": 830, "mmhg": 830, "psi": 16},
    **dict.fromkeys(("t", "mt", "tesla", "oe", "koe", "g", "kg", "gauss"), 0.0),
}
_PRESSURE = re.compile(
    r"(?:applied |external |hydrostatic |max(?:imum)? )?"
    r"(?P<what>magnetic field|field|pressure|press|p ?max|p|(?:μ|mu)0 ?h|[bh])(?: applied)?"
    rf"(?:\s*[(\[/]\s*(?P<unit>[^()\[\]/]*?)\s*[)\]]?| (?:in )?(?P<word>{'|'.join(_AMBIENT)}))?(?: applied)?\W*"
)
_NAMED = ("magnetic field", "pressure", "press")  # that mean one whatever the unit
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


class RowError(InputError):
    """One row of a table cannot be used; `fault` is the kind of reason."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class _Layout(NamedTuple):
    """Where a row has what."""

    path: Path
    fields: int
    formula: int
    tc: int | None
    ambient: tuple[
        tuple[int, str, float], ...
    ]  # columns of pressures and fields, their names, and the largest value that is none
    delimiter: str
    marks: set[str]  # decimal marks of Tc seen so far


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
            layout, is_header = _find_columns(path, header, delimiter(first), with_tc, columns)
            rows = ((fields, header_row + reader.line_num) for fields in reader)
            yield from _chunks(layout, rows if is_header else chain([(header, header_row)], rows), skip_bad, chunk)
        except csv.Error as error:
            line = header_row + reader.line_num
            raise InputError(
                f"{path}: expected a table of formulas, but {error} in line {line}; check the quotation marks"
            ) from error


def _chunks(layout: _Layout, rows: Iterable[tuple[list[str], int]], skip_bad: bool, chunk: int) -> Iterator[Chunk]:
    ready, any_row = Chunk([], [], [], [], Counter(), ""), False
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
        if len(ready.rows) == chunk:
            yield ready
            ready = Chunk([], [], [], [], Counter(), "")
    if not any_row:
        raise InputError(f"{layout.path}: expected at least one formula, got a table without rows; check the file")
    if ready.rows or ready.bad:
        yield ready


def _find_columns(
    path: Path, header: Sequence[str], separator: str, with_tc: bool, named: tuple[str | None, str | None] | None
) -> tuple[_Layout, bool]:
    """The layout of the rows, and whether the first row is a header."""
    columns = named or (None, None)
    names = [_key(field) for field in header]
    found = ", ".join(field.strip() for field in header)[:200]
    formula = _position(path, header, names, (_key(columns[0]),) if columns[0] else FORMULA_NAMES)
    if formula is None:
        if with_tc or columns[0] or len(header) != 1 or not _is_formula(header):
            wanted = columns[0] or ", ".join(FORMULA_NAMES)
            raise InputError(
                f"{path}: expected a header with a column of formulas, {wanted}, got the columns {found!r}; "
                "rename the column of the formulas"
                + ", or name it with --formula-column"
                * (with_tc and named is not None)
            )
        return _Layout(path, 1, 0, None, (), separator, set()), False
    if not with_tc:
        return _Layout(path, len(header), formula, None, (), separator, set()), True
    found_there = [(i, field.strip(), _most_ambient(path, field.strip())) for i, field in enumerate(header)]
    ambient = tuple((i, name, most) for i, name, most in found_there if most is not None)
    names = [re.sub(r"\s*[(\[/]?\s*(k|kelvin)\s*[)\]]?$", "", name) or name for name in names]
    if columns[1]:
        names = [_key(field) for field in header]
    tc = _position(path, header, names, (_key(columns[1]),) if columns[1] else TC_NAMES)
    if tc is None:
        wanted = columns[1] or ", ".join(TC_NAMES)
        raise InputError(
            f"{path}: expected a column of critical temperatures in K, {wanted}, got the columns {found!r}; "
            "convert other units and rename the column" + ", or name it with --tc-column" * (named is not None)
        )
    return _Layout(path, len(header), formula, tc, ambient, separator, set()), True


def _key(name: str) -> str:
    """A name of a column as it is compared."""
    return re.sub(r"[\s_-]+", " ", name.strip().casefold())


def _position(path: Path, header: Sequence[str], names: list[str], wanted: Sequence[str]) -> int | None:
    """The column of the first of these names that is there; InputError where two columns have it."""
    name = next((name for name in wanted if name in names), None)
    if name is None:
        return None
    if names.count(name) > 1:
        twice = ", ".join(field for field, key in zip(header, names, strict=True) if key == name)
        raise InputError(f"{path}: expected one column {name}, got {twice}; rename or remove the others")
    return names.index(name)


def _is_formula(fields: Sequence[str]) -> bool:
    try:
        return bool(fields and parse(fields[0].strip()))
    except FormulaError:
        return False


def _read_row(layout: _Layout, line: int, fields: list[str]) -> tuple[str, Amounts, float]:
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
    if any("\udc80" <= character <= "\udcff" for character in text):
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
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


def _most_ambient(path: Path, name: str) -> float | None:
    """The largest value of a column that is no pressure or field to speak of; None for a column of something else.

    Raises:
        InputError: a pressure or a magnetic field in a unit that is not known.
    """
    found = _PRESSURE.fullmatch(_key(name))
    if found is None:
        return None
    what, unit = found["what"], found["unit"] or found["word"]
    if unit is None or (found["word"] and what in ("b", "h")):
        return 0.0 if what in _NAMED else None
    if unit not in _AMBIENT and what in _NAMED:
        raise InputError(
            f"{path}: expected a unit of pressure or field, {', '.join(_AMBIENT)}, got {unit[:40]!r} in the column {name!r}; convert and "
            "rename it"
        )
    return _AMBIENT.get(unit)


def _require_ambient(where: str, name: str, text: str, most: float) -> None:
    """Raise RowError where a material was measured under pressure: the same formula has another Tc without."""
    if text.casefold() in _NO_NUMBER:
        return
    ambient, found = False, _MEASURED.fullmatch(text.casefold())
    if found is not None and (not found[2] or found[2] in _AMBIENT):
        try:
            ambient = abs(number(found[1], comma=True)) <= (_AMBIENT[found[2]] if found[2] else most)
        except ValueError:  # 1.2.3
            ambient = False
    if not ambient:
        raise RowError(
            "pressure",
            f'{where}: expected Tc without pressure or field, got {text[:40]} in the column "{name}"; leave out the row',
        )


def _read_tc(where: str, text: str, layout: _Layout) -> float:
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
