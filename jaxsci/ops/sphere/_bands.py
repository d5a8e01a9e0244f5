"""Split the rings of a grid into bands that are transformed together.

Legendre functions on a northern ring and on its mirror image differ only in signs, so a band is made of pairs of rings; the equator is its
own mirror image and counted once. Toward the poles P_lm is negligible for most orders: each band has its own largest order.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from jaxsci.ops.sphere._grids import Grid, Healpix, rings


class Band(NamedTuple):
    """Consecutive northern rings with their mirror images, from north to south."""

    cos: np.ndarray  # [pair], of the colatitude of the northern ring
    sin: np.ndarray
    phi0: np.ndarray  # longitude of the first pixel
    length: np.ndarray  # number of pixels of one ring
    largest: np.ndarray  # the largest order that is not negligible
    equator: bool  # whether the last pair is the equator

    @property
    def mmax(self) -> int:
        """The largest order of all rings."""
        return int(self.largest[-1])

    @property
    def pixels(self) -> int:
        """The number of pixels of the northern rings."""
        return int(self.length.sum())

    @property
    def mirrored_pixels(self) -> int:
        """The number of pixels of the southern rings."""
        return self.pixels - (int(self.length[-1]) if self.equator else 0)

    @property
    def regular(self) -> bool:
        """Whether all rings have the same length."""
        return bool(np.all(self.length == self.length[0]))

    def part(self, first: int, last: int) -> "Band":
        """The pairs `first` to `last` - 1."""
        cos, sin, phi0, length, largest = (x[first:last] for x in self[:5])
        return Band(cos, sin, phi0, length, largest, self.equator and last == len(self.cos))


def largest_orders(lmax: int, sin: np.ndarray) -> np.ndarray:
    """Return the order beyond which |P_lm(theta)| < 1e-20 for all l <= lmax, [ring].

    P_lm falls beyond m = l sin(theta) as the Bessel function J_m(l sin(theta)) or faster, which is below
    exp(-m (a - tanh a)) with cosh a = m / (l sin(theta)); exp(-50) is 1e-20 with a margin for the normalization.
    """
    m = np.arange(lmax + 1)[:, None]
    turning = np.maximum((lmax + 0.5) * sin, 1e-300)[None, :]
    a = np.arccosh(np.maximum(m / turning, 1))
    return np.sum(m * (a - np.tanh(a)) < 50, axis=0) - 1


@functools.lru_cache(maxsize=32)
def bands(grid: Grid, lmax: int) -> tuple[Band, ...]:
    """Return the bands from the north pole to the equator; HEALPix's polar caps are split where that saves work."""
    geometry = rings(grid)
    north = (len(geometry.cos) + 1) // 2
    edges = {0, north}
    if isinstance(grid, Healpix):
        nside = grid.nside
        edges |= {nside - 1, *((nside // 4, nside // 2) if nside >= 256 else ())} - {0}
    largest = largest_orders(lmax, geometry.sin[:north])
    found = []
    for first, last in itertools.pairwise(sorted(edges)):
        arrays = (geometry.cos, geometry.sin, geometry.phi0, geometry.length, largest)
        cos, sin, phi0, length, orders = (x[first:last] for x in arrays)
        found.append(Band(cos, sin, phi0, length, orders, last == north and len(geometry.cos) % 2 == 1))
    return tuple(found)
