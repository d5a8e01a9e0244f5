"""Associated Legendre functions, orthonormal on the sphere, by the recursion in the degree for all orders at once.

    P_lm = a_lm (x P_l-1,m - b_lm P_l-2,m),     a_lm^2 = (4 l^2 - 1) / (l^2 - m^2),     b_lm = 1 / a_l-1,m,
    P_mm = sqrt((2m + 1)!! / (4 pi (2m)!!)) sin(theta)^m,

is stable toward higher degrees (Holmes and Featherstone 2002, J. Geodesy 76, 279). sin(theta)^m falls below the
smallest number long before P_lm becomes relevant, so everything is carried times 2^SCALE.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.errors import InputError

SCALE = {jnp.dtype(jnp.float64): 800, jnp.dtype(jnp.float32): 90}
MAX_DEGREE = {jnp.dtype(jnp.float64): 3000, jnp.dtype(jnp.float32): 300}


def check_degree(lmax: int, dtype: Any) -> None:
    """Raise InputError where the recursion would underflow in this dtype."""
    dtype = jnp.dtype(dtype)
    if dtype not in SCALE:
        raise InputError(f"spherical harmonics: expected float32 or float64, got {dtype}; convert the array")
    if not 0 <= lmax <= MAX_DEGREE[dtype]:
        remedy = "lower it" if dtype == jnp.float64 else "float64 (jax_enable_x64) reaches 3000"
        raise InputError(f"lmax: expected 0 to {MAX_DEGREE[dtype]} in {dtype}, got {lmax}; {remedy}")


def sectoral(lmax: int) -> np.ndarray:
    """Return P_mm / sin(theta)^m for m = 0 ... lmax."""
    m = np.arange(1, lmax + 1)
    return np.concatenate([[1.0], np.cumprod(np.sqrt((2 * m + 1) / (2 * m)))]) / math.sqrt(4 * math.pi)


def scaled_power(base: Array, exponent: np.ndarray, scale: int) -> Array:
    """Return 2^scale base^exponent for integers >= 0, which underflows only where the product does: base [...] -> [exponent, ...].

    Repeated squaring, because a power function has no second derivative at 0, the poles.
    """
    shape = (len(exponent), *base.shape)

    def power(n: np.ndarray) -> Array:
        result, square = jnp.ones(shape, base.dtype), base
        for bit in range(int(n.max()).bit_length()):
            taken = jnp.asarray((n >> bit) & 1 == 1).reshape(-1, *(1,) * base.ndim)
            result = jnp.where(jnp.broadcast_to(taken, shape), result * jnp.broadcast_to(square, shape), result)
            square = square * square
        return result

    half = exponent // 2
    return power(half) * jnp.asarray(2.0**scale, base.dtype) * power(exponent - half)


class Start(NamedTuple):
    """The start of the recursion, each [order, ...] or [...]."""

    cos: Array
    sectoral: Array  # 2^scale P_mm
    scale: int


def start(theta: Array, lmax: int, *, over_sine: bool = False) -> Start:
    """Return the scaled P_mm, [order, ...]; with `over_sine` P_mm / sin(theta) for m > 0, finite at the poles, and 0 for m = 0."""
    scale = SCALE[theta.dtype]
    orders, first = np.arange(lmax + 1), sectoral(lmax)
    if over_sine:
        first[0] = 0
        orders = np.maximum(orders - 1, 0)
    powers = scaled_power(jnp.sin(theta), orders, scale)
    return Start(jnp.cos(theta), powers * _wide(jnp.asarray(first, theta.dtype), powers), scale)


def scan_degrees(
    start: Start, lmax: int, body: Callable[[Any, Array, Any], tuple[Any, Any]], init: Any, xs: Any
) -> tuple[Any, Any]:
    """Scan `body(carry, P_lm, xs[l])` over l = 0 ... lmax; P_lm [order, ...] has no Condon-Shortley phase and is 0 for m > l."""
    seeds = start.sectoral
    orders = jnp.arange(lmax + 1, dtype=jnp.int32)
    x = jnp.broadcast_to(start.cos, seeds.shape)
    unscale = jnp.asarray(2.0**-start.scale, seeds.dtype)

    def step(carry: Any, this: Any) -> tuple[Any, Any]:
        (last, before, state), (degree, a, b, inputs) = carry, this
        p = _wide(a, seeds) * (x * last - _wide(b, seeds) * before)
        p = jnp.where(_wide(orders == degree, seeds), seeds, p)
        state, output = body(state, p * unscale, inputs)
        return (p, last, state), output

    a, b = coefficients(lmax, seeds.dtype)
    zeros = jnp.zeros_like(seeds)
    (_, _, state), outputs = jax.lax.scan(step, (zeros, zeros, init), (jnp.arange(lmax + 1, dtype=jnp.int32), a, b, xs))
    return state, outputs


def _wide(per_order: Array, like: Array) -> Array:
    return jnp.broadcast_to(per_order.reshape(-1, *(1,) * (like.ndim - 1)), like.shape)


def coefficients(lmax: int, dtype: Any) -> tuple[Array, Array]:
    """Return a_lm and b_lm as [degree, order], 0 for m >= l, where the recursion has not begun."""
    degree = jnp.arange(lmax + 1, dtype=dtype)[:, None]
    m = jnp.arange(lmax + 1, dtype=dtype)[None, :]
    square = (lmax + 1, lmax + 1)
    degree, m = jnp.broadcast_to(degree, square), jnp.broadcast_to(m, square)

    def epsilon_squared(degree: Array) -> Array:
        return (degree - m) * (degree + m) / (4 * degree * degree - 1)

    begun = degree > m
    one = jnp.ones_like(degree)
    a = jnp.where(begun, 1 / jnp.sqrt(jnp.where(begun, epsilon_squared(degree), one)), jnp.zeros_like(degree))
    twice = degree - 1 > m
    b = jnp.sqrt(jnp.where(twice, epsilon_squared(degree - 1), jnp.zeros_like(degree)))
    return a, b


def legendre(theta: Array, lmax: int, *, over_sine: bool = False) -> Array:
    """Return P_lm(cos theta) for all 0 <= m <= l <= lmax, orthonormal, without the Condon-Shortley phase: [...] -> [degree, order, ...].

    With `over_sine`, P_lm / sin(theta) for m > 0 and 0 for m = 0.
    """
    check_degree(lmax, theta.dtype)
    return scan_degrees(start(theta, lmax, over_sine=over_sine), lmax, lambda carry, p, _: (carry, p), None, None)[1]
