"""Sums over degrees and over rings with associated Legendre functions, the core of the transforms.

For every order m, and x = cos(theta) of the northern ring of a pair,

    F(x) = sum_l a_l P_lm(x) = E(x) + O(x),     E from l - m even, O from l - m odd, and F(-x) = E(x) - O(x).

Odd functions are x times even ones, so one recursion in steps of two degrees serves E and O, real and imaginary parts, and all maps (see
`_recursion`). The functions are never stored (`_legendre_table` stores them, for many maps): a block of a few degrees and orders on all
rings is generated and summed at once. Sums over rings are matrix products. Synthesis of few maps fuses recursion and sum in one loop.
XLA:CPU fuses loops with a single output only, so pairs of reals (real and imaginary part, the last two functions of the recursion) are
packed into complex numbers.
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

DEGREES = 8  # even degrees per step: with fewer the loop costs, with more the functions leave the cache
POINTS = 2**12  # orders times rings per step of a matrix product
LOOP_POINTS = 2**14  # the same for a fused loop
SUMS = 2**17  # orders times rings times columns per step


def columns(lmax: int) -> int:
    """Return the number of even degrees l = m + 2j computed for every order: those of m = 0, rounded up to whole steps."""
    return -(-(lmax // 2 + 1) // DEGREES) * DEGREES


def over_degrees(table: Array, band: Band, recursion: Recursion, lmax: int) -> Array:
    """Sum E and O over degrees, sum_j table[j, c, m] Q_j(x_r): [j, (parity, part, map), order] -> complex [(parity, map), ring, order]."""
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
    """Sum over rings, sum_r values[c, r, m] Q_j(x_r): complex [(parity, map), ring, order] -> [j, (parity, part, map), order]."""
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
    """Recursion and sums over degrees as one fused loop: [j, column, order] -> complex [(parity, map), order, ring]."""
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
    """The functions of `size` orders at the first DEGREES even degrees, and the function that leads from one step to the next."""
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
    """Loop `block(first order, result)` over blocks of `size` orders; the last two may overlap."""

    def one(i: Array, result: Array) -> Array:
        return block(jnp.minimum(i * size, orders - size).astype(jnp.int32), result)

    return jax.lax.fori_loop(0, -(-orders // size), one, result)


def _orders_together(band: Band, width: int) -> int:
    """The number of orders per block for which functions and sums stay in the cache."""
    rings = len(band.cos)
    return max(1, min(16, band.mmax + 1, POINTS // rings, SUMS // (rings * width)))


def sectoral(first: Array | int, size: int, mmax: int, band: Band, dtype: Any) -> Array:
    """Return 2^SCALE P_mm of `size` orders from `first` on, [order, ring].

    Without the scale sin(theta)^m falls below the smallest number long before P_lm has grown to a size that matters.
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
    """What multiplies the sums of E and O: 2^-SCALE, and x for odd functions; [(parity, map), ring, 1]."""
    parity = np.stack([np.ones_like(band.cos), band.cos]) * 2.0 ** -SCALE[jnp.dtype(dtype)]
    return jnp.asarray(np.repeat(parity, maps, axis=0), dtype)[:, :, None]


def _square(band: Band, dtype: Any) -> Array:
    return jnp.asarray(band.cos**2, dtype)[None, :]
