"""Sums over degrees and over rings with associated Legendre functions, the core of the transforms.

For every order m, and x = cos(theta) of the northern ring of a pair,

    F(x) = sum_l a_l P_lm(x) = E(x) + O(x),     E from l - m even, O from l - m odd, and F(-x) = E(x) - O(x).

Odd functions are x times even ones, so that the recursion in steps of two degrees is all that is needed (see `recursion`): four sums share
it (E and O, real and imaginary parts), and as many for every further map. The functions are never kept: those of a few degrees and
orders on all rings are summed up at once. For many maps this is a matrix product. For a few it is not worth the copies that a product
makes, and the recursion and the sums are one loop over the rings, run once for each sum: XLA's loops have one result,
so that real and imaginary parts, and the two functions that the recursion goes on with, are complex numbers.
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
from jaxsci.ops.sphere.recursion import Recursion

Functions: TypeAlias = tuple[Array, ...]  # Q_j of DEGREES even degrees, each [order, ring]

DEGREES = 8  # even degrees a step: fewer and the loop costs, more and the functions leave the cache
FEW = 4  # maps up to which sums over degrees are no matrix products
POINTS = 2**12  # order times ring of a step
LOOP_POINTS = 2**13  # the same without matrix products
SUMS = 2**17  # times columns


def columns(lmax: int, maps: int) -> int:
    """How many even degrees l = m + 2j are computed for every order: all of m = 0 and what fills up the last step."""
    together = DEGREES * _batch(maps)
    return -(-(lmax // 2 + 1) // together) * together


def _batch(maps: int) -> int:
    """How many steps of the recursion are gathered for one matrix product: several where it has many columns to work on."""
    return 1 if maps <= FEW else 3


def over_degrees(table: Array, band: Band, recursion: Recursion, lmax: int) -> Array:
    """E and O, sum_j table[j, c, m] Q_j(x_r): [j, (parity, part, map), order] -> complex [(parity, map), ring, order]."""
    maps = table.shape[1] // 4
    few = maps <= FEW
    size = _orders_together(band, LOOP_POINTS if few else POINTS, 1 if few else 4 * maps)
    factor = _factors(band, maps, table.dtype)

    def block(first: Array, result: Array) -> Array:
        rows, a, b = (jax.lax.dynamic_slice_in_dim(x, first, size, x.ndim - 1) for x in (table, *recursion[:2]))
        start = _sectoral(first, size, band, table.dtype)
        sums = (_loops if few else _products)(rows, start, (a, b), band, (lmax - first) // 2 + 1)
        some = jnp.swapaxes(sums * factor, 1, 2)
        return jax.lax.dynamic_update_slice_in_dim(result, some, first, 2)

    zero = jnp.zeros((2 * maps, len(band.cos), band.mmax + 1), table.dtype)
    return _blocks(block, band, size, jax.lax.complex(zero, zero))


def over_rings(values: Array, band: Band, recursion: Recursion, lmax: int) -> Array:
    """sum_r values[c, r, m] Q_j(x_r), the transpose: complex [(parity, map), ring, order] -> [j, (parity, part, map), order]."""
    maps = len(values) // 2
    size = _orders_together(band, POINTS, 4 * maps)
    count = columns(lmax, maps)
    factor = _factors(band, maps, values.real.dtype)

    def block(first: Array, result: Array) -> Array:
        some = jnp.swapaxes(jax.lax.dynamic_slice_in_dim(values, first, size, 2), 1, 2) * factor
        parts = jnp.stack([some.real, some.imag]).reshape(2, 2, maps, size, -1)
        rows = jnp.transpose(parts, (3, 4, 1, 0, 2)).reshape(size, -1, 4 * maps)  # order, ring, column
        a, b = (jax.lax.dynamic_slice_in_dim(x, first, size, 1) for x in recursion[:2])
        start, following = _steps(_sectoral(first, size, band, rows.dtype), (a, b), band)
        batch = _batch(maps)

        def add(i: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
            q, functions = _several(i, batch, carry[0], following)
            return q, jax.lax.dynamic_update_slice_in_dim(carry[1], functions @ rows, i * batch * DEGREES, 1)

        zero = jnp.zeros((size, count, 4 * maps), rows.dtype)
        steps = (lmax - first) // (2 * DEGREES * batch) + 1
        found = jax.lax.fori_loop(0, steps, add, (start, zero))[1]
        return jax.lax.dynamic_update_slice_in_dim(result, jnp.transpose(found, (1, 2, 0)), first, 2)

    return _blocks(block, band, size, jnp.zeros((count, 4 * maps, band.mmax + 1), values.real.dtype))


def _loops(rows: Array, start: Array, recursion: tuple[Array, Array], band: Band, degrees: Array) -> Array:
    """Sums over degrees for a few maps: [j, column, order] -> complex [(parity, map), order, ring]."""
    count, width, size = rows.shape
    rows = rows.reshape(count, 2, 2, width // 4, size)
    square = _square(band, start)

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


def _products(rows: Array, start: Array, recursion: tuple[Array, Array], band: Band, degrees: Array) -> Array:
    """The same for many maps."""
    width, size = rows.shape[1:]
    batch = _batch(width // 4)
    rows = jnp.transpose(rows, (2, 1, 0))
    first, following = _steps(start, recursion, band)

    def add(i: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
        q, functions = _several(i, batch, carry[0], following)
        some = jax.lax.dynamic_slice_in_dim(rows, i * batch * DEGREES, batch * DEGREES, 2)
        return q, carry[1] + some @ functions

    zero = jnp.zeros((size, width, start.shape[1]), rows.dtype)
    sums = jax.lax.fori_loop(0, (degrees - 1) // (DEGREES * batch) + 1, add, (first, zero))[1]
    parts = sums.reshape(size, 2, 2, width // 4, -1)
    both = jax.lax.complex(parts[:, :, 0], parts[:, :, 1])  # order, parity, map, ring
    return jnp.moveaxis(both.reshape(size, width // 2, -1), 0, 1)


def _several(
    i: Array, batch: int, q: Functions, following: Callable[[Array, Functions], Functions]
) -> tuple[Functions, Array]:
    """The functions of the next batch, [order, j, ring] from step `i * batch` on, and what the recursion goes on with."""
    if batch == 1:
        return following(i + 1, q), jnp.stack(q, axis=1)

    def fill(k: Array, carry: tuple[Functions, Array]) -> tuple[Functions, Array]:
        q, functions = carry
        functions = jax.lax.dynamic_update_slice_in_dim(functions, jnp.stack(q, axis=1), k * DEGREES, 1)
        return following(i * batch + k + 1, q), functions

    orders, rings = q[0].shape
    return jax.lax.fori_loop(0, batch, fill, (q, jnp.zeros((orders, batch * DEGREES, rings), q[0].dtype)))


def _steps(
    start: Array, recursion: tuple[Array, Array], band: Band
) -> tuple[Functions, Callable[[Array, Functions], Functions]]:
    """The functions of the first DEGREES even degrees, and how to get those of a step from the last ones."""
    square = _square(band, start)

    def further(q: list[Array], a: Array, b: Array) -> Functions:
        for j in range(len(a)):
            q = [*q, (a[j][:, None] * square - b[j][:, None]) * q[-1] - q[-2]]
        return tuple(q[-DEGREES:])

    def following(step: Array, q: Functions) -> Functions:
        a, b = (jax.lax.dynamic_slice_in_dim(x, step * DEGREES - 1, DEGREES, 0) for x in recursion)
        return further(list(q[-2:]), a, b)

    return further([jnp.zeros_like(start), start], *(x[: DEGREES - 1] for x in recursion)), following


def _blocks(block: Callable[[Array, Array], Array], band: Band, size: int, result: Array) -> Array:
    """`block(first order, result)` for `size` orders at a time; the last ones may overlap."""
    orders = band.mmax + 1

    def one(i: Array, result: Array) -> Array:
        return block(jnp.minimum(i * size, orders - size).astype(jnp.int32), result)

    return jax.lax.fori_loop(0, -(-orders // size), one, result)


def _orders_together(band: Band, points: int, width: int) -> int:
    """So many that the functions and the sums stay in the cache."""
    rings = len(band.cos)
    return max(1, min(16, band.mmax + 1, points // rings, SUMS // (rings * width)))


def _sectoral(first: Array, size: int, band: Band, dtype: Any) -> Array:
    """2^SCALE P_mm, [order, ring]: sin(theta)^m falls below the smallest number long before P_lm has grown to a size that matters."""
    shape = (size, len(band.cos))
    order = (first + jnp.arange(size, dtype=jnp.int32)).astype(dtype)[:, None]
    logarithm = jnp.asarray(np.log(band.sin), dtype)[None, :]
    m = np.arange(1, band.mmax + 1)
    over_power = np.concatenate([[0.0], np.cumsum(np.log1p(0.5 / m)) / 2]) - 0.5 * math.log(4 * math.pi)
    over_power = jnp.asarray(over_power + SCALE[jnp.dtype(dtype)] * math.log(2), dtype)
    over_power = jax.lax.dynamic_slice_in_dim(over_power, first, size)[:, None]
    return jnp.exp(jnp.broadcast_to(order, shape) * logarithm + over_power)


def _factors(band: Band, maps: int, dtype: Any) -> Array:
    """Of E and O, [(parity, map), order = 1, ring]: without the scale, and times x where they are odd."""
    parity = np.stack([np.ones_like(band.cos), band.cos]) * 2.0 ** -SCALE[jnp.dtype(dtype)]
    factor = jnp.asarray(np.repeat(parity, maps, axis=0), dtype)[:, None, :]
    return jax.lax.complex(factor, jnp.zeros_like(factor))


def _square(band: Band, like: Array) -> Array:
    return jnp.asarray(band.cos**2, like.dtype)[None, :]
