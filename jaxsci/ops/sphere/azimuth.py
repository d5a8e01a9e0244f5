"""The transform along the rings: Fourier coefficients of every ring to its pixels, and the transpose.

A ring of n pixels cannot tell the orders m and m + n apart: the coefficients are wrapped to n of them, and one FFT of
length n does the rest. HEALPix has nside different lengths; each is one FFT of both rings, north and south, and of all maps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere.grids import Grid, rings


class Group(NamedTuple):
    """Rings of the same length."""

    length: int
    index: np.ndarray


def groups(grid: Grid) -> list[Group]:
    """The rings by length, in the order of the first of each."""
    length = rings(grid).length
    _, first = np.unique(length, return_index=True)
    return [Group(int(length[i]), np.flatnonzero(length == length[i])) for i in np.sort(first)]


def phases(grid: Grid, orders: int, dtype: jnp.dtype) -> Array:
    """exp(i m phi0) of each ring, [ring, order], computed once for rings that begin at the same longitude."""
    phi0, which = np.unique(rings(grid).phi0, return_inverse=True)
    angle = jnp.asarray(phi0, dtype)[:, None] * jnp.arange(orders, dtype=dtype)[None, :]
    return jax.lax.complex(jnp.cos(angle), jnp.sin(angle))[which]


def to_pixels(fourier: Array, grid: Grid) -> Array:
    """f(phi_k) = sum_m Re(F_m exp(i m phi_k)) on every ring: complex [map, ring, order] -> real [map, pixel]."""
    half = 0.5 * fourier * phases(grid, fourier.shape[-1], fourier.real.dtype)[None]
    parts = {}
    for length, index in groups(grid):
        values = jnp.fft.irfft(_wrap(half[:, index], length), n=length, norm="forward")
        if _adjacent(index):
            parts[index[0]] = values.reshape(len(values), -1)
        else:
            parts |= {ring: values[:, k] for k, ring in enumerate(index)}
    return jnp.concatenate([parts[ring] for ring in sorted(parts)], axis=1)


def from_pixels(maps: Array, grid: Grid, orders: int) -> Array:
    """F_m = sum_k f(phi_k) exp(-i m phi_k) on every ring: real [map, pixel] -> complex [map, ring, order]."""
    start = rings(grid).start
    parts = {}
    for length, index in groups(grid):
        if _adjacent(index):
            values = maps[:, start[index[0]] : start[index[-1]] + length].reshape(len(maps), len(index), length)
        else:
            values = jnp.stack([maps[:, start[ring] : start[ring] + length] for ring in index], axis=1)
        fourier = _unwrap(jnp.fft.rfft(values), length, orders)
        if _adjacent(index):
            parts[index[0]] = fourier
        else:
            parts |= {ring: fourier[:, k : k + 1] for k, ring in enumerate(index)}
    together = jnp.concatenate([parts[ring] for ring in sorted(parts)], axis=1)
    return together * jnp.conj(phases(grid, orders, maps.dtype))[None]


def _adjacent(index: np.ndarray) -> bool:
    return bool(np.all(np.diff(index) == 1))


def _wrap(half: Array, length: int) -> Array:
    """Halved coefficients of m = 0, 1, ... to the half spectrum of a real ring: [..., order] -> [..., length // 2 + 1]."""
    orders = half.shape[-1]
    turns = -(-orders // length)
    padded = jnp.pad(half, [(0, 0)] * (half.ndim - 1) + [(0, turns * length - orders)])
    positive = jnp.sum(padded.reshape(*half.shape[:-1], turns, length), axis=-2)
    negative = jnp.conj(jnp.roll(jnp.flip(positive, -1), 1, -1))
    return (positive + negative)[..., : length // 2 + 1]


def _unwrap(spectrum: Array, length: int, orders: int) -> Array:
    """The half spectrum of a real ring to the coefficients of m = 0, 1, ...: [..., length // 2 + 1] -> [..., order]."""
    negative = jnp.conj(jnp.flip(spectrum[..., 1 : (length + 1) // 2], -1))
    whole = jnp.concatenate([spectrum, negative], axis=-1)
    return jnp.tile(whole, -(-orders // length))[..., :orders]
