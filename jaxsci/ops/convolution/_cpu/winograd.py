"""Winograd convolution at stride 1: fewer multiplications, for windows of 2 to 5; the dispatch rules ask for 3 to 5.

In one dimension, m neighboring outputs of a window of r elements need r m products directly, and n = m + r - 1 products as

    y = A^T ((G k) * (B^T d))

for the n inputs d (Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, arXiv:1509.09308). The matrices come from
evaluating polynomials at n points, infinity among them; several dimensions apply them to one axis after the other, and sum over channels
between the two transformations: a matrix product for each of the n^dimensions elements. Here n = 6, so that a 3 x 3 or 4 x 4 window in two
dimensions needs a quarter of the products. A window dilated by d sees one of d^dimensions grids of the pixels, on which it is a window as
any other; the grids are more images, without a number being moved.

The points 0, +-3/4, +-3/2 and infinity were chosen among those with few digits for the smallest rounding error: in float32 an error of 8e-7
of the standard deviation of the result (root mean square) and 7e-6 (largest of many), against 3e-7 and 2e-6 of direct sums, at 64 channels
and a 3 x 3 window; 2e-5 at the largest sums of `benchmarks`. Rounding is relative to
the largest value of a tile, so that one bright pixel spoils outputs whose window does not see it, and an infinity or a NaN reaches all
outputs of its tile: images of a large range are left to direct sums (`dispatch`).
"""

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution._cpu import blockwise
from jaxsci.ops.convolution._sizes import ConvGeometry

POINTS = (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2))
ELEMENTS = len(POINTS) + 1  # n
PARTS = 3  # of the elements along the first axis
OUTPUT_BYTES = 12 * 2**20  # of the elements of input and output, so that a block stays in the cache
KERNEL_BYTES = 12 * 2**20  # of both operands; longer sums are faster

# XLA's CPU code computes a batched product on one core, but a dozen of them at the same time. So the elements of the first axis come in
# parts, and those of the last axis apart: [part][element of the last axis], each an array [elements of the other axes, ...].
Elements: TypeAlias = list[list[Array]]


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


def convolve(x: Array, kernel: Array, geometry: ConvGeometry) -> Array:
    """y[b, t, o] from x[b, n, i] and k[w, i, o], for strides of 1."""
    window, dilation = kernel.shape[:-2], geometry.dilation
    size = geometry.output_size(x.shape[1:-1], window)
    matrices = transform_kernel(kernel)

    def block(x: Array) -> Array:
        elements = transform_input(_fill_tiles(x, geometry, size, window), window)
        products = _each(partial(lax.dot_general, dimension_numbers=(((2,), (1,)), ((0,), (0,)))), elements, matrices)
        y = output_from_elements(products, tiles(size, window, dilation), window, dilation)
        return y[(slice(None), *map(slice, size))]

    image = products(size, window, dilation) * sum(kernel.shape[-2:]) * x.itemsize
    return blockwise.map_over(block, x, length=windows.images(image, OUTPUT_BYTES))


