"""The contractions of `convolution_primitives` in forms that are fast on a CPU, inside loops too.

XLA's CPU compiler brings a convolution into the axis order of its fast kernels only outside loops; inside `lax.scan` any other order runs
in naive loops (github.com/jax-ml/jax/issues/12868), and so does float64 everywhere. The convolutions here are written in that order from
the start; what was transposed for it stays behind an optimisation barrier, because XLA would fold the transposition back into the
convolution. The rest are matrix products over blocks of images whose columns (the patches laid side by side) stay in the cache. The limits
below were measured on 2 cores of an x86 CPU.
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
PARTS = 8  # independent parts of a convolution, which run at the same time; XLA leaves most of them to one thread
PART_PRODUCTS = 10**7  # work that is worth a part of its own


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
        method = _product_of_columns if x.dtype == jnp.float64 else _convolution_in_parts
    return _each_group(partial(method, geometry=geometry, spread=spread), x, kernel)


def _sum_of_products(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """Elementwise arithmetic for few input channels and a small window, all groups at once."""
    window = kernel.shape[1:-2]
    size = _output_size(x.shape[2:-1], window, geometry, spread)
    x = _pad(x, 2, geometry, spread)

    def product(offset: tuple[int, ...], channel: int) -> Array:
        weight = kernel[(slice(None), *offset, channel)]  # [g, o]
        return _slice(x, 2, offset, size, geometry)[..., channel, None] * lax.expand_dims(weight, range(1, x.ndim - 1))

    return sum(
        itertools.starmap(product, itertools.product(_offsets(window), range(x.shape[-1]))), jnp.zeros((), x.dtype)
    )


def _product_then_sum(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """For few output channels and strides 1: each pixel times the whole window in one product, the parts shifted and added."""
    window = kernel.shape[:-2]
    size = _output_size(x.shape[1:-1], window, geometry, spread)
    products = lax.dot_general(x, kernel, (((x.ndim - 1,), (kernel.ndim - 2,)), ((), ())))  # [b, n, w, o]

    def shifted(offset: tuple[int, ...]) -> Array:
        starts = [before - d * w for (before, _), d, w in zip(geometry.padding, geometry.dilation, offset, strict=True)]
        shifts = [
            (start, o - (s * (n - 1) + 1) - start, s - 1)
            for start, o, s, n in zip(starts, size, spread, x.shape[1:-1], strict=True)
        ]
        part = products[(slice(None),) * (x.ndim - 1) + offset]
        return lax.pad(part, jnp.zeros((), x.dtype), ((0, 0, 0), *shifts, (0, 0, 0)))

    return sum(map(shifted, _offsets(window)), jnp.zeros((), x.dtype))


def _convolution_in_parts(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """XLA's convolution of a part of the images each."""
    size = _output_size(x.shape[1:-1], kernel.shape[:-2], geometry, spread)
    products = x.shape[0] * math.prod(size) * kernel.size
    images = -(-x.shape[0] // max(1, min(PARTS, products // PART_PRODUCTS)))
    parts = [
        convolution_lax.convolve(x[i : i + images], kernel, geometry, spread) for i in range(0, x.shape[0], images)
    ]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def _product_of_columns(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """The patches of a block of images laid side by side, times the kernel as a matrix."""
    window = kernel.shape[:-2]
    size = _output_size(x.shape[1:-1], window, geometry, spread)
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def one(image: Array) -> Array:
        padded = _pad(image, 0, geometry, spread)
        return (
            jnp.concatenate([_slice(padded, 0, offset, size, geometry) for offset in _offsets(window)], axis=-1)
            @ matrix
        )

    return lax.map(one, x, batch_size=_images(x.shape[0], math.prod(size) * len(matrix) * x.itemsize))


# The kernel: a sum over images and pixels.


def _kernel(x: Array, y: Array, geometry: Geometry) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o]."""
    window = geometry.window(x.shape[1:-1], y.shape[1:-1])
    if y.shape[-1] <= FEW_CHANNELS < x.shape[-1] and max(geometry.strides) == 1:
        # The roles exchanged, so that the array with few channels is the one that is unrolled.
        return _mirror(_kernel(y, x, _transposed(geometry, window)), first=0)
    if x.dtype == jnp.float32 and x.shape[0] >= BLOCK_IMAGES // 2:
        return _sum_over_blocks(partial(_kernel_by_convolution, geometry=geometry), x, y, PARTS * BLOCK_IMAGES)
    unrolled = next(
        (n for n in range(1, len(window)) if math.prod(window[-n:]) * x.shape[-1] >= COLUMN_WIDTH), len(window)
    )
    width = math.prod(window[-unrolled:]) * x.shape[-1]
    images = _images(x.shape[0], math.prod(y.shape[1:-1]) * width * x.itemsize)
    block = partial(_kernel_by_columns, geometry=geometry, unrolled=unrolled)
    return _sum_over_blocks(block, x, y, images)


def _kernel_by_convolution(x: Array, y: Array, geometry: Geometry) -> Array:
    """The kernel is itself a convolution, of x by y: images take the place of channels, strides that of the dilation."""
    exchanged = Geometry(geometry.dilation, geometry.padding, geometry.strides)

    def part(x: Array, y: Array) -> Array:
        images, filters = lax.optimization_barrier(
            (jnp.swapaxes(x, 0, -1), jnp.moveaxis(y, 0, -2))
        )  # [i, n, b], [t, b, o]
        return jnp.moveaxis(convolution_lax.convolve(images, filters, exchanged), 0, -2)

    starts = range(0, x.shape[0], BLOCK_IMAGES)
    return sum((part(x[i : i + BLOCK_IMAGES], y[i : i + BLOCK_IMAGES]) for i in starts), jnp.zeros((), x.dtype))


def _kernel_by_columns(x: Array, y: Array, geometry: Geometry, unrolled: int) -> Array:
    """Columns over the last `unrolled` axes of the window; one matrix product for each offset along the others."""
    window = geometry.window(x.shape[1:-1], y.shape[1:-1])
    size = y.shape[1:-1]
    x = _pad(x, 1, geometry, (1,) * len(window))
    split = len(window) - unrolled
    outer, inner = window[:split], window[split:]
    rows = [_slice(x, 1 + split, offset, size[split:], geometry, split) for offset in _offsets(inner)]
    columns = jnp.concatenate(rows, axis=-1)
    y = y.reshape(math.prod(y.shape[:-1]), y.shape[-1])
    products = []
    for offset in _offsets(outer):
        part = _slice(columns, 1, offset, size[:split], geometry)
        # The narrow operand first: its transposition, which the product needs, is the cheaper one.
        products.append(lax.dot_general(y, part.reshape(y.shape[0], part.shape[-1]), (((0,), (0,)), ((), ()))))
    result = jnp.stack(products).reshape(*outer, y.shape[-1], *inner, x.shape[-1])
    return jnp.moveaxis(result, split, -1)


def _kernel_by_sums(x: Array, y: Array, geometry: Geometry) -> Array:
    """One channel each, as in a depthwise convolution: elementwise arithmetic, all groups at once."""
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    x = _pad(x, 2, geometry, (1,) * len(window))
    parts = (_slice(x, 2, offset, y.shape[2:-1], geometry) for offset in _offsets(window))
    sums = [jnp.sum(part * y, axis=range(1, x.ndim)) for part in parts]
    return jnp.stack(sums, axis=1).reshape(x.shape[0], *window, 1, 1)


def _sum_over_blocks(block: Callable[[Array, Array], Array], x: Array, y: Array, images: int) -> Array:
    """The sum of block(x, y) over blocks of so many images, and what is left."""
    if x.shape[0] <= images:
        return block(x, y)
    blocks, rest = divmod(x.shape[0], images)

    def add(total: Array, index: Array) -> tuple[Array, None]:
        part = (lax.dynamic_slice_in_dim(a, index * images, images) for a in (x, y))
        return total + block(*part), None

    shape = jax.eval_shape(block, x[:images], y[:images]).shape
    first = block(x[-rest:], y[-rest:]) if rest else jnp.zeros(shape, x.dtype)
    return lax.scan(add, first, jnp.arange(blocks))[0]


# Pieces.


def _images(batch: int, image_bytes: int) -> int:
    """How many images make a block."""
    return max(1, min(batch, BLOCK_BYTES // max(image_bytes, 1)))


def _offsets(window: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    return itertools.product(*map(range, window))


def _output_size(
    size: tuple[int, ...], window: tuple[int, ...], geometry: Geometry, spread: tuple[int, ...]
) -> tuple[int, ...]:
    return geometry.output_size(tuple(s * (n - 1) + 1 for n, s in zip(size, spread, strict=True)), window)


def _pad(x: Array, first: int, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """x padded and spread along its spatial axes, which begin at `first`."""
    space = [(before, after, s - 1) for (before, after), s in zip(geometry.padding, spread, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * first + [*space, (0, 0, 0)])


def _slice(
    x: Array, first: int, offset: tuple[int, ...], size: tuple[int, ...], geometry: Geometry, skip: int = 0
) -> Array:
    """What one offset of the window sees along the axes from `first`: the spatial axes from `skip`, as many as the offset has."""
    steps = zip(offset, size, geometry.strides[skip:], geometry.dilation[skip:], strict=False)
    for axis, (w, o, s, d) in enumerate(steps, start=first):
        x = lax.slice_in_dim(x, d * w, d * w + s * (o - 1) + 1, s, axis)
    return x
