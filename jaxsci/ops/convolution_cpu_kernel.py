"""The CPU's ways to the kernel k[w, i, o]: sums over images and pixels."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops import blockwise, convolution_lax
from jaxsci.ops import convolution_blocks as blocks
from jaxsci.ops.convolution_sizes import Geometry

FEW_CHANNELS = 4  # slow to lay side by side as columns
MOST_ROWS = 64  # each is a step of the program to compile
COLUMN_WIDTH = 64  # wide enough for a product of columns
BLOCK_IMAGES = 8  # images as the channels of a convolution: a vector register of float32
PARTS = 8  # of them in a block of by_convolution


def by_convolution(x: Array, y: Array, geometry: Geometry) -> Array:
    """The kernel is itself a convolution, of x by y: images take the place of channels, strides that of the dilation."""
    exchanged = Geometry(geometry.dilation, geometry.padding, geometry.strides)

    def part(x: Array, y: Array) -> Array:
        # [i, n, b] and [t, b, o]
        images, filters = lax.optimization_barrier((jnp.swapaxes(x, 0, -1), jnp.moveaxis(y, 0, -2)))
        return jnp.moveaxis(convolution_lax.convolve(images, filters, exchanged), 0, -2)

    def block(x: Array, y: Array) -> Array:
        starts = range(0, x.shape[0], BLOCK_IMAGES)
        return sum((part(x[i : i + BLOCK_IMAGES], y[i : i + BLOCK_IMAGES]) for i in starts), jnp.zeros((), x.dtype))

    return blockwise.sum_over(block, x, y, length=PARTS * BLOCK_IMAGES)


def by_channel_rows(x: Array, y: Array, geometry: Geometry) -> Array:
    """`of_each_group` for one group of many images, a few of them at a time."""
    width = math.prod(geometry.window(x.shape[1:-1], y.shape[1:-1])) * x.shape[-1]
    images = blocks.images(math.prod(y.shape[1:-1]) * width * x.itemsize, blocks.BLOCK_BYTES)
    return blockwise.sum_over(lambda x, y: of_each_group(x[None], y[None], geometry)[0], x, y, length=images)


def of_each_group(x: Array, y: Array, geometry: Geometry) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o]: what an offset of the window sees of a channel is a row of a matrix.

    The product with y needs neither of them transposed then, and the rows are long however few channels there are. A large window has a
    product for each offset along its first axes.
    """
    window, size = geometry.window(x.shape[2:-1], y.shape[2:-1]), y.shape[2:-1]
    split = next(n for n in range(len(window)) if math.prod(window[n:]) <= MOST_ROWS or n == len(window) - 1)
    outer, inner = window[:split], window[split:]
    groups, *_, channels = x.shape
    pixels = math.prod(y.shape[1:-1])
    x = lax.optimization_barrier(blocks.pad(jnp.moveaxis(x, -1, 1), 3, geometry, (1,) * len(window)))
    parts = [blocks.seen(x, 3 + split, offset, size[split:], geometry, split) for offset in blocks.offsets(inner)]
    rows = jnp.stack(parts, axis=1)
    y = y.reshape(groups, pixels, y.shape[-1])

    def product(offset: tuple[int, ...]) -> Array:
        part = blocks.seen(rows, 4, offset, size[:split], geometry)
        return part.reshape(groups, math.prod(inner) * channels, pixels) @ y

    products = jnp.stack([product(offset) for offset in blocks.offsets(outer)], axis=1)
    return products.reshape(groups, *window, channels, y.shape[-1])


def by_columns(x: Array, y: Array, geometry: Geometry) -> Array:
    """Columns over the last axes of the window, until they are wide; one matrix product for each offset along the others."""
    window, size = geometry.window(x.shape[1:-1], y.shape[1:-1]), y.shape[1:-1]
    widths = [math.prod(window[-n:]) * x.shape[-1] for n in range(1, len(window) + 1)]
    unrolled = next((n for n, width in enumerate(widths, start=1) if width >= COLUMN_WIDTH), len(window))
    split = len(window) - unrolled
    outer, inner = window[:split], window[split:]

    def block(x: Array, y: Array) -> Array:
        x = blocks.pad(x, 1, geometry, (1,) * len(window))
        rows = [blocks.seen(x, 1 + split, offset, size[split:], geometry, split) for offset in blocks.offsets(inner)]
        columns = jnp.concatenate(rows, axis=-1)
        y = y.reshape(math.prod(y.shape[:-1]), y.shape[-1])

        def product(offset: tuple[int, ...]) -> Array:
            part = blocks.seen(columns, 1, offset, size[:split], geometry).reshape(y.shape[0], columns.shape[-1])
            # The narrow operand first: its transposition, which the product needs, is the cheaper one.
            return lax.dot_general(y, part, (((0,), (0,)), ((), ())))

        products = jnp.stack([product(offset) for offset in blocks.offsets(outer)])
        return jnp.moveaxis(products.reshape(*outer, y.shape[-1], *inner, x.shape[-1]), split, -1)

    width = math.prod(inner) * x.shape[-1]
    images = blocks.images(math.prod(size) * width * x.itemsize, blocks.BLOCK_BYTES)
    return blockwise.sum_over(block, x, y, length=images)


def depthwise(x: Array, y: Array, geometry: Geometry) -> Array:
    """One channel a group: elementwise arithmetic with the groups last, row by row into sums that stay in the cache.

    XLA adds up the leading axes of an array in a slow order, so the loop over them is written out.
    """
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    x, y = (jnp.moveaxis(a[..., 0], 0, -1) for a in (x, y))  # [b, n, g]
    x = lax.optimization_barrier(blocks.pad(x, 1, geometry, (1,) * len(window)))
    *rows, length, groups = y.shape
    split = len(rows) - 1  # spatial axes outside of a row

    def row(a: Array, place: Sequence[Any]) -> Array:
        return lax.dynamic_slice(a, (*place, 0, 0), (1,) * len(rows) + a.shape[-2:]).reshape(a.shape[-2:])

    def add(index: Array, sums: list[Array]) -> list[Array]:
        image, *place = jnp.unravel_index(index, rows)
        at_y = row(y, (image, *place))
        parts = []
        for offset in blocks.offsets(window[:split]):
            steps = zip(place, offset, geometry.strides, geometry.dilation, strict=False)
            at_x = row(x, (image, *(s * t + d * w for t, w, s, d in steps)))
            seen = (blocks.seen(at_x, 0, (w,), (length,), geometry, split) for w in range(window[-1]))
            parts += [part * at_y for part in seen]
        return [total + part for total, part in zip(sums, parts, strict=True)]

    zeros = [jnp.zeros((length, groups), x.dtype)] * math.prod(window)
    sums = lax.fori_loop(0, math.prod(rows), add, zeros)
    return jnp.stack(sums).sum(1).T.reshape(groups, *window, 1, 1)
