"""The contractions of `convolution_primitives` in forms that are fast on a CPU, inside loops too: which one for which shape.

XLA's CPU compiler brings a convolution into the axis order of its fast kernels only outside loops; inside `lax.scan` any other order runs
in naive loops (github.com/jax-ml/jax/issues/12868), and so does float64 everywhere. Convolutions are written in that order from the start
here; what was transposed for it stays behind an optimisation barrier, because XLA would fold the transposition back into the convolution.
Windows of 3 to 5 at stride 1 with enough channels need a quarter of the products (`convolution_winograd`). The rest are matrix products
over blocks of images whose columns (the patches laid side by side) stay in the cache. The limits below were measured on 2 cores of an
x86 CPU.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops import blockwise
from jaxsci.ops import convolution_blocks as blocks
from jaxsci.ops import convolution_cpu_kernel as kernels
from jaxsci.ops import convolution_cpu_output as outputs
from jaxsci.ops import convolution_winograd as winograd
from jaxsci.ops.convolution_sizes import Geometry

FEW_PRODUCTS = 36  # a sum of so few products is faster as elementwise arithmetic
WIDE_OUTPUT = 32  # output channels from which a strided convolution is faster as a product of columns
NARROW_OUTPUT = 16  # output channels up to which a kernel in two dimensions is faster as a convolution
SOME_IMAGES = 4  # enough to take the place of channels
PARTS = 8  # independent products, which XLA computes at the same time; batched ones take one core each
# Groups, as for the gradient of each example, so small that a few are computed at the same time: numbers that the window sees, products.
SMALL_UNROLLED = 2**20
SMALL_PRODUCTS = 4 * 10**7
# Channels, of input and of output, that are worth the transformations of minimal filtering: for a window of 3, for larger ones, together.
OUTPUT_CHANNELS = 16
KERNEL_CHANNELS = 24
WIDE_CHANNELS = 32
BOTH_CHANNELS = 50
HIGHEST = ("highest", "float32", lax.Precision.HIGHEST)


def output(x: Array, kernel: Array, *, geometry: Geometry, precision: Any) -> Array:
    """y[g, b, t, o] from x[g, b, n, i] and k[g, w, i, o]."""
    return _convolve(*_widen(x, kernel), geometry, (1,) * len(geometry.strides), precision).astype(x.dtype)


def input(kernel: Array, y: Array, *, geometry: Geometry, precision: Any) -> Array:
    """x[g, b, n, i] from k[g, w, i, o] and y[g, b, t, o]: y, spread by the strides, convolved with the mirrored kernel."""
    mirrored = lax.optimization_barrier(_mirror(kernel, first=1))
    back = transposed(geometry, kernel.shape[1:-2])
    return _convolve(*_widen(y, mirrored), back, geometry.strides, precision).astype(y.dtype)


def kernel(x: Array, y: Array, *, geometry: Geometry, precision: Any) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o]."""
    channels, stride = (x.shape[-1], y.shape[-1]), max(geometry.strides)
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    if channels[1] <= kernels.FEW_CHANNELS < channels[0] and stride == 1:
        # The roles exchanged, so that the array with few channels is the one that is unrolled.
        return _mirror(kernel(y, x, geometry=transposed(geometry, window), precision=precision), first=1)
    unrolled = math.prod(y.shape[1:-1]) * math.prod(window) * channels[0]
    small = x.shape[0] > 1 and unrolled <= SMALL_UNROLLED and unrolled * channels[1] <= SMALL_PRODUCTS
    wide = _widen(x, y)
    if max(channels) == 1:
        result = kernels.depthwise(*wide, geometry)
    elif small and stride == 1:
        result = _small_groups(partial(kernels.of_each_group, geometry=geometry), *wide)
    elif small:
        result = _small_groups(jax.vmap(partial(kernels.by_columns, geometry=geometry)), *wide)
    elif _needs_few_products(wide[0], geometry, window, y.shape[2:-1], channels, precision, least=KERNEL_CHANNELS):
        result = _each_group(partial(winograd.kernel, geometry=geometry), *wide)
    else:
        result = _each_group(partial(_kernel, geometry=geometry), *wide)
    return result.astype(x.dtype)


