"""Tables as text: what separates their fields, and how their numbers are written."""

import re
from collections.abc import Mapping, Sequence

from jaxsci.errors import InputError

MISSING = {"", "?", "na", "n/a", "nan", "null", "none"}  # in lower case: what stands for no value
_FORTRAN = re.compile(r"([-+]?[\d.,]+)[dD]([-+]?\d+)")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")  # 1,234 and 1.234 may be 1234; 0.123 and 1.5 have decimals


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
    numbers = {name: [text for text in column if text.casefold() not in MISSING] for name, column in columns.items()}
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
