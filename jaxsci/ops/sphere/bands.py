"""The rings of a grid in bands that are transformed together.

A northern ring and its mirror image are one complex sequence, so that a band is made of pairs of rings; the equator is a pair with itself of
which the southern part is left out. Towards the poles P_lm is negligible for most orders: each band has its own largest order.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from jaxsci.ops.sphere.grids import Grid, Healpix, rings


class Band(NamedTuple):
    """Consecutive northern rings with their mirror images, from north to south."""

    cos: np.ndarray  # [pair], of the colatitude of the northern ring
    sin: np.ndarray
    phi0: np.ndarray  # longitude of the first pixel
    length: np.ndarray  # number of pixels of one ring
    mmax: int  # the largest order that is not negligible
    equator: bool  # whether the last pair is one ring, its own image

    @property
    def pixels(self) -> int:
        """Of the northern rings."""
        return int(self.length.sum())

    @property
    def mirrored(self) -> int:
        """Pixels of the southern rings."""
        return self.pixels - (int(self.length[-1]) if self.equator else 0)

    @property
    def regular(self) -> bool:
        """Whether all rings are of one length."""
        return bool(np.all(self.length == self.length[0]))


def largest_order(lmax: int, sin: float) -> int:
    """The order beyond which |P_lm(theta)| < 1e-20 for all l <= lmax.

    P_lm falls beyond m = l sin(theta) as an Airy function falls, over a width that grows as (l sin(theta))^(1/3).
    """
    turning = lmax * sin
    return min(lmax, math.ceil(turning + 20 * turning ** (1 / 3) + 20))


@functools.lru_cache(maxsize=32)
def bands(grid: Grid, lmax: int) -> tuple[Band, ...]:
    """From the north pole to the equator. The polar caps of HEALPix are cut in two where that saves work."""
    geometry = rings(grid)
    north = (len(geometry.cos) + 1) // 2
    edges = {0, north}
    if isinstance(grid, Healpix):
        nside = grid.nside
        cuts = [nside - 1] + ([nside // 4, nside // 2] if nside >= 256 else [])
        edges |= {cut for cut in cuts if 0 < cut < north}
    ends = sorted(edges)
    found = []
    for first, last in zip(ends[:-1], ends[1:], strict=True):
        part = slice(first, last)
        found.append(
            Band(
                geometry.cos[part],
                geometry.sin[part],
                geometry.phi0[part],
                geometry.length[part],
                largest_order(lmax, float(geometry.sin[part].max())),
                last == north and len(geometry.cos) % 2 == 1,
            )
        )
    return tuple(found)