def _convolve(x: Array, kernel: Array, geometry: Geometry, spread: tuple[int, ...], precision: Any) -> Array:
    """y[g, b, t, o] from x[g, b, n, i], with spread - 1 zeros between its elements, and k[g, w, i, o]."""
    window, channels = kernel.shape[1:-2], kernel.shape[-2:]
    stride = max(geometry.strides)
    few = channels[0] <= kernels.FEW_CHANNELS
    if max(channels) == 1 and math.prod(window) <= FEW_PRODUCTS:
        return outputs.depthwise(x, kernel, geometry, spread)
    if few and math.prod(window) * channels[0] <= FEW_PRODUCTS:
        return outputs.sum_of_products(x, kernel, geometry, spread)
    size = blocks.output_size(x.shape[2:-1], window, geometry, spread)
    if max(spread) == 1 and _needs_few_products(x, geometry, window, size, channels, precision, least=OUTPUT_CHANNELS):
        return _each_group(partial(winograd.convolve, geometry=geometry), x, kernel)
    if channels[1] <= (4 if len(window) == 3 else 2) and not few and stride == 1:
        method = outputs.product_then_sum
    elif x.dtype == jnp.float64 or len(window) == 3 or (len(window) == 2 and stride > 1 and channels[1] >= WIDE_OUTPUT):
        method = outputs.product_of_rows
    else:
        method = outputs.convolution_in_parts
    return _each_group(partial(method, geometry=geometry, spread=spread), x, kernel)


def _kernel(x: Array, y: Array, geometry: Geometry) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o]."""
    if x.shape[-1] <= kernels.FEW_CHANNELS:
        return kernels.by_channel_rows(x, y, geometry)
    filters = x.dtype == jnp.float32 and x.shape[0] >= SOME_IMAGES and max(geometry.strides) == 1
    if filters and (x.ndim == 3 or (x.ndim == 4 and y.shape[-1] <= NARROW_OUTPUT)):
        return kernels.by_convolution(x, y, geometry)
    return kernels.by_columns(x, y, geometry)


def _needs_few_products(
    x: Array,
    geometry: Geometry,
    window: tuple[int, ...],
    size: tuple[int, ...],
    channels: tuple[int, ...],
    precision: Any,
    least: int,
) -> bool:
    """Whether minimal filtering is faster, and allowed: float64 and the highest precision are for the most exact sums."""
    if x.dtype != jnp.float32 or _is_highest(precision) or max(geometry.strides + geometry.dilation) > 1:
        return False
    if min(window) < 3 or max(window) > 5 or len(window) == 1:
        return False
    # In three dimensions it saves so much that some channels do; in two they must be worth the transformations.
    wide = min(channels) >= (least if max(window) == 3 else WIDE_CHANNELS) and sum(channels) >= BOTH_CHANNELS
    saving = math.prod(window) * math.prod(size) / winograd.products(size, window)
    return saving >= 2.5 and (wide or (len(window) == 3 and min(channels) > kernels.FEW_CHANNELS))


def _is_highest(precision: Any) -> bool:
    return all(p in HIGHEST for p in (precision if isinstance(precision, tuple) else (precision,)))


def _widen(a: Array, b: Array) -> tuple[Array, Array]:
    """Sums are float32 at least, and so are the products: exact for two bfloat16."""
    wide = a.dtype if a.dtype.itemsize >= 4 else jnp.float32
    return a.astype(wide), b.astype(wide)


def _each_group(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    return function(a[0], b[0])[None] if a.shape[0] == 1 else lax.map(lambda pair: function(*pair), (a, b))


def _small_groups(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    """Pairs of groups, a few of them at the same time."""

    def block(a: Array, b: Array) -> Array:
        pairs = (slice(i, i + 2) for i in range(0, a.shape[0], 2))
        return jnp.concatenate([function(a[pair], b[pair]) for pair in pairs])

    return blockwise.map_over(block, a, b, length=2 * PARTS)


def _mirror(kernel: Array, first: int) -> Array:
    """The window reversed and the channels exchanged."""
    return jnp.flip(kernel, range(first, kernel.ndim - 2)).swapaxes(-1, -2)


def transposed(geometry: Geometry, window: tuple[int, ...]) -> Geometry:
    """The geometry by which the output, spread by the strides, meets the mirrored kernel."""
    padding = tuple(
        (d * (k - 1) - before, d * (k - 1) - after)
        for k, d, (before, after) in zip(window, geometry.dilation, geometry.padding, strict=True)
    )
    return Geometry((1,) * len(window), padding, geometry.dilation)
