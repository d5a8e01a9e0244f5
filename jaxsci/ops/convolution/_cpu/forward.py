"""The CPU's ways to the output y[b, t, o] of a convolution; three also of an array with lhs_dilation - 1 zeros between its elements."""

import itertools
import math

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution import xla
from jaxsci.ops.convolution._cpu import blockwise
from jaxsci.ops.convolution._sizes import ConvGeometry

PARTS = 8  # independent parts of a convolution, which run at the same time; XLA leaves most of them to one thread
PART_PRODUCTS = 10**7  # work that is worth a part of its own


def sum_of_products(
    x: Array, kernel: Array, geometry: ConvGeometry, lhs_dilation: tuple[int, ...] | None = None
) -> Array:
    """Elementwise arithmetic for few input channels and a small window, all groups at once."""
    window = kernel.shape[1:-2]
    size = windows.output_size(x.shape[2:-1], window, geometry, lhs_dilation)
    x = windows.pad(x, 2, geometry.padding, lhs_dilation)

    def product(offset: tuple[int, ...], channel: int) -> Array:
        weight = kernel[(slice(None), *offset, channel)]  # [g, o]
        return windows.tap(x, 2, offset, size, geometry)[..., channel, None] * lax.expand_dims(
            weight, range(1, x.ndim - 1)
        )

    return sum(
        itertools.starmap(product, itertools.product(windows.offsets(window), range(x.shape[-1]))),
        jnp.zeros((), x.dtype),
    )


def depthwise(x: Array, kernel: Array, geometry: ConvGeometry, lhs_dilation: tuple[int, ...] | None = None) -> Array:
    """One channel a group: elementwise arithmetic with the groups last, in the place of channels."""
    window = kernel.shape[1:-2]
    size = windows.output_size(x.shape[2:-1], window, geometry, lhs_dilation)
    x = windows.pad(jnp.moveaxis(x[..., 0], 0, -1), 1, geometry.padding, lhs_dilation)  # [b, n, g]
    parts = (
        windows.tap(x, 1, offset, size, geometry) * kernel[(slice(None), *offset, 0, 0)][(None,) * (x.ndim - 1)]
        for offset in windows.offsets(window)
    )
    return jnp.moveaxis(sum(parts, jnp.zeros((), x.dtype)), -1, 0)[..., None]


def product_then_sum(
    x: Array, kernel: Array, geometry: ConvGeometry, devices: int, lhs_dilation: tuple[int, ...] | None = None
) -> Array:
    """At strides of 1: each pixel times the whole window in one product, the parts shifted and added."""
    del devices
    window = kernel.shape[:-2]
    size = windows.output_size(x.shape[1:-1], window, geometry, lhs_dilation)
    inner = lhs_dilation or (1,) * len(window)
    products = lax.dot_general(x, kernel, (((x.ndim - 1,), (kernel.ndim - 2,)), ((), ())))  # [b, n, w, o]

    def shifted(offset: tuple[int, ...]) -> Array:
        starts = [before - d * w for (before, _), d, w in zip(geometry.padding, geometry.dilation, offset, strict=True)]
        shifts = tuple(
            (start, o - (s * (n - 1) + 1) - start)
            for start, o, s, n in zip(starts, size, inner, x.shape[1:-1], strict=True)
        )
        return windows.pad(products[(slice(None),) * (x.ndim - 1) + offset], 1, shifts, lhs_dilation)

    return sum(map(shifted, windows.offsets(window)), jnp.zeros((), x.dtype))


def convolution_in_parts(x: Array, kernel: Array, geometry: ConvGeometry, devices: int) -> Array:
    """XLA's convolution, in two dimensions of a part of the images each."""
    if devices > 1 or not isinstance(x.shape[0], int):  # devices run at the same time; a symbolic batch is one part
        return xla.convolve(x, kernel, geometry)
    size = geometry.output_size(x.shape[1:-1], kernel.shape[:-2])
    products = x.shape[0] * math.prod(size) * kernel.size
    count = max(1, min(PARTS, products // PART_PRODUCTS)) if len(kernel.shape) == 4 else 1
    images = -(-x.shape[0] // count)
    parts = [xla.convolve(x[i : i + images], kernel, geometry) for i in range(0, x.shape[0], images)]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def product_of_rows(x: Array, kernel: Array, geometry: ConvGeometry, devices: int) -> Array:
    """im2col of a row of the window, times that row of the kernel as a matrix; the products of all rows added up."""
    *outer, row = window = kernel.shape[:-2]
    *size, length = geometry.output_size(x.shape[1:-1], window)
    matrices = kernel.reshape(*outer, row * kernel.shape[-2], kernel.shape[-1])

    def block(x: Array) -> Array:
        x = lax.optimization_barrier(windows.pad(x, 1, geometry.padding))
        axis = len(window)
        rows = [windows.tap(x, axis, (w,), (length,), geometry, axis - 1) for w in range(row)]
        columns = jnp.concatenate(rows, axis=-1)
        parts = (
            windows.tap(columns, 1, offset, tuple(size), geometry) @ matrices[offset]
            for offset in windows.offsets(tuple(outer))
        )
        return sum(parts, jnp.zeros((), x.dtype))

    width = row * kernel.shape[-2] + kernel.shape[-1]
    images = windows.images(math.prod(size) * length * width * x.itemsize, windows.BLOCK_BYTES, devices)
    return blockwise.map_over(block, x, length=images)
