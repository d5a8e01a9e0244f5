"""Tables as text: what separates their fields, and how their numbers are written."""

import re

from jaxsci.errors import InputError

_FORTRAN = re.compile(r"([-+]?[\d.,]+)[dD]([-+]?\d+)")


def require_utf8(path: object, start: bytes) -> None:
    """Raise InputError where the first bytes of a file are not those of a table in UTF-8: UTF-16, or a zipped file."""
    if start[:2] in (b"PK", b"\x1f\x8b"):
        raise InputError(
            f"{path}: expected a table as text, got a zipped file or a spreadsheet; unpack it, or save it as CSV"
        )
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        raise InputError(f"{path}: expected UTF-8 text, got UTF-16; save the file as UTF-8")


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
