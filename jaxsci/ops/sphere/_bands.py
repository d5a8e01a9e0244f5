"""The rings of a grid as rows that are transformed together.

A ring and its mirror image share their Legendre functions up to signs and their longitudes, so all work is on the northern rings; the
equator is its own mirror image. Along longitude neighboring rings go together: those of one length by one FFT, those of HEALPix's polar
caps, no two of which have the same length, by one chirp z-transform of a length that fits all of them. Toward the poles P_lm is negligible
for most orders: each ring has its own largest order.
"""

import functools
from typing import NamedTuple

import numpy as np

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
