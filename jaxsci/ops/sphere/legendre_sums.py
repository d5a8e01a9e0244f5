"""Sums over degrees and over rings with associated Legendre functions, the core of the transforms.

For every order m, and x = cos(theta) of the northern ring of a pair,

    F(x) = sum_l a_l P_lm(x) = E(x) + O(x),     E from l - m even, O from l - m odd, and F(-x) = E(x) - O(x).

Odd functions are x times even ones: with x P_k = e_{k+1} P_{k+1} + e_k P_{k-1} (k = l - m), O = x sum_j a'_j P_2j where
e_{2j+1} a'_j + e_{2j+2} a'_{j+1} = o_j. So the recursion in steps of two degrees,

    P_k = (A_k x^2 - B_k) P_{k-2} - C_k P_{k-4},

is all that is needed, four sums share it (E and O, real and imaginary parts), and as many for every further map.
The functions are never kept: a few degrees of a few orders on all rings, and at once a matrix product with them.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere.bands import Band
from jaxsci.ops.sphere.legendre import SCALE

Functions: TypeAlias = tuple[Array, ...]  # P_lm of DEGREES even degrees, each [order, ring]

DEGREES = 8  # even degrees a step: fewer and the loop costs, more and the functions leave the cache
POINTS = 2**12  # order times ring of a step
SUMS = 2**17  # times columns


def columns(lmax: int) -> int:
    """How many even degrees l = m + 2j are computed for every order: all of m = 0 and what fills up the last step."""
    return -(-(lmax // 2 + 1) // DEGREES) * DEGREES


def epsilon(order: Array, k: Array) -> Array:
    """e_k^2 = (l^2 - m^2) / (4 l^2 - 1) with l = m + k; 0 for k <= 0."""
    degree = order + k
    begun = k > 0
    return jnp.where(begun, k * (degree + order) / jnp.where(begun, 4 * degree * degree - 1, 1.0), 0.0)


def over_degrees(table: Array, band: Band, lmax: int) -> Array:
    """sum_j table[m, c, j] P_{m+2j,m}(x_r): [order, column, j] -> [order, column, ring]."""
    orders, width, _ = table.shape

    def block(first: Array, rows: Array) -> Array:
        def add(i: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
            p, total = carry
            some = jax.lax.dynamic_slice_in_dim(rows, i * DEGREES, DEGREES, 2)
            return following(i + 1, p), total + some @ jnp.stack(p, axis=1)

        start, following = _recursion(first, rows.shape[0], band, lmax, rows.dtype)
        zero = jnp.zeros((rows.shape[0], width, len(band.cos)), rows.dtype)
        return jax.lax.fori_loop(0, _steps(first, lmax), add, (start, zero))[1]

    return _unscaled(_blocks(block, table, band), orders)


def over_rings(values: Array, band: Band, lmax: int) -> Array:
    """sum_r values[m, c, r] P_{m+2j,m}(x_r), the transpose: [order, column, ring] -> [order, column, j]."""
    orders, width, _ = values.shape

    def block(first: Array, rows: Array) -> Array:
        turned = jnp.swapaxes(rows, 1, 2)

        def add(i: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
            p, total = carry
            some = jnp.stack(p, axis=1) @ turned  # [order, j, column]
            return following(i + 1, p), jax.lax.dynamic_update_slice_in_dim(total, some, i * DEGREES, 1)

        start, following = _recursion(first, rows.shape[0], band, lmax, rows.dtype)
        zero = jnp.zeros((rows.shape[0], columns(lmax), width), rows.dtype)
        return jnp.swapaxes(jax.lax.fori_loop(0, _steps(first, lmax), add, (start, zero))[1], 1, 2)

    return _unscaled(_blocks(block, values, band), orders)


def _steps(first: Array, lmax: int) -> Array:
    return (lmax - first) // (2 * DEGREES) + 1


def _blocks(block: Callable[[Array, Array], Array], data: Array, band: Band) -> Array:
    """`block(first order, rows)` for a few orders at a time."""
    rings = len(band.cos)
    size = max(1, min(16, POINTS // rings, SUMS // (rings * data.shape[1])))
    count = -(-data.shape[0] // size)
    padded = jnp.pad(data, ((0, count * size - data.shape[0]), (0, 0), (0, 0)))
    firsts = size * jnp.arange(count, dtype=jnp.int32)
    found = jax.lax.map(lambda both: block(*both), (firsts, padded.reshape(count, size, *data.shape[1:])))
    return found.reshape(count * size, *found.shape[2:])


def _unscaled(padded: Array, orders: int) -> Array:
    return padded[:orders] * jnp.asarray(2.0 ** -SCALE[padded.dtype], padded.dtype)


def _recursion(
    first: Array, count: int, band: Band, lmax: int, dtype: Any
) -> tuple[Functions, Callable[[Array, Functions], Functions]]:
    """The functions of `count` orders from `first` on, at the first DEGREES even degrees, and how to get the next ones.

    Scaled by 2^SCALE: sin(theta)^m falls below the smallest number long before P_lm has grown to a size that matters.
    """
    shape = (count, len(band.cos))
    order = (first + jnp.arange(count, dtype=jnp.int32)).astype(dtype)[:, None]
    square = jnp.broadcast_to(jnp.asarray(band.cos**2, dtype), shape)
    a, b, c = _coefficients(order, columns(lmax) + DEGREES)
    logarithm = jnp.asarray(np.log(band.sin), dtype)[None, :]
    p = jnp.exp(
        jnp.broadcast_to(order, shape) * logarithm + jnp.broadcast_to(_log_sectoral(first, count, lmax, dtype), shape)
    )

    def further(p: list[Array], rows: list[Array], wanted: range) -> Functions:
        for j in wanted:
            a, b, c = (jnp.broadcast_to(row[:, j : j + 1], shape) for row in rows)
            p = [*p, (a * square - b) * p[-1] - c * p[-2]]
        return tuple(p[-DEGREES:])

    def following(step: Array, p: Functions) -> Functions:
        rows = [jax.lax.dynamic_slice_in_dim(x, step * DEGREES, DEGREES, 1) for x in (a, b, c)]
        return further(list(p[-2:]), rows, range(DEGREES))

    return further([jnp.zeros_like(p), p], [a, b, c], range(1, DEGREES)), following


def _coefficients(order: Array, count: int) -> tuple[Array, Array, Array]:
    """A, B and C of k = 0, 2, 4, ...: [order, j]."""
    k = 2 * jnp.arange(count, dtype=order.dtype)[None, :]
    shape = (order.shape[0], count)
    k, order = jnp.broadcast_to(k, shape), jnp.broadcast_to(order, shape)
    e0, e1, e2, e3 = (epsilon(order, k - i) for i in range(4))
    product = e0 * e1
    a = jnp.where(product > 0, jax.lax.rsqrt(jnp.where(product > 0, product, 1.0)), 0.0)
    return a, (e1 + e2) * a, jnp.sqrt(e2 * e3) * a


def _log_sectoral(first: Array, count: int, lmax: int, dtype: Any) -> Array:
    """log(2^SCALE P_mm / sin(theta)^m), [order, 1]."""
    m = np.arange(1, lmax + count + 1)
    table = np.concatenate([[0.0], np.cumsum(np.log1p(0.5 / m)) / 2]) - 0.5 * math.log(4 * math.pi)
    scaled = jnp.asarray(table + SCALE[jnp.dtype(dtype)] * math.log(2), dtype)
    return jax.lax.dynamic_slice_in_dim(scaled, first, count)[:, None]
