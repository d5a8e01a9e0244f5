"""The transform along the rings of a band: Fourier coefficients of every pair of rings to its pixels, and back.

A northern ring f and its mirror image g are one complex sequence f + i g, with two-sided coefficients Z_m. A ring of n pixels cannot tell
the orders m and m + n apart: they are added, and one FFT of length n does the rest, one of all rings where they are equal. In the polar
caps of HEALPix every ring has its own length and its own FFT, and the shortest are products with the matrix of the waves.
(One chirp z-transform of all of them compiles faster, but takes five times as long as many short FFTs.)
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere.bands import Band

SHORT = 32  # rings below this length are not worth an FFT of their own


def to_pixels(north: Array, south: Array, band: Band) -> Array:
    """f(phi_k) = Re(F_0) + 2 sum_{m > 0} Re(F_m exp(i m phi_k)): complex [map, pair, order] of each -> f + i g, [map, pixel]."""
    turn = _phases(band, north.real.dtype)
    positive = (north + 1j * south) * turn
    negative = (jnp.conj(north) + 1j * jnp.conj(south)) * jnp.conj(turn)
    if band.regular:
        return _fft(_wrapped(positive, negative, int(band.length[0]))).reshape(len(north), -1)
    both = jnp.concatenate([jnp.flip(negative[..., 1:], -1), positive], axis=-1)  # m = -mmax ... mmax
    short = _shortest(band)
    within = slice(band.mmax - short.mmax, band.mmax + short.mmax + 1)
    dense = jnp.einsum("arm,rmk->ark", both[:, : len(short.cos), within], _waves(short, both.dtype))
    pixels = _flattened(dense, short)
    if len(short.cos) == len(band.cos):
        return pixels
    index = jnp.asarray(_folded_orders(band, len(short.cos)), jnp.int32)
    padded = jnp.pad(both, ((0, 0), (0, 0), (0, 1))).reshape(len(both), -1)
    folded = jnp.sum(jnp.take(padded, index, axis=1, mode="clip"), axis=1)
    return jnp.concatenate([pixels, *_ffts(folded, band.length[len(short.cos) :])], axis=1)


def from_pixels(pixels: Array, band: Band) -> tuple[Array, Array]:
    """G_m = sum_k f(phi_k) exp(-i m phi_k) of both rings, the transpose: f + i g [map, pixel] -> complex [map, pair, order] twice."""
    turn = jnp.conj(_phases(band, pixels.real.dtype))
    if band.regular:
        spectrum = _fft(pixels.reshape(len(pixels), len(band.length), -1))
        positive, negative = (_unfolded(x, band.mmax + 1) for x in (spectrum, _reversed(spectrum)))
    else:
        short = _shortest(band)
        waves = jnp.conj(_waves(short, pixels.dtype))
        dense = jnp.einsum("ark,rmk->arm", _rows(pixels[:, : short.pixels], short), waves)
        beyond = band.mmax - short.mmax
        both = jnp.pad(dense, ((0, 0), (0, 0), (beyond, beyond)))
        if len(short.cos) < len(band.cos):
            length = band.length[len(short.cos) :]
            spectrum = jnp.concatenate(_ffts(pixels[:, short.pixels :], length), axis=1)
            orders = np.arange(-band.mmax, band.mmax + 1)
            index = (np.cumsum(length) - length)[:, None] + orders % length[:, None]
            long = jnp.take(spectrum, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
            both = jnp.concatenate([both, long], axis=1)
        positive, negative = both[..., band.mmax :], jnp.flip(both[..., : band.mmax + 1], -1)
    positive, negative = positive * turn, jnp.conj(negative * jnp.conj(turn))
    return (positive + negative) * 0.5, (positive - negative) * -0.5j  # a complex division takes five times as long


def mirrored(pixels: Array, band: Band) -> Array:
    """The rings in the reverse order, without the equator: [map, pixel of the northern rings] -> [map, pixel of the southern ones]."""
    if band.regular:
        rows = pixels.reshape(len(pixels), len(band.length), -1)
        return jnp.flip(rows, 1)[:, int(band.equator) :].reshape(len(pixels), -1)
    length = band.length[::-1]
    start = (np.cumsum(band.length) - band.length)[::-1]
    return jnp.take(pixels, jnp.asarray(_ranges(start, length), jnp.int32), axis=1, mode="clip")


def unmirrored(pixels: Array, band: Band) -> Array:
    """The transpose of `mirrored`, 0 on the equator."""
    if band.regular:
        rows = pixels.reshape(len(pixels), len(band.length) - int(band.equator), -1)
        return jnp.pad(jnp.flip(rows, 1), ((0, 0), (0, int(band.equator)), (0, 0))).reshape(len(pixels), -1)
    length = band.length[::-1]
    start = (np.cumsum(length) - length)[::-1]
    return jnp.take(pixels, jnp.asarray(_ranges(start, band.length), jnp.int32), axis=1, mode="clip")


def _fft(values: Array) -> Array:
    return jax.lax.fft(values, jax.lax.FftType.FFT, (values.shape[-1],))


def _ffts(values: Array, lengths: np.ndarray) -> list[Array]:
    """An FFT of each ring of [map, pixel]."""
    ends = np.cumsum(lengths)
    return [_fft(values[:, int(end - n) : int(end)]) for end, n in zip(ends, lengths, strict=True)]


def _phases(band: Band, dtype: Any) -> Array:
    """exp(i m phi0), [map = 1, pair, order]; computed once for rings that begin at the same longitude."""
    phi0, which = np.unique(band.phi0, return_inverse=True)
    turns = jnp.asarray(phi0 / (2 * np.pi), dtype)[:, None] * jnp.arange(band.mmax + 1, dtype=dtype)[None, :]
    return _unit(turns)[which][None]


def _waves(band: Band, dtype: Any) -> Array:
    """exp(2 pi i m k / n), [pair, m = -mmax ... mmax, k]; 0 behind shorter rings."""
    m, k = np.arange(-band.mmax, band.mmax + 1)[:, None], np.arange(band.length.max())
    length = band.length[:, None, None]
    return jnp.asarray(np.where(k < length, np.exp(2j * np.pi * (m * k % length) / length), 0), dtype)


def _unit(turns: Array) -> Array:
    """exp(2 pi i t), by the series of sine and cosine of half the angle: many times as fast as XLA's on a CPU."""
    half = np.pi * (turns - jnp.round(turns))  # from -pi / 2 to pi / 2
    square = half * half

    def series(first: int) -> Array:
        total = jnp.zeros_like(half)
        for n in range(first + 22, first - 1, -2):
            total = total * square + (-1) ** (n // 2) / math.factorial(n)
        return total

    sine, cosine = half * series(1), series(0)
    return jax.lax.complex(1 - 2 * sine * sine, 2 * sine * cosine)


def _shortest(band: Band) -> Band:
    """The rings below SHORT pixels, at least one."""
    count = max(1, int(np.sum(band.length < SHORT)))
    return band.first(count)


def _folded_orders(band: Band, first: int) -> np.ndarray:
    """Where the orders of every pixel of the rings from `first` on lie in [pair, 2 mmax + 2] of two-sided orders, [turn, pixel].

    Order m belongs to the pixel -m mod n, as the FFT has exp(-2 pi i m k / n). The last place of a pair holds 0.
    """
    width = 2 * band.mmax + 2
    ring = np.repeat(np.arange(first, len(band.length)), band.length[first:])
    length, mmax = band.length[ring], band.largest[ring]
    place = _ranges(np.zeros(len(band.length) - first, np.int64), band.length[first:])
    lowest = -mmax + (-place + mmax) % length  # the smallest order from -mmax on that is -place modulo n
    turns = int(np.max((2 * mmax) // length)) + 1
    order = lowest + length * np.arange(turns)[:, None]
    return ring * width + np.where(order <= mmax, order + band.mmax, width - 1)


def _wrapped(positive: Array, negative: Array, length: int) -> Array:
    """Orders m and -m added up at the pixels -m and m modulo n, for m = 0, 1, ... each: [..., order] -> [..., n]."""
    return _reversed(_folded(positive, length)) + _folded(negative.at[..., 0].set(0), length)


def _reversed(values: Array) -> Array:
    """The value at k moved to -k modulo n."""
    return jnp.concatenate([values[..., :1], jnp.flip(values[..., 1:], -1)], axis=-1)


def _folded(values: Array, length: int) -> Array:
    """Added up modulo `length`."""
    turns = -(-values.shape[-1] // length)
    padded = jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, turns * length - values.shape[-1])])
    if turns == 1:
        return padded
    return jnp.sum(padded.reshape(*values.shape[:-1], turns, length), axis=-2)


def _unfolded(values: Array, orders: int) -> Array:
    """The values at m modulo n, the transpose: [..., n] -> [..., order]."""
    length = values.shape[-1]
    return values[..., :orders] if orders <= length else jnp.tile(values, -(-orders // length))[..., :orders]


def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """start, start + 1, ..., start + length - 1 of each, one after another."""
    return np.arange(length.sum()) - np.repeat(np.cumsum(length) - length - start, length)


def _flattened(values: Array, band: Band) -> Array:
    """[map, pair, longitude] -> [map, pixel], without what is behind shorter rings."""
    start = values.shape[-1] * np.arange(len(band.length))
    index = jnp.asarray(_ranges(start, band.length), jnp.int32)
    return jnp.take(values.reshape(len(values), -1), index, axis=1, mode="clip")


def _rows(pixels: Array, band: Band) -> Array:
    """The transpose: [map, pixel] -> [map, pair, longitude], anything behind shorter rings."""
    place = np.arange(band.length.max())
    index = (np.cumsum(band.length) - band.length)[:, None] + np.minimum(place, band.length[:, None] - 1)
    return jnp.take(pixels, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
