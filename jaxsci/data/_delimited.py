"""Tables as text: what separates their fields, and how their numbers are written."""

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from jaxsci.errors import InputError

Rows: TypeAlias = list[tuple[int, list[str]]]  # each with the number of its line

# In lower case: what stands for no value, as in pandas, spreadsheets and C.
MISSING = {"", "?", "na", "n/a", "nan", "null", "none", "#n/a", "#n/a n/a", "#na", "#nv", "<na>", "nat", "-nan", "+nan"}
MISSING |= {sign + text for sign in ("", "-") for text in ("1.#ind", "1.#qnan", "nan(ind)")}
SODIUM = "Na"
_FEW_BY_CHANCE = 8  # numbers that no row of measurements has in rising order but one in 40,000
_FORTRAN = re.compile(r"([-+]?[\d.,]+)[dD]([-+]?\d+)")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")  # 1,234 and 1.234 may be 1234; 0.123 and 1.5 have decimals


def is_missing(text: str) -> bool:
    """Whether a field stands for no value; `Na` is sodium and does not, unlike `NA`, `na` and `N/A`."""
    text = text.strip()
    return text != SODIUM and text.casefold() in MISSING


def likeness(text: str) -> str:
    """What a text has in common with those that look the same, but for case: other code points, blanks, and what is not seen."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")
    return " ".join(seen.casefold().split())


def require_utf8(path: object, start: bytes) -> None:
    """Raise InputError where the first bytes of a file are not those of a table in UTF-8: UTF-16, or a zipped file."""
    if start.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise InputError(
            f"{path}: expected a table as text, got a zipped file or a spreadsheet; unpack it, or save it as CSV"
        )
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        raise InputError(f"{path}: expected UTF-8 text, got UTF-16; save the file as UTF-8")


def is_above(line: str) -> bool:
    """Whether a line stands above the names: a blank one, a comment, or the separator as spreadsheets name it (sep=;)."""
    return not line.strip() or line.startswith("#") or re.fullmatch(r"sep=[,;\t]\s*", line) is not None


def delimiter(header: str) -> str:
    """What separates the fields of a table with this first line: a tab, else a semicolon, else a comma; marks in quotes do not count."""
    bare = re.sub(r'"[^"]*"', "", header)
    return next((mark for mark in "\t;" if mark in bare), ",")


def number(text: str, *, comma: bool = False) -> float:
    """The number that is written: "39.5", with `comma` also "39,5", exponents with E or D (Fortran).

    Raises:
        ValueError: it is none, or has both marks ("1.234,5").
    """
    text = _FORTRAN.sub(r"\1e\2", text.strip())
    if "_" in text:  # Python would read 1_000
        raise ValueError(f"expected a number, got {text!r}")
    if comma and "." not in text:
        text = text.replace(",", ".")
    return float(text)


def is_number(text: str) -> bool:
    """Whether this is a number, with a decimal point or comma."""
    try:
        number(text, comma=True)
    except ValueError:
        return False
    return True


def require_one_mark(path: object, columns: Mapping[str, Sequence[str]], separator: str) -> None:
    """Raise InputError for a column of numbers that may have thousands separators, or that has decimal points and commas.

    A mark before three digits, as in 1,234, is decimal where other numbers of the table show it, as 0,5 does, and none shows the other
    mark. Where none shows either, a point is decimal in a table separated by commas or tabs, and otherwise a mark that all numbers of the
    column have, but for a comma in a table separated by commas.
    """
    if separator == "," and not any("," in text for column in columns.values() for text in column):
        return
    numbers = {name: [text for text in column if not is_missing(text)] for name, column in columns.items()}
    numbers = {name: found for name, found in numbers.items() if all(map(is_number, found))}
    marks = {name: {mark for text in found for mark in ".," if mark in text} for name, found in numbers.items()}
    plain = [text for found in numbers.values() for text in found if not _GROUPED.fullmatch(text)]
    shown = {mark for text in plain for mark in ".," if mark in text}
    for name, found in numbers.items():
        written = [text for text in found if "," in text or "." in text]
        if not written or (len(marks[name]) == 1 and not all(map(_GROUPED.fullmatch, written))):
            continue
        if len(marks[name]) > 1:
            point, comma = (next(text for text in written if mark in text) for mark in ".,")
            raise InputError(
                f"{path}: expected one decimal mark in the column {name}, got {point!r} and {comma!r}; write decimal points, and no "
                "thousands separators"
            )
        usual = marks[name] == {"."} and separator != ";"
        everywhere = len(written) == len(found) and separator != ","
        if shown != marks[name] if shown else not (usual or everywhere):
            raise InputError(
                f"{path}: expected numbers with one decimal mark and no thousands separators, got {written[0]!r} in the column {name}, "
                "which may be either; write numbers as 1234 or 1.2340"
            )


def read_table(path: Path, only: Sequence[str] | None) -> dict[str, np.ndarray]:
    """The columns of a table as text by name, numbers where all are, without blank rows at the end and blank columns without a name.

    Raises:
        InputError: as `columns.read`.
    """
    head, body, mark = read_rows(path)
    _require_separated(path, head, body)
    head, body = _without_blanks(path, head, body)
    if len(set(head)) < len(head):
        twice = next(name for name in head if head.count(name) > 1)
        raise InputError(f"{path}: expected each column once, got {twice!r} more than once; rename one")
    if head and all(map(is_number, head)) and (not _rises(head) or any(_rises(row) for _, row in body[:5])):
        raise InputError(
            f"{path}: expected names of columns in the first line, got {', '.join(head)[:80]}; write names above the numbers, and before "
            "names that are numbers a letter, as in c0, c1"
        )
    wanted = [name for name in head if only is None or name in only]
    texts = {name: [row[head.index(name)].strip() for _, row in body] for name in wanted}
    for name, column in texts.items():
        damaged = next((i for i, text in enumerate(column) if "\ufffd" in text), None)
        if damaged is not None:
            raise InputError(
                f"{path}: expected UTF-8 text in the column {name}, got {column[damaged][:40]!r} in row {damaged} (counted from 0); "
                "save the file as UTF-8"
            )
    require_one_mark(path, texts, mark)
    return {name: _numbers(column, mark != ",") for name, column in texts.items()}


def _without_blanks(path: Path, head: list[str], body: Rows) -> tuple[list[str], Rows]:
    """Names and rows without what spreadsheets add: rows without an entry at the end, columns without a name or an entry."""
    body = [(line, row) for line, row in body if len(row) > 1 or row[0].strip() or len(head) == 1]
    while len(head) > 1 and body and not any(field.strip() for field in body[-1][1]):  # one in the middle is a row
        body.pop()
    for line, row in body:
        while len(row) > len(head) and not row[-1].strip():
            row.pop()
        if len(row) != len(head):
            raise InputError(
                f"{path}: expected {len(head)} entries per line, got {len(row)} in line {line}; mend that line"
            )
    kept = [i for i, name in enumerate(head) if name or any(row[i].strip() for _, row in body)]
    if len(kept) == len(head):
        return head, body
    return [head[i] for i in kept], [(line, [row[i] for i in kept]) for line, row in body]


def _require_separated(path: Path, head: Sequence[str], body: Rows) -> None:
    """Raise InputError for a table whose fields stand between blanks or bars."""
    if len(head) != 1:
        return
    for between, words in ((r"\s*\|\s*", "bars"), (r"\s+", "blanks")):
        fields = [re.split(between, row[0].strip()) for _, row in body[:5]]
        numbers = [len(row) for row in (re.split(between, head[0]), *fields)]
        parsed = [is_number(text) for row in fields for text in row]
        most = sum(parsed) > (len(parsed) / 2 if words == "blanks" else 0)  # "Inconel 718" is a name
        if numbers[0] > 1 and len(set(numbers)) == 1 and most:
            raise InputError(
                f"{path}: expected fields between commas, semicolons or tabs, got {words} in {head[0][:40]!r}; replace them by commas"
            )


def _rises(texts: Sequence[str]) -> bool:
    """Whether numbers rise as names of columns do: in equal steps, as 0, 1, 2 or wavelengths, or as many whole ones, such as years."""
    if len(texts) < 2 or not all(map(is_number, texts)):
        return False
    steps = np.diff([number(text, comma=True) for text in texts])
    if len(texts) == 2:
        return [text.strip() for text in texts] == ["0", "1"]
    equal = bool(steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=0))
    whole = all(text.strip().isdecimal() for text in texts)
    return equal or (whole and len(texts) >= _FEW_BY_CHANCE and bool((steps > 0).all()))


def read_rows(path: Path) -> tuple[list[str], Rows, str]:
    """The names, the rows with the number of their line, and the separator."""
    with path.open("rb") as binary:
        require_utf8(path, binary.read(4))
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        above, first = 0, file.readline()
        while first and is_above(first):
            above, first = above + 1, file.readline()
        mark = delimiter(first)
        head = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
        if "\ufffd" in first:
            raise InputError(
                f"{path}: expected UTF-8 text, got {first.strip()[:40]!r} as names of columns; save the file as UTF-8"
            )
        reader = csv.reader(file, delimiter=mark, strict=True)
        try:
            return head, [(above + reader.line_num + 1, row) for row in reader if row], mark
        except csv.Error as error:
            raise InputError(
                f"{path}: expected a table, but {error} in line {above + reader.line_num + 1}; check the quotation marks"
            ) from error


def _numbers(texts: list[str], comma: bool) -> np.ndarray:
    """Whole numbers as they are, other numbers as float64; as text where one is neither."""
    if all(re.fullmatch(r"[-+]?\d{1,300}", text, re.ASCII) for text in texts):
        values = [int(text) for text in texts]
        for kind in (np.int64, np.uint64):
            if np.iinfo(kind).min <= min(values, default=0) and max(values, default=0) <= np.iinfo(kind).max:
                return np.array(values, kind)
        return np.array(texts)
    marks = set("".join(texts)) & {".", ","}
    try:
        return np.array([number(text, comma=comma and marks == {","}) for text in texts], np.float64)
    except ValueError:
        return np.array(texts)
