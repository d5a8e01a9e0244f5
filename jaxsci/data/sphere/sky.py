"""Maps of the whole sky in HEALPix pixels, from FITS or NPZ files, and tabulated power spectra."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci import healpix
from jaxsci.data import _arrays as arrays
from jaxsci.data._delimited import number
from jaxsci.data.reading import reading, sentinel
from jaxsci.data.sphere._fits import Found, frame, read_table, real, temperature_unit, whole_number
from jaxsci.errors import InputError

__all__ = ["SkyMap", "degrade", "in_microkelvin", "read_map", "read_mask", "read_spectrum", "require_measured"]

MICROKELVIN = {"nk": 1e-3, "uk": 1.0, "mk": 1e3, "k": 1e6}  # in a unit of temperature, lower case
_OFTEN = 10  # times as often as all other values but one, from which on a value is no measurement
_PART = 5e-3  # of all pixels that it has at least
_LARGEST = 1e30  # of a value that was measured, in any unit; what is larger is a sentinel or damaged


class SkyMap(NamedTuple):
    """A map in RING order; NaN where it was not seen."""

    values: np.ndarray  # float64 [pixel]
    nside: int
    unit: str  # as the file has it; "" if it does not say
    frame: str = ""  # G, C or E: of galactic, celestial or ecliptic coordinates; "" if the file does not say


def read_map(path: str | Path, *, column: int | str = 0) -> SkyMap:
    """Read one column of a HEALPix map.

    FITS (binary tables, all pixels or a list of some with their numbers): ORDERING is honoured, NESTED maps are reordered; UNSEEN,
    BAD_DATA, TNULL, NaN and pixels that are not in the list become NaN. A map is partial where the header says INDXSCHM = EXPLICIT or
    OBJECT = PARTIAL, or its first column has the name of an index or, before others, is of different whole numbers; it then holds the
    numbers of the pixels, as in healpy. NPZ: an array `map` [pixel], and if they are there `ordering` ("RING" or "NESTED"), `unit`,
    `nside` and `frame` (G, C, E), and nothing else.

    Args:
        path: .fits, .fits.gz, .fit or .npz.
        column: number (from 0, an index column not counted) or name of the column of a FITS table.

    Raises:
        InputError: not such a file, no such column, a number of pixels that no nside has or that contradicts NSIDE, an unknown
            ordering, pixels twice, values that are complex or beyond any measurement, a sentinel that is not named.
    """
    found = _read(path, column)
    if (none := sentinel(found.values)) is not None:
        raise InputError(
            f"{path}: expected values that were measured, got {none[0]:g} in {none[1]:,} pixels, far from all others; mark them as "
            "UNSEEN or name the value as BAD_DATA in the header"
        )
    if np.unique(found.values[np.isfinite(found.values)]).tolist() == [0, 1]:
        raise InputError(
            f"{path}: expected a map, got values of 0 and 1 alone; is this a mask? choose another --column"
        )
    return found


def require_measured(path: str | Path, values: np.ndarray) -> None:
    """Raise InputError for a map in which one or two values stand in many pixels and no third does: no noise repeats itself.

    Args:
        path: for the message.
        values: [pixel], NaN where masked. Rounded ones pass while a third value is there at least a tenth as often as the first.
    """
    ordered = values[np.isfinite(values)]
    ordered.sort()
    again = np.flatnonzero(ordered[1:] == ordered[:-1])  # few in a map of noise, unlike the different values
    if len(again) < max(_PART * len(ordered), 2):
        return
    starts = np.flatnonzero(np.diff(again, prepend=-2) > 1)  # of runs of equal values
    times = np.diff(starts, append=len(again)) + 1
    third, _, most = np.partition(np.append(times, [1, 1]), [-3, -1])[-3:]  # others stand there once
    if most > max(_OFTEN * third, _PART * len(ordered), 2):
        raise InputError(
            f"{path}: expected values that were measured, got {ordered[again[starts[times.argmax()]]]:g} in {most:,} pixels and at most "
            "one other so often; mark them as UNSEEN, or leave them out by --mask"
        )


def _read(path: str | Path, column: int | str) -> SkyMap:
    """A map whose sentinels, but for the usual ones, are not looked for: most pixels of a mask are 0 or 1."""
    with reading(path, "a HEALPix map in .fits or .npz") as path:
        if path.suffix == ".npz":
            if column != 0:
                raise InputError(
                    f"{path}: expected a FITS table to choose a column of, got an .npz; leave the column out"
                )
            found = _npz(path)
        elif path.name.lower().endswith((".fits", ".fits.gz", ".fit")):
            found = read_table(path, column)
        else:
            raise InputError(f"{path}: expected a file .fits or .npz, got {path.suffix or 'no suffix'}; convert it")
        try:
            nside = healpix.nside_of(found.values.size)
            if found.ordering in ("NEST", "NESTED"):
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
    return SkyMap(values, nside, found.unit, found.frame)


def read_mask(path: str | Path, nside: int, coordinates: str = "") -> np.ndarray:
    """Read a mask for a map of this nside, bool [pixel]: True where the map is used, which is where the mask is at least 1/2.

    A finer mask is averaged over the pixels of the map, as a map is; each pixel of a coarser one holds for all pixels within it.

    Raises:
        InputError: as `read_map`, or the mask has values outside 0 to 1 (it is a map), is in other `coordinates` (G, C, E) than the map, or
            leaves nothing.
    """
    mask = _read(path, 0)
    if mask.frame and coordinates and mask.frame != coordinates:
        raise InputError(
            f"{path}: expected a mask in the coordinates {coordinates} of the map, got {mask.frame}; rotate one of them, or mend COORDSYS"
        )
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
    own, given = temperature_unit(sky.unit), temperature_unit(unit or "")
    if own in MICROKELVIN and unit and given != own:
        raise InputError(f"{source}: expected --unit {sky.unit} as the file says, got {unit}; leave --unit out")
    if own and own not in MICROKELVIN:
        raise InputError(
            f"{source}: expected a temperature in uK, mK or K, got {sky.unit}; convert the map, or mend the unit in its header"
        )
    name = given if unit else own
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
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        rows = [
            line.split()
            for line in lines
            if line.strip() and line.split()[0] not in ("l", "L") and line.lstrip()[0] != "#"
        ]
        try:
            table = np.array([[number(entry) for entry in row] for row in rows], np.float64)
        except ValueError as error:
            raise InputError(f"{path}: expected a table of numbers, but {error}; download it again") from error
    good = (
        table.ndim == 2 and table.shape[1] > 1 and np.isfinite(table).all() and table[0, 0] >= 0 and table[-1, 0] >= 2
    )
    if not good or (np.diff(table[:, 0]) <= 0).any():
        raise InputError(
            f"{path}: expected rows of finite numbers with rising degrees l first, got another table; download it again"
        )
    return table


def _npz(path: Path) -> Found:
    with arrays.opened(path) as found:
        if "map" not in found:
            raise InputError(f"{path}: expected an array map [pixel], found {', '.join(found) or 'none'}; rename it")
        others = {"ordering": "RING", "unit": "", "nside": "", "frame": ""}
        unknown = [name for name in found if name not in others and name != "map"]
        if unknown:
            raise InputError(
                f"{path}: expected the arrays map, {', '.join(others)} alone, got {unknown[0]} too; rename it, or leave it out"
            )
        words = {name: _word(path, name, arrays.load(path, found, name)) for name in others if name in found}
        ordering, unit, nside, system = (words.get(name, default) for name, default in others.items())
        if system and not frame(system):
            raise InputError(f"{path}: expected the frame G, C or E, got {system[:40]!r}; write one of these")
        values = real(path, "map", arrays.load(path, found, "map"))
        if values.ndim != 1:
            raise InputError(
                f"{path}: expected one map [pixel], got shape {list(values.shape)}; save one of them, as in map=maps[0]"
            )
        return Found(
            values, ordering.upper(), unit, whole_number(path, "nside", nside) if nside else None, frame(system)
        )


def _word(path: Path, name: str, values: np.ndarray) -> str:
    if values.size != 1:
        raise InputError(f"{path}: expected one entry in {name}, got shape {list(values.shape)}; save one")
    entry = values.reshape(-1)[0]
    return entry.decode("utf-8", "replace") if isinstance(entry, bytes) else str(entry)


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
