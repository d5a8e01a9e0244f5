"""Maps of linear polarization, Q and U, from FITS files, with the sign of U known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from jaxsci.data.reading import reading
from jaxsci.data.sphere._fits import first_table, temperature_unit
from jaxsci.data.sphere.sky import SkyMap, read_map
from jaxsci.errors import InputError

__all__ = ["Polarization", "has_polarization", "read_polarization"]

SignOfU: TypeAlias = Literal["COSMO", "IAU"]

_FITS = (".fits", ".fits.gz", ".fit")
_NAMES = ("{}", "{}_STOKES", "{}-STOKES", "{}_POLARISATION", "{}-POLARISATION", "{}_POLARIZATION", "{}-POLARIZATION")


class Polarization(NamedTuple):
    """Maps of Q and U in RING order with HEALPix's sign of U (COSMO)."""

    q: SkyMap
    u: SkyMap


def read_polarization(path: str | Path, convention: SignOfU | None = None) -> Polarization | None:
    """Read Q and U where a FITS file has them.

    The sign of U says in which direction angles are counted: HEALPix and cosmology (COSMO) have x toward the south, the IAU has it toward
    the north, and E and B from a U of the wrong sign are mixtures of both. The file says it by POLCCONV.

    Args:
        path: .fits, .fits.gz or .fit.
        convention: "COSMO" or "IAU", stands in for a file that does not say it.

    Returns:
        Q and U, U with the sign of COSMO; None for a file without columns of Q and U, and for other kinds of files.

    Raises:
        InputError: as `read_map`; the sign of U is not known, or is not that of the file; Q without U; different units.
    """
    with reading(path, "a HEALPix map in .fits") as path:
        if not path.name.lower().endswith(_FITS):
            return None
        names, own = _header(path)
    columns = _columns(names)
    if columns == [None, None]:
        return None
    if None in columns:
        raise InputError(
            f"{path}: expected columns of both Q and U, got only {columns[0] or columns[1]}; leave polarization out (--polarization none)"
        )
    if own not in ("", "COSMO", "IAU"):
        raise InputError(f"{path}: expected POLCCONV to be COSMO or IAU, got {own}; mend the header")
    if own and convention not in (None, own):
        raise InputError(f"{path}: expected the convention {own} as the file says, got {convention}; leave it out")
    if not (own or convention):
        raise InputError(
            f"{path}: expected POLCCONV, the sign of U, in the header, got none; say whether it is COSMO or IAU"
            " (--polarization), or leave polarization out (none)"
        )
    q, u = (read_map(path, column=str(name)) for name in columns)
    if temperature_unit(q.unit) != temperature_unit(u.unit):
        raise InputError(
            f"{path}: expected Q and U in one unit, got {q.unit or 'none'} and {u.unit or 'none'}; mend the header"
        )
    return Polarization(q, u._replace(values=-u.values) if (own or convention) == "IAU" else u)


def has_polarization(path: Path) -> bool:
    """Whether a map that was read has a column of Q or U; their values are not looked at."""
    return path.name.lower().endswith(_FITS) and _columns(_header(path)[0]) != [None, None]


def _columns(names: Sequence[str]) -> list[str | None]:
    """The columns of Q and of U."""
    return [next((n for n in names if n.strip().upper() in [t.format(kind) for t in _NAMES]), None) for kind in "QU"]


def _header(path: Path) -> tuple[list[str], str]:
    """The names of the columns of the first table, and POLCCONV of its header or that of the file."""
    with first_table(path) as (file, table):
        if table is None:
            return [], ""
        own = table.header.get("POLCCONV", file[0].header.get("POLCCONV", ""))
        return list(table.columns.names), str(own).strip().upper()
