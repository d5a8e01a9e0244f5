"""Tables of formulas, with or without critical temperatures, read row by row: a million rows need no more memory than a thousand."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import ATOMIC_NUMBER, SYMBOLS, Amounts, FormulaError, parse
from jaxsci.data.reading import reading
from jaxsci.errors import InputError

__all__ = ["Chunk", "Fault", "RowError", "stream"]

FORMULA_NAMES = ("formula", "chemical_formula", "composition", "material", "matter", "name")
TC_NAMES = ("tc", "tc (k)", "tc_k", "critical_temp", "critical_temperature")
HOTTEST = 400.0  # K; a larger number is taken for another unit, of which a message warns

Fault = Literal["encoding", "columns", "formula", "element", "tc"]


class Chunk(NamedTuple):
    """Consecutive good rows of a table."""

    rows: list[int]  # the line of each in the file, counted from 1
    formulas: list[str]
    compositions: list[Amounts]
    tc: list[float]  # K; NaN where the table has none
    bad: Counter[Fault]  # rows left out since the chunk before, by reason


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
    columns: tuple[str, str | None] | None = None,
    header_row: int = 1,
) -> Iterator[Chunk]:
    """Read a table of formulas: .csv, .tsv or one formula a line, UTF-8; blank lines are passed over.

    Args:
        path: the file. Its header names the columns; a file without one holds a formula in its first column.
        with_tc: whether a column of critical temperatures in K is required; otherwise one is not looked for.
        skip_bad: leave out rows that cannot be used, and count them, instead of raising.
        chunk: good rows that are yielded together.
        columns: names of the formula column and of the Tc column; None: those of FORMULA_NAMES and TC_NAMES.
        header_row: line of the header.

    Yields:
        At least one chunk.

    Raises:
        InputError: no file, no row at all, no such column; a bad row, with its number and the reason, unless `skip_bad`.
    """
    with reading(path, "a table of formulas") as path, path.open("rb") as file:
        if file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{path}: expected UTF-8 text, got UTF-16; save the file as UTF-8")
        # What is not UTF-8 is carried through the reader of CSV, and refused with its row.
        lines = (line.decode("utf-8-sig" if i == 0 else "utf-8", "surrogateescape") for i, line in enumerate(file))
        try:
            yield from _chunks(path, lines, with_tc, skip_bad, chunk, columns, header_row)
        except csv.Error as error:
            raise InputError(f"{path}: expected a table of formulas, but {error}; check the quotation marks") from error


def _chunks(
    path: Path,
    lines: Iterator[str],
    with_tc: bool,
    skip_bad: bool,
    chunk: int,
    columns: tuple[str, str | None] | None,
    header_row: int,
) -> Iterator[Chunk]:
    for _ in range(header_row - 1):
        next(lines, None)
    first = next(lines, "")
    reader = csv.reader(lines, delimiter=_delimiter(first))
    header = next(csv.reader([first], delimiter=_delimiter(first)), [])
    formula, tc, is_header = _find_columns(path, header, with_tc, columns)
    ready, any_row = Chunk([], [], [], [], Counter()), False
    offset = header_row
    for fields, line in _with_lines([] if is_header else [header], reader, offset):
        if not any(field.strip() for field in fields):
            continue
        any_row = True
        try:
            text, amounts, value = _read_row(path, line, fields, formula, tc)
        except RowError as error:
            if not skip_bad:
                raise
            ready.bad[error.fault] += 1
            continue
        ready.rows.append(line)
        ready.formulas.append(text)
        ready.compositions.append(amounts)
        ready.tc.append(value)
        if len(ready.rows) == chunk:
            yield ready
            ready = Chunk([], [], [], [], Counter())
    if not any_row:
        raise InputError(f"{path}: expected at least one formula, got a table without rows; check the file")
    if ready.rows or ready.bad:
        yield ready


def _with_lines(first: list[list[str]], reader, offset: int) -> Iterator[tuple[list[str], int]]:  # type: ignore[no-untyped-def]
    yield from ((fields, offset) for fields in first)
    for fields in reader:
        yield fields, offset + reader.line_num


def _delimiter(header: str) -> str:
    return next((mark for mark in "\t;" if mark in header and "," not in header.split(mark)[0]), ",")


def _find_columns(
    path: Path, header: Sequence[str], with_tc: bool, columns: tuple[str, str | None] | None
) -> tuple[int, int | None, bool]:
    """Positions of the columns of formulas and of Tc, and whether the first row is a header."""
    names = [field.strip().casefold() for field in header]
    wanted_formula = FORMULA_NAMES if columns is None else (columns[0].casefold(),)
    wanted_tc = TC_NAMES if columns is None or columns[1] is None else (columns[1].casefold(),)
    formula = next((names.index(name) for name in wanted_formula if name in names), None)
    if formula is None:
        if with_tc or columns is not None or not _is_formula(header):
            raise InputError(
                f"{path}: expected a header with one of {', '.join(wanted_formula)}, got {', '.join(header)[:80]!r}; name the columns"
            )
        return 0, None, False
    if not with_tc:
        return formula, None, True
    tc = next((names.index(name) for name in wanted_tc if name in names), None)
    if tc is None:
        raise InputError(
            f"{path}: expected a column of critical temperatures in K, one of {', '.join(wanted_tc)}, got {', '.join(names)[:80]!r}; "
            "convert other units and name the column"
        )
    return formula, tc, True


def _is_formula(fields: Sequence[str]) -> bool:
    try:
        return bool(fields and parse(fields[0].strip()))
    except FormulaError:
        return False


def _read_row(path: Path, line: int, fields: Sequence[str], formula: int, tc: int | None) -> tuple[str, Amounts, float]:
    where = f"{path}, row {line}"
    if len(fields) <= max(formula, tc or 0):
        raise RowError(
            "columns", f"{where}: expected {max(formula, tc or 0) + 1} columns, got {len(fields)}; complete the row"
        )
    text = fields[formula].strip()
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
    return text, amounts, float("nan") if tc is None else _read_tc(where, fields[tc].strip())


def _read_tc(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= HOTTEST:
        raise RowError("tc", f"{where}: expected Tc in K, 0 to {HOTTEST:g}, got {text!r}; give a plain number in K")
    return value
