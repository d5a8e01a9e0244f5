"""Maps of the whole sky in HEALPix pixels, from FITS or NPZ files, and tabulated power spectra."""

import io
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci import healpix
from jaxsci.data import _arrays as arrays
from jaxsci.data._delimited import number
from jaxsci.data.reading import reading, require_memory
from jaxsci.data.sphere._fits import fits_content
from jaxsci.errors import InputError

__all__ = ["SkyMap", "degrade", "in_microkelvin", "read_map", "read_mask", "read_spectrum"]

MICROKELVIN = {"uk": 1.0, "mk": 1e3, "k": 1e6}  # in a unit of temperature, lower case
_LARGEST = 1e30  # of a value that was measured, in any unit; what is larger is a sentinel or damaged
# The column of a partial map that holds the numbers of its pixels, where the header does not say that it is the first.
_INDEX_NAMES = ("PIX", "PIXEL", "PIXELS", "IPIX", "INDEX", "HPX_INDEX", "HPXINDEX", "HEALPIX", "PIXEL_INDEX", "PIXNUM")
_CMB_SUFFIXES = ("_cmb", ",thermodynamic", "cmb")


class SkyMap(NamedTuple):
    """A map in RING order; NaN where it was not seen."""

    values: np.ndarray  # float64 [pixel]
    nside: int
    unit: str  # as the file has it; "" if it does not say


def read_map(path: str | Path, *, column: int | str = 0) -> SkyMap:
    """Read one column of a HEALPix map.

    FITS (binary tables, all pixels or a list of some with their numbers): ORDERING is honoured, NESTED maps are reordered; UNSEEN,
    BAD_DATA, TNULL, NaN and pixels that are not in the list become NaN. A map is partial where the header says INDXSCHM = EXPLICIT or
    OBJECT = PARTIAL, or its first column has the name of an index; the first column then holds the numbers of the pixels, as in
    healpy. NPZ: an array `map` [pixel], and if they are there `ordering` ("RING" or "NESTED"), `unit` and `nside`.

    Args:
        path: .fits, .fits.gz, .fit or .npz.
        column: number (from 0, an index column not counted) or name of the column of a FITS table.

    Raises:
        InputError: not such a file, no such column, a number of pixels that no nside has or that contradicts NSIDE, an unknown
            ordering, pixels twice, values that are complex or beyond any measurement.
    """
    with reading(path, "a HEALPix map in .fits or .npz") as path:
        if path.suffix == ".npz":
            if column != 0:
                raise InputError(
                    f"{path}: expected a FITS table to choose a column of, got an .npz; leave the column out"
                )
            found = _npz(path)
        elif path.name.lower().endswith((".fits", ".fits.gz", ".fit")):
            found = _fits(path, column)
        else:
            raise InputError(f"{path}: expected a file .fits or .npz, got {path.suffix or 'no suffix'}; convert it")
        try:
            nside = healpix.nside_of(found.values.size)
            if found.ordering.startswith("NEST"):
                found = found._replace(values=healpix.to_ring(found.values), ordering="RING")
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    if found.nside not in (None, nside):
        raise InputError(
            f"{path}: expected {12 * nside**2:,} pixels to be nside {nside}, got NSIDE {found.nside}; mend the header or the map"
        )
    values = np.where(
        np.isfinite(found.values) & (np.abs(found.values / healpix.UNSEEN - 1) > 1e-3), found.values, np.nan
    )
    largest = np.abs(values[np.isfinite(values)]).max(initial=0)
    if largest > _LARGEST:
        raise InputError(f"{path}: expected values up to {_LARGEST:g}, got {largest:g}; mark such pixels as UNSEEN")
    if found.ordering != "RING":
        raise InputError(
            f"{path}: expected the ORDERING RING or NESTED, got {found.ordering or 'none'}; write it into the header"
        )
    return SkyMap(values, nside, found.unit)


