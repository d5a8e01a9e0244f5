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


def columns(lmax: int, maps: int) -> int:
    """How many even degrees l = m + 2j are computed for every order: all of m = 0 and what fills up the last step."""
    together = DEGREES * _batch(maps)
    return -(-(lmax // 2 + 1) // together) * together


def _batch(maps: int) -> int:
    """How many steps of the recursion are gathered for one matrix product: several where it has many columns to work on."""
    return 1 if maps <= 4 else 3


def epsilon(order: Array, k: Array) -> Array:
    """e_k^2 = (l^2 - m^2) / (4 l^2 - 1) with l = m + k; 0 for k <= 0."""
    degree = order + k
    begun = k > 0
    return jnp.where(begun, k * (degree + order) / jnp.where(begun, 4 * degree * degree - 1, 1.0), 0.0)


def over_degrees(table: Array, band: Band, lmax: int) -> Array:
    """sum_j table[m, c, j] P_{m+2j,m}(x_r): [order, 4 map, j] -> [order, 4 map, ring]."""
    orders, width, count = table.shape
    batch = _batch(width // 4)

    def block(first: Array, rows: Array) -> Array:
        start, following = _recursion(first, rows.shape[0], band, count, rows.dtype)

        def add(i: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
            p, functions = _several(i, batch, carry[0], following)
            some = jax.lax.dynamic_slice_in_dim(rows, i * batch * DEGREES, batch * DEGREES, 2)
            return p, carry[1] + some @ functions

        zero = jnp.zeros((rows.shape[0], width, len(band.cos)), rows.dtype)
        return jax.lax.fori_loop(0, _steps(first, lmax, batch), add, (start, zero))[1]

    return _blocks(block, table, band, (orders, width, len(band.cos)))


def over_rings(values: Array, band: Band, lmax: int) -> Array:
    """sum_r values[m, c, r] P_{m+2j,m}(x_r), the transpose: [order, 4 map, ring] -> [order, 4 map, j]."""
    orders, width, _ = values.shape
    batch, count = _batch(width // 4), columns(lmax, width // 4)

    def block(first: Array, rows: Array) -> Array:
        start, following = _recursion(first, rows.shape[0], band, count, rows.dtype)
        turned = jnp.swapaxes(rows, 1, 2)

        def add(i: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
            p, functions = _several(i, batch, carry[0], following)
            some = functions @ turned  # [order, j, column]
            return p, jax.lax.dynamic_update_slice_in_dim(carry[1], some, i * batch * DEGREES, 1)

        zero = jnp.zeros((rows.shape[0], count, width), rows.dtype)
        return jnp.swapaxes(jax.lax.fori_loop(0, _steps(first, lmax, batch), add, (start, zero))[1], 1, 2)

    return _blocks(block, values, band, (orders, width, count))


def _several(
    i: Array, batch: int, p: Functions, following: Callable[[Array, Functions], Functions]
) -> tuple[Functions, Array]:
    """The functions of the next batch, [order, j, ring] from step `i * batch` on, and what the recursion goes on with."""
    if batch == 1:
        return following(i + 1, p), jnp.stack(p, axis=1)

    def fill(k: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
        p, functions = carry
        functions = jax.lax.dynamic_update_slice_in_dim(functions, jnp.stack(p, axis=1), k * DEGREES, 1)
        return following(i * batch + k + 1, p), functions

    orders, rings = p[0].shape
    return jax.lax.fori_loop(0, batch, fill, (p, jnp.zeros((orders, batch * DEGREES, rings), p[0].dtype)))


def _steps(first: Array, lmax: int, batch: int) -> Array:
    return (lmax - first) // (2 * DEGREES * batch) + 1


def _blocks(block: Callable[[Array, Array], Array], data: Array, band: Band, shape: tuple[int, ...]) -> Array:
    """`block(first order, rows)` for a few orders at a time, without the scale of the recursion; the last few may overlap."""
    orders, rings = len(data), len(band.cos)
    size = max(1, min(16, orders, POINTS // rings, SUMS // (rings * data.shape[1])))
    unscale = jnp.asarray(2.0 ** -SCALE[data.dtype], data.dtype)

    def one(i: Array, result: Array) -> Array:
        first = jnp.minimum(i * size, orders - size).astype(jnp.int32)
        some = block(first, jax.lax.dynamic_slice_in_dim(data, first, size, 0)) * unscale
        return jax.lax.dynamic_update_slice_in_dim(result, some, first, 0)

    return jax.lax.fori_loop(0, -(-orders // size), one, jnp.zeros(shape, data.dtype))


def _recursion(
    first: Array, count: int, band: Band, degrees: int, dtype: Any
) -> tuple[Functions, Callable[[Array, Functions], Functions]]:
    """The functions of `count` orders from `first` on at the first DEGREES even degrees, and how to get the next ones.

    Scaled by 2^SCALE: sin(theta)^m falls below the smallest number long before P_lm has grown to a size that matters.
    """
    shape = (count, len(band.cos))
    order = (first + jnp.arange(count, dtype=jnp.int32)).astype(dtype)[:, None]
    square = jnp.broadcast_to(jnp.asarray(band.cos**2, dtype), shape)
    a, b, c = _coefficients(order, degrees + DEGREES)
    logarithm = jnp.asarray(np.log(band.sin), dtype)[None, :]
    p = jnp.exp(
        jnp.broadcast_to(order, shape) * logarithm
        + jnp.broadcast_to(_log_sectoral(first, count, band.mmax, dtype), shape)
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


def _log_sectoral(first: Array, count: int, mmax: int, dtype: Any) -> Array:
    """log(2^SCALE P_mm / sin(theta)^m), [order, 1]."""
    m = np.arange(1, mmax + count + 1)
    table = np.concatenate([[0.0], np.cumsum(np.log1p(0.5 / m)) / 2]) - 0.5 * math.log(4 * math.pi)
    scaled = jnp.asarray(table + SCALE[jnp.dtype(dtype)] * math.log(2), dtype)
    return jax.lax.dynamic_slice_in_dim(scaled, first, count)[:, None]