def kernel(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o], for strides of 1."""
    size, dilation = y.shape[1:-1], geometry.dilation
    window = geometry.window(x.shape[1:-1], size)
    missing = tuple((0, more) for more in _missing(size, window, dilation))

    def block(x: Array, y: Array) -> Elements:
        return _each(
            partial(lax.dot_general, dimension_numbers=(((1,), (1,)), ((0,), (0,)))),
            transform_input(_fill_tiles(x, geometry, size, window), window),
            transform_output(_grids(windows.pad(y, 1, missing), dilation), window),
        )

    image = products(size, window, dilation) * (x.shape[-1] + y.shape[-1]) * x.itemsize
    return kernel_from_elements(blockwise.sum_over(block, x, y, length=windows.images(image, KERNEL_BYTES)), window)


def _fill_tiles(x: Array, geometry: ConvGeometry, size: tuple[int, ...], window: tuple[int, ...]) -> Array:
    """The grids of x, padded so that its windows fill whole tiles."""
    missing = _missing(size, window, geometry.dilation)
    padding = tuple((before, after + more) for (before, after), more in zip(geometry.padding, missing, strict=True))
    return _grids(windows.pad(x, 1, padding), geometry.dilation)


def _missing(size: tuple[int, ...], window: tuple[int, ...], dilation: tuple[int, ...]) -> list[int]:
    """What whole tiles of outputs lack along each axis."""
    counts = tiles(size, window, dilation)
    return [t * tile(k) * d - o for t, k, d, o in zip(counts, window, dilation, size, strict=True)]


def _grids(x: Array, dilation: tuple[int, ...]) -> Array:
    """[b, n, i] -> [b, (n / d, d), i]: a window dilated by d sees every d-th pixel along each axis, one of the d^dimensions grids.

    The barrier keeps the padding of x out of the slices, which it would slow down.
    """
    split = (part for n, d in zip(x.shape[1:-1], dilation, strict=True) for part in (n // d, d))
    return lax.optimization_barrier(x).reshape(x.shape[0], *split, x.shape[-1])


def tile(window: int) -> int:
    """m, the outputs of a tile."""
    return ELEMENTS + 1 - window


def tiles(output: tuple[int, ...], window: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """How many tiles cover each grid of the output along each axis."""
    return tuple(-(-o // (tile(k) * d)) for o, k, d in zip(output, window, dilation, strict=True))


def products(output: tuple[int, ...], window: tuple[int, ...], dilation: tuple[int, ...]) -> int:
    """How many products whole tiles of all grids need for each pair of channels."""
    return math.prod(t * ELEMENTS * d for t, d in zip(tiles(output, window, dilation), dilation, strict=True))


def transform_kernel(kernel: Array) -> Elements:
    """G along every axis of the window, of k[w, i, o]."""
    rank = kernel.ndim - 2
    for axis in range(rank):  # an axis of elements comes first, in place of the one of the window
        kernel = jnp.tensordot(_as(matrices(kernel.shape[axis]).kernel, kernel), kernel, (1, axis))
    parts = jnp.split(kernel, PARTS, axis=rank - 1)
    return [[e.reshape(-1, *e.shape[-2:]) for e in part] for part in parts]


def kernel_from_elements(elements: Elements, window: tuple[int, ...]) -> Array:
    """G^T along every axis of elements: [element, i, o] -> k[w, i, o]; the transpose of `transform_kernel`."""
    return _from_elements([matrices(k).kernel.T for k in window], elements, lambda d: d)


def transform_input(x: Array, window: tuple[int, ...]) -> Elements:
    """B^T along every axis: `_grids` of x, padded to whole tiles, -> [element, (b, tile, grid), i]."""
    return _to_elements([matrices(k).input for k in window], x, [(ELEMENTS, tile(k)) for k in window])


def transform_output(y: Array, window: tuple[int, ...]) -> Elements:
    """A along every axis: `_grids` of y, of whole tiles, -> [element, (b, tile, grid), o]; the transpose of `output_from_elements`."""
    return _to_elements([matrices(k).output.T for k in window], y, [(tile(k), tile(k)) for k in window])


def output_from_elements(
    elements: Elements, counts: tuple[int, ...], window: tuple[int, ...], dilation: tuple[int, ...]
) -> Array:
    """A^T along every axis: [element, (b, tile, grid), o] -> y[b, t, o] of `counts` whole tiles along each axis."""
    space = [part for pair in zip(counts, dilation, strict=True) for part in pair]
    split = [[e.reshape(len(e), -1, *space, e.shape[-1]) for e in part] for part in elements]
    # The outputs of a tile come right after its number.
    y = _from_elements([matrices(k).output for k in window], split, lambda d: 3 * d + 2)
    sizes = (count * tile(k) * d for count, k, d in zip(counts, window, dilation, strict=True))
    return y.reshape(-1, *sizes, y.shape[-1])


def _to_elements(transformations: Sequence[np.ndarray], x: Array, views: Sequence[tuple[int, int]]) -> Elements:
    """The transformation of each axis applied to the grids of x, of which a tile sees so many in steps of so many."""

    def along(d: int, x: Array) -> list[Array]:
        axis = 3 * d + 1  # after d axes of elements, the batch, and d axes of tiles and of grids
        seen, step = views[d]
        end = x.shape[axis] - seen + 1
        return _combine(transformations[d], [lax.slice_in_dim(x, e, e + end, step, axis) for e in range(seen)])

    def rest(x: Array) -> list[Array]:
        for d in range(1, len(views) - 1):
            x = jnp.stack(along(d, x))
        rank = len(views)
        return [e.reshape(math.prod(e.shape[: rank - 1]), -1, e.shape[-1]) for e in along(rank - 1, x)]

    rows = along(0, x)
    size = ELEMENTS // PARTS
    return [rest(jnp.stack(rows[i : i + size])) for i in range(0, ELEMENTS, size)]


def _from_elements(transformations: Sequence[np.ndarray], elements: Elements, place: Callable[[int], int]) -> Array:
    """The transformation of each axis applied to the elements, its results put at `place(axis)`."""
    rank = len(transformations)
    rows: list[Array] = []
    for part in elements:
        parts = [e.reshape(*[ELEMENTS] * (rank - 2), -1, *e.shape[1:]) for e in part]
        for d in reversed(range(1, rank)):  # d axes of elements, and the axes that are done
            parts = list(jnp.stack(_combine(transformations[d], parts), axis=place(d)))
        rows += parts
    return jnp.stack(_combine(transformations[0], rows), axis=place(0))


def _each(function: Callable[..., Array], *elements: Elements) -> Elements:
    return [list(map(function, *parts)) for parts in zip(*elements, strict=True)]


def _combine(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """The rows of `matrix` applied to the parts; products by 0 and 1 are left out."""

    def row(factors: np.ndarray) -> Array:
        used = [(factor, part) for factor, part in zip(factors, parts, strict=True) if factor]
        terms = [part if factor == 1 else part * _as(factor, part) for factor, part in used]
        return functools.reduce(jnp.add, terms)

    return [row(factors) for factors in matrix]


def _as(values: Any, like: Array) -> np.ndarray:
    return np.asarray(values, like.dtype)
