"""Convolution at stride 1 by minimal filtering: fewer products, for windows of 2 to 5.

In one dimension, m neighbouring outputs of a window of r elements need r m products directly, and n = m + r - 1 products as

    y = A^T ((G k) * (B^T d))

for the n inputs d (Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, arXiv:1509.09308). The matrices come from
evaluating polynomials at n points, infinity among them; several dimensions apply them to one axis after the other, and sum over channels
between the two transformations: a matrix product for each of the n^dimensions elements. Here n = 6, so that a 3 x 3 or 4 x 4 window in two
dimensions needs a quarter of the products.

The points 0, +-3/4, +-3/2 and infinity were chosen among those with few digits for the smallest rounding error: in float32 an error of 8e-7
of the standard deviation of the result (root mean square) and 7e-6 (largest of many), against 3e-7 and 2e-6 of direct sums. An infinity or
a NaN reaches all outputs of its tile.
"""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsci.core import Array
from jaxsci.ops import convolution_blocks as blocks
from jaxsci.ops.convolution_sizes import Geometry

POINTS = (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2))
ELEMENTS = len(POINTS) + 1  # n
OUTPUT_BYTES = 4 * 2**20  # of transformed input, so that a block stays in the cache
KERNEL_BYTES = 12 * 2**20  # of both operands; longer sums are faster
EXAMPLES_BYTES = 4 * 2**20  # of both operands and the result, where each example has its own


class Matrices(NamedTuple):
    """The transformations of one dimension."""

    output: np.ndarray  # A^T [m, n]
    kernel: np.ndarray  # G [n, r]
    input: np.ndarray  # B^T [n, n]


@functools.cache
def matrices(window: int) -> Matrices:
    """A^T, G and B^T for a window of r elements and tiles of m = 7 - r outputs.

    The product of two polynomials of m and of r coefficients has n = m + r - 1 coefficients c, known from its values v at n points:
    v = V c with the Vandermonde matrix V (at infinity the value is the last coefficient). Hence c = V^-1 ((V_m a) * (V_r k)), and its
    transposition with respect to a is the filter above: A = V_m, G = V_r, B = V^-1. The rows of B^T are scaled to small integers, which
    rounds least, and those of G by the inverse.
    """
    values, input = _vandermonde(ELEMENTS), []
    kernel = _vandermonde(window)
    for i, row in enumerate(_transposed(_inverse(values))):
        denominator = math.lcm(*(v.denominator for v in row))
        scale = Fraction(denominator, math.gcd(*(int(v * denominator) for v in row)))
        input.append([v * scale for v in row])
        kernel[i] = [v / scale for v in kernel[i]]
    output = _transposed(_vandermonde(tile(window)))
    return Matrices(*(np.array(rows, dtype=np.float64) for rows in (output, kernel, input)))


def _vandermonde(columns: int) -> list[list[Fraction]]:
    at_infinity = [Fraction(0)] * (columns - 1) + [Fraction(1)]
    return [[point**power for power in range(columns)] for point in POINTS] + [at_infinity]


def _transposed(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _inverse(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """By elimination, exactly."""
    size = len(rows)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(size))] for i, row in enumerate(rows)]
    for c in range(size):
        pivot = next(i for i in range(c, size) if rows[i][c])
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [v / rows[c][c] for v in rows[c]]
        for i in range(size):
            if i != c:
                rows[i] = [v - rows[i][c] * p for v, p in zip(rows[i], rows[c], strict=True)]
    return [row[size:] for row in rows]


