"""The CPU's ways to the kernel k[w, i, o]: sums over images and pixels."""

import math

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops import convolution_blocks as blocks
from jaxsci.ops import convolution_lax
from jaxsci.ops.convolution_sizes import Geometry

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

    return blocks.sum_over(block, x, y, images=PARTS * BLOCK_IMAGES)


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
            part = blocks.seen(columns, 1, offset, size[:split], geometry)
            # The narrow operand first: its transposition, which the product needs, is the cheaper one.
            return lax.dot_general(y, part.reshape(y.shape[0], part.shape[-1]), (((0,), (0,)), ((), ())))

        products = jnp.stack([product(offset) for offset in blocks.offsets(outer)])
        return jnp.moveaxis(products.reshape(*outer, y.shape[-1], *inner, x.shape[-1]), split, -1)

    width = math.prod(inner) * x.shape[-1]
    images = blocks.images(math.prod(size) * width * x.itemsize, blocks.BLOCK_BYTES)
    return blocks.sum_over(block, x, y, images=images)


def depthwise(x: Array, y: Array, geometry: Geometry) -> Array:
    """One channel a group: elementwise arithmetic with the groups last, in the place of channels."""
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    x, y = (jnp.moveaxis(a[..., 0], 0, -1) for a in (x, y))  # [b, n, g]

    def block(x: Array, y: Array) -> Array:
        x = lax.optimization_barrier(blocks.pad(x, 1, geometry, (1,) * len(window)))
        # A product with ones: XLA adds up the leading axes of an array in a slow order.
        ones = jnp.ones((1, math.prod(y.shape[:-1])), x.dtype)
        parts = (blocks.seen(x, 1, offset, y.shape[1:-1], geometry) * y for offset in blocks.offsets(window))
        return jnp.stack([(ones @ part.reshape(ones.size, -1))[0] for part in parts])  # [window, g]

    images = blocks.images(math.prod(x.shape[1:]) * x.itemsize, blocks.BLOCK_BYTES)
    sums = blocks.sum_over(block, x, y, images=images)
    return sums.T.reshape(x.shape[-1], *window, 1, 1)
