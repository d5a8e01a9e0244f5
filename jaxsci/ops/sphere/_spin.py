"""The operations of the transforms of spin 2: Q and U on the rings of a grid, from E and B, and the adjoint.

With the spin-weighted harmonics (-2)Y_lm = h_lm(theta) exp(i m phi), (+2)Y_lm(theta) = (-1)^(l + m) h_lm(pi - theta) exp(i m phi), and

    Q + i U = -sum_lm (E_lm + i B_lm) (+2)Y_lm,     Q - i U = -sum_lm (E_lm - i B_lm) (-2)Y_lm,

each ring needs two sums over the functions h, one at theta and one at pi - theta. From h_nm of the smallest degree n = max(m, 2),

    h_nm = +- sqrt((2n + 1) / (4 pi) (2n)! / ((n + k)! (n - k)!)) cos(theta / 2)^(m + 2) sin(theta / 2)^|m - 2|,     k = min(m, 2),

the recursion x h_l = e_{l+1} h_{l+1} + d_l h_l + e_l h_{l-1} with e_l^2 = (l^2 - m^2) (l^2 - 4) / (l^2 (4 l^2 - 1)) and
d_l = 2 m / (l (l + 1)) leads to the others (Kostelec and Rockmore 2008, J. Fourier Anal. Appl. 14, 145). It is stable at the poles.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere import _azimuth as azimuth
from jaxsci.ops.sphere._bands import bands, join_pixels, north, split_pixels
from jaxsci.ops.sphere._conventions import alm_degrees, alm_size
from jaxsci.ops.sphere._grids import Grid
from jaxsci.ops.sphere._legendre import sums as legendre_sums
from jaxsci.ops.sphere._legendre.recursion import Recursion, three_term
from jaxsci.ops.sphere._legendre.sums import Family


def synthesis(alm: Array, grid: Grid, lmax: int) -> Array:
    """Real and imaginary parts of E and of B, [map, 4, a_lm] -> Q and U, [map, 2, pixel]."""
    family = _family(grid, lmax)
    table = _unpack(_turned(alm, lmax), lmax, legendre_sums.columns(family))
    recursion = _recursion(len(table), lmax + 1, table.dtype)
    sums = legendre_sums.over_degrees(table * recursion.scale[:, None], family, recursion)
    minus, plus = _by_hemisphere(sums)
    f, g = jnp.flip(plus, 0), minus  # of the mirror image, and of the ring itself
    rows = []
    for band in bands(grid, lmax):
        f_band, g_band = (_merged(x[..., band.first : band.last, : band.mmax + 1]) for x in (f, g))
        rows.append(azimuth.to_rows(f_band, g_band, band))
    maps = len(alm)
    upper, lower = (
        [jnp.concatenate([z.real[half], z.imag[half]]) for z in rows] for half in np.split(np.arange(2 * maps), 2)
    )
    return jnp.swapaxes(join_pixels(upper, lower, grid, lmax).reshape(2, maps, -1), 0, 1)


def adjoint_synthesis(pixels: Array, grid: Grid, lmax: int) -> Array:
    """The transpose, [map, 2, pixel] -> [map, 4, a_lm]."""
    family, maps = _family(grid, lmax), len(pixels)
    found: list[list[Array]] = [[], []]
    upper, lower = split_pixels(jnp.swapaxes(pixels, 0, 1).reshape(2 * maps, -1), grid, lmax)
    for band, *both in zip(bands(grid, lmax), upper, lower, strict=True):
        z = jnp.concatenate([jax.lax.complex(*jnp.split(rows, 2)) for rows in both])
        for total, sums in zip(found, azimuth.from_rows(z, band), strict=True):
            padded = jnp.pad(sums, ((0, 0), (0, 0), (0, lmax - band.mmax)))
            total.append(padded.reshape(2, maps, *padded.shape[1:]))
    f, g = (jnp.concatenate(x, axis=2) for x in found)
    g = g * jnp.asarray(np.arange(lmax + 1) > 0, g.dtype)[None, None, None, :]  # exp(-i m phi) with m > 0
    recursion = _recursion(legendre_sums.columns(family), lmax + 1, pixels.dtype)
    table = legendre_sums.over_rings(_by_row(g, jnp.flip(f, 0)), family, recursion)
    return _returned(_pack(table * recursion.scale[:, None], lmax), lmax)


@functools.lru_cache(maxsize=32)
def _family(grid: Grid, lmax: int) -> Family:
    """The functions h on the northern rings and their mirror images, in turn."""
    part, m = north(grid, lmax), np.arange(lmax + 1)
    degree, least = np.maximum(m, 2), np.minimum(m, 2)
    gamma = np.vectorize(math.lgamma)
    log = 0.5 * (gamma(2 * degree + 1) - gamma(degree + least + 1) - gamma(degree - least + 1))
    log = log + 0.5 * np.log((2 * degree + 1) / (4 * np.pi))
    cosine = np.sqrt((1 + part.cos) / 2)  # of half the colatitude
    sine = part.sin / (2 * cosine)
    logs = np.log(np.stack([_in_turn(cosine, sine), _in_turn(sine, cosine)]))
    node = _in_turn(part.cos, -part.cos)
    powers = np.stack([m + 2, np.abs(m - 2)])
    largest = np.repeat(part.largest, 2)
    return Family(node, np.ones((2, len(node))), logs, powers, log, lmax - degree + 1, largest)


def _in_turn(north: np.ndarray, south: np.ndarray) -> np.ndarray:
    return np.stack([north, south], axis=1).ravel()


def _recursion(count: int, orders: int, dtype: Any) -> Recursion:
    """The coefficients for j < `count`."""
    m = jnp.broadcast_to(jnp.arange(orders, dtype=dtype)[None, :], (count + 1, orders))
    degree = jnp.maximum(m, 2) + jnp.broadcast_to(jnp.arange(count + 1, dtype=dtype)[:, None], m.shape)
    square = (degree - m) * (degree + m) * ((degree - 2) * (degree + 2) / (4 * degree * degree - 1))
    return three_term((jnp.sqrt(square) / degree)[1:], (2 * m / (degree * (degree + 1)))[:-1])


def _degrees(count: int, orders: int) -> tuple[np.ndarray, np.ndarray]:
    j, m = np.ogrid[:count, :orders]
    return np.maximum(m, 2) + j, m


def _by_hemisphere(sums: Array) -> tuple[Array, Array]:
    """[(kind, map), (ring, hemisphere), order] -> for each kind [hemisphere, map, ring, order]."""
    whole = sums.reshape(2, -1, sums.shape[1] // 2, 2, sums.shape[2])
    minus, plus = jnp.moveaxis(whole, 3, 1)
    return minus, plus


def _by_row(minus: Array, plus: Array) -> Array:
    """The inverse of `_by_hemisphere`."""
    whole = jnp.moveaxis(jnp.stack([minus, plus]), 1, 3)
    return whole.reshape(-1, whole.shape[2] * 2, whole.shape[4])


def _merged(values: Array) -> Array:
    return values.reshape(-1, *values.shape[2:])


def _signs(lmax: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-1 times the sign of h of the smallest degree, (-1)^(l + m), and whether there is an imaginary part; each [a_lm]."""
    degree, m = alm_degrees(lmax)
    sign, parity = np.where((m > 2) & (m % 2 == 1), 1.0, -1.0), np.where((degree + m) % 2 == 1, -1.0, 1.0)
    return sign, parity, np.where(m > 0, 1.0, 0.0)


