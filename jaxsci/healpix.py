"""The pixels of HEALPix: numbers, places and orderings (Gorski et al. 2005, Astrophys. J. 622, 759)."""

import numpy as np

from jaxsci.errors import InputError


def nside_of(pixels: int) -> int:
    """nside of a map of this many pixels, 12 nside^2.

    Raises:
        InputError: there is no such map, or nside is not a power of two.
    """
    nside = round(np.sqrt(pixels / 12))
    if pixels != 12 * nside**2 or nside < 1 or nside & (nside - 1):
        raise InputError(
            f"HEALPix map: expected 12 nside^2 pixels with nside a power of two, got {pixels:,}; give a whole-sky map"
        )
    return nside


def angles(nside: int) -> tuple[np.ndarray, np.ndarray]:
    """Colatitude theta and longitude phi in radians of all pixel centers in RING order, each [pixel]."""
    ring = np.arange(1, 4 * nside)
    cap = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    polar = cap < nside
    z = np.where(polar, 1 - cap**2 / (3 * nside**2), 0)
    z = np.where(polar, np.where(ring > 2 * nside, -z, z), (4 - 2 * ring / nside) / 3)
    shift = np.where(polar, 0.5, ((ring - nside + 1) % 2) / 2)
    counts = 4 * cap
    inside = np.arange(12 * nside**2) - np.repeat(np.cumsum(counts) - counts, counts)
    phi = (inside + np.repeat(shift, counts)) * np.repeat(np.pi / (2 * cap), counts)
    return np.arccos(np.repeat(z, counts)), phi


def pixel_of(nside: int, theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Numbers in RING order of the pixels at these angles in radians, of any shape."""
    z, quarter = np.cos(theta), np.mod(phi / (np.pi / 2), 4.0)
    za, part = np.abs(z), np.mod(quarter, 1.0)
    # Near the equator rings are straight lines in (z, phi).
    up, down = (np.floor(nside * (0.5 + quarter + sign * 0.75 * z)).astype(np.int64) for sign in (-1, 1))
    ring = nside + 1 + up - down
    place = np.mod((up + down - nside + 2 - ring % 2) // 2, 4 * nside)
    equator = 2 * nside * (nside - 1) + (ring - 1) * 4 * nside + place
    width = nside * np.sqrt(3 * (1 - za))
    cap = np.minimum((np.floor(part * width) + np.floor((1 - part) * width)).astype(np.int64) + 1, nside)
    place = np.mod(np.floor(quarter * cap).astype(np.int64), 4 * cap)
    polar = np.where(z > 0, 2 * cap * (cap - 1), 12 * nside**2 - 2 * cap * (cap + 1)) + place
    return np.where(za <= 2 / 3, equator, polar)


def ring_of_nested(nside: int) -> np.ndarray:
    """The number in RING order of each pixel in NESTED order [pixel]; `ring[ring_of_nested(nside)] = nested` reorders a map."""
    nested = np.arange(12 * nside**2, dtype=np.int64)
    face, inside = nested // nside**2, nested % nside**2
    x, y = _even_bits(inside), _even_bits(inside >> 1)
    ring = (2 + face // 4) * nside - x - y - 1
    cap = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    before = np.where(ring < nside, 2 * cap * (cap - 1), 2 * nside * (nside - 1) + (ring - nside) * 4 * nside)
    before = np.where(ring > 3 * nside, 12 * nside**2 - 2 * cap * (cap + 1), before)
    shift = np.where((ring >= nside) & (ring <= 3 * nside), (ring - nside) % 2, 0)
    column = np.where(face // 4 == 1, 2 * (face % 4), 2 * (face % 4) + 1)  # of the face's middle, in eighths of a turn
    place = (column * cap + x - y + 1 + shift) // 2 - 1
    return before + np.mod(place, 4 * cap)


def _even_bits(numbers: np.ndarray) -> np.ndarray:
    """Bits 0, 2, 4, ... of each number put together."""
    result = np.zeros_like(numbers)
    for bit in range(30):
        result |= ((numbers >> (2 * bit)) & 1) << bit
    return result


def pixel_window(nside: int, lmax: int, *, level: int = 3) -> np.ndarray:
    """w_l [l] for l <= lmax: what averaging over a pixel leaves of a harmonic of degree l, in the mean over pixels.

    w_l^2 is the mean over pixels of the mean of P_l(cos of the angle) over pairs of points in a pixel; the points are the centers
    of its 4^level parts, the pixels every 12 nside^2 / 192-th.
    """
    fine = nside << level
    nested = ring_of_nested(fine)
    theta, phi = (a[nested] for a in angles(fine))
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    points = points.reshape(12 * nside**2, 4**level, 3)[:: max(1, nside**2 // 16)]
    cosine = np.clip(np.einsum("pix,pjx->pij", points, points), -1, 1)
    before, legendre = np.ones_like(cosine), cosine
    means = [1.0, legendre.mean()]
    for degree in range(2, lmax + 1):
        before, legendre = legendre, ((2 * degree - 1) * cosine * legendre - (degree - 1) * before) / degree
        means.append(legendre.mean())
    return np.sqrt(np.array(means[: lmax + 1]))
