"""The transform along the rings of a band: from Fourier coefficients of the real values on each ring to its pixels, and back.

On a ring of n pixels the orders m, m + n and n - m alias: fold them, then one real FFT of length n, batched over all rings of equal length.
In the polar caps of HEALPix every ring has a length and an FFT of its own, and the shortest rings are products with the Fourier matrix.
(One chirp z-transform for all of them compiles faster but takes five times as long as many short FFTs.)
"""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere._bands import Band

SHORT = 32  # pixels; rings shorter than this use the Fourier matrix instead of an FFT


def to_pixels(sums: Array, band: Band) -> Array:
    """Evaluate f(phi_k) = Re(F_0) + 2 sum_{m > 0} Re(F_m exp(i m phi_k)) at the pixels: complex [map, ring, order] -> [map, pixel]."""
    if band.regular:
        n = int(band.length[0])
        return _inverse(_folded(_phase_rotated(sums, band), n) * n, n).reshape(len(sums), -1)
    short, long = _short_and_long(band)
    parts = _parts(sums[:, : len(short.cos), : short.mmax + 1])
    once = jnp.asarray(np.where(np.arange(short.mmax + 1) > 0, 2.0, 1.0), parts.dtype)[None, None, None, :]
    pixels = [_flattened(jnp.einsum("iarm,irmk->ark", parts * once, _fourier_matrix(short, parts.dtype)), short)]
    if len(long.cos):
        flat = _phase_rotated(sums[:, len(short.cos) :], long)
        flat = jnp.pad(flat, ((0, 0), (0, 0), (0, 1))).reshape(len(sums), -1)
        same, opposite = (_sum_of(flat, index) for index in _folded_orders(long))
        factor = jnp.asarray(np.repeat(long.length, long.length // 2 + 1), sums.dtype)[None]
        spectrum, end = (same + jnp.conj(opposite)) * factor, 0
        for n in long.length.tolist():
            begin, end = end, end + n // 2 + 1
            pixels.append(_inverse(spectrum[:, begin:end], n))
    return jnp.concatenate(pixels, axis=1)


def from_pixels(pixels: Array, band: Band) -> Array:
    """Sum F_m = sum_k f(phi_k) exp(-i m phi_k) over each ring, the adjoint: [map, pixel] -> complex [map, ring, order]."""
    if band.regular:
        n = int(band.length[0])
        return _phase_rotated(_unfolded(_forward(pixels.reshape(len(pixels), -1, n)), n, band.mmax + 1), band, -1)
    short, long = _short_and_long(band)
    fourier = _fourier_matrix(short, pixels.dtype)
    real, imag = jnp.einsum("ark,irmk->iarm", _rows(pixels[:, : short.pixels], short), fourier)
    sums = [jnp.pad(jax.lax.complex(real, imag), ((0, 0), (0, 0), (0, band.mmax - short.mmax)))]
    if len(long.cos):
        edges = short.pixels + np.concatenate([[0], np.cumsum(long.length)])
        spectra = [_forward(pixels[:, begin:end]) for begin, end in itertools.pairwise(edges.tolist())]
        spectrum = jnp.concatenate(spectra, axis=1)
        index, sign = _unfolded_orders(long)
        found = jnp.take(spectrum, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
        found = jax.lax.complex(found.real, found.imag * jnp.asarray(sign, pixels.dtype)[None])
        sums.append(_phase_rotated(found, long, -1))
    return jnp.concatenate(sums, axis=1)


def mirrored(pixels: Array, band: Band) -> Array:
    """Reverse the order of the rings and drop the equator: [map, pixel of the northern rings] -> [map, pixel of the southern ones]."""
    if band.regular:
        rows = pixels.reshape(len(pixels), len(band.length), -1)
        return jnp.flip(rows, 1)[:, int(band.equator) :].reshape(len(pixels), -1)
    length = band.length[::-1]
    start = (np.cumsum(band.length) - band.length)[::-1]
    return jnp.take(pixels, jnp.asarray(_ranges(start, length), jnp.int32), axis=1, mode="clip")


def unmirrored(pixels: Array, band: Band) -> Array:
    """The transpose of `mirrored`, with 0 on the equator."""
    if band.regular:
        rows = pixels.reshape(len(pixels), len(band.length) - int(band.equator), -1)
        return jnp.pad(jnp.flip(rows, 1), ((0, 0), (0, int(band.equator)), (0, 0))).reshape(len(pixels), -1)
    length = band.length[::-1]
    start = (np.cumsum(length) - length)[::-1]
    return jnp.take(pixels, jnp.asarray(_ranges(start, band.length), jnp.int32), axis=1, mode="clip")


def _inverse(spectrum: Array, n: int) -> Array:
    """1 / n times Re(F_0) + 2 sum_{0 < m < n / 2} Re(F_m exp(2 pi i m k / n)) and, of even n, Re(F_{n/2}) (-1)^k."""
    return jax.lax.fft(spectrum, jax.lax.FftType.IRFFT, (n,))


def _forward(values: Array) -> Array:
    return jax.lax.fft(values, jax.lax.FftType.RFFT, (values.shape[-1],))


def _phase_rotated(sums: Array, band: Band, direction: int = 1) -> Array:
    """F_m exp(i m phi0) with the longitude of each ring's first pixel, or with `direction` -1 its conjugate phase; [map, ring, order]."""
    dtype = sums.real.dtype
    phi0, which = np.unique(band.phi0, return_inverse=True)
    if len(phi0) > 2:
        turns = jnp.asarray(direction * band.phi0 / (2 * np.pi), dtype)[:, None]
        return sums * _unit(turns * jnp.arange(band.mmax + 1, dtype=dtype)[None, :])[None]
    phases = np.exp(direction * 1j * phi0[:, None] * np.arange(band.mmax + 1))
    first = jnp.asarray(which == 0, dtype)[None, :, None]  # weights of a sum, because selecting complex numbers is slow

    def each(phases: np.ndarray) -> Array:
        one, other = (jnp.asarray(x, dtype)[None, None, :] for x in (phases[0], phases[-1]))
        return first * one + (1 - first) * other

    return sums * jax.lax.complex(each(phases.real), each(phases.imag))


def _unit(turns: Array) -> Array:
    """exp(2 pi i t) by the Taylor series of sine and cosine of half the angle, several times faster than XLA's functions on a CPU."""
    half = np.pi * (turns - jnp.round(turns))  # from -pi / 2 to pi / 2
    square = half * half

    def series(first: int) -> Array:
        total = jnp.zeros_like(half)
        for n in range(first + 22, first - 1, -2):
            total = total * square + (-1) ** (n // 2) / math.factorial(n)
        return total

    sine, cosine = half * series(1), series(0)
    return jax.lax.complex(1 - 2 * sine * sine, 2 * sine * cosine)


def _folded(sums: Array, n: int) -> Array:
    """Fold aliased orders: add order m at index m, and its conjugate at -m, modulo n; [..., order] -> [..., n // 2 + 1]."""
    orders, half = sums.shape[-1], n // 2
    before = [(0, 0)] * (sums.ndim - 1)
    if orders > n:
        turns = -(-orders // n)
        m = np.arange(turns * n)
        factor = jnp.asarray(
            np.where((m > 0) & (m % n == 0), 2, 1), sums.dtype
        )  # at index 0 the imaginary parts cancel
        padded = jnp.pad(sums, [*before, (0, turns * n - orders)]) * jnp.broadcast_to(
            factor, (*sums.shape[:-1], len(m))
        )
        sums, orders = jnp.sum(padded.reshape(*sums.shape[:-1], turns, n), axis=-2), n
    same = jnp.pad(sums[..., : half + 1], [*before, (0, max(0, half + 1 - orders))])
    if orders <= n - half:
        return same
    return same + jnp.pad(jnp.conj(jnp.flip(sums[..., n - half :], -1)), [*before, (n - orders + 1, 0)])


def _unfolded(spectrum: Array, n: int, orders: int) -> Array:
    """Read the spectrum at m modulo n: [..., n // 2 + 1] -> [..., order]."""
    if orders <= spectrum.shape[-1]:
        return spectrum[..., :orders]
    whole = jnp.concatenate([spectrum, jnp.conj(jnp.flip(spectrum[..., 1 : n - n // 2], -1))], axis=-1)
    return jnp.concatenate([whole] * -(-orders // n), axis=-1)[..., :orders]


def _folded_orders(band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices into [ring, mmax + 2] of the orders that alias to 0 ... n // 2 of each ring, and to their negatives: [alias, place].

    The last entry of a ring holds 0.
    """
    half = band.length // 2 + 1
    ring = np.repeat(np.arange(len(half)), half)
    n, largest, place = band.length[ring], band.largest[ring], _ranges(np.zeros_like(half), half)
    found = []
    for first in (place, n - place):
        order = first + n * np.arange(int(np.max((largest - first) // n)) + 1)[:, None]
        found.append(ring * (band.mmax + 2) + np.where(order <= largest, order, band.mmax + 1))
    return found[0], found[1]


def _unfolded_orders(band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Index of each order in the concatenated spectra of all rings, and the sign of its imaginary part, [ring, order]."""
    half = band.length // 2 + 1
    n = band.length[:, None]
    place = np.arange(band.mmax + 1) % n
    conjugate = place > n // 2
    return (np.cumsum(half) - half)[:, None] + np.where(conjugate, n - place, place), np.where(conjugate, -1, 1)


def _sum_of(values: Array, index: np.ndarray) -> Array:
    """The sum over the first axis of `index` of [map, index]."""
    return jnp.sum(jnp.take(values, jnp.asarray(index, jnp.int32), axis=1, mode="clip"), axis=1)


def _short_and_long(band: Band) -> tuple[Band, Band]:
    """The band split into rings of fewer than SHORT pixels, at least one, and the others."""
    count = max(1, int(np.sum(band.length < SHORT)))
    return band.part(0, count), band.part(count, len(band.cos))


def _parts(values: Array) -> Array:
    return jnp.stack([values.real, values.imag])


def _fourier_matrix(band: Band, dtype: Any) -> Array:
    """Real and imaginary part of exp(-i m phi_k), [part, ring, order, k]; rings shorter than the longest are padded with 0."""
    m, k = np.arange(band.mmax + 1)[:, None], np.arange(band.length.max())
    length, phi0 = band.length[:, None, None], band.phi0[:, None, None]
    fourier = np.where(k < length, np.exp(-1j * (m * phi0 + 2 * np.pi * (m * k % length) / length)), 0)
    return jnp.asarray(np.stack([fourier.real, fourier.imag]), dtype)


def _flattened(values: Array, band: Band) -> Array:
    """[map, ring, longitude] -> [map, pixel], without the padding of shorter rings."""
    start = values.shape[-1] * np.arange(len(band.length))
    index = jnp.asarray(_ranges(start, band.length), jnp.int32)
    return jnp.take(values.reshape(len(values), -1), index, axis=1, mode="clip")


def _rows(pixels: Array, band: Band) -> Array:
    """The transpose: [map, pixel] -> [map, ring, longitude]; the padding of shorter rings holds arbitrary values."""
    place = np.arange(band.length.max())
    index = (np.cumsum(band.length) - band.length)[:, None] + np.minimum(place, band.length[:, None] - 1)
    return jnp.take(pixels, jnp.asarray(index, jnp.int32), axis=1, mode="clip")


def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Concatenate the ranges start, start + 1, ..., start + length - 1."""
    return np.arange(length.sum()) - np.repeat(np.cumsum(length) - length - start, length)
