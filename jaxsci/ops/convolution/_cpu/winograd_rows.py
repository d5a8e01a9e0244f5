"""The gradient by a kernel with Winograd along rows alone: more products, but fewer numbers to transform than along all axes.

Along the last axis the sums over m neighboring outputs need n = m + r - 1 products in place of m r (`winograd`); along the other axes x is
shifted by the elements of the window. Each of the n elements is one matrix product with all of these shifts.
"""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution._cpu import blockwise, winograd
from jaxsci.ops.convolution._sizes import ConvGeometry


def products(size: tuple[int, ...], window: tuple[int, ...], dilation: tuple[int, ...]) -> int:
    """How many products whole tiles of all grids need for each pair of channels."""
    return math.prod(size[:-1]) * math.prod(window[:-1]) * winograd.products(size[-1:], window[-1:], dilation[-1:])


def kernel(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o], for strides of 1."""
    *rows, size = y.shape[1:-1]
    *outer, row = geometry.window(x.shape[1:-1], y.shape[1:-1])
    axis, inputs, outputs = x.ndim - 2, x.shape[-1], y.shape[-1]
    matrices, tile, dilation = winograd.matrices(row), winograd.tile(row), geometry.dilation[-1]
    (tiles,) = winograd.tiles((size,), (row,), (dilation,))
    missing = tiles * tile * dilation - size
    *padding, (before, after) = geometry.padding

    def elements(matrix: np.ndarray, a: Array) -> list[Array]:
        """The transformation of rows, from as many elements of each tile as it has columns."""
        # The grids of a dilated window lie among the channels, until the products.
        a = a.reshape(*a.shape[:axis], a.shape[axis] // dilation, dilation * a.shape[-1])
        seen = [lax.slice_in_dim(a, e, e + tile * (tiles - 1) + 1, tile, axis) for e in range(matrix.shape[1])]
        return winograd.combine(matrix, seen)

    def shifts(x: Array) -> Iterator[Array]:
        for offset in windows.offsets(tuple(outer)):
            limits = [(d * w, d * w + n, 1) for d, w, n in zip(geometry.dilation, offset, rows, strict=False)]
            yield windows.slices(x, 1, limits).reshape(-1, inputs)

    def block(x: Array, y: Array) -> list[Array]:
        # The barrier keeps the padding out of the slices, which it would slow down.
        x = lax.optimization_barrier(windows.pad(x, 1, (*padding, (before, after + missing))))
        y = windows.pad(y, axis, ((0, missing),))
        pairs = zip(elements(matrices.input, x), elements(matrices.output.T, y), strict=True)
        return [
            lax.dot_general(b.reshape(-1, outputs), jnp.concatenate([*shifts(a)], axis=-1), (((0,), (0,)), ((), ())))
            for a, b in pairs
        ]

    width = math.prod(outer) * inputs + outputs
    image = winograd.products((size,), (row,), (dilation,)) * math.prod(rows) * width * x.itemsize
    sums = blockwise.sum_over(block, x, y, length=windows.images(image, windows.BLOCK_BYTES))
    k = jnp.stack(winograd.combine(matrices.kernel.T, sums), axis=1)  # [o, row, (outer, i)]
    return jnp.moveaxis(k.reshape(outputs, row, *outer, inputs), (0, 1), (-1, -3))
