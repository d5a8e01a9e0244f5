"""HEALPix maps in FITS files: before a library opens them, everything their headers declare is there."""

import contextlib
import io
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.reading import require_memory, unpacked
from jaxsci.errors import InputError

_FITS_BLOCK = 2880
# The column of a partial map that holds the numbers of its pixels, where the header does not say that it is the first.
_INDEX_NAMES = ("PIX", "PIXEL", "PIXELS", "IPIX", "INDEX", "HPX_INDEX", "HPXINDEX", "HEALPIX", "PIXEL_INDEX", "PIXNUM")
# A column that is taken for its place alone and has such a name is no map of a temperature, nor a mask.
_NO_MAP = re.compile(
    r"(?i)hits?|counts?|exposure|chi_?2|rms|i(?:nv)?_?var|polari[sz]ation|(?:g|e)?l(?:on|at)|ra|dec|theta|phi|n_?(?:obs|hits?)|(?:.*_)?cov(?:_.*)?|.*(?:sigma|err(?:or)?|std|variance|noise|beam).*|[qu](?:[_-]?(?:pol|stokes).*)?"
)
_FRAMES = {name: name[0] for name in ("G", "GAL", "GALACTIC", "C", "CELESTIAL", "E", "ECLIPTIC")}
_FRAMES |= dict.fromkeys(("CEL", "Q", "EQ", "RADEC", "EQU", "EQUATORIAL", "J2000", "FK5", "ICRS"), "C")
# Kelvin in any spelling, and what may stand beside it: of the CMB, thermodynamic, LaTeX.
_BESIDE = re.compile(r"[\s\\{}$()\[\],;_]|mathrm|temperature|thermo(?:dynamic)?|-?cmb|deg(?:rees?)?\.?(?=\s*k)")
_POWER = r"(?:10(?:\^|\*\*)|1(?:\.0*)?e)-0?"
_TEMPERATURES = {
    "k": re.compile("k(?:elvins?)?"),
    "mk": re.compile(rf"(?:m|milli-?|{_POWER}3\*?)k(?:elvins?)?"),
    "uk": re.compile(rf"(?:u|mu|micro-?|{_POWER}6\*?)k(?:elvins?)?"),
    "nk": re.compile(rf"(?:n|nano-?|{_POWER}9\*?)k(?:elvins?)?"),
}
# Words of a header that say nothing.
_NOTHING = {"", "UNKNOWN", "UNSPECIFIED", "NONE", "N/A", "NA", "?", "-", "--"}
_NOTHING |= {"T", "TEMP", "TEMPERATURE", "UNIT", "UNITS"}


class Found(NamedTuple):
    """A map as its file has it."""

    values: np.ndarray  # float64 [pixel]
    ordering: str
    unit: str
    nside: int | None  # None where the file does not say
    frame: str = ""  # G, C or E: galactic, celestial, ecliptic coordinates; "" where the file does not say