def _turned(alm: Array, lmax: int) -> Array:
    """-(E - i B) and -(-1)^(l + m) (E + i B), with the sign of h: [map, 4, a_lm] -> [map, (kind, part), a_lm]."""
    sign, parity, present = (jnp.asarray(x, alm.dtype)[None, :] for x in _signs(lmax))
    e, e_imag, b, b_imag = (alm[:, i] for i in range(4))
    e_imag, b_imag = e_imag * present, b_imag * present
    parts = [e + b_imag, e_imag - b, parity * (e - b_imag), parity * (e_imag + b)]
    return jnp.stack(parts, axis=1) * sign[None]


def _returned(parts: Array, lmax: int) -> Array:
    """The transpose of `_turned`."""
    sign, parity, present = (jnp.asarray(x, parts.dtype)[None, :] for x in _signs(lmax))
    minus, minus_imag, plus, plus_imag = (parts[:, i] for i in range(4))
    plus, plus_imag = parity * plus, parity * plus_imag
    alm = [minus + plus, (minus_imag + plus_imag) * present, plus_imag - minus_imag, (minus - plus) * present]
    return jnp.stack(alm, axis=1) * sign[None]


def _unpack(parts: Array, lmax: int, functions: int) -> Array:
    """[map, (kind, part), a_lm] -> [j, (kind, part, map), order] with l = max(m, 2) + j, 0 beyond lmax."""
    degree, m = _degrees(functions, lmax + 1)
    index = np.where(degree <= lmax, m * (2 * lmax + 1 - m) // 2 + degree, alm_size(lmax))
    flat = jnp.pad(jnp.swapaxes(parts, 0, 1).reshape(-1, parts.shape[-1]), ((0, 0), (0, 1)))
    return jnp.moveaxis(jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip"), 0, 1)


def _pack(table: Array, lmax: int) -> Array:
    """The transpose: [j, (kind, part, map), order] -> [map, (kind, part), a_lm]; 0 for degrees below 2."""
    degree, m = alm_degrees(lmax)
    j = degree - np.maximum(m, 2)
    index = np.where(j >= 0, j * (lmax + 1) + m, len(table) * (lmax + 1))
    flat = jnp.pad(jnp.moveaxis(table, 1, 0).reshape(table.shape[1], -1), ((0, 0), (0, 1)))
    found = jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
    return jnp.swapaxes(found.reshape(4, -1, len(m)), 0, 1)
