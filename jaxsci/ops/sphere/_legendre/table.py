"""Sums over degrees and over rings as matrix products with a table of the associated Legendre functions, which many maps share.

For every order m and parity p of l - m, with T_p[j, r] = P_{m + 2j + p, m}(x_r) on the northern rings,

    over degrees: F_p[c, r] = sum_j a_p[j, c] T_p[j, r],     over rings: a_p[j, c] = sum_r T_p[j, r] F_p[c, r],

where c runs over the real and imaginary parts of all maps. Higher orders have fewer degrees, so the orders are split into a few parts, each
with a table as long as its first order needs. F is transposed between the GEMM layout [order, map, ring] and the ring layout
[map, ring, order] as complex numbers and behind an optimization barrier: unfused, XLA transposes several times faster.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere._conventions import alm_degrees, alm_size
from jaxsci.ops.sphere._legendre.functions import SCALE
from jaxsci.ops.sphere._legendre.recursion import legendre_recursion
from jaxsci.ops.sphere._legendre.sums import Family, sectoral

PARTS = 4  # a single table would be twice as large as needed; four are a quarter too large


def parts(lmax: int) -> list[tuple[int, int, int]]:
    """Return first order, last order + 1 and number of degrees per parity of each part."""
    edges = sorted({(lmax + 1) * i // PARTS for i in range(PARTS + 1)})
    return [(first, last, (lmax - first) // 2 + 1) for first, last in itertools.pairwise(edges)]


def size(rings: int, lmax: int) -> int:
    """Return the number of elements of the tables of so many rings."""
    return sum(2 * (last - first) * count * rings for first, last, count in parts(lmax))


def tables(family: Family, lmax: int, dtype: Any) -> list[Array]:
    """Return P_lm of each part, [parity, order, j, ring]."""
    recursion, parity = legendre_recursion(lmax // 2 + 1, jnp.zeros((lmax + 1,), dtype))
    coefficients = [*recursion, parity.before, parity.inverse]
    cos, square = (jnp.asarray(x, dtype)[None, :] for x in (family.factor[1], family.node))

    def part(first: int, last: int, count: int) -> Array:
        def step(carry: tuple[Array, Array, Array], row: list[Array]) -> tuple[tuple[Array, Array, Array], Array]:
            before, q, odd = carry
            a, b, scale, e_even, inverse = row
            even = scale * q
            odd = (cos * even - e_even * odd) * inverse
            found = jnp.stack([even, odd]) * jnp.asarray(2.0 ** -SCALE[jnp.dtype(dtype)], dtype)
            return (q, (a * square - b) * q - before, odd), found

        start = sectoral(family, first, last - first, 0, len(family.node), dtype)
        zero = jnp.zeros_like(start)
        rows = [x[:count, first:last, None] for x in coefficients]
        return jnp.transpose(jax.lax.scan(step, (zero, start, zero), rows)[1], (1, 2, 0, 3))

    return [part(*one) for one in parts(lmax)]


def over_degrees(functions: Sequence[Array], coefficients: Sequence[Array]) -> Array:
    """Sum over degrees: coefficients of each part, [parity, order, (map, part), j] -> F, complex [(parity, map), ring, order]."""
    found = [jnp.einsum("pmcj,pmjr->pmcr", a, t) for t, a in zip(functions, coefficients, strict=True)]
    values = jnp.concatenate(found, axis=1)
    values = values.reshape(*values.shape[:2], -1, 2, values.shape[-1])
    values = jax.lax.optimization_barrier(jax.lax.complex(values[:, :, :, 0], values[:, :, :, 1]))
    transposed = jnp.transpose(values, (0, 2, 3, 1))
    return transposed.reshape(-1, *transposed.shape[2:])


def over_rings(functions: Sequence[Array], values: Array) -> list[Array]:
    """Sum over rings: F, complex [(parity, map), ring, order] -> coefficients of each part, [parity, order, j, (part, map)]."""
    values = values.reshape(2, -1, *values.shape[1:])
    transposed = jax.lax.optimization_barrier(jnp.transpose(values, (0, 3, 2, 1)))
    transposed = jnp.concatenate([transposed.real, transposed.imag], axis=3)
    found, last = [], 0
    for part in functions:
        first, last = last, last + part.shape[1]
        found.append(jnp.einsum("pmjr,pmrc->pmjc", part, transposed[:, first:last]))
    return found


def unpack(alm: Array, lmax: int) -> list[Array]:
    """[map, 2, a_lm] -> coefficients of each part, [parity, order, (map, part), j], 0 beyond lmax."""
    rows = jnp.pad(alm.reshape(-1, alm.shape[-1]), ((0, 0), (0, 1)))
    found = []
    for first, last, count in parts(lmax):
        parity, m, j = np.ogrid[:2, first:last, :count]
        degree = m + 2 * j + parity
        index = np.where(degree <= lmax, m * (2 * lmax + 1 - m) // 2 + degree, alm_size(lmax))
        taken = jnp.take(rows, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
        found.append(jnp.transpose(taken, (1, 2, 0, 3)))
    return found


def pack(coefficients: Sequence[Array], lmax: int) -> Array:
    """Coefficients of each part, [parity, order, j, (part, map)] -> [map, 2, a_lm]."""
    degree, m = alm_degrees(lmax)
    j, parity = np.divmod(degree - m, 2)
    index, begin = np.zeros_like(degree), 0
    for (first, last, count), part in zip(parts(lmax), coefficients, strict=True):
        place = np.ravel_multi_index((parity, m - first, j), (2, last - first, count), mode="clip")
        index = np.where((m >= first) & (m < last), begin + place, index)
        begin += part.size // part.shape[-1]
    rows = jnp.concatenate([part.reshape(-1, part.shape[-1]) for part in coefficients])
    found = jnp.take(rows, jnp.asarray(index, jnp.int32), axis=0, mode="clip")
    return jnp.transpose(found.reshape(len(m), 2, -1), (2, 1, 0))
