"""Maps of the whole sky in HEALPix pixels, from FITS or NPZ files, and tabulated power spectra."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci import healpix
from jaxsci.data.reading import reading
from jaxsci.errors import InputError

__all__ = ["SkyMap", "degrade", "in_microkelvin", "read_map", "read_mask", "read_spectrum"]

MICROKELVIN = {"uk": 1.0, "mk": 1e3, "k": 1e6}  # in a unit of temperature, lower case
_CMB_SUFFIXES = ("_cmb", ",thermodynamic", "cmb")


class SkyMap(NamedTuple):
    """A map in RING order; NaN where it was not seen."""

    values: np.ndarray  # float64 [pixel]
    nside: int
    unit: str  # as the file has it; "" if it does not say


def read_map(path: str | Path, *, column: int | str = 0) -> SkyMap:
    """Read one column of a HEALPix map.

    FITS (binary tables, all pixels or a list of some with their numbers): NESTED maps are reordered by the ORDERING of the header; UNSEEN,
    BAD_DATA, NaN and pixels that are not in the list become NaN. NPZ: an array `map` [pixel], and if they are there `ordering`
    ("RING" or "NESTED") and `unit`.

    Args:
        path: .fits, .fits.gz, .fit or .npz.
        column: number (from 0) or name of the column of a FITS table.

    Raises:
        InputError: not such a file, no such column, a number of pixels that no nside has, an unknown ordering.
    """
    with reading(path, "a HEALPix map in .fits or .npz") as path:
        if path.suffix == ".npz":
            values, ordering, unit = _npz(path)
        elif path.name.lower().endswith((".fits", ".fits.gz", ".fit")):
            values, ordering, unit = _fits(path, column)
        else:
            raise InputError(f"{path}: expected a file .fits or .npz, got {path.suffix or 'no suffix'}; convert it")
        try:
            nside = healpix.nside_of(values.size)
            if ordering.startswith("NEST"):
                values, ordering = healpix.to_ring(values), "RING"
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    values = np.where(np.isfinite(values) & (np.abs(values / healpix.UNSEEN - 1) > 1e-3), values, np.nan)
    if ordering != "RING":
        raise InputError(
            f"{path}: expected the ORDERING RING or NESTED, got {ordering or 'none'}; write it into the header"
        )
    return SkyMap(values, nside, unit)


def read_mask(path: str | Path, nside: int) -> np.ndarray:
    """Read a mask of a map of this nside, bool [pixel]: True where the map is used, which is where the mask is above 1/2.

    Raises:
        InputError: as `read_map`, or the mask has another nside or leaves nothing.
    """
    mask = read_map(path)
    if mask.nside != nside:
        raise InputError(f"{path}: expected a mask of nside {nside} as the map, got {mask.nside}; degrade one of them")
    keep = mask.values > 0.5
    if not keep.any():
        raise InputError(
            f"{path}: expected a mask that leaves some pixels (value 1), but it removes everything; invert it?"
        )
    return keep


def in_microkelvin(sky: SkyMap, source: str | Path, unit: str | None = None) -> np.ndarray:
    """The map in microkelvin; `unit` (uK, mK, K) stands in for a file that has none.

    Raises:
        InputError: the unit is not known.
    """
    name = (unit or sky.unit).strip().lower().replace("μ", "u").replace("µ", "u").replace(" ", "")
    for suffix in _CMB_SUFFIXES:
        name = name.removesuffix(suffix)
    if name not in MICROKELVIN:
        raise InputError(
            f"{source}: expected a temperature in uK, mK or K, got {unit or sky.unit or 'no unit'}; give it with --unit"
        )
    return sky.values * MICROKELVIN[name]


def read_spectrum(path: str | Path) -> np.ndarray:
    """The columns of a power spectrum of the Planck Legacy Archive, float64 [row, column]: l, D_l, errors, ... in its units.

    Raises:
        InputError: a line that is no row of numbers.
    """
    with reading(path, "a table of numbers") as path:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        try:
            rows = [
                list(map(float, line.split()))
                for line in lines
                if line.strip() and line.split()[0] not in ("#", "l", "L")
            ]
            return np.array(rows, np.float64)
        except ValueError as error:
            raise InputError(f"{path}: expected a table of numbers, but {error}; download it again") from error


def _npz(path: Path) -> tuple[np.ndarray, str, str]:
    with np.load(path, allow_pickle=False) as file:
        if "map" not in file.files:
            raise InputError(
                f"{path}: expected an array map [pixel], found {', '.join(file.files) or 'none'}; rename it"
            )
        ordering, unit = (
            str(file[name]) if name in file.files else default for name, default in (("ordering", "RING"), ("unit", ""))
        )
        return file["map"].astype(np.float64).ravel(), ordering.upper(), unit


def _fits(path: Path, column: int | str) -> tuple[np.ndarray, str, str]:
    try:
        from astropy.io import fits
    except ImportError as error:
        raise InputError(
            f"{path}: reading FITS files needs astropy; pip install 'jaxsci[sky]', or save the map as .npz"
        ) from error
    with fits.open(path, memmap=False) as file:
        table = next((unit for unit in file if isinstance(unit, fits.BinTableHDU)), None)
        if table is None:
            raise InputError(f"{path}: expected a binary table with a HEALPix map, found none; is this an image?")
        header = table.header
        explicit = str(header.get("INDXSCHM", "IMPLICIT")).strip().upper() == "EXPLICIT"
        names = [name for name in table.columns.names if not (explicit and name.upper().startswith("PIX"))]
        name = column if isinstance(column, str) else names[column] if column < len(names) else None
        if name not in names:
            raise InputError(f"{path}: expected one of the columns {', '.join(names)}, got {column}; name one of these")
        values = np.asarray(table.data[name], np.float64).ravel()
        if explicit:
            values = _spread(path, values, np.asarray(table.data[table.columns.names[0]]).ravel(), header)
        bad = header.get("BAD_DATA")
        if bad is not None:
            values = np.where(values == bad, np.nan, values)
        unit = table.columns[name].unit or header.get("UNITS", "")
        return values, str(header.get("ORDERING", "")).strip().upper(), str(unit).strip()


def _spread(path: Path, values: np.ndarray, pixels: np.ndarray, header: Any) -> np.ndarray:
    """A whole map from a list of some of its pixels."""
    nside = int(header.get("NSIDE", 0))
    whole = np.full(12 * nside**2, np.nan)
    if nside < 1 or pixels.min(initial=0) < 0 or pixels.max(initial=0) >= whole.size:
        raise InputError(f"{path}: expected numbers of pixels of the map's NSIDE, got NSIDE {nside}; mend the header")
    whole[pixels] = values
    return whole


def degrade(values: np.ndarray, nside: int, *, least: float = 0.5) -> np.ndarray:
    """A map in RING order averaged to a coarser nside, over what was seen of each pixel; NaN where that is less than a part `least`.

    Raises:
        InputError: the nside of the map is no multiple of `nside`.
    """
    fine = healpix.nside_of(values.size)
    if fine < nside or fine % nside:
        raise InputError(
            f"HEALPix map: expected an nside that is a multiple of {nside}, got {fine}; degrade it to such an nside first"
        )
    parts = values[healpix.children(nside, fine // nside)]
    seen = np.isfinite(parts).mean(1) >= least
    coarse = np.full(len(parts), np.nan)
    coarse[seen] = np.nanmean(parts[seen], axis=1)
    return coarse
