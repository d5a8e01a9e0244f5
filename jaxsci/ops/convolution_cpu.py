"""The contractions of `convolution_primitives` in forms that are fast on a CPU, inside loops too.

XLA's CPU compiler brings a convolution into the axis order of its fast kernels only outside loops; inside `lax.scan` any other order runs in
naive loops, and so does float64 everywhere. The convolutions here are written in that order from the start; what was transposed for it
stays behind an optimisation barrier, because XLA would fold the transposition back into the convolution. The rest are matrix products over
blocks of images whose columns (the patches laid side by side) stay in the cache. All limits below were measured on 2 cores of an x86 CPU.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops import convolution_lax
from jaxsci.ops.convolution_sizes import Geometry

FEW_PRODUCTS = 36  # a sum of so few products is faster as elementwise arithmetic
FEW_CHANNELS = 4  # too narrow for a product of columns
COLUMN_WIDTH = 64  # wide enough for one
BLOCK_BYTES = 2**20  # columns that stay in the cache
BLOCK_IMAGES = 8  # images as the channels of a convolution: a vector register of float32


def output(x: Array, kernel: Array, *, geometry: Geometry, precision: Any) -> Array:
    """y[g, b, t, o] from x[g, b, n, i] and k[g, w, i, o]."""
    del precision
    return _convolve(*_widen(x, kernel), geometry, (1,) * len(geometry.strides)).astype(x.dtype)


def input(kernel: Array, y: Array, *, geometry: Geometry, precision: Any) -> Array:
    """x[g, b, n, i] from k[g, w, i, o] and y[g, b, t, o]: y, spread by the strides, convolved with the mirrored kernel."""
    del precision
    mirrored = lax.optimization_barrier(_mirror(kernel, first=1))
    transposed = _transposed(geometry, kernel.shape[1:-2])
    return _convolve(*_widen(y, mirrored), transposed, geometry.strides).astype(y.dtype)


def kernel(x: Array, y: Array, *, geometry: Geometry, precision: Any) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o]."""
    del precision
    wide = _widen(x, y)
    if x.shape[-1] == y.shape[-1] == 1:
        return _kernel_by_sums(*wide, geometry).astype(x.dtype)
    return _each_group(partial(_kernel, geometry=geometry), *wide).astype(x.dtype)


def _widen(a: Array, b: Array) -> tuple[Array, Array]:
    """Sums are float32 at least, and so are the products: exact for two bfloat16."""
    wide = a.dtype if a.dtype.itemsize >= 4 else jnp.float32
    return a.astype(wide), b.astype(wide)


