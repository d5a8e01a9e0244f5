"""The transform along the rings of a band: Fourier coefficients of every pair of rings to its pixels, and back.

A northern ring f and its mirror image g are one complex sequence f + i g, with two-sided coefficients Z_m. A ring of n pixels cannot tell
the orders m and m + n apart: where all rings of a band are equal, they are added and one FFT does the rest. In the polar caps of
HEALPix every ring has its own n; there

    sum_m Z_m exp(2 pi i m k / n) = c_k sum_m (Z_m c_m) conj(c_{k - m}),     c_j = exp(i pi j^2 / n),

is a convolution, of one length for all of them (chirp z-transform: Rabiner, Schafer and Rader 1969, Bell Syst. Tech. J. 48, 1249).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere.bands import Band


def to_pixels(north: Array, south: Array, band: Band) -> Array:
    """f(phi_k) = Re(F_0) + 2 sum_{m > 0} Re(F_m exp(i m phi_k)): complex [map, pair, order] each -> f + i g, [map, pair, longitude].

    Where rings are shorter than the last one, what follows their pixels is meaningless.
    """
    turn = _phases(band, north.real.dtype)
    positive = (north + 1j * south) * turn
    negative = (jnp.conj(north) + 1j * jnp.conj(south)) * jnp.conj(turn)
    if band.regular:
        return jnp.fft.ifft(_wrap(positive, negative, int(band.length[0])), norm="forward")
    orders, longest = north.shape[-1], int(band.length[-1])
    chirp = _chirps(band, orders + longest - 1, turn.real.dtype)[None]
    kernel = jnp.conj(_mirrored(chirp, orders))
    return _convolved(_two_sided(positive, negative) * _mirrored(chirp[..., :orders], orders), kernel) * chirp[..., :longest]


def from_pixels(pixels: Array, band: Band) -> tuple[Array, Array]:
    """G_m = sum_k f(phi_k) exp(-i m phi_k) of both rings, the transpose: complex [map, pair, longitude] -> [map, pair, order] twice.

    Where rings are shorter than the last one, what follows their pixels must be 0.
    """
    turn = jnp.conj(_phases(band, pixels.real.dtype))
    orders, longest = turn.shape[-1], pixels.shape[-1]
    if band.regular:
        positive, negative = _unwrap(jnp.fft.fft(pixels), orders)
    else:
        chirp = _chirps(band, orders + longest - 1, turn.real.dtype)[None]
        kernel = jnp.flip(_mirrored(chirp, orders), -1)
        found = _convolved(pixels * jnp.conj(chirp[..., :longest]), kernel)
        found = found * jnp.conj(_mirrored(chirp[..., :orders], orders))
        positive, negative = found[..., orders - 1 :], jnp.flip(found[..., :orders], -1)
    positive, negative = positive * turn, jnp.conj(negative * jnp.conj(turn))
    return (positive + negative) / 2, (positive - negative) / 2j


def _phases(band: Band, dtype: Any) -> Array:
    """exp(i m phi0), [map = 1, pair, order]; computed once for rings that begin at the same longitude."""
    phi0, which = np.unique(band.phi0, return_inverse=True)
    angle = jnp.asarray(phi0 / (2 * np.pi), dtype)[:, None] * jnp.arange(band.mmax + 1, dtype=dtype)[None, :]
    return _unit(angle)[which][None]


def _chirps(band: Band, count: int, dtype: Any) -> Array:
    """exp(i pi j^2 / n) of each ring for j = 0 ... count - 1, [pair, j]: of n different values, reduced as integers."""
    j = jnp.arange(count, dtype=jnp.int32)[None, :]
    twice = jnp.asarray(2 * band.length, jnp.int32)[:, None]
    part = (j * j) % twice
    return _unit(part.astype(dtype) / twice.astype(dtype))


def _unit(turns: Array) -> Array:
    """exp(2 pi i t), by the series of sine and cosine of half the angle: several times as fast as XLA's on a CPU."""
    half = np.pi * (turns - jnp.round(turns))  # from -pi / 2 to pi / 2
    square = half * half

    def series(first: int) -> Array:
        total = jnp.zeros_like(half)
        for n in range(first + 22, first - 1, -2):
            total = total * square + (-1) ** (n // 2) / math.factorial(n)
        return total

    sine, cosine = half * series(1), series(0)
    return jax.lax.complex(1 - 2 * sine * sine, 2 * sine * cosine)


def _mirrored(values: Array, orders: int) -> Array:
    """An even function from -(orders - 1) on, from its values at 0, 1, ..."""
    return jnp.concatenate([jnp.flip(values[..., 1:orders], -1), values], axis=-1)


def _two_sided(positive: Array, negative: Array) -> Array:
    return jnp.concatenate([jnp.flip(negative[..., 1:], -1), positive], axis=-1)


def _convolved(values: Array, kernel: Array) -> Array:
    """sum_a values[a] kernel[b - a] for all b where the whole of `values` lies within the kernel."""
    needed, size = kernel.shape[-1], values.shape[-1]
    length = fast_length(needed)
    product = jnp.fft.fft(values, length) * jnp.fft.fft(kernel, length)
    return jnp.fft.ifft(product)[..., size - 1 : needed]


def fast_length(size: int) -> int:
    """The smallest product of powers of 2, 3 and 5 that is not below `size`."""
    odd = (3**i * 5**j for i in range(4) for j in range(4))
    return min(factor * 2 ** max(0, math.ceil(math.log2(size / factor))) for factor in odd)


def _wrap(positive: Array, negative: Array, length: int) -> Array:
    """Coefficients of m = 0, 1, ... and of m = 0, -1, ... (without m = 0) to those of a ring: [..., order] -> [..., length]."""
    orders = positive.shape[-1]
    turns = -(-orders // length)

    def folded(x: Array) -> Array:
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, turns * length - orders)])
        return jnp.sum(padded.reshape(*x.shape[:-1], turns, length), axis=-2)

    return folded(positive) + jnp.roll(jnp.flip(folded(negative.at[..., 0].set(0)), -1), 1, -1)


def _unwrap(spectrum: Array, orders: int) -> tuple[Array, Array]:
    """The coefficients of m = 0, 1, ... and of m = 0, -1, ... on a ring: [..., length] -> [..., order] twice."""
    turns = -(-orders // spectrum.shape[-1])
    reverse = jnp.roll(jnp.flip(spectrum, -1), 1, -1)
    positive, negative = (jnp.tile(x, turns)[..., :orders] for x in (spectrum, reverse))
    return positive, negative
