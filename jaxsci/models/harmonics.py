"""Real spherical harmonics as a model that is linear in its coefficients: f(n, a) = sum_lm a_lm Y_lm(n) at a unit vector n.

Orthonormal, int Y_lm Y_l'm' dOmega = delta, without the Condon-Shortley phase: with the normalized Legendre functions P_lm >= 0 just
off the north pole,

    Y_l0 = P_l0(cos theta),  Y_lm = sqrt 2 P_lm cos(m phi),  Y_l-m = sqrt 2 P_lm sin(m phi)   (m > 0),

stored at l^2 + l + m. The geodesist's 4 pi normalized coefficients are a_lm / sqrt(4 pi).
"""

from dataclasses import dataclass
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Key, Model, Params
from jaxsci.ops.sphere._legendre import legendre_over_powers

__all__ = [
    "Config",
    "apply",
    "degrees",
    "from_rings",
    "init",
    "model",
    "on_rings",
    "orders",
    "sine_power",
    "values",
    "vectors",
]


@dataclass(frozen=True)
class Config:
    """The highest degree."""

    lmax: int


def init(key: Key, config: Config) -> Params:
    """`coefficients` [(lmax + 1)^2], zeros: the problem is linear, and the start does not matter."""
    return {"coefficients": jnp.zeros((config.lmax + 1) ** 2, jnp.result_type(float))}


def apply(params: Params, x: Array, config: Config) -> Array:
    """The sum at one unit vector x [3]; scalar."""
    chex.assert_shape(x, (3,))
    return values(x, config.lmax) @ params["coefficients"]


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))


def degrees(lmax: int) -> np.ndarray:
    """The degree l of each coefficient, int [(lmax + 1)^2]."""
    return np.repeat(np.arange(lmax + 1), 2 * np.arange(lmax + 1) + 1)


def orders(lmax: int) -> np.ndarray:
    """The order m of each coefficient, int [(lmax + 1)^2]."""
    return np.concatenate([np.arange(-degree, degree + 1) for degree in range(lmax + 1)])


def values(x: Array, lmax: int) -> Array:
    """All Y_lm at one unit vector x [3]: [(lmax + 1)^2]. Smooth everywhere, the poles included: a polynomial in x."""
    p = legendre_over_powers(x[2], lmax)
    multiple = jnp.arange(lmax + 1)

    def turn(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        c, s = carry  # sin^m theta cos(m phi), sin^m theta sin(m phi)
        return (c * x[0] - s * x[1], s * x[0] + c * x[1]), carry

    start = (jnp.ones((), x.dtype), jnp.zeros((), x.dtype))
    _, (cosine, sine) = jax.lax.scan(turn, start, None, length=lmax + 1)
    factor = jnp.where(multiple > 0, np.sqrt(2.0), 1.0).astype(x.dtype)
    degree, order = degrees(lmax), orders(lmax)
    angular = jnp.where(jnp.asarray(order) >= 0, (factor * cosine)[abs(order)], (factor * sine)[abs(order)])
    return p[degree, abs(order)] * angular


def vectors(theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Unit vectors [..., 3] of colatitudes and longitudes in radians."""
    return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)


def on_rings(cosine: Array, sine: Array, z: Array, longitudes: int) -> Array:
    """Sum of harmonics on circles of latitude: sum_lm P_lm(z) (C_lm cos m phi + S_lm sin m phi), the orthonormal P_lm without phase.

    Args:
        cosine: C [l, m].
        sine: S [l, m].
        z: sine of the latitude of each circle, [circle].
        longitudes: number of points on a circle, at phi = 2 pi k / longitudes; more than 2 lmax.

    Returns:
        [circle, longitude].
    """
    lmax = cosine.shape[0] - 1
    chex.assert_equal_shape([cosine, sine])

    def waves(z: Array) -> Array:
        """The amplitude of each exp(i m phi) on one circle, halved for m > 0 as `irfft` has it."""
        p = legendre_over_powers(z, lmax) * sine_power(z, lmax)[None, :]
        half = jnp.where(jnp.arange(lmax + 1) > 0, 0.5, 1.0).astype(z.dtype)
        return jax.lax.complex(half * jnp.sum(p * cosine, axis=0), -half * jnp.sum(p * sine, axis=0))

    amplitudes = jax.lax.map(waves, z, batch_size=16)
    return longitudes * jnp.fft.irfft(amplitudes, n=longitudes, axis=1)


def from_rings(values: Array, z: Array, weights: Array, lmax: int) -> tuple[Array, Array]:
    """C and S [l, m] of the convention of `on_rings` by quadrature over the circles: exact at Gauss-Legendre nodes, lmax + 1 or more.

    Args:
        values: [circle, longitude], with more than 2 lmax longitudes.
        z: sine of the latitude of each circle, [circle].
        weights: of the quadrature in z, [circle]; their sum is 2.
        lmax: the highest degree.
    """
    waves = jnp.fft.rfft(values, axis=1)[:, : lmax + 1] * (2 * np.pi / values.shape[1])

    def add(total: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
        z, weight, wave = row
        p = legendre_over_powers(z, lmax) * (weight * sine_power(z, lmax))[None, :]
        return total + jnp.stack([p * jnp.real(wave)[None, :], -p * jnp.imag(wave)[None, :]]), None

    twice = jnp.where(jnp.arange(lmax + 1) > 0, 2.0, 1.0).astype(z.dtype)[None, :]
    total, _ = jax.lax.scan(add, jnp.zeros((2, lmax + 1, lmax + 1), z.dtype), (z, weights, waves))
    return total[0] * twice, total[1] * twice


def sine_power(z: Array, lmax: int) -> Array:
    """sin^m theta [m]; 0 where it is below the smallest number."""
    root = jnp.sqrt((1 - z) * (1 + z))
    return root ** jnp.arange(lmax + 1, dtype=z.dtype)
