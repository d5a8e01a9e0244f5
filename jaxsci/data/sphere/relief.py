"""The relief of the Earth: spherical harmonic coefficients, and heights on a grid."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data import _arrays as arrays
from jaxsci.data._delimited import number, require_utf8
from jaxsci.data.reading import reading, require_memory, sentinel, unpacked
from jaxsci.errors import InputError

__all__ = ["Coefficients", "missing_degrees", "read_coefficients", "read_grid"]

# What columns may be called, in lower case and without the indices "lm" or "nm".
_COLUMNS = {
    "l": "l",
    "n": "l",
    "degree": "l",
    "deg": "l",
    "m": "m",
    "order": "m",
    "ord": "m",
    "c": "C",
    "cos": "C",
    "cosine": "C",
}
_COLUMNS |= {"s": "S", "sin": "S", "sine": "S"}
# The third column of complex coefficients a_lm.
_COMPLEX = re.compile(r"(?:re|real|im|imag|imaginary|abs|phase)(?:_.*|part|[ac]lm)?|a_?lm.*")
# Words for the normalization of the geodesists, and for others.
_NORM = re.compile(r"\bfull|4[ *-]?(?:pi|π)|geodesy|geodetic")
_OTHER_NORM = re.compile(
    r"schmidt|unnormali[sz]ed|un-normali[sz]ed|ortho-?normal|(?:semi|quasi)-?normali[sz]ed|(?:with|including) (?:the )?condon"
)
_HIGHEST = 100_000  # degree: far above any model of a body


class Coefficients(NamedTuple):
    """Real coefficients in the geodesist's convention: 4 pi normalized, no Condon-Shortley phase.

    h(lat, lon) = sum_lm P_lm(sin lat) (C_lm cos m lon + S_lm sin m lon), the mean of every squared function over the sphere being 1.
    """

    cosine: np.ndarray  # C [l, m], 0 for m > l
    sine: np.ndarray  # S [l, m], 0 for m = 0 and m > l


def read_coefficients(path: str | Path, *, lmax: int | None = None) -> Coefficients:
    """Read rows "l m C S" of text (.msl, .txt, .csv, .tab, .gfc, also gzipped), or `C` and `S` [l, m] of an .npz.

    Understood are a header (comments with #, words, or NASA's first line of radius, GM, ..., whose "l m" are no degree and order), the
    word gfc before each row (ICGEM), more columns behind the four (errors), and exponents with D. Files often begin at l = 1 or 2:
    degrees 0 and 1 that are not there are 0, see `missing_degrees`.

    Args:
        path: the file.
        lmax: keep degrees up to this one; None: all the file has.

    Raises:
        InputError: a row of another form, twice or missing, numbers that are not finite, degrees that are no whole numbers, S other
            than 0 for m = 0, nothing but zeros, or lmax beyond the file's degree; a header that names other columns, another degree or
            another normalization.
    """
    with reading(path, "harmonic coefficients as rows l m C S") as path:
        cosine, sine = _npz(path) if path.suffix == ".npz" else _text(path)
    if not (np.isfinite(cosine).all() and np.isfinite(sine).all()):
        degree, order = np.argwhere(~(np.isfinite(cosine) & np.isfinite(sine)))[0]
        raise InputError(
            f"{path}: expected finite coefficients, got NaN or infinity at l = {degree}, m = {order}; correct it"
        )
    if not (cosine.any() or sine.any()):
        raise InputError(f"{path}: expected coefficients, got zeros only; check how the file was written")
    if sine[:, 0].any():
        raise InputError(
            f"{path}: expected S = 0 for m = 0, got {sine[:, 0][sine[:, 0] != 0][0]:g} at l = {int(sine[:, 0].astype(bool).argmax())}; "
            "are the columns in the order l m C S?"
        )
    highest = cosine.shape[0] - 1
    if lmax is not None and lmax > highest:
        raise InputError(f"{path}: expected coefficients to degree {lmax}, got {highest}; lower --lmax to {highest}")
    keep = slice(0, (highest if lmax is None else lmax) + 1)
    return Coefficients(cosine[keep, keep], sine[keep, keep])


def missing_degrees(coefficients: Coefficients) -> tuple[int, ...]:
    """Which of the degrees 0 and 1 hold nothing but zeros, as where the file begins later."""
    rows = [
        (*coefficients.cosine[degree : degree + 1].flat, *coefficients.sine[degree : degree + 1].flat)
        for degree in (0, 1)
    ]
    return tuple(degree for degree in (0, 1) if not any(rows[degree]))


def read_grid(path: str | Path, rows: int, columns: int) -> np.ndarray:
    """Read heights [row, column] of cells, north first and eastward, as numbers separated by blanks (.dat, .txt, also gzipped).

    Raises:
        InputError: not that many numbers, one that is not finite or stands for none, or nothing but zeros.
    """
    with reading(path, f"a grid of {rows} x {columns} numbers") as path:
        words = unpacked(path).decode("utf-8-sig", "replace").split()
        if len(words) != rows * columns:
            raise InputError(f"{path}: expected {rows} x {columns} numbers, got {len(words):,}; is this another grid?")
        values = np.array([number(word) for word in words], np.float64).reshape(rows, columns)
    if not np.isfinite(values).all() or not values.any():
        raise InputError(f"{path}: expected finite heights that are not all 0, got others; fill the gaps")
    if (none := sentinel(values, customary=True)) is not None:
        raise InputError(
            f"{path}: expected heights, got {none[0]:g} in {none[1]:,} cells, far from all others; fill the gaps"
        )
    return values


def _text(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = unpacked(path)
    require_utf8(path, content[:4])
    lines = content.decode("utf-8-sig", "replace").splitlines()
    rows = [(i, _fields(path, line, i)) for i, line in enumerate(lines, start=1)]
    rows = [(i, words[1:] if words[0] in ("gfc", "gfct") else words) for i, words in rows if words]
    start = next((k for k, (_, words) in enumerate(rows) if _degree_and_order(words) is not None), None)
    if start is None:
        raise InputError(f"{path}: expected rows of four numbers l m C S, got none; is this a file of coefficients?")
    header = dict(_header(path, rows[:start]))
    table: dict[tuple[int, int], tuple[float, float]] = {}
    for line, words in rows[start:]:
        if words[0].startswith("#"):
            continue
        place = _degree_and_order(words)
        if place is None:
            raise InputError(
                f"{path}: expected four numbers l m C S with 0 <= m <= l, got {' '.join(words)[:60]!r} in line {line}; mend it"
            )
        if place in table:
            raise InputError(
                f"{path}: expected l = {place[0]}, m = {place[1]} once, got it again in line {line}; remove one"
            )
        try:
            table[place] = number(words[2]), number(words[3])
        except ValueError as error:
            raise InputError(f"{path}: expected four numbers l m C S, but {error} in line {line}; mend it") from error
    lmax = max(degree for degree, _ in table)
    if header.get("max_degree", str(lmax)) != str(lmax):
        raise InputError(
            f"{path}: expected degrees to {header['max_degree']} as the header says, got {lmax}; copy or download the file again"
        )
    missing = next((place for place in _places(2, lmax) if place not in table), None)
    if 0 < len(set(_places(1, 1)) & set(table)) < 2:  # a degree is there or not
        missing = next(place for place in _places(1, 1) if place not in table)
    if missing:
        raise InputError(
            f"{path}: expected all degrees and orders 0 <= m <= l to l = {lmax}, got {len(table):,} rows without l = {missing[0]}, "
            f"m = {missing[1]}; complete it"
        )
    require_memory(path, 16 * (lmax + 1) ** 2, "its coefficients")
    cosine, sine = np.zeros((2, lmax + 1, lmax + 1))
    for (degree, order), (c, s) in table.items():
        cosine[degree, order], sine[degree, order] = c, s
    return cosine, sine


def _fields(path: Path, line: str, number: int) -> list[str]:
    """The words of a line, separated by blanks or commas; InputError where a comma may be a decimal mark."""
    words = line.split()
    if len(words) > 1 and any(re.fullmatch(r"[-+]?\d+,\d+(?:[eEdD][-+]?\d+)?,?", word) for word in words):
        raise InputError(
            f"{path}: expected decimal points, got {line.strip()[:60]!r} in line {number}; replace the commas"
        )
    return line.replace(",", " ").split()


def _header(path: Path, rows: list[tuple[int, list[str]]]) -> Iterator[tuple[str, str]]:
    """Pairs of words above the coefficients; InputError where they name columns or a normalization that this is not."""
    for line, row in rows:
        bare = re.sub(r"\([^)]*\)|[#%!]", " ", " ".join(row)).casefold()
        words = [word for word in bare.split() if word != "key"]
        names = [_COLUMNS.get(re.sub(r"(?<=[a-z])_?[ln]m$", "", word), "?") for word in words]
        if set(names[:2]) == {"l", "m"} and {"C", "S"} <= set(names) and names[:4] != ["l", "m", "C", "S"]:
            raise InputError(
                f"{path}: expected columns l m C S, got {' '.join(row)[:60]!r} in line {line}; bring them into that order"
            )
        if set(names[:2]) == {"l", "m"} and _COMPLEX.fullmatch(next(iter(words[2:]), "")):
            raise InputError(
                f"{path}: expected coefficients C and S, got {' '.join(row)[:60]!r} in line {line}; convert complex ones, which differ "
                "in normalization and sign"
            )
        said = " ".join(words)
        named = re.match(r"(?:normali[sz]ation|norm)\b(?! (?:factor|state|constant)s?\b)", said) is not None
        other = (named or _OTHER_NORM.search(said)) and not _NORM.search(said)
        if other:
            raise InputError(
                f"{path}: expected fully normalized coefficients, got {' '.join(row)[:60]!r}; convert them"
            )
        if len(words) == 3 and _degree_and_order([*words, "0"]) is not None:
            raise InputError(
                f"{path}: expected four numbers l m C S, got {' '.join(row)[:60]!r} in line {line}; complete it"
            )
        if len(words) == 2:
            yield words[0], words[1]


def _places(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Degree and order of all coefficients of these degrees."""
    return ((degree, order) for degree in range(first, last + 1) for order in range(degree + 1))


def _degree_and_order(words: list[str]) -> tuple[int, int] | None:
    """l and m of a row of coefficients; None where it is none: too short, no numbers, halves, or m > l."""
    try:
        degree, order = number(words[0]), number(words[1])
    except (ValueError, IndexError):
        return None
    if len(words) < 4 or not (0 <= order <= degree < _HIGHEST and degree % 1 == 0 == order % 1):
        return None
    return int(degree), int(order)


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with arrays.opened(path) as found:
        if not {"C", "S"} <= set(found):
            raise InputError(f"{path}: expected arrays C and S [l, m], found {', '.join(found) or 'none'}; rename them")
        cosine, sine = (arrays.load(path, found, name) for name in ("C", "S"))
    shapes = f"C {list(cosine.shape)} and S {list(sine.shape)}"
    if cosine.shape != sine.shape or cosine.ndim != 2 or cosine.shape[0] != cosine.shape[1] or 0 in cosine.shape:
        raise InputError(f"{path}: expected arrays C and S [l, m] of one square shape, got {shapes}; reshape them")
    if {cosine.dtype.kind, sine.dtype.kind} - set("iuf"):
        raise InputError(
            f"{path}: expected real coefficients C and S, got {cosine.dtype} and {sine.dtype}; convert them"
        )
    if np.triu(cosine, 1).any() or np.triu(sine, 1).any():
        raise InputError(f"{path}: expected C and S 0 for m > l, got others; index them as [l, m]")
    return cosine.astype(np.float64), sine.astype(np.float64)
