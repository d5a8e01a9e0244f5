"""The pixels of HEALPix (Gorski et al. 2005, ApJ 622, 759): their centers, and the two orders in which maps are kept.

In "ring" order pixels follow the rings of equal latitude from north to south and each ring eastwards; in "nested" order they follow a
quadtree on each of twelve faces, so that neighbors in the sky are neighbors in memory. Everything is computed from `nside` alone, before
any array of JAX is touched.
"""

import functools
import math

import numpy as np

from jaxsci.core import Array
from jaxsci.errors import InputError
from jaxsci.ops.sphere._grids import Healpix, rings

# For each face: the ring of its southern corner and the longitude of its center, in units of nside and of pi / 4.
SOUTHERN_RING = np.repeat([2, 3, 4], 4)
LONGITUDE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])


def nside_of(pixels: int) -> int:
    """The nside of a map of so many pixels, 12 nside^2."""
    nside = math.isqrt(pixels // 12)
    if nside < 1 or 12 * nside**2 != pixels:
        raise InputError(f"a HEALPix map has 12 nside^2 pixels, not {pixels}: is it a whole sky, and one map?")
    return nside


@functools.lru_cache(maxsize=8)
def pixel_angles(nside: int) -> tuple[np.ndarray, np.ndarray]:
    """Colatitude and longitude of every pixel in ring order, in radians, each [12 nside^2]."""
    geometry = rings(Healpix(nside))
    theta = np.repeat(np.arctan2(geometry.sin, geometry.cos), geometry.length)
    position = np.arange(geometry.length.sum()) - np.repeat(geometry.start, geometry.length)
    step = np.repeat(2 * np.pi / geometry.length, geometry.length)
    phi = np.repeat(geometry.phi0, geometry.length) + position * step
    for array in (theta, phi):
        array.setflags(write=False)  # cached: every caller gets the same
    return theta, phi


@functools.lru_cache(maxsize=8)
def nested_to_ring(nside: int) -> np.ndarray:
    """The ring index of every pixel in nested order, [12 nside^2]."""
    if nside & (nside - 1):
        raise InputError(f"nested order needs an nside that is a power of 2, not {nside}: use ring order")
    face, inside = np.divmod(np.arange(12 * nside**2), nside**2)
    east, west = _even_bits(inside, nside), _even_bits(inside >> 1, nside)
    ring = SOUTHERN_RING[face] * nside - east - west - 1  # 1 ... 4 nside - 1 from the north pole
    quarter = np.minimum(np.minimum(ring, 4 * nside - ring), nside)  # a quarter of the pixels of the ring
    shifted = np.where((ring >= nside) & (ring <= 3 * nside), (ring - nside) & 1, 0)
    position = (LONGITUDE[face] * quarter + east - west + 1 + shifted) // 2 - 1
    index = rings(Healpix(nside)).start[ring - 1] + position % (4 * quarter)
    index.setflags(write=False)
    return index


@functools.lru_cache(maxsize=8)
def ring_to_nested(nside: int) -> np.ndarray:
    """The nested index of every pixel in ring order, [12 nside^2]."""
    index = np.argsort(nested_to_ring(nside))
    index.setflags(write=False)
    return index


def to_ring(nested: Array) -> Array:
    """Maps [..., 12 nside^2] from nested to ring order."""
    return nested[..., ring_to_nested(nside_of(nested.shape[-1]))]


def to_nested(ring: Array) -> Array:
    """Maps [..., 12 nside^2] from ring to nested order."""
    return ring[..., nested_to_ring(nside_of(ring.shape[-1]))]


def _even_bits(number: np.ndarray, nside: int) -> np.ndarray:
    """The number made of every second bit, beginning with the lowest."""
    result = np.zeros_like(number)
    for bit in range(nside.bit_length()):
        result |= ((number >> (2 * bit)) & 1) << bit
    return result