def fits_content(path: Path) -> bytes:
    """The bytes of a FITS file, unpacked, with the tables that its headers declare all there."""
    content = unpacked(path)
    start = 0
    while start < len(content):
        cards: dict[str, bytes] = {}
        end = False
        while not end:
            block = content[start : start + _FITS_BLOCK]
            if len(block) < _FITS_BLOCK:
                if cards or start == 0:
                    raise InputError(
                        f"{path}: expected FITS headers that end, got one cut short; download the file again"
                    )
                return content  # what follows the last table is no header
            start += _FITS_BLOCK
            for i in range(0, _FITS_BLOCK, 80):
                card = block[i : i + 80]
                end = end or card.startswith(b"END     ")
                cards[card[:8].decode("latin-1").strip()] = card[10:].split(b"/")[0].strip()
        size = abs(int(cards.get("BITPIX", b"8"))) // 8
        axes = [int(cards.get(f"NAXIS{i + 1}", b"0")) for i in range(int(cards["NAXIS"]))]
        size *= int(cards.get("GCOUNT", b"1")) * (int(cards.get("PCOUNT", b"0")) + (math.prod(axes) if axes else 0))
        if not 0 <= size <= len(content) - start:
            raise InputError(
                f"{path}: expected {size:,} bytes of data as its header says, got {len(content) - start:,}; download it again"
            )
        start += -(-size // _FITS_BLOCK) * _FITS_BLOCK
    return content


def real(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """The values as float64; InputError where they are no real numbers."""
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: expected real numbers in {name}, got type {values.dtype}; choose another column")
    return values.astype(np.float64)


def temperature_unit(text: str) -> str:
    if text.strip().startswith("MK"):  # mega or milli
        return text
    if text.strip().upper() in _NOTHING:
        return ""
    name = _BESIDE.sub("", text.lower().replace("μ", "u").replace("µ", "u"))
    return next((unit for unit, spelled in _TEMPERATURES.items() if spelled.fullmatch(name)), name)


def read_table(path: Path, column: int | str) -> Found:
    with first_table(path) as (file, table):
        if table is None:
            raise InputError(f"{path}: expected a binary table with a HEALPix map, found none; is this an image?")
        alike = [unit for unit in file if isinstance(unit, type(table)) and unit.columns.names == table.columns.names]
        if len(alike) > 1:
            names = ", ".join(table.columns.names)
            raise InputError(f"{path}: expected one table of maps, got {len(alike)} with the columns {names}; keep one")
        _complete(path, table.header, file[0].header)
        return _fits_table(path, table, column)


def _complete(path: Path, header: Any, primary: Any) -> None:
    """Add to the header of a table what only that of its file says; InputError where they contradict each other."""
    for key in ("ORDERING", "NSIDE", "COORDSYS", "BAD_DATA", "BUNIT", "INDXSCHM", "OBJECT", "FIRSTPIX", "LASTPIX"):
        own, other = (_meaning(key, str(part.get(key, "")).strip()) for part in (header, primary))
        if own and other and own != other:
            raise InputError(
                f"{path}: expected one {key}, got {primary[key]} of the file and {header[key]} of the table; mend the header"
            )
        if other and not own:
            header[key] = primary[key]


def _meaning(key: str, text: str) -> str:
    """What a word of a header says: words that agree have the same; "" where it says nothing of the map."""
    upper = text.upper()
    if key == "COORDSYS":
        return frame(text) or upper
    if key == "BUNIT":
        return temperature_unit(text)
    if key in ("NSIDE", "BAD_DATA", "FIRSTPIX", "LASTPIX"):
        try:
            return str(float(text))
        except ValueError:
            return upper
    if key == "OBJECT":  # may be the name of what was observed
        return upper if upper in ("PARTIAL", "FULLSKY") else ""
    return "NESTED" if (key, upper) == ("ORDERING", "NEST") else upper


@contextlib.contextmanager
def first_table(path: Path) -> Iterator[tuple[Any, Any]]:
    """The units of a FITS file, and the first that is a binary table, or None."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise InputError(
            f"{path}: reading FITS files needs astropy; pip install 'jaxsci[sky]', or save the map as .npz"
        ) from error
    content = fits_content(path)
    with warnings.catch_warnings():  # what matters of the header is checked by whoever asks
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content), memmap=False) as file:
            table = next((unit for unit in file if isinstance(unit, fits.BinTableHDU)), None)
            for header in (file[0].header, *([] if table is None else [table.header])):
                for card in [card for card in header.cards if isinstance(card.value, fits.card.Undefined)]:
                    header.remove(card.keyword)  # one without a value says nothing
            yield file, table


def _fits_table(path: Path, table: Any, column: int | str) -> Found:
    header = table.header

    def word(key: str) -> str:
        return str(header.get(key, "")).strip().upper()

    every = table.columns.names
    if len({name.upper() for name in every}) < len(every):
        raise InputError(f"{path}: expected columns of different names, got {', '.join(every)}; rename them")
    explicit = word("INDXSCHM") == "EXPLICIT" or word("OBJECT") == "PARTIAL" or every[0].strip().upper() in _INDEX_NAMES
    explicit = explicit or (len(every) > 1 and _numbers_pixels(np.asarray(table.data[every[0]])))
    later = next((name for name in every[1:] if name.strip().upper() in _INDEX_NAMES), None)
    if later is not None and not (explicit or np.array_equal(table.data[later], np.arange(len(table.data)))):
        raise InputError(
            f"{path}: expected the numbers of pixels in the first column, got {later} after {every[0]}; put it first"
        )
    for key, known in (("PIXTYPE", ("", "HEALPIX")), ("INDXSCHM", ("", "IMPLICIT", "EXPLICIT"))):
        if word(key) not in known:
            raise InputError(f"{path}: expected {key} {' or '.join(known[1:])}, got {word(key)}; convert the map")
    if word("COORDSYS") not in _NOTHING and not frame(word("COORDSYS")):
        raise InputError(
            f"{path}: expected COORDSYS G, C or E, got {word('COORDSYS')}; rotate the map, or mend the header"
        )
    if (word("INDXSCHM"), word("OBJECT")) in (("EXPLICIT", "FULLSKY"), ("IMPLICIT", "PARTIAL")):
        raise InputError(
            f"{path}: expected INDXSCHM and OBJECT that agree, got {word('INDXSCHM')} and {word('OBJECT')}; mend the header"
        )
    names = every[1:] if explicit else every
    wanted = column if isinstance(column, str) else names[column] if 0 <= column < len(names) else None
    name = next((name for name in names if wanted is not None and name.upper() == wanted.upper()), None)
    if name is None:
        raise InputError(f"{path}: expected one of the columns {', '.join(names)}, got {column}; name one of these")
    if column == 0 and _NO_MAP.fullmatch(name.strip()):
        raise InputError(
            f"{path}: expected a map in the column that comes first, got {name}; say which is meant, as in --column {names[-1]}"
        )
    values = real(path, name, np.asarray(table.data[name])).ravel()
    own = table.columns[name]  # its sentinels are among the numbers as they are stored, before they are scaled
    nulls = [
        _sentinel(path, null) * (own.bscale or 1) + (own.bzero or 0)
        for null in (own.null, header.get("BLANK"))
        if null is not None
    ]
    for sentinel in (header.get("BAD_DATA"), header.get("BLANK"), *nulls):
        if sentinel is not None:  # as the number type of the column holds it
            values = np.where(np.isclose(values, _sentinel(path, sentinel), rtol=1e-6, atol=0), np.nan, values)
    nside = whole_number(path, "NSIDE", header["NSIDE"]) if "NSIDE" in header else None
    if explicit:
        values = _spread(path, values, np.asarray(table.data[every[0]]).ravel(), nside)
    else:
        _require_range(path, header, len(values))
    units = {str(unit).strip() for unit in (table.columns[name].unit, header.get("UNITS"), header.get("BUNIT"))}
    units = {unit for unit in units if unit != "None" and temperature_unit(unit)}
    if len({temperature_unit(unit) for unit in units}) > 1:
        raise InputError(f"{path}: expected one unit of {name}, got {' and '.join(sorted(units))}; mend the header")
    return Found(values, word("ORDERING"), min(units, default=""), nside, frame(word("COORDSYS")))


def _require_range(path: Path, header: Any, pixels: int) -> None:
    """Raise InputError where the first and the last pixel of the header, counted from 0 or from 1, are not those of so many."""
    said = {key: str(header.get(key, "")).strip() for key in ("FIRSTPIX", "LASTPIX")}
    if not all(said.values()):
        return
    first, last = (whole_number(path, key, text) for key, text in said.items())
    if min(first, last) >= 0 and last - first + 1 != pixels:  # one below 0 is not set
        raise InputError(
            f"{path}: expected pixels {first} to {last} as FIRSTPIX and LASTPIX say, got {pixels:,}; mend the header, or download the "
            "file again"
        )


def _sentinel(path: Path, value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(
            f"{path}: expected a number that marks bad pixels, BAD_DATA or BLANK, got {value!r}; mend the header"
        ) from None


def _numbers_pixels(values: np.ndarray) -> bool:
    """Whether a column numbers pixels: different whole numbers, none negative or all consecutive. No map has such values alone."""
    flat = values.ravel()
    if flat.dtype.kind not in "iuf" or not flat.size or not np.isfinite(flat).all() or (flat != np.rint(flat)).any():
        return False
    flat = np.sort(flat)
    steps = np.diff(flat)
    return bool((steps > 0).all() and (flat[0] >= 0 or (steps == 1).all()))


def frame(name: str) -> str:
    """The letter of HEALPix for a system of coordinates; "" for none, and for another."""
    # celestial2000, CELESTIAL (J2000), galactic coordinates
    word = re.sub(r"COORD(?:INATE)?S?|SYSTEM|\(?J?2000(?:\.0)?\)?|[\s_]", "", name.upper())
    return _FRAMES.get(word or name.strip().upper(), "")


def whole_number(path: Path, name: str, value: object) -> int:
    """A whole number of a header; InputError for another value."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if number % 1:  # or NaN
        raise InputError(f"{path}: expected a whole number {name}, got {str(value)[:40]!r}; mend it")
    return int(number)


def _spread(path: Path, values: np.ndarray, pixels: np.ndarray, nside: int | None) -> np.ndarray:
    """A whole map from a list of some of its pixels."""
    if nside is None or not 1 <= nside <= 8192:
        raise InputError(
            f"{path}: expected the NSIDE of a list of pixels, got {nside or 'none'}; write it into the header"
        )
    whole = 12 * nside**2
    require_memory(path, 8 * whole, "the whole map")
    numbers = real(path, "the index column", pixels)
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