def convolve(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """y[b, t, o] from x[b, n, i] and k[w, i, o], for strides and dilations of 1."""
    window = kernel.shape[:-2]
    size = geometry.output_size(x.shape[1:-1], window)
    counts = tiles(size, window)
    matrices = transform_kernel(kernel)

    def block(x: Array) -> Array:
        elements = transform_input(_fill_tiles(x, geometry, size, window), window)
        products = lax.dot_general(elements, matrices, (((2,), (1,)), ((0,), (0,))))
        return output_from_elements(products, counts, window)[(slice(None), *map(slice, size))]

    image = math.prod(counts) * len(matrices) * x.shape[-1] * x.itemsize
    return blocks.map_over(block, x, images=blocks.images(image, OUTPUT_BYTES))


def kernel(x: Array, y: Array, geometry: Geometry) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o], for strides and dilations of 1."""
    size = y.shape[2:-1]
    window = geometry.window(x.shape[2:-1], size)
    counts = tiles(size, window)
    missing = [(0, t * tile(k) - o, 0) for t, k, o in zip(counts, window, size, strict=True)]

    def elements(x: Array, y: Array) -> Array:
        groups, batch = x.shape[:2]
        x, y = (a.reshape(groups * batch, *a.shape[2:]) for a in (x, y))
        x = transform_input(_fill_tiles(x, geometry, size, window), window)
        y = lax.optimization_barrier(lax.pad(y, _as(0, y), ((0, 0, 0), *missing, (0, 0, 0))))
        y = transform_output(y, window)
        x, y = (a.reshape(len(a), groups, -1, a.shape[-1]) for a in (x, y))
        return lax.dot_general(x, y, (((2,), (2,)), ((0, 1), (0, 1))))

    image = math.prod(counts) * ELEMENTS ** len(window) * (x.shape[-1] + y.shape[-1]) * x.itemsize
    if x.shape[0] == 1:
        one = partial(
            blocks.sum_over, lambda x, y: elements(x[None], y[None]), images=blocks.images(image, KERNEL_BYTES)
        )
        return kernel_from_elements(one(x[0], y[0]), window)
    if image * x.shape[1] > KERNEL_BYTES:
        return lax.map(lambda pair: kernel(pair[0][None], pair[1][None], geometry)[0], (x, y))
    # As for the gradient of each example: many groups of few images, whose kernels are as large as they are.
    image += ELEMENTS ** len(window) * x.shape[-1] * y.shape[-1] * x.itemsize
    groups = blocks.images(image * x.shape[1], EXAMPLES_BYTES)
    return blocks.map_over(lambda x, y: kernel_from_elements(elements(x, y), window), x, y, images=groups)


def _fill_tiles(x: Array, geometry: Geometry, size: tuple[int, ...], window: tuple[int, ...]) -> Array:
    """x padded so that its windows fill whole tiles; a barrier keeps the padding out of the slices, which it would slow down."""
    missing = (t * tile(k) - o for t, k, o in zip(tiles(size, window), window, size, strict=True))
    padding = tuple((before, after + more) for (before, after), more in zip(geometry.padding, missing, strict=True))
    return lax.optimization_barrier(blocks.pad(x, 1, geometry._replace(padding=padding), (1,) * len(window)))


def tile(window: int) -> int:
    """m, the outputs of a tile."""
    return ELEMENTS + 1 - window


def tiles(output: tuple[int, ...], window: tuple[int, ...]) -> tuple[int, ...]:
    """How many tiles cover the output along each axis."""
    return tuple(-(-o // tile(k)) for o, k in zip(output, window, strict=True))


def products(output: tuple[int, ...], window: tuple[int, ...]) -> int:
    """How many products whole tiles need for each pair of channels."""
    return math.prod(t * ELEMENTS for t in tiles(output, window))


def transform_kernel(kernel: Array) -> Array:
    """G along every axis of the window: k[w, i, o] -> [element, i, o]."""
    rank = kernel.ndim - 2
    for axis in range(rank):  # an axis of elements comes first, in place of the one of the window
        kernel = jnp.tensordot(_as(matrices(kernel.shape[axis]).kernel, kernel), kernel, (1, axis))
    return kernel.reshape(-1, *kernel.shape[rank:])


def kernel_from_elements(elements: Array, window: tuple[int, ...]) -> Array:
    """G^T along every axis of elements: [element, g, i, o] -> k[g, w, i, o]; the transpose of `transform_kernel`."""
    rank = len(window)
    kernel = elements.reshape(*[ELEMENTS] * rank, *elements.shape[1:])
    for d in reversed(range(rank)):  # d axes of elements, the groups, and the axes of the window that are done
        kernel = jnp.stack(_combine(matrices(window[d]).kernel.T, list(kernel)), axis=d + 1)
    return kernel


def transform_input(x: Array, window: tuple[int, ...]) -> Array:
    """B^T along every axis: x[b, n, i], padded to whole tiles, -> [element, (b, tile), i]."""
    for d, k in enumerate(window):
        axis, step = 2 * d + 1, tile(k)  # d axes of elements, the batch, d axes of tiles
        last = x.shape[axis] - ELEMENTS
        parts = [lax.slice_in_dim(x, e, e + last + 1, step, axis) for e in range(ELEMENTS)]
        x = jnp.stack(_combine(matrices(k).input, parts))
    return x.reshape(ELEMENTS ** len(window), -1, x.shape[-1])


def transform_output(y: Array, window: tuple[int, ...]) -> Array:
    """A along every axis: y[b, t, o], of whole tiles, -> [element, (b, tile), o]; the transpose of `output_from_elements`."""
    for d, k in enumerate(window):
        axis, step = 2 * d + 1, tile(k)
        parts = [lax.slice_in_dim(y, j, y.shape[axis], step, axis) for j in range(step)]
        y = jnp.stack(_combine(matrices(k).output.T, parts))
    return y.reshape(ELEMENTS ** len(window), -1, y.shape[-1])


def output_from_elements(elements: Array, counts: tuple[int, ...], window: tuple[int, ...]) -> Array:
    """A^T along every axis: [element, (b, tile), o] -> y[b, t, o] of `counts` whole tiles along each axis."""
    rank = len(window)
    y = elements.reshape(*[ELEMENTS] * rank, -1, *counts, elements.shape[-1])
    for d in reversed(range(rank)):  # the outputs of a tile come right after its number
        y = jnp.stack(_combine(matrices(window[d]).output, list(y)), axis=2 * d + 2)
    sizes = (count * tile(k) for count, k in zip(counts, window, strict=True))
    return y.reshape(-1, *sizes, y.shape[-1])


def _combine(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """The rows of `matrix` applied to the parts; products by 0 and 1 are left out."""

    def row(factors: np.ndarray) -> Array:
        used = [(factor, part) for factor, part in zip(factors, parts, strict=True) if factor]
        terms = [part if factor == 1 else part * _as(factor, part) for factor, part in used]
        return functools.reduce(jnp.add, terms)

    return [row(factors) for factors in matrix]


def _as(values: Any, like: Array) -> np.ndarray:
    return np.asarray(values, like.dtype)
