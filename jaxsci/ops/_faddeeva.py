"""The Voigt profile: a Breit-Wigner convolved with a Gaussian, by a rational approximation of the Faddeeva function."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxsci._shapes import expect_dtype
from jaxsci.core import Array

_TERMS = 40  # of the expansion: twelve digits in float64 (against scipy.special.wofz in the tests)


@functools.cache
def _coefficients() -> tuple[float, tuple[float, ...]]:
    """The length L and the coefficients of Weideman's expansion, highest power first."""
    samples = 2 * _TERMS
    length = np.sqrt(_TERMS / np.sqrt(2.0))
    t = length * np.tan(np.pi * np.arange(-samples + 1, samples) / (2 * samples))
    values = np.concatenate([[0.0], np.exp(-(t**2)) * (length**2 + t**2)])
    spectrum = np.real(np.fft.fft(np.fft.fftshift(values))) / (2 * samples)
    return float(length), tuple(float(c) for c in spectrum[_TERMS:0:-1])


@jax.custom_jvp
def faddeeva(z: Array) -> Array:
    """w(z) = exp(-z^2) erfc(-i z) for Im z >= 0; complex, any shape, in the precision of z. Derivatives by w' = 2 i / sqrt(pi) - 2 z w.

    Source: Weideman 1994, SIAM J. Numer. Anal. 31, 1497, with N = 40 terms.
    """
    length, coefficients = _coefficients()
    below = length - 1j * z
    ratio = (length + 1j * z) / below
    total = jnp.zeros_like(z)
    for coefficient in coefficients:  # Horner's scheme, unrolled: XLA fuses it into one loop over the elements
        total = total * ratio + coefficient
    return 2 * total / below**2 + 1 / (math.sqrt(math.pi) * below)


@faddeeva.defjvp
def _faddeeva_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # Differentiating the expansion itself would compile forty terms again for every order.
    value = faddeeva(*primals)
    return value, tangents[0] * (2j / math.sqrt(math.pi) - 2 * primals[0] * value)


def voigt(x: Array, center: ArrayLike, width: ArrayLike, resolution: ArrayLike) -> Array:
    """Density at x of a Breit-Wigner (Lorentzian) smeared by a Gaussian, normalized on the whole line.

    V(x) = int BW(m; M, Gamma) N(x - m; sigma) dm = Re w(z) / (sigma sqrt(2 pi)),  z = (x - M + i Gamma / 2) / (sigma sqrt 2).

    Args:
        x: any shape, real floating.
        center: M, scalar, in the unit of x.
        width: Gamma > 0, the full width at half maximum of the Breit-Wigner.
        resolution: sigma > 0 of the Gaussian.

    Returns:
        In the shape and dtype of x, per unit of x.
    """
    expect_dtype("x", x, "floating")
    center, width, resolution = (jnp.asarray(value, x.dtype) for value in (center, width, resolution))
    scale = resolution * math.sqrt(2)
    z = jax.lax.complex((x - center) / scale, jnp.broadcast_to(width / (2 * scale), x.shape))
    return jnp.real(faddeeva(z)) / (resolution * math.sqrt(2 * math.pi))
