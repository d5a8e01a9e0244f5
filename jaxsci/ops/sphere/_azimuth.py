"""The transform along the rings of a band: from the Fourier coefficients of complex values on each ring to its pixels, and back.

A complex field holds two real ones: the northern ring and its mirror image, or Q and U. With F_m of exp(i m phi) and conj(G_m) of
exp(-i m phi) it is

    z_k = sum_{m >= 0} F_m exp(i m phi_k) + sum_{m > 0} conj(G_m) exp(-i m phi_k),     phi_k = phi0 + 2 pi k / n.

On rings of one length this is an FFT, with the orders m, m + n, ... folded together. The rings of HEALPix's polar caps all have different
lengths: for them 2 m k = m^2 + k^2 - (k - m)^2 turns the sum into a convolution with a chirp (Bluestein 1970), by FFTs of a length that
fits many rings. One FFT for every ring would be hundreds of programs to compile.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere._bands import Band


def to_rows(f: Array, g: Array, band: Band) -> Array:
    """Evaluate z at the pixels: F and G, complex [map, ring, order] -> complex [map, ring, width]; beyond a ring's length it is 0."""
    if band.chirp == 0:
        n = band.width
        f, g = _rotated(f, band), _rotated(g, band)
        return jax.lax.fft(_folded(f, n) + _reversed(_folded(_without_zero(g), n)), jax.lax.FftType.IFFT, (n,)) * n
    table, kernel = _chirp(band, f.real.dtype)
    turned = _shifted(band, f.real.dtype)
    f, g = f * turned[0][None], g * turned[1][None]
    missing = jnp.zeros((*f.shape[:2], band.chirp - 2 * band.mmax - 1), f.dtype)
    rows = jnp.concatenate([f, missing, jnp.conj(jnp.flip(g[:, :, 1:], -1))], axis=-1)
    found = _fft(_fft(rows) * kernel[None], inverse=True)
    return found[:, :, : band.width] * table[None]


def from_rows(z: Array, band: Band) -> tuple[Array, Array]:
    """Sum F_m = sum_k z_k exp(-i m phi_k) and G_m, the same of conj(z): complex [map, ring, width] -> twice complex [map, ring, order]."""
    if band.chirp == 0:
        z = _fft(z)
        f, g = _unfolded(z, band.mmax + 1), _unfolded(jnp.conj(_reversed(z)), band.mmax + 1)
        return _rotated(f, band, -1), _rotated(g, band, -1)
    table, kernel = _chirp(band, z.real.dtype)
    turned = _shifted(band, z.real.dtype)
    rows = jnp.pad(z * jnp.conj(table)[None], ((0, 0), (0, 0), (0, band.chirp - band.width)))
    found = _fft(_fft(rows) * jnp.conj(kernel)[None], inverse=True)
    f, g = found[:, :, : band.mmax + 1], jnp.conj(_reversed(found)[:, :, : band.mmax + 1])
    return f * jnp.conj(turned[0])[None], g * jnp.conj(turned[1])[None]


def _fft(values: Array, *, inverse: bool = False) -> Array:
    kind = jax.lax.FftType.IFFT if inverse else jax.lax.FftType.FFT
    return jax.lax.fft(values, kind, (values.shape[-1],))


def _folded(values: Array, n: int) -> Array:
    """Add up what aliases: order m at index m modulo n, [..., order] -> [..., n]."""
    turns = -(-values.shape[-1] // n)
    padded = jnp.pad(values, ((0, 0), (0, 0), (0, turns * n - values.shape[-1])))
    return jnp.sum(padded.reshape(*values.shape[:-1], turns, n), axis=-2) if turns > 1 else padded


def _unfolded(spectrum: Array, orders: int) -> Array:
    """Read a spectrum at m modulo n: [..., n] -> [..., order]."""
    turns = -(-orders // spectrum.shape[-1])
    return jnp.concatenate([spectrum] * turns, axis=-1)[..., :orders]


def _reversed(values: Array) -> Array:
    """Index k goes to -k modulo n."""
    return jnp.concatenate([values[..., :1], jnp.flip(values[..., 1:], -1)], axis=-1)


def _without_zero(g: Array) -> Array:
    """conj(G_m) for m > 0, and 0 for m = 0."""
    return jnp.pad(jnp.conj(g[:, :, 1:]), ((0, 0), (0, 0), (1, 0)))


def _rotated(values: Array, band: Band, direction: int = 1) -> Array:
    """Multiply by exp(i m phi0) with the longitude of each ring's first pixel, or with `direction` -1 by its conjugate."""
    phi0, which = np.unique(band.phi0, return_inverse=True)
    if not phi0.any():
        return values
    dtype = values.real.dtype
    phases = np.exp(direction * 1j * phi0[:, None] * np.arange(band.mmax + 1))
    # Rings of one length have one or two first longitudes: weights of a sum, because selecting complex numbers is slow.
    first = jnp.asarray(which == 0, dtype)[:, None]

    def each(part: np.ndarray) -> Array:
        one, other = (jnp.asarray(x, dtype)[None, :] for x in (part[0], part[-1]))
        return first * one + (1 - first) * other

    return values * jax.lax.complex(each(phases.real), each(phases.imag))[None]


def _chirp(band: Band, dtype: Any) -> tuple[Array, Array]:
    """h_k = exp(i pi k^2 / n) of the pixels, 0 beyond them, [ring, width]; and the spectrum of conj(h), [ring, chirp]."""
    reach = band.width + band.mmax
    whole = _unit(_squares(band, reach, dtype))
    inside = jnp.asarray(np.arange(band.width) < band.length[:, None], whole.dtype)
    behind = jnp.conj(jnp.flip(whole[:, 1 : band.mmax + 1], -1))
    between = jnp.zeros((len(band.length), band.chirp - reach - band.mmax), whole.dtype)
    kernel = jnp.concatenate([jnp.conj(whole), between, behind], axis=-1)
    return whole[:, : band.width] * inside, _fft(kernel)


def _shifted(band: Band, dtype: Any) -> Array:
    """h_m exp(i m phi0), and conj(h_m) exp(i m phi0), of each order, [2, ring, order]."""
    squares = _squares(band, band.mmax + 1, dtype)
    turns = jnp.asarray(band.phi0 / (2 * np.pi), dtype)[:, None] * jnp.arange(band.mmax + 1, dtype=dtype)[None, :]
    return _unit(jnp.stack([turns + squares, turns - squares]))


def _squares(band: Band, count: int, dtype: Any) -> Array:
    """k^2 / 2n modulo 1, exactly reduced, [ring, k]."""
    shape = (len(band.length), count)
    k = jax.lax.broadcasted_iota(jnp.uint32, shape, 1)
    twice = jnp.broadcast_to(jnp.asarray(2 * band.length, jnp.uint32)[:, None], shape)
    return (k * k % twice).astype(dtype) / twice.astype(dtype)


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