def _each_group(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    return function(a[0], b[0])[None] if a.shape[0] == 1 else lax.map(lambda pair: function(*pair), (a, b))


def _mirror(kernel: Array, first: int) -> Array:
    """The window reversed and the channels exchanged."""
    return jnp.flip(kernel, range(first, kernel.ndim - 2)).swapaxes(-1, -2)


def _transposed(geometry: Geometry, window: tuple[int, ...]) -> Geometry:
    """The geometry by which the output, spread by the strides, meets the mirrored kernel."""
    padding = tuple(
        (d * (k - 1) - before, d * (k - 1) - after)
        for k, d, (before, after) in zip(window, geometry.dilation, geometry.padding, strict=True)
    )
    return Geometry((1,) * len(window), padding, geometry.dilation)


# Output and input: a convolution of an array with spread - 1 zeros between its elements.


def _convolve(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """y[g, b, t, o] from x[g, b, n, i] and k[g, w, i, o]."""
    inputs, outputs = kernel.shape[-2:]
    if inputs <= FEW_CHANNELS and math.prod(kernel.shape[1:-1]) <= FEW_PRODUCTS:
        return _sum_of_products(x, kernel, geometry, spread)
    if outputs <= 2 and inputs > FEW_CHANNELS and max(geometry.strides) == 1:
        method = _product_then_sum
    else:
        method = _product_of_columns if x.dtype == jnp.float64 else convolution_lax.convolve
    return _each_group(partial(method, geometry=geometry, spread=spread), x, kernel)


def _sum_of_products(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """Elementwise arithmetic for few input channels and a small window, all groups at once."""
    window = kernel.shape[1:-2]
    x, output = _padded(x, 2, window, geometry, spread)
    total = jnp.zeros((), x.dtype)
    for offset in _offsets(window):
        part = _slice(x, 2, offset, output, geometry)
        for channel in range(x.shape[-1]):
            weight = kernel[(slice(None), *offset, channel)]
            weight = lax.expand_dims(weight, range(1, x.ndim - 1))
            product = part[..., channel, None] * weight
            total = product if total.ndim == 0 else total + product
    return total


def _product_then_sum(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """For few output channels: all products of a pixel with the window at once, then shifted to where they belong and added. Strides 1."""
    window = kernel.shape[:-2]
    _, output = _padded(x, 1, window, geometry, spread)
    products = lax.dot_general(x, kernel, (((x.ndim - 1,), (kernel.ndim - 2,)), ((), ())))  # [b, n, w, o]
    total = jnp.zeros((x.shape[0], *output, kernel.shape[-1]), x.dtype)
    for offset in _offsets(window):
        part = products[(slice(None),) * (1 + len(window)) + offset]
        shifts = [
            (p - d * w, o - (s * (n - 1) + 1) - (p - d * w), s - 1)
            for (p, _), d, w, o, s, n in zip(
                geometry.padding, geometry.dilation, offset, output, spread, x.shape[1:-1], strict=True
            )
        ]
        total = total + lax.pad(part, jnp.zeros((), x.dtype), ((0, 0, 0), *shifts, (0, 0, 0)))
    return total


def _product_of_columns(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """The patches of a block of images laid side by side, times the kernel as a matrix."""
    window = kernel.shape[:-2]
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def one(image: Array) -> Array:
        padded, output = _padded(image, 0, window, geometry, spread)
        columns = [_slice(padded, 0, offset, output, geometry) for offset in _offsets(window)]
        return jnp.concatenate(columns, axis=-1) @ matrix

    _, output = _padded(x[0], 0, window, geometry, spread)
    return lax.map(one, x, batch_size=_images(x.shape[0], math.prod(output) * len(matrix) * x.itemsize))


# The kernel: a sum over images and pixels.


def _kernel(x: Array, y: Array, geometry: Geometry) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o]."""
    window = geometry.window(x.shape[1:-1], y.shape[1:-1])
    if x.dtype == jnp.float32 and x.shape[-1] <= FEW_CHANNELS and x.shape[0] >= BLOCK_IMAGES:
        return _sum_over_blocks(partial(_kernel_by_convolution, geometry=geometry), x, y, BLOCK_IMAGES)
    if y.shape[-1] <= FEW_CHANNELS < x.shape[-1] and max(geometry.strides) == 1:
        # The roles exchanged, so that the array with few channels is the one that is unrolled.
        return _mirror(_kernel(y, x, _transposed(geometry, window)), first=0)
    unrolled = next(
        (n for n in range(1, len(window)) if math.prod(window[-n:]) * x.shape[-1] >= COLUMN_WIDTH), len(window)
    )
    width = math.prod(window[-unrolled:]) * x.shape[-1]
    images = _images(x.shape[0], math.prod(y.shape[1:-1]) * width * x.itemsize)
    block = partial(_kernel_by_columns, geometry=geometry, unrolled=unrolled)
    return _sum_over_blocks(block, x, y, images)


def _kernel_by_convolution(x: Array, y: Array, geometry: Geometry) -> Array:
    """The kernel is itself a convolution, of x by y: images take the place of channels, strides that of the dilation."""
    images = lax.optimization_barrier(jnp.swapaxes(x, 0, -1))  # [i, n, b]
    filters = lax.optimization_barrier(jnp.moveaxis(y, 0, -2))  # [t, b, o]
    exchanged = Geometry(geometry.dilation, geometry.padding, geometry.strides)
    return jnp.moveaxis(convolution_lax.convolve(images, filters, exchanged), 0, -2)


def _kernel_by_columns(x: Array, y: Array, geometry: Geometry, unrolled: int) -> Array:
    """Columns over the last `unrolled` axes of the window; one matrix product for each offset along the others."""
    window = geometry.window(x.shape[1:-1], y.shape[1:-1])
    x, output = _padded(x, 1, window, geometry, (1,) * len(window))
    split = len(window) - unrolled
    outer, inner = window[:split], window[split:]
    rows = [_slice(x, 1 + split, offset, output[split:], geometry, split) for offset in _offsets(inner)]
    columns = jnp.concatenate(rows, axis=-1)
    y = y.reshape(-1, y.shape[-1])
    products = []
    for offset in _offsets(outer):
        part = _slice(columns, 1, offset, output[:split], geometry)
        # The narrow operand first: its transposition, which the product needs, is the cheaper one.
        products.append(lax.dot_general(y, part.reshape(y.shape[0], part.shape[-1]), (((0,), (0,)), ((), ()))))
    result = jnp.stack(products).reshape(*outer, y.shape[-1], *inner, x.shape[-1])
    return jnp.moveaxis(result, split, -1)


def _kernel_by_sums(x: Array, y: Array, geometry: Geometry) -> Array:
    """One channel each, as in a depthwise convolution: elementwise arithmetic, all groups at once."""
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    x, output = _padded(x, 2, window, geometry, (1,) * len(window))
    sums = [jnp.sum(_slice(x, 2, offset, output, geometry) * y, axis=range(1, x.ndim)) for offset in _offsets(window)]
    return jnp.stack(sums, axis=1).reshape(-1, *window, 1, 1)


def _sum_over_blocks(block: Callable[[Array, Array], Array], x: Array, y: Array, images: int) -> Array:
    """The sum of block(x, y) over blocks of so many images, and what is left."""
    blocks, rest = divmod(x.shape[0], images)
    if blocks == 1 and not rest:
        return block(x, y)

    def add(total: Array, index: Array) -> tuple[Array, None]:
        part = (lax.dynamic_slice_in_dim(a, index * images, images) for a in (x, y))
        return total + block(*part), None

    if rest:
        first = block(x[-rest:], y[-rest:])
    else:
        first = jnp.zeros(jax.eval_shape(block, x[:images], y[:images]).shape, x.dtype)
    return lax.scan(add, first, jnp.arange(blocks))[0]


# Pieces.


def _images(batch: int, image_bytes: int) -> int:
    """How many images make a block."""
    return max(1, min(batch, BLOCK_BYTES // max(image_bytes, 1)))


def _offsets(window: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    return itertools.product(*map(range, window))


def _padded(
    x: Array, first: int, window: tuple[int, ...], geometry: Geometry, spread: tuple[int, ...]
) -> tuple[Array, tuple[int, ...]]:
    """x padded and spread along its spatial axes, which begin at `first`, and the size of the output."""
    config = [(before, after, s - 1) for (before, after), s in zip(geometry.padding, spread, strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0),) * first + (*config, (0, 0, 0)))
    return x, geometry._replace(padding=((0, 0),) * len(window)).output_size(x.shape[first:-1], window)


def _slice(
    x: Array, first: int, offset: tuple[int, ...], output: tuple[int, ...], geometry: Geometry, skip: int = 0
) -> Array:
    """What one offset of the window sees, along the axes from `first`, which are the spatial axes from `skip`."""
    for axis, (w, o, s, d) in enumerate(
        zip(
            offset,
            output,
            geometry.strides[skip : skip + len(offset)],
            geometry.dilation[skip : skip + len(offset)],
            strict=True,
        )
    ):
        x = lax.slice_in_dim(x, d * w, d * w + s * (o - 1) + 1, s, first + axis)
    return x
