"""Sums over degrees and over rings with functions that obey a recursion, the core of the transforms.

For every order m, with functions Q_j(y_r) of `_recursion` and columns c (real and imaginary parts, of two kinds, of all maps),

    over degrees: F[c, r] = sum_j t[j, c] Q_j(y_r),     over rings: t[j, c] = sum_r F[c, r] Q_j(y_r).

The functions are never stored (`_legendre.table` stores them, for many maps): those of a block of orders and of rings that stays in the
cache are generated a few degrees at a time and summed at once. Loops over equal blocks are one program whatever the grid; blocks
near the poles, where the functions of an order are negligible, are left out. Sums over rings are matrix products. Sums over degrees fuse
recursion and sum (`_in_one_loop`).

Associated Legendre functions are even or odd about the equator, so the columns are those of the even and of the odd sum, E and O, on the
northern rings only, and y = x^2 serves both (`_recursion`): F(x) = E + O and F(-x) = E - O.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere._bands import north
from jaxsci.ops.sphere._grids import Grid
from jaxsci.ops.sphere._legendre.functions import SCALE
from jaxsci.ops.sphere._legendre.recursion import Recursion

DEGREES = 16  # functions per step: with fewer the loop costs, with more the coefficients leave the cache
TOGETHER = 8  # functions per matrix product
RINGS = 208  # per block; rows of 256 would lie a power of two apart, and push each other out of the cache
POINTS = 2**14  # orders times rings per block of the sum over degrees
ORDERS = 16  # per block of the sum over rings
RESULTS = 10  # per fused loop: with more, XLA computes parts of them before and stores them


class Family(NamedTuple):
    """Functions of all orders on rows of rings: Q_0 = exp(log_m + powers_m . logs_r), and where they matter."""

    node: np.ndarray  # y, [row]
    factor: np.ndarray  # of the two kinds of sums, [2, row]
    logs: np.ndarray  # [2, row]
    powers: np.ndarray  # [2, order]
    log: np.ndarray  # [order]
    functions: np.ndarray  # their number, [order]; falling
    largest: np.ndarray  # the largest order that is not negligible, [row]; rising


@functools.lru_cache(maxsize=32)
def legendre(grid: Grid, lmax: int) -> Family:
    """The associated Legendre functions of even l - m on the northern rings."""
    part, m = north(grid, lmax), np.arange(lmax + 1)
    log = np.concatenate([[0.0], np.cumsum(np.log1p(0.5 / m[1:])) / 2]) - 0.5 * math.log(4 * math.pi)
    logs, powers = np.stack([np.log(part.sin), np.zeros_like(part.sin)]), np.stack([m, np.zeros_like(m)])
    factor = np.stack([np.ones_like(part.cos), part.cos])
    return Family(part.cos**2, factor, logs, powers, log, (lmax - m) // 2 + 1, part.largest)


def columns(family: Family) -> int:
    """Return the number of functions computed for every order: those of the first order, rounded up to whole steps."""
    return -(-int(family.functions[0]) // (2 * DEGREES)) * 2 * DEGREES


def over_degrees(table: Array, family: Family, recursion: Recursion) -> Array:
    """Sum over degrees: [j, (kind, part, map), order] -> complex [(kind, map), row, order]."""
    maps, orders = table.shape[1] // 4, table.shape[2]
    rows, blocks = _blocks(len(family.node), RINGS)
    size, count = _blocks(orders, max(1, POINTS // rows))
    node, factor = _padded(family.node, rows * blocks), _padded(family.factor, rows * blocks)
    factor = np.repeat(factor * 2.0 ** -SCALE[jnp.dtype(table.dtype)], maps, axis=0)[:, :, None]
    starts = _starts(family, size, count, rows, blocks)

    def of_orders(i: Array, result: Array) -> Array:
        first = jnp.minimum(i * size, orders - size).astype(jnp.int32)
        some, a, b = (jax.lax.dynamic_slice_in_dim(x, first, size, x.ndim - 1) for x in (table, *recursion[:2]))
        steps = (_at(family.functions, first) - 1) // (2 * DEGREES) + 1

        def of_rings(k: Array, result: Array) -> Array:
            ring = (k * rows).astype(jnp.int32)
            y, weight = _row(node, ring, rows, table.dtype), _row(factor, ring, rows, table.dtype)
            sums = _loops(some, sectoral(family, first, size, ring, rows, table.dtype), (a, b), y, steps)
            sums = jnp.swapaxes(sums, 1, 2)
            sums = jax.lax.complex(sums.real * weight, sums.imag * weight)
            return jax.lax.dynamic_update_slice(result, sums, (jnp.int32(0), ring, first))

        return jax.lax.fori_loop(_at(starts, i), blocks, of_rings, result)

    zero = jnp.zeros((2 * maps, rows * blocks, orders), table.dtype)
    return jax.lax.fori_loop(0, count, of_orders, jax.lax.complex(zero, zero))[:, : len(family.node)]


def over_rings(values: Array, family: Family, recursion: Recursion) -> Array:
    """Sum over rings, the transpose: complex [(kind, map), row, order] -> [j, (kind, part, map), order]."""
    maps, orders, dtype = len(values) // 2, values.shape[2], values.real.dtype
    rows, blocks = _blocks(len(family.node), RINGS)
    size, count = _blocks(orders, ORDERS)
    node, factor = _padded(family.node, rows * blocks), _padded(family.factor, rows * blocks)
    factor = np.repeat(factor * 2.0 ** -SCALE[jnp.dtype(dtype)], maps, axis=0)[:, :, None]
    starts = _starts(family, size, count, rows, blocks)
    values = jnp.pad(values, ((0, 0), (0, rows * blocks - len(family.node)), (0, 0)))
    functions = columns(family)

    def of_orders(i: Array, result: Array) -> Array:
        first = jnp.minimum(i * size, orders - size).astype(jnp.int32)
        a, b = (jax.lax.dynamic_slice_in_dim(x, first, size, 1) for x in recursion[:2])
        steps = (_at(family.functions, first) - 1) // DEGREES + 1

        def of_rings(k: Array, total: Array) -> Array:
            ring = (k * rows).astype(jnp.int32)
            y, weight = _row(node, ring, rows, dtype), _row(factor, ring, rows, dtype)
            some = jax.lax.dynamic_slice(values, (jnp.int32(0), ring, first), (2 * maps, rows, size))
            some = jnp.stack([some.real * weight, some.imag * weight]).reshape(2, 2, maps, rows, size)
            some = jnp.transpose(some, (4, 3, 1, 0, 2)).reshape(size, rows, 4 * maps)
            start = sectoral(family, first, size, ring, rows, dtype)
            return _products(some, start, (a, b), y, steps, total)

        zero = jnp.zeros((size, functions, 4 * maps), dtype)
        found = jax.lax.fori_loop(_at(starts, i), blocks, of_rings, zero)
        return jax.lax.dynamic_update_slice_in_dim(result, found, first, 0)

    found = jax.lax.fori_loop(0, count, of_orders, jnp.zeros((orders, functions, 4 * maps), dtype))
    return jnp.transpose(found, (1, 2, 0))


def _loops(rows: Array, start: Array, recursion: tuple[Array, Array], node: Array, steps: Array) -> Array:
    """Recursion and sums over degrees as one fused loop: [j, column, order] -> complex [(kind, map), order, ring]."""

    def add(i: Array, carry: list[Array]) -> list[Array]:
        for part in range(2):  # the second loop writes where the first has read: nothing is copied
            first = (2 * i + part) * DEGREES
            a, b, some = (jax.lax.dynamic_slice_in_dim(x, first, DEGREES, 0) for x in (*recursion, rows))
            last, q, *sums = carry
            for j in range(DEGREES):
                sums = [total + some[j, column][:, None] * q for column, total in enumerate(sums)]
                last, q = q, (a[j][:, None] * node[None, :] - b[j][:, None]) * q - last
            carry = _in_one_loop([last, q, *sums])
        return carry

    width, zero = rows.shape[1], jnp.zeros_like(start)
    sums = jnp.stack(jax.lax.fori_loop(0, steps, add, [zero, start, *[zero] * width])[2:])
    sums = sums.reshape(2, 2, width // 4, *start.shape)
    return jax.lax.complex(sums[:, 0], sums[:, 1]).reshape(-1, *start.shape)


def _in_one_loop(arrays: list[Array]) -> list[Array]:
    """The arrays, a few in one loop: XLA:CPU computes several results in one only as a reduction, here the sum of two halves of each."""

    def add(x: list[Array], y: list[Array]) -> list[Array]:
        return [p + q for p, q in zip(x, y, strict=True)]

    found: list[Array] = []
    for some in (arrays[i : i + RESULTS] for i in range(0, len(arrays), RESULTS)):
        halves = [jnp.broadcast_to((x / 2)[..., None], (*x.shape, 2)) for x in some]
        found += jax.lax.reduce(halves, [jnp.zeros((), x.dtype) for x in some], add, (some[0].ndim,))
    return found


def _products(
    rows: Array, start: Array, recursion: tuple[Array, Array], node: Array, steps: Array, total: Array
) -> Array:
    """Add to `total`, [order, j, column], the sums over rings of the functions times [order, ring, column]."""

    def add(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        last, q, total = carry
        for part in range(DEGREES // TOGETHER):
            begin = i * DEGREES + part * TOGETHER
            a, b = (jax.lax.dynamic_slice_in_dim(x, begin, TOGETHER, 0) for x in recursion)
            functions = []
            for j in range(TOGETHER):
                functions.append(q)
                last, q = q, (a[j][:, None] * node[None, :] - b[j][:, None]) * q - last
            found = jnp.stack(functions, axis=1) @ rows
            found = found + jax.lax.dynamic_slice_in_dim(total, begin, TOGETHER, 1)
            total = jax.lax.dynamic_update_slice_in_dim(total, found, begin, 1)
        return last, q, total

    return jax.lax.fori_loop(0, steps, add, (jnp.zeros_like(start), start, total))[2]


def sectoral(family: Family, first: Array | int, size: int, ring: Array | int, rows: int, dtype: Any) -> Array:
    """Return 2^SCALE Q_0 of `size` orders from `first` on and `rows` rings from `ring` on, [order, ring].

    Without the scale sin(theta)^m falls below the smallest number long before P_lm has grown to a size that matters.
    """
    orders = [jax.lax.dynamic_slice_in_dim(jnp.asarray(x, dtype), first, size) for x in (family.log, *family.powers)]
    blocks = -(-len(family.node) // rows)
    logs = [_row(_padded(x, rows * blocks), ring, rows, dtype) for x in family.logs]
    exponent = orders[0][:, None] + sum(p[:, None] * x[None, :] for p, x in zip(orders[1:], logs, strict=True))
    # The root of Q_0, scaled and squared: the logarithm of the scale within the exponential would cost three digits.
    root = jnp.exp(exponent / 2) * jnp.asarray(2.0 ** (SCALE[jnp.dtype(dtype)] // 2), dtype)
    return root * root


def _blocks(length: int, largest: int) -> tuple[int, int]:
    """The size and number of equal blocks, none larger than this; what the last ones hold beyond `length` is a few."""
    count = -(-length // largest)
    return -(-length // count), count


def _padded(rows: np.ndarray, length: int) -> np.ndarray:
    """The last axis extended to this length by the last value."""
    return np.pad(rows, [*((0, 0),) * (rows.ndim - 1), (0, length - rows.shape[-1])], mode="edge")


def _starts(family: Family, size: int, count: int, rows: int, blocks: int) -> np.ndarray:
    """The first block of rings that matters to each block of orders."""
    first = np.minimum(np.arange(count) * size, len(family.log) - size)
    return np.minimum(np.searchsorted(family.largest, first) // rows, blocks - 1)


def _at(values: np.ndarray, index: Array) -> Array:
    return jnp.asarray(values, jnp.int32)[index]


def _row(values: np.ndarray, ring: Array | int, rows: int, dtype: Any) -> Array:
    """Values of `rows` rings, the axis before the last of three, or the only one."""
    return jax.lax.dynamic_slice_in_dim(jnp.asarray(values, dtype), ring, rows, 1 if values.ndim == 3 else 0)
