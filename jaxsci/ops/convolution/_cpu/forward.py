"""The CPU's ways to the output y[b, t, o] of a convolution, of an array with spread - 1 zeros between its elements."""

import itertools
import math

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as blocks
from jaxsci.ops.convolution import _xla as convolution_lax
from jaxsci.ops.convolution._cpu import blockwise
from jaxsci.ops.convolution._sizes import Geometry

PARTS = 8  # independent parts of a convolution, which run at the same time; XLA leaves most of them to one thread
PART_PRODUCTS = 10**7  # work that is worth a part of its own


def sum_of_products(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """Elementwise arithmetic for few input channels and a small window, all groups at once."""
    window = kernel.shape[1:-2]
    size = blocks.output_size(x.shape[2:-1], window, geometry, spread)
    x = blocks.pad(x, 2, geometry, spread)

    def product(offset: tuple[int, ...], channel: int) -> Array:
        weight = kernel[(slice(None), *offset, channel)]  # [g, o]
        return blocks.seen(x, 2, offset, size, geometry)[..., channel, None] * lax.expand_dims(
            weight, range(1, x.ndim - 1)
        )

    return sum(
        itertools.starmap(product, itertools.product(blocks.offsets(window), range(x.shape[-1]))),
        jnp.zeros((), x.dtype),
    )


def depthwise(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """One channel a group: elementwise arithmetic with the groups last, in the place of channels."""
    window = kernel.shape[1:-2]
    size = blocks.output_size(x.shape[2:-1], window, geometry, spread)
    x = blocks.pad(jnp.moveaxis(x[..., 0], 0, -1), 1, geometry, spread)  # [b, n, g]
    parts = (
        blocks.seen(x, 1, offset, size, geometry) * kernel[(slice(None), *offset, 0, 0)][(None,) * (x.ndim - 1)]
        for offset in blocks.offsets(window)
    )
    return jnp.moveaxis(sum(parts, jnp.zeros((), x.dtype)), -1, 0)[..., None]


def product_then_sum(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """For few output channels and strides 1: each pixel times the whole window in one product, the parts shifted and added."""
    window = kernel.shape[:-2]
    size = blocks.output_size(x.shape[1:-1], window, geometry, spread)
    products = lax.dot_general(x, kernel, (((x.ndim - 1,), (kernel.ndim - 2,)), ((), ())))  # [b, n, w, o]

    def shifted(offset: tuple[int, ...]) -> Array:
        starts = [before - d * w for (before, _), d, w in zip(geometry.padding, geometry.dilation, offset, strict=True)]
        shifts = [
            (start, o - (s * (n - 1) + 1) - start, s - 1)
            for start, o, s, n in zip(starts, size, spread, x.shape[1:-1], strict=True)
        ]
        part = products[(slice(None),) * (x.ndim - 1) + offset]
        return lax.pad(part, jnp.zeros((), x.dtype), ((0, 0, 0), *shifts, (0, 0, 0)))

    return sum(map(shifted, blocks.offsets(window)), jnp.zeros((), x.dtype))


def convolution_in_parts(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """XLA's convolution, in two dimensions of a part of the images each."""
    window = kernel.shape[:-2]
    size = blocks.output_size(x.shape[1:-1], window, geometry, spread)
    products = x.shape[0] * math.prod(size) * kernel.size
    count = max(1, min(PARTS, products // PART_PRODUCTS)) if len(kernel.shape) == 4 else 1
    images = -(-x.shape[0] // count)
    parts = [
        convolution_lax.convolve(x[i : i + images], kernel, geometry, spread) for i in range(0, x.shape[0], images)
    ]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def product_of_rows(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """What a row of the window sees, laid side by side, times that row as a matrix; the products of all rows added up."""
    *outer, row = window = kernel.shape[:-2]
    *size, length = blocks.output_size(x.shape[1:-1], window, geometry, spread)
    matrices = kernel.reshape(*outer, row * kernel.shape[-2], kernel.shape[-1])

    def block(x: Array) -> Array:
        x = lax.optimization_barrier(blocks.pad(x, 1, geometry, spread))
        axis = len(window)
        rows = [blocks.seen(x, axis, (w,), (length,), geometry, axis - 1) for w in range(row)]
        columns = jnp.concatenate(rows, axis=-1)
        parts = (
            blocks.seen(columns, 1, offset, tuple(size), geometry) @ matrices[offset]
            for offset in blocks.offsets(tuple(outer))
        )
        return sum(parts, jnp.zeros((), x.dtype))

    width = row * kernel.shape[-2] + kernel.shape[-1]
    images = blocks.images(math.prod(size) * length * width * x.itemsize, blocks.BLOCK_BYTES)
    return blockwise.map_over(block, x, length=images)
