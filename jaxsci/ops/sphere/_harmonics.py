"""Spherical harmonics at arbitrary points: the functions, their gradients, and their sums without a design matrix.

Angles are the colatitude theta in [0, pi] and the longitude phi, in radians. In float64 the error is below 1e-11 of the largest function to
degree 2000.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array
from jaxsci.ops.sphere._conventions import HEALPIX, Convention, factor, real_degrees, real_index, real_lmax
from jaxsci.ops.sphere._legendre.functions import check_degree, legendre, scan_degrees, start

STATE = 2**15  # elements of an array of the recursion's state that stays in the cache of a core


def real_harmonics(theta: Array, phi: Array, lmax: int, convention: Convention = HEALPIX) -> Array:
    """Evaluate all real harmonics to degree `lmax` at points: the design matrix of a fit.

    Args:
        theta, phi: angles of one shape [...].
        lmax: the largest degree.
        convention: normalization and phase.

    Returns:
        [..., (lmax + 1)^2] in the order of `jaxsci.ops.sphere`. All derivatives by the angles are finite, also at the poles.

    Raises:
        InputError: the recursion would underflow at this degree in the dtype of the angles.
    """
    expect_shapes("theta [*points], phi [*points]", theta, phi)
    degree, m = real_degrees(lmax)
    p = _columns(legendre(theta, lmax), degree, m)
    return p * _columns_of_order(_fourier(phi, lmax), m) * _real_factor(degree, m, convention, p)


def complex_harmonics(theta: Array, phi: Array, lmax: int, convention: Convention = HEALPIX) -> Array:
    """Evaluate all complex harmonics Y_lm, m = -l ... l, like `real_harmonics`; Y_l,-m = (-1)^m conj(Y_lm) in any convention."""
    expect_shapes("theta [*points], phi [*points]", theta, phi)
    degree, m = real_degrees(lmax)
    p = _columns(legendre(theta, lmax), degree, m)
    sign = np.where((m > 0) & (m % 2 != 0), -1.0, 1.0)  # the Condon-Shortley phase, which for m < 0 cancels
    ratio = _wide(sign * factor(degree, m, convention), p)
    angle = phi[..., None] * _wide(m, jnp.broadcast_to(phi[..., None], p.shape))
    real, imag = p * ratio * jnp.cos(angle), p * ratio * jnp.sin(angle)
    return jax.lax.complex(real, imag)


def harmonic_gradients(theta: Array, phi: Array, lmax: int, convention: Convention = HEALPIX) -> tuple[Array, Array]:
    """Evaluate the gradient of every real harmonic: its components (d/dtheta, 1 / sin(theta) d/dphi) along theta and phi.

    Both are finite at the poles, where they are the limit along the meridian phi. With x = cos(theta) and s = sin(theta) the slope is
    P' = m x (P/s) - sqrt((l - m)(l + m + 1)) P_l,m+1.

    Returns:
        two arrays [..., (lmax + 1)^2].
    """
    expect_shapes("theta [*points], phi [*points]", theta, phi)
    degree, m = real_degrees(lmax)
    order = np.abs(m)
    next_order = _columns(legendre(theta, lmax), degree, np.minimum(order + 1, lmax))  # its factor is 0 where order = l
    over_sine = _columns(legendre(theta, lmax, over_sine=True), degree, order)
    x = jnp.broadcast_to(jnp.cos(theta)[..., None], over_sine.shape)
    lowered = _wide(np.sqrt((degree - order) * (degree + order + 1.0)), next_order) * next_order
    slope = _wide(order, x) * x * over_sine - lowered
    ratio = _real_factor(degree, m, convention, x)
    fourier = _fourier(phi, lmax)
    along_theta = slope * _columns_of_order(fourier, m) * ratio
    along_phi = over_sine * _wide(-m, x) * _columns_of_order(fourier, -m) * ratio
    return along_theta, along_phi


def evaluate(coefficients: Array, theta: Array, phi: Array, convention: Convention = HEALPIX) -> Array:
    """Evaluate a field at points, f(theta, phi) = sum_lm c_lm Y_lm(theta, phi) over real harmonics, without their design matrix.

    The sum runs along the recursion, one block of points after another: memory grows as the points plus lmax^2. The backward pass repeats
    the recursion of a block and keeps all of its degrees, about 32 lmax max(8 lmax, 2^15) bytes.

    Args:
        coefficients: [(lmax + 1)^2], of the dtype of the angles.
        theta, phi: angles of one shape [...].
        convention: of the harmonics.

    Returns:
        [...]. Linear in the coefficients; differentiable by the angles, also at the poles.
    """
    expect_shapes("coefficients [harmonic]", coefficients)
    expect_shapes("theta [*points], phi [*points]", theta, phi)
    lmax = real_lmax(coefficients.size)
    check_degree(lmax, theta.dtype)
    table = _by_degree_and_order(coefficients, lmax, convention)

    @jax.checkpoint
    def block(points: tuple[Array, Array]) -> Array:
        theta, phi = points

        def add(sums: tuple[Array, Array], p: Array, rows: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            cosine, sine = (s + jnp.broadcast_to(row[:, None], p.shape) * p for s, row in zip(sums, rows, strict=True))
            return (cosine, sine), None

        zeros = jnp.zeros((lmax + 1, *theta.shape), table[0].dtype)
        (cosine, sine), _ = scan_degrees(start(theta, lmax), lmax, add, (zeros, zeros), table)
        angle = _orders_times(phi, lmax)
        return jnp.sum(cosine * jnp.cos(angle) + sine * jnp.sin(angle), axis=0)

    size = max(8, STATE // (lmax + 1))
    if isinstance(theta.size, int) and theta.size <= size:
        return block((theta.reshape(-1), phi.reshape(-1))).reshape(theta.shape)
    count = (theta.size + size - 1) // size  # of a symbolic number of points (`jax.export`) too

    def blocks(angles: Array) -> Array:
        padded = jnp.pad(angles.reshape(-1), (0, count * size - angles.size), constant_values=math.pi / 2)
        return padded.reshape(count, size)

    values = jax.lax.map(block, (blocks(theta), blocks(phi)))
    return values.reshape(-1)[: theta.size].reshape(theta.shape)


def _by_degree_and_order(coefficients: Array, lmax: int, convention: Convention) -> tuple[Array, Array]:
    """What multiplies P_lm cos(m phi) and P_lm sin(m phi), each [degree, order]."""
    degree, m = np.meshgrid(np.arange(lmax + 1), np.arange(lmax + 1), indexing="ij")
    order = np.minimum(degree, m)

    def table(sign: int, present: np.ndarray) -> Array:
        values = coefficients[real_index(degree, sign * order)]
        return jnp.where(jnp.asarray(present), values * _real_factor(degree, sign * m, convention, values), 0.0)

    return table(1, m <= degree), table(-1, (m <= degree) & (m > 0))


def _real_factor(degree: np.ndarray, m: np.ndarray, convention: Convention, like: Array) -> Array:
    """Ratio of the real harmonic of the convention to P_lm cos(m phi) or P_l|m| sin(|m| phi)."""
    sign = np.where(m % 2 != 0, -1.0, 1.0)
    return _wide(np.where(m != 0, math.sqrt(2), 1.0) * sign * factor(degree, m, convention), like)


def _orders_times(phi: Array, lmax: int) -> Array:
    """m phi, [order, ...]."""
    shape = (lmax + 1, *phi.shape)
    orders = jnp.arange(lmax + 1, dtype=phi.dtype).reshape(-1, *(1,) * phi.ndim)
    return jnp.broadcast_to(orders, shape) * jnp.broadcast_to(phi, shape)


def _fourier(phi: Array, lmax: int) -> Array:
    """cos(m phi) for m = 0 ... lmax, then sin(m phi): [2 (lmax + 1), ...]."""
    angle = _orders_times(phi, lmax)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])


def _columns_of_order(fourier: Array, m: np.ndarray) -> Array:
    """cos(m phi) where m >= 0 and sin(|m| phi) where m < 0, one for every coefficient, [..., coefficient]."""
    half = len(fourier) // 2
    return jnp.moveaxis(fourier[np.where(m >= 0, m, half - m)], 0, -1)


def _columns(p: Array, degree: np.ndarray, m: np.ndarray) -> Array:
    """P_l|m| of every coefficient, [degree, order, ...] -> [..., coefficient]."""
    return jnp.moveaxis(p[degree, np.abs(m)], 0, -1)


def _wide(numbers: np.ndarray, like: Array) -> Array:
    return jnp.broadcast_to(jnp.asarray(numbers, like.dtype), like.shape)