def read_mask(path: str | Path, nside: int) -> np.ndarray:
    """Read a mask for a map of this nside, bool [pixel]: True where the map is used, which is where the mask is at least 1/2.

    A finer mask is averaged over the pixels of the map, as a map is; each pixel of a coarser one holds for all pixels within it.

    Raises:
        InputError: as `read_map`, or the mask has values outside 0 to 1 (it is a map), or leaves nothing.
    """
    mask = read_map(path)
    values = np.nan_to_num(mask.values, nan=0.0)
    if values.min() < -1e-3 or values.max() > 1 + 1e-3:
        raise InputError(
            f"{path}: expected a mask of values from 0 to 1, got {values.min():g} to {values.max():g}; is this a map?"
        )
    if mask.nside > nside:
        values = degrade(values, nside)
    elif mask.nside < nside:
        if nside % mask.nside:
            raise InputError(f"{path}: expected a mask whose nside divides {nside}, got {mask.nside}; make it again")
        spread = np.empty(12 * nside**2)
        spread[healpix.children(mask.nside, nside // mask.nside)] = values[:, None]
        values = spread
    keep = values >= 0.5
    if not keep.any():
        raise InputError(
            f"{path}: expected a mask that leaves some pixels (value 1), but it removes everything; invert it?"
        )
    return keep


def in_microkelvin(sky: SkyMap, source: str | Path, unit: str | None = None) -> np.ndarray:
    """The map in microkelvin; `unit` (uK, mK, K) stands in for a file that has none.

    Raises:
        InputError: the unit is not known, or is not that of the file.
    """
    own, given = _temperature_unit(sky.unit), _temperature_unit(unit or "")
    if own in MICROKELVIN and unit and given != own:
        raise InputError(f"{source}: expected --unit {sky.unit} as the file says, got {unit}; leave --unit out")
    name = given if unit else own
    if name not in MICROKELVIN:
        raise InputError(
            f"{source}: expected a temperature in uK, mK or K, got {unit or sky.unit or 'no unit'}; give it with --unit"
        )
    return sky.values * MICROKELVIN[name]


def _temperature_unit(text: str) -> str:
    name = text.strip().lower().replace("μ", "u").replace("µ", "u").replace(" ", "")
    for suffix in _CMB_SUFFIXES:
        name = name.removesuffix(suffix)
    words = {"microkelvin": "uk", "millikelvin": "mk", "kelvin": "k", "10^-6k": "uk", "10^-3k": "mk"}
    return words.get(name, name)


def read_spectrum(path: str | Path) -> np.ndarray:
    """The columns of a power spectrum of the Planck Legacy Archive, float64 [row, column]: l, D_l, errors, ... in its units.

    Raises:
        InputError: a line that is no row of numbers.
    """
    with reading(path, "a table of numbers") as path:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        rows = [line.split() for line in lines if line.strip() and line.split()[0] not in ("#", "l", "L")]
        try:
            table = np.array([[number(entry) for entry in row] for row in rows], np.float64)
        except ValueError as error:
            raise InputError(f"{path}: expected a table of numbers, but {error}; download it again") from error
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all() or (np.diff(table[:, 0]) <= 0).any():
        raise InputError(
            f"{path}: expected rows of finite numbers with rising degrees l first, got another table; download it again"
        )
    return table


class _Found(NamedTuple):
    """A map as its file has it."""

    values: np.ndarray  # float64 [pixel]
    ordering: str
    unit: str
    nside: int | None  # None where the file does not say


def _npz(path: Path) -> _Found:
    with arrays.opened(path) as found:
        if "map" not in found:
            raise InputError(f"{path}: expected an array map [pixel], found {', '.join(found) or 'none'}; rename it")
        ordering, unit, nside = (
            str(arrays.load(path, found, name).reshape(-1)[0]) if name in found else default
            for name, default in (("ordering", "RING"), ("unit", ""), ("nside", ""))
        )
        values = _real(path, "map", arrays.load(path, found, "map"))
        if values.ndim != 1:
            raise InputError(
                f"{path}: expected one map [pixel], got shape {list(values.shape)}; save one of them, as in map=maps[0]"
            )
        return _Found(values, ordering.upper(), unit, int(float(nside)) if nside else None)


def _real(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """The values as float64; InputError where they are no real numbers."""
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: expected real numbers in {name}, got type {values.dtype}; choose another column")
    return values.astype(np.float64)


def _fits(path: Path, column: int | str) -> _Found:
    try:
        from astropy.io import fits
    except ImportError as error:
        raise InputError(
            f"{path}: reading FITS files needs astropy; pip install 'jaxsci[sky]', or save the map as .npz"
        ) from error
    content = fits_content(path)
    with warnings.catch_warnings():  # what matters of the header is checked here
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content), memmap=False) as file:
            table = next((unit for unit in file if isinstance(unit, fits.BinTableHDU)), None)
            if table is None:
                raise InputError(f"{path}: expected a binary table with a HEALPix map, found none; is this an image?")
            return _fits_table(path, table, column)


def _fits_table(path: Path, table: Any, column: int | str) -> _Found:
    header = table.header

    def word(key: str) -> str:
        return str(header.get(key, "")).strip().upper()

    every = table.columns.names
    if len({name.upper() for name in every}) < len(every):
        raise InputError(f"{path}: expected columns of different names, got {', '.join(every)}; rename them")
    explicit = word("INDXSCHM") == "EXPLICIT" or word("OBJECT") == "PARTIAL" or every[0].strip().upper() in _INDEX_NAMES
    if (word("INDXSCHM"), word("OBJECT")) in (("EXPLICIT", "FULLSKY"), ("IMPLICIT", "PARTIAL")):
        raise InputError(
            f"{path}: expected INDXSCHM and OBJECT that agree, got {word('INDXSCHM')} and {word('OBJECT')}; mend the header"
        )
    names = every[1:] if explicit else every
    wanted = column if isinstance(column, str) else names[column] if 0 <= column < len(names) else None
    name = next((name for name in names if wanted is not None and name.upper() == wanted.upper()), None)
    if name is None:
        raise InputError(f"{path}: expected one of the columns {', '.join(names)}, got {column}; name one of these")
    values = _real(path, name, np.asarray(table.data[name])).ravel()
    for sentinel in (header.get("BAD_DATA"), table.columns[name].null):
        if sentinel is not None:  # as the number type of the column holds it
            values = np.where(np.isclose(values, float(sentinel), rtol=1e-6, atol=0), np.nan, values)
    nside = int(header["NSIDE"]) if "NSIDE" in header else None
    if explicit:
        values = _spread(path, values, np.asarray(table.data[every[0]]).ravel(), nside)
    units = {str(unit).strip() for unit in (table.columns[name].unit, header.get("UNITS")) if unit}
    if len({_temperature_unit(unit) for unit in units}) > 1:
        raise InputError(f"{path}: expected one unit of {name}, got {' and '.join(sorted(units))}; mend the header")
    return _Found(values, word("ORDERING"), next(iter(units), ""), nside)


def _spread(path: Path, values: np.ndarray, pixels: np.ndarray, nside: int | None) -> np.ndarray:
    """A whole map from a list of some of its pixels."""
    if nside is None or not 1 <= nside <= 8192:
        raise InputError(
            f"{path}: expected the NSIDE of a list of pixels, got {nside or 'none'}; write it into the header"
        )
    whole = 12 * nside**2
    require_memory(path, 8 * whole, "the whole map")
    numbers = _real(path, "the index column", pixels)
    bad = ~((numbers >= 0) & (numbers < whole) & (numbers == np.rint(numbers)))
    if len(numbers) != len(values) or bad.any():
        got = numbers[bad.argmax()] if bad.any() else f"{len(numbers):,} for {len(values):,} values"
        raise InputError(f"{path}: expected numbers of pixels of NSIDE {nside}, got {got}; mend the index column")
    index = numbers.astype(np.int64)
    if len(np.unique(index)) < len(index):
        raise InputError(
            f"{path}: expected each pixel once, got some twice in the index column; average or remove them"
        )
    result = np.full(whole, np.nan)
    result[index] = values
    return result


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
