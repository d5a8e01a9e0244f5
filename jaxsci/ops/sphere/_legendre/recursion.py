"""The recursion of the functions of one order, and odd functions in terms of even ones.

Functions of one order obey y P_j = c_{j+1} P_{j+1} + d_j P_j + c_j P_{j-1}. Rescaled, P_j = s_j Q_j with s_{j+1} = s_{j-1} c_j / c_{j+1},
this needs one multiplication less:

    Q_{j+1} = (a_j y - b_j) Q_j - Q_{j-1}.

Associated Legendre functions go in steps of two degrees. With x = cos(theta), k = l - m and e_k^2 = (l^2 - m^2) / (4 l^2 - 1),
x P_k = e_{k+1} P_{k+1} + e_k P_{k-1}; applied twice, y = x^2, c_j = e_{2j} e_{2j-1} and d_j = e_{2j}^2 + e_{2j+1}^2.
Odd functions are x times even ones: O = x sum_j a'_j P_2j where e_{2j+1} a'_j + e_{2j+2} a'_{j+1} = o_j.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsci.core import Array


class Recursion(NamedTuple):
    """Coefficients of the recursion, each [j, order]."""

    a: Array
    b: Array
    scale: Array  # s_j


class Parity(NamedTuple):
    """What leads from even to odd functions, each [j, order]."""

    before: Array  # e_2j
    inverse: Array  # 1 / e_{2j+1}
    after: Array  # e_{2j+2}


def three_term(c: Array, d: Array) -> Recursion:
    """Return the coefficients from c_1, c_2, ... and d_0, d_1, ..., each [j, order]."""

    def step(last: tuple[Array, Array], ratio: Array) -> tuple[tuple[Array, Array], Array]:
        new = last[0] * ratio
        return (last[1], new), new

    ones = jnp.ones((2, c.shape[1]), c.dtype)
    scale = jnp.concatenate([ones, jax.lax.scan(step, (ones[0], ones[1]), c[:-1] / c[1:])[1]])
    a = scale[:-1] / (scale[1:] * c)
    return Recursion(a, d * a, scale[:-1])


def legendre_recursion(count: int, like: Array) -> tuple[Recursion, Parity]:
    """Return the coefficients for j < `count` and as many orders as the last axis of `like` has, in its dtype."""
    shape = (2 * count + 1, like.shape[-1])
    k = jnp.broadcast_to(jnp.arange(shape[0], dtype=like.dtype)[:, None], shape)
    order = jnp.broadcast_to(jnp.arange(shape[1], dtype=like.dtype)[None, :], shape)
    degree = jnp.maximum(order + k, 1)
    square = k * (degree + order) / (4 * degree * degree - 1)
    e = jnp.sqrt(square)
    found = three_term(e[2::2] * e[1::2], square[1::2] + square[:-1:2])
    return found, Parity(e[:-1:2], 1 / e[1::2], e[2::2])


def even_functions(table: Array, r: Recursion, parity: Parity) -> Array:
    """Turn coefficients of P_2j and P_{2j+1} into those of Q_j in E and O / x: [j, parity, 2 map, order] -> [j, 4 map, order]."""

    def step(last: Array, rows: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        o, inverse, after = rows
        new = (o - after[None] * last) * inverse[None]
        return new, new

    zero = jnp.zeros_like(table[0, 1])
    _, odd = jax.lax.scan(step, zero, (table[:, 1], parity.inverse, parity.after), reverse=True)
    return jnp.concatenate([table[:, 0], odd], axis=1) * r.scale[:, None]


def odd_degrees(table: Array, r: Recursion, parity: Parity) -> Array:
    """Apply the transpose of `even_functions`, o_j = (b_j - e_2j o_{j-1}) / e_{2j+1}: [j, 4 map, order] -> [j, parity, 2 map, order]."""

    def step(last: Array, rows: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        b, before, inverse = rows
        new = (b - before[None] * last) * inverse[None]
        return new, new

    even, odd = jnp.split(table * r.scale[:, None], 2, axis=1)
    _, odd = jax.lax.scan(step, jnp.zeros_like(odd[0]), (odd, parity.before, parity.inverse))
    return jnp.stack([even, odd], axis=1)
