"""Sums over degrees and over rings with associated Legendre functions, the core of the transforms.

For every order m, and x = cos(theta) of the northern ring of a pair,

    F(x) = sum_l a_l P_lm(x) = E(x) + O(x),     E from l - m even, O from l - m odd, and F(-x) = E(x) - O(x).

Odd functions are x times even ones, so that the recursion in steps of two degrees is all that is needed (see `recursion`): four sums share
it (E and O, real and imaginary parts), and as many for every further map. The functions are never kept here (`legendre_table` keeps them,
for many maps): those of a few degrees and orders on all rings are summed up at once. Over rings this is a matrix product. Over degrees it
is not worth the copies that a product of a few maps makes, and the recursion and the sums are one loop over the rings, run once for each
sum: XLA's loops have one result, so that real and imaginary parts, and the two functions that the recursion goes on with, are complex
numbers.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere._bands import Band
from jaxsci.ops.sphere._legendre import SCALE
from jaxsci.ops.sphere._recursion import Recursion

Functions: TypeAlias = tuple[Array, ...]  # Q_j of DEGREES even degrees, each [order, ring]

DEGREES = 8  # even degrees a step: fewer and the loop costs, more and the functions leave the cache
POINTS = 2**12  # order times ring of a step
LOOP_POINTS = 2**14  # the same without matrix products
SUMS = 2**17  # times columns


def columns(lmax: int) -> int:
    """How many even degrees l = m + 2j are computed for every order: all of m = 0 and what fills up the last step."""
    return -(-(lmax // 2 + 1) // DEGREES) * DEGREES


def over_degrees(table: Array, band: Band, recursion: Recursion, lmax: int) -> Array:
    """E and O, sum_j table[j, c, m] Q_j(x_r): [j, (parity, part, map), order] -> complex [(parity, map), ring, order]."""
    maps, rings, orders = table.shape[1] // 4, len(band.cos), band.mmax + 1
    factor = _factors(band, maps, table.dtype)
    size = min(orders, max(1, LOOP_POINTS // rings))

    def block(first: Array, result: Array) -> Array:
        rows, a, b = (jax.lax.dynamic_slice_in_dim(x, first, size, x.ndim - 1) for x in (table, *recursion[:2]))
        start = sectoral(first, size, band.mmax, band, table.dtype)
        some = jnp.swapaxes(_loops(rows, start, (a, b), band, (lmax - first) // 2 + 1), 1, 2)
        some = jax.lax.complex(some.real * factor, some.imag * factor)
        return jax.lax.dynamic_update_slice_in_dim(result, some, first, 2)

    zero = jnp.zeros((2 * maps, rings, orders), table.dtype)
    return _blocks(block, size, orders, jax.lax.complex(zero, zero))


def over_rings(values: Array, band: Band, recursion: Recursion, lmax: int) -> Array:
    """sum_r values[c, r, m] Q_j(x_r), the transpose: complex [(parity, map), ring, order] -> [j, (parity, part, map), order]."""
    maps, rings, orders = len(values) // 2, len(band.cos), band.mmax + 1
    factor = _factors(band, maps, values.real.dtype)
    parts = jnp.stack([values.real * factor, values.imag * factor]).reshape(2, 2, maps, rings, orders)
    columns_of_rings = jnp.transpose(parts, (4, 1, 0, 2, 3)).reshape(orders, 4 * maps, rings)
    size, count = _orders_together(band, 4 * maps), columns(lmax)

    def block(first: Array, result: Array) -> Array:
        rows = jnp.swapaxes(jax.lax.dynamic_slice_in_dim(columns_of_rings, first, size, 0), 1, 2)
        start, following = _steps(first, size, band, recursion, rows.dtype)

        def add(i: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
            found = jnp.stack(carry[0], axis=1) @ rows
            return following(i + 1, carry[0]), jax.lax.dynamic_update_slice_in_dim(carry[1], found, i * DEGREES, 1)

        zero = jnp.zeros((size, count, 4 * maps), rows.dtype)
        found = jax.lax.fori_loop(0, (lmax - first) // (2 * DEGREES) + 1, add, (start, zero))[1]
        return jax.lax.dynamic_update_slice_in_dim(result, found, first, 0)

    found = _blocks(block, size, orders, jnp.zeros((orders, count, 4 * maps), parts.dtype))
    return jnp.transpose(found, (1, 2, 0))


def _loops(rows: Array, start: Array, recursion: tuple[Array, Array], band: Band, degrees: Array) -> Array:
    """Sums over degrees: [j, column, order] -> complex [(parity, map), order, ring]."""
    count, width, size = rows.shape
    rows = rows.reshape(count, 2, 2, width // 4, size)
    square = _square(band, start.dtype)

    def add(i: Array, carry: tuple[Array, list[Array]]) -> tuple[Array, list[Array]]:
        a, b, some = (jax.lax.dynamic_slice_in_dim(x, i * DEGREES, DEGREES, 0) for x in (*recursion, rows))
        last, q = carry[0].real, carry[0].imag
        functions = []
        for j in range(DEGREES):
            functions.append(q)
            last, q = q, (a[j][:, None] * square - b[j][:, None]) * q - last

        def more(total: Array, column: Array) -> Array:
            return total + sum(column[j][:, None] * functions[j] for j in range(DEGREES))

        sums = [
            jax.lax.complex(more(total.real, some[:, parity, 0, k]), more(total.imag, some[:, parity, 1, k]))
            for total, (parity, k) in zip(carry[1], np.ndindex(2, width // 4), strict=True)
        ]
        return jax.lax.complex(last, q), sums

    zero = jnp.zeros_like(start)
    sums = [jax.lax.complex(zero, zero)] * (width // 2)
    steps = (degrees - 1) // DEGREES + 1
    return jnp.stack(jax.lax.fori_loop(0, steps, add, (jax.lax.complex(zero, start), sums))[1])


def _steps(
    first: Array, size: int, band: Band, recursion: Recursion, dtype: Any
) -> tuple[Functions, Callable[[Array, Functions], Functions]]:
    """The functions of `size` orders at the first DEGREES even degrees, and how to get those of a step from the last ones."""
    start, square = sectoral(first, size, band.mmax, band, dtype), _square(band, dtype)
    coefficients = [jax.lax.dynamic_slice_in_dim(x, first, size, 1) for x in recursion[:2]]

    def further(q: list[Array], a: Array, b: Array) -> Functions:
        for j in range(len(a)):
            q = [*q, (a[j][:, None] * square - b[j][:, None]) * q[-1] - q[-2]]
        return tuple(q[-DEGREES:])

    def following(step: Array, q: Functions) -> Functions:
        a, b = (jax.lax.dynamic_slice_in_dim(x, step * DEGREES - 1, DEGREES, 0) for x in coefficients)
        return further(list(q[-2:]), a, b)

    return further([jnp.zeros_like(start), start], *(x[: DEGREES - 1] for x in coefficients)), following


def _blocks(block: Callable[[Array, Array], Array], size: int, orders: int, result: Array) -> Array:
    """`block(first order, result)` for `size` orders at a time; the last ones may overlap."""

    def one(i: Array, result: Array) -> Array:
        return block(jnp.minimum(i * size, orders - size).astype(jnp.int32), result)

    return jax.lax.fori_loop(0, -(-orders // size), one, result)


def _orders_together(band: Band, width: int) -> int:
    """So many that the functions and the sums stay in the cache."""
    rings = len(band.cos)
    return max(1, min(16, band.mmax + 1, POINTS // rings, SUMS // (rings * width)))


def sectoral(first: Array | int, size: int, mmax: int, band: Band, dtype: Any) -> Array:
    """2^SCALE P_mm of `size` orders of those up to `mmax`, [order, ring].

    Without the scale, sin(theta)^m falls below the smallest number long before P_lm has grown to a size that matters.
    """
    shape = (size, len(band.cos))
    order = (first + jnp.arange(size, dtype=jnp.int32)).astype(dtype)[:, None]
    logarithm = jnp.asarray(np.log(band.sin), dtype)[None, :]
    m = np.arange(1, mmax + 1)
    over_power = np.concatenate([[0.0], np.cumsum(np.log1p(0.5 / m)) / 2]) - 0.5 * math.log(4 * math.pi)
    table = jax.lax.dynamic_slice_in_dim(jnp.asarray(over_power, dtype), first, size)[:, None]
    # The root of P_mm, scaled and squared: the logarithm of the scale within the exponential would cost three digits.
    root = jnp.exp((jnp.broadcast_to(order, shape) * logarithm + table) / 2) * jnp.asarray(
        2.0 ** (SCALE[jnp.dtype(dtype)] // 2), dtype
    )
    return root * root


def _factors(band: Band, maps: int, dtype: Any) -> Array:
    """Of E and O, [(parity, map), ring, order = 1]: without the scale, and times x where they are odd."""
    parity = np.stack([np.ones_like(band.cos), band.cos]) * 2.0 ** -SCALE[jnp.dtype(dtype)]
    return jnp.asarray(np.repeat(parity, maps, axis=0), dtype)[:, :, None]


def _square(band: Band, dtype: Any) -> Array:
    return jnp.asarray(band.cos**2, dtype)[None, :]
