"""The pixels of HEALPix in numpy: rings, centers, the pixel at a direction, orderings, and what averaging over a pixel does.

A map of 12 nside^2 pixels of equal area is kept in one of two orders. RING follows the rings of equal latitude from north to south, and
each ring eastward, for any nside >= 1; NESTED follows a quadtree on each of twelve faces, for powers of two. Angles are the colatitude
theta in [0, pi] and the longitude phi, in radians. Source: Gorski et al. 2005, Astrophys. J. 622, 759.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from jaxsci.errors import InputError

__all__ = [
    "UNSEEN",
    "Rings",
    "angles",
    "children",
    "nested_to_ring",
    "nside_of",
    "pixel_of",
    "pixel_window",
    "ring_to_nested",
    "rings",
    "to_nested",
    "to_ring",
    "vectors",
]

UNSEEN = -1.6375e30  # HEALPix's value for a pixel that was not seen


class Rings(NamedTuple):
    """The 4 nside - 1 rings from north to south, each [ring]."""

    cos: np.ndarray  # of the colatitude
    sin: np.ndarray
    phi0: np.ndarray  # longitude of the first pixel
    length: np.ndarray  # number of pixels


def nside_of(pixels: int) -> int:
    """Return the nside of a map with this many pixels, 12 nside^2.

    >>> nside_of(49152)
    64

    Raises:
        InputError: no map has so many pixels.
    """
    nside = math.isqrt(max(pixels, 0) // 12)
    if nside < 1 or pixels != 12 * nside**2:
        raise InputError(f"HEALPix map: expected 12 nside^2 pixels, got {pixels:,}; give one map of the whole sky")
    return nside


def check_nside(nside: int, *, nested: bool = False) -> None:
    """Raise InputError where no map, or with `nested` no map in NESTED order, has this nside."""
    if nside < 1:
        raise InputError(f"nside: expected a number of at least 1, got {nside}; a map has 12 nside^2 pixels")
    if nested and nside & (nside - 1):
        raise InputError(f"NESTED order: expected nside to be a power of two, got {nside}; use RING order")


def rings(nside: int) -> Rings:
    """Return colatitude, first longitude and length of every ring.

    In the polar caps 1 - |cos(theta)| = ring^2 / (3 nside^2) is exact, and sin(theta) follows without cancellation.
    """
    check_nside(nside)
    ring = np.arange(1, 4 * nside)
    quarter = _quarter(nside, ring)
    cap = quarter < nside
    drop = (quarter / nside) ** 2 / 3
    cos = np.where(cap, np.sign(2 * nside - ring) * (1 - drop), (4 * nside - 2 * ring) / (3 * nside))
    sin = np.sqrt(np.where(cap, drop * (2 - drop), (1 - cos) * (1 + cos)))
    shifted = cap | ((ring - nside) % 2 == 0)
    return Rings(cos, sin, np.where(shifted, np.pi / (4 * quarter), 0.0), 4 * quarter)


def angles(nside: int) -> tuple[np.ndarray, np.ndarray]:
    """Return colatitude and longitude in radians of all pixel centers in RING order, each [pixel]."""
    cos, sin, phi0, length = rings(nside)
    inside = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    phi = np.repeat(phi0, length) + inside * np.repeat(2 * np.pi / length, length)
    return np.repeat(np.arctan2(sin, cos), length), phi


def vectors(nside: int) -> np.ndarray:
    """Return the unit vectors of all pixel centers in RING order, [pixel, 3]."""
    cos, sin, _, length = rings(nside)
    phi, sin = angles(nside)[1], np.repeat(sin, length)
    return np.stack([sin * np.cos(phi), sin * np.sin(phi), np.repeat(cos, length)], axis=-1)


def pixel_of(nside: int, theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Return the RING index of the pixel at each pair of angles in radians, arrays of one shape.

    Raises:
        InputError: a colatitude outside [0, pi].
    """
    check_nside(nside)
    if not np.all((theta >= 0) & (theta <= np.pi)):
        raise InputError("colatitude: expected angles from 0 to pi, got others; theta = pi / 2 - latitude, in radians")
    z, quarter = np.cos(theta), np.mod(phi / (np.pi / 2), 4.0)
    # Near the equator the edges of pixels are straight lines in (z, phi).
    up, down = (np.floor(nside * (0.5 + quarter + sign * 0.75 * z)).astype(np.int64) for sign in (-1, 1))
    ring = nside + 1 + up - down
    place = np.mod((up + down - nside + 2 - ring % 2) // 2, 4 * nside)
    equator = 2 * nside * (nside - 1) + (ring - 1) * 4 * nside + place
    part = np.mod(quarter, 1.0)
    width = nside * math.sqrt(6) * np.sin(np.minimum(theta, np.pi - theta) / 2)  # nside sqrt(3 (1 - |z|))
    cap = np.minimum((np.floor(part * width) + np.floor((1 - part) * width)).astype(np.int64) + 1, nside)
    place = np.mod(np.floor(quarter * cap).astype(np.int64), 4 * cap)
    polar = np.where(z > 0, 2 * cap * (cap - 1), 12 * nside**2 - 2 * cap * (cap + 1)) + place
    return np.where(np.abs(z) <= 2 / 3, equator, polar)


@functools.lru_cache(maxsize=4)
def nested_to_ring(nside: int) -> np.ndarray:
    """Return the RING index of every pixel in NESTED order, [pixel], read-only: `ring[nested_to_ring(nside)]` is in NESTED order.

    Raises:
        InputError: nside is not a power of two.
    """
    check_nside(nside, nested=True)
    face, inside = np.divmod(np.arange(12 * nside**2), nside**2)
    index = _ring_index(nside, face, _even_bits(inside, nside), _even_bits(inside >> 1, nside))
    index.setflags(write=False)  # cached: every caller gets the same
    return index


@functools.lru_cache(maxsize=4)
def ring_to_nested(nside: int) -> np.ndarray:
    """Return the NESTED index of every pixel in RING order, [pixel], read-only: the inverse of `nested_to_ring`."""
    index = np.argsort(nested_to_ring(nside))
    index.setflags(write=False)
    return index


def to_ring(nested: Any) -> Any:
    """Reorder maps [..., pixel], arrays of numpy or JAX, from NESTED to RING order."""
    return nested[..., ring_to_nested(nside_of(nested.shape[-1]))]


def to_nested(ring: Any) -> Any:
    """Reorder maps [..., pixel], arrays of numpy or JAX, from RING to NESTED order."""
    return ring[..., nested_to_ring(nside_of(ring.shape[-1]))]


def children(nside: int, factor: int) -> np.ndarray:
    """Return the RING indices at nside `factor` times as large of the factor^2 pixels inside each pixel, [pixel in RING order, child]."""
    check_nside(nside)
    face, x, y = np.ogrid[:12, :nside, :nside]
    found = np.empty((12 * nside**2, factor**2), np.int64)
    found[_ring_index(nside, face, x, y).ravel()] = _parts(nside, factor, face, x, y).reshape(-1, factor**2)
    return found


def pixel_window(nside: int, lmax: int, *, factor: int = 8) -> np.ndarray:
    """Return w_l, l = 0 ... lmax: what averaging over a pixel leaves of a harmonic of degree l, in the mean over pixels, [l].

    w_l^2 is the mean over pixels of the mean of P_l(cos of the distance) over pairs of points in a pixel; the points are the centers of its
    factor^2 parts. A subset of evenly spaced pixels, about 16 on each face, stands for all of them.
    """
    check_nside(nside)
    step = max(1, nside // 4)
    parts = _parts(nside, factor, *np.ogrid[:12, :nside:step, :nside:step])
    points = vectors(nside * factor)[parts.reshape(-1, factor**2)]
    cosine = np.clip(np.einsum("pix,pjx->pij", points, points), -1, 1)
    before, legendre = np.ones_like(cosine), cosine
    means = [1.0, legendre.mean()]
    for degree in range(2, lmax + 1):
        before, legendre = legendre, ((2 * degree - 1) * cosine * legendre - (degree - 1) * before) / degree
        means.append(legendre.mean())
    return np.sqrt(np.array(means[: lmax + 1]))


def _quarter(nside: int, ring: np.ndarray) -> np.ndarray:
    """A quarter of the number of pixels of each ring, counted from 1 at the north pole."""
    return np.minimum(np.minimum(ring, 4 * nside - ring), nside)


def _ring_index(nside: int, face: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The RING index of the pixel in column x (northeast) and row y (northwest) of a face, counted from its southern corner."""
    ring = (2 + face // 4) * nside - x - y - 1
    quarter = _quarter(nside, ring)
    before = np.where(ring < nside, 2 * quarter * (quarter - 1), 2 * nside * (nside - 1) + (ring - nside) * 4 * nside)
    before = np.where(ring > 3 * nside, 12 * nside**2 - 2 * quarter * (quarter + 1), before)
    shift = np.where((ring >= nside) & (ring <= 3 * nside), (ring - nside) % 2, 0)
    middle = 2 * (face % 4) + np.where(face // 4 == 1, 0, 1)  # longitude of the face's center, in units of pi / 4
    place = (middle * quarter + x - y + 1 + shift) // 2 - 1
    return before + np.mod(place, 4 * quarter)


def _parts(nside: int, factor: int, face: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """RING indices at nside times factor of the parts of pixels (face, x, y), [..., x part, y part]."""
    dx, dy = np.ogrid[:factor, :factor]
    return _ring_index(
        nside * factor, face[..., None, None], factor * x[..., None, None] + dx, factor * y[..., None, None] + dy
    )


def _even_bits(number: np.ndarray, nside: int) -> np.ndarray:
    """The number made of every second bit, beginning with the lowest."""
    result = np.zeros_like(number)
    for bit in range(nside.bit_length()):
        result |= ((number >> (2 * bit)) & 1) << bit
    return result
