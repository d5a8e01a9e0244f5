"""The header of a table of formulas: which column holds what."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxsci.data.materials.formula import FormulaError, parse
from jaxsci.errors import InputError

# Names of columns, best first: where two are there, the formula is not the common name. Case, underscores and hyphens do not matter,
# nor does the unit K behind Tc: "tc (K)", "critical_temp_K", "Tc/K".
FORMULA_NAMES = (
    *("formula", "chemical formula", "reduced formula", "pretty formula", "formula pretty", "formula sum"),
    *("composition", "chemical composition", "compound", "material", "matter", "element", "elements", "name"),
)
TC_NAMES = ("tc", "t c", "critical temp", "critical temperature", "transition temperature")

# A column of pressures or magnetic fields, with the unit in its name: "pressure (GPa)", "P/kbar", "H (T)". Without a unit a letter alone
# names neither, nor does "field", and of a pressure what is above 0 counts. Of each unit the largest value that is ambient:
AMBIENT = {
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
    rf"(?:\s*[(\[/]\s*(?P<unit>[^()\[\]/]*?)\s*[)\]]?| (?:in )?(?P<word>{'|'.join(AMBIENT)}))?(?: applied)?\W*"
)
_NAMED = ("magnetic field", "pressure", "press")  # that mean one whatever the unit


class Layout(NamedTuple):
    """Where a row has what."""

    path: Path
    fields: int
    formula: int
    tc: int | None
    ambient: tuple[
        tuple[int, str, float], ...
    ]  # columns of pressures and fields: number, name, the largest value that is none
    delimiter: str
    marks: set[str]  # decimal marks of Tc seen so far
    others: dict[str, int]  # the column of each name but the formula's, where no Tc is looked for


def find_columns(
    path: Path, header: Sequence[str], separator: str, with_tc: bool, named: tuple[str | None, str | None] | None
) -> tuple[Layout, bool]:
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
        return Layout(path, 1, 0, None, (), separator, set(), {}), False
    if not with_tc:
        return Layout(path, len(header), formula, None, (), separator, set(), _others(header, formula)), True
    found_there = [(i, field.strip(), _most_ambient(path, field.strip())) for i, field in enumerate(header)]
    ambient = tuple((i, name, most) for i, name, most in found_there if most is not None)
    names = [re.sub(r"\s*[(\[/]?\s*(k|kelvin)\s*[)\]]?$", "", name) or name for name in names]
    if columns[1]:
        names = [_key(field) for field in header]
    tc = _position(path, header, names, (_key(columns[1]),) if columns[1] else TC_NAMES)
    others = [field.strip() for field, key in zip(header, names, strict=True) if key in TC_NAMES]
    if len(others) > 1 and not columns[1]:
        raise InputError(
            f"{path}: expected one column of critical temperatures, got {', '.join(others)}; rename the others"
            + ", or name the one that is meant by --tc-column" * (named is not None)
        )
    if tc is None:
        wanted = columns[1] or ", ".join(TC_NAMES)
        raise InputError(
            f"{path}: expected a column of critical temperatures in K, {wanted}, got the columns {found!r}; "
            "convert other units and rename the column" + ", or name it with --tc-column" * (named is not None)
        )
    return Layout(path, len(header), formula, tc, ambient, separator, set(), {}), True


def _position(path: Path, header: Sequence[str], names: list[str], wanted: Sequence[str]) -> int | None:
    """The column of the first of these names that is there; InputError where two columns have it."""
    name = next((name for name in wanted if name in names), None)
    if name is None:
        return None
    if names.count(name) > 1:
        twice = ", ".join(field for field, key in zip(header, names, strict=True) if key == name)
        raise InputError(f"{path}: expected one column {name}, got {twice}; rename or remove the others")
    return names.index(name)


def _others(header: Sequence[str], formula: int) -> dict[str, int]:
    """Every column but that of the formulas by its name; one without a name, or with that of one before, by its place too."""
    found: dict[str, int] = {}
    for column, name in enumerate(map(str.strip, header)):
        if column != formula:
            found[f"{name} (column {column + 1})".strip() if not name or name in found else name] = column
    return found


def _key(name: str) -> str:
    """A name of a column as it is compared."""
    return re.sub(r"[\s_-]+", " ", name.strip().casefold())


def _is_formula(fields: Sequence[str]) -> bool:
    try:
        return bool(fields and parse(fields[0].strip()))
    except FormulaError:
        return False


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
    if unit not in AMBIENT and what in _NAMED:
        raise InputError(
            f"{path}: expected a unit of pressure or field, {', '.join(AMBIENT)}, got {unit[:40]!r} in the column {name!r}; convert and "
            "rename it"
        )
    return AMBIENT.get(unit)
