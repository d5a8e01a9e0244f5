"""The relief of the Earth: spherical harmonic coefficients, and heights on a grid."""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data.reading import reading
from jaxsci.errors import InputError

__all__ = ["Coefficients", "read_coefficients", "read_grid"]


class Coefficients(NamedTuple):
    """Real coefficients in the geodesist's convention: 4 pi normalized, no Condon-Shortley phase.

    h(lat, lon) = sum_lm P_lm(sin lat) (C_lm cos m lon + S_lm sin m lon), the mean of every squared function over the sphere being 1.
    """

    cosine: np.ndarray  # C [l, m], 0 for m > l
    sine: np.ndarray  # S [l, m], 0 for m = 0 and m > l


def read_coefficients(path: str | Path, *, lmax: int | None = None) -> Coefficients:
    """Read rows "l m C S" of text (.msl, .txt, .csv, also gzipped), or `C` and `S` [l, m] of an .npz.

    Args:
        path: the file.
        lmax: keep degrees up to this one; None: all.

    Raises:
        InputError: a line of another form, degrees that are missing, or lmax beyond the file's.
    """
    with reading(path, "harmonic coefficients as rows l m C S") as path:
        cosine, sine = _npz(path) if path.suffix == ".npz" else _text(path)
    highest = cosine.shape[0] - 1
    if lmax is not None and lmax > highest:
        raise InputError(f"{path}: expected coefficients to degree {lmax}, got {highest}; lower --lmax")
    keep = slice(0, (highest if lmax is None else lmax) + 1)
    return Coefficients(cosine[keep, keep], sine[keep, keep])


def read_grid(path: str | Path, rows: int, columns: int) -> np.ndarray:
    """Read heights [row, column] of cells, north first and eastward, as numbers separated by blanks (.dat, .txt, also gzipped).

    Raises:
        InputError: not that many numbers.
    """
    with reading(path, f"a grid of {rows} x {columns} numbers") as path:
        values = np.array(_open(path).split(), np.float64)
    if values.size != rows * columns:
        raise InputError(f"{path}: expected {rows} x {columns} numbers, got {values.size:,}; is this another grid?")
    return values.reshape(rows, columns)


def _open(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8", "replace")


def _text(path: Path) -> tuple[np.ndarray, np.ndarray]:
    lines = [
        line.replace(",", " ").split()
        for line in _open(path).splitlines()
        if line.strip() and line.strip()[0] not in "#l"
    ]
    short = [number for number, line in enumerate(lines, start=1) if len(line) < 4]
    if short or not lines:
        raise InputError(
            f"{path}: expected rows of four numbers l m C S, got another in row {short[0] if short else 1}; mend it"
        )
    try:
        table = np.array([line[:4] for line in lines], np.float64)
    except ValueError as error:
        raise InputError(f"{path}: expected rows of four numbers l m C S, but {error}; mend that row") from error
    degree, order = table[:, 0].astype(int), table[:, 1].astype(int)
    lmax = int(degree.max())
    if len(table) != (lmax + 1) * (lmax + 2) // 2 or (order > degree).any() or (order < 0).any():
        raise InputError(
            f"{path}: expected all degrees and orders 0 <= m <= l to l = {lmax}, got {len(table):,} rows; complete it"
        )
    cosine, sine = np.zeros((2, lmax + 1, lmax + 1))
    cosine[degree, order], sine[degree, order] = table[:, 2], table[:, 3]
    return cosine, sine


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        if not {"C", "S"} <= set(file.files) or file["C"].shape != file["S"].shape or file["C"].ndim != 2:
            raise InputError(f"{path}: expected arrays C and S [l, m] of one shape, found {', '.join(file.files)}")
        return file["C"].astype(np.float64), file["S"].astype(np.float64)
