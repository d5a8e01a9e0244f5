"""The rings of a grid as rows that are transformed together.

A ring and its mirror image share their Legendre functions up to signs and their longitudes, so all work is on the northern rings; the
equator is its own mirror image. Along longitude neighboring rings go together: those of one length by one FFT, those of HEALPix's polar
caps, no two of which have the same length, by one chirp z-transform of a length that fits all of them. Toward the poles P_lm is negligible
for most orders: each ring has its own largest order.

`split_pixels` and `join_pixels` lead from maps [map, pixel] to rows and back, band by band: two lists, of the northern rings and of their
mirror images. Rows are [map, ring, width]; beyond the length of a shorter ring they hold arbitrary values. Rings run from the pole to the
equator in both lists; the equator has no mirror image, and its row in the second list is 0, or not used.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere._grids import Grid, rings

SMALLEST = (
    512  # of the chirp z-transforms; the rings around the poles need less, but every length is a program of its own
)


class Band(NamedTuple):
    """Consecutive northern rings, from north to south."""

    first: int  # ring
    phi0: np.ndarray  # longitude of the first pixel, [ring]
    length: np.ndarray  # number of pixels of one ring, [ring]
    mmax: int  # the largest order that is not negligible
    chirp: int  # length of the chirp z-transform; 0 where all rings have the same length and are one FFT

    @property
    def last(self) -> int:
        """The ring after these."""
        return self.first + len(self.length)

    @property
    def width(self) -> int:
        """The number of pixels of the longest ring."""
        return int(self.length.max())


class North(NamedTuple):
    """The northern rings and what follows for their mirror images, each [ring]."""

    cos: np.ndarray  # of the colatitude
    sin: np.ndarray
    phi0: np.ndarray
    length: np.ndarray
    largest: np.ndarray  # the largest order that is not negligible, rising toward the equator
    equator: bool  # whether the last ring is the equator


@functools.lru_cache(maxsize=32)
def north(grid: Grid, lmax: int) -> North:
    """Return the northern rings of a grid, the equator included."""
    geometry = rings(grid)
    half = (len(geometry.cos) + 1) // 2
    cos, sin, phi0, length = (x[:half] for x in geometry[:4])
    return North(cos, sin, phi0, length, largest_orders(lmax, sin), len(geometry.cos) % 2 == 1)


def largest_orders(lmax: int, sin: np.ndarray) -> np.ndarray:
    """Return the order beyond which |P_lm(theta)| < 1e-20 for all l <= lmax, [ring].

    P_lm falls beyond m = l sin(theta) as the Bessel function J_m(l sin(theta)) or faster, which is below
    exp(-m (a - tanh a)) with cosh a = m / (l sin(theta)); exp(-50) is 1e-20 with a margin for the normalization, and two orders more are
    one for spin 2.
    """
    m = np.arange(lmax + 1)[:, None]
    turning = np.maximum((lmax + 0.5) * sin, 1e-300)[None, :]
    a = np.arccosh(np.maximum(m / turning, 1))
    return np.minimum(np.sum(m * (a - np.tanh(a)) < 50, axis=0) + 1, lmax)


@functools.lru_cache(maxsize=32)
def bands(grid: Grid, lmax: int) -> tuple[Band, ...]:
    """Return the bands from the north pole to the equator."""
    part = north(grid, lmax)
    same = part.length == part.length[-1]
    chirp = np.where(same, 0, [_good_size(int(n)) for n in part.length + 2 * part.largest])
    starts = np.flatnonzero(np.diff(chirp, prepend=-1))
    found = []
    for begin, end in zip(starts, [*starts[1:], len(chirp)], strict=True):
        rows = slice(begin, end)
        found.append(
            Band(int(begin), part.phi0[rows], part.length[rows], int(part.largest[end - 1]), int(chirp[begin]))
        )
    return tuple(found)


def _good_size(least: int) -> int:
    """The smallest 2^k or 3 2^k that is at least this and SMALLEST."""
    power = 1 << (max(least, SMALLEST) - 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= max(least, SMALLEST) else power


def split_pixels(pixels: Array, grid: Grid, lmax: int) -> tuple[list[Array], list[Array]]:
    """Maps [map, pixel] to rows of both hemispheres."""
    upper, lower = [], []
    begin, end = 0, pixels.shape[1]
    for band in bands(grid, lmax):
        length = _mirrored(band, grid, lmax)
        upper.append(_rows(pixels[:, begin : begin + band.length.sum()], band.length, band))
        southern = _rows(pixels[:, end - length.sum() : end], length[::-1], band)
        missing = len(band.length) - len(length)
        lower.append(jnp.pad(jnp.flip(southern, 1), ((0, 0), (0, missing), (0, 0))))
        begin, end = begin + band.length.sum(), end - length.sum()
    return upper, lower


def join_pixels(upper: Sequence[Array], lower: Sequence[Array], grid: Grid, lmax: int) -> Array:
    """Rows of both hemispheres to maps [map, pixel]."""
    pixels = [_pixels(rows, band.length, band) for rows, band in zip(upper, bands(grid, lmax), strict=True)]
    southern = []
    for rows, band in zip(lower, bands(grid, lmax), strict=True):
        length = _mirrored(band, grid, lmax)
        southern.append(_pixels(jnp.flip(rows[:, : len(length)], 1), length[::-1], band))
    return jnp.concatenate([*pixels, *reversed(southern)], axis=1)


def _mirrored(band: Band, grid: Grid, lmax: int) -> np.ndarray:
    """The lengths of the rings of the band that have a mirror image."""
    part = north(grid, lmax)
    return band.length[:-1] if part.equator and band.last == len(part.cos) else band.length


def _rows(pixels: Array, length: np.ndarray, band: Band) -> Array:
    if band.chirp == 0:
        return pixels.reshape(len(pixels), len(length), band.width)
    start = jnp.asarray(np.cumsum(length) - length, jnp.int32)
    index = start[:, None] + jnp.arange(band.width, dtype=jnp.int32)[None, :]
    return jnp.take(pixels, index, axis=1, mode="clip")


def _pixels(rows: Array, length: np.ndarray, band: Band) -> Array:
    flat = rows.reshape(len(rows), -1)
    if band.chirp == 0:
        return flat
    index = np.arange(length.sum()) + np.repeat(
        np.arange(len(length)) * band.width - np.cumsum(length) + length, length
    )
    return jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
