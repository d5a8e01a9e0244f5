"""The contractions of `_primitives` in forms that are fast on a CPU, inside loops too: which one for which shape.

XLA's CPU compiler brings a convolution into the axis order of its fast kernels only outside loops; inside `lax.scan` any other order runs
in naive loops (github.com/jax-ml/jax/issues/12868), and so does float64 everywhere. Convolutions are written in that order from the start
here; what was transposed for it stays behind an optimization barrier, because XLA would fold the transposition back into the convolution.
Windows of 3 to 5 at stride 1 with enough channels need a quarter of the products (`winograd`). The rest are matrix products
over blocks of images whose factors, shifted copies of the arrays laid side by side, stay in the cache (`forward`, `kernel_gradient`). The
input of a strided convolution is that of one at stride 1 with more channels (`strided`). Whether Winograd saves time is estimated from
three costs (`choice`). The limits below were measured on 2 cores of a Zen 3 and of a Zen 4.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution import choice, xla
from jaxsci.ops.convolution._cpu import forward, strided, winograd
from jaxsci.ops.convolution._cpu import kernel_gradient as kernels
from jaxsci.ops.convolution._sizes import ConvGeometry

FEW_PRODUCTS = 36  # a sum of so few products is faster as elementwise arithmetic
FEW_CHANNELS = 4  # of the array that is laid side by side, rather than the other one
MANY_CHANNELS = 16  # from which a strided kernel is faster by columns, if y is not shifted
WIDE_OUTPUT = 32  # output channels from which a strided convolution is faster as a product of columns
MOST_EXCESS = 1.5  # of products by zeros for which phases of pixels are faster than shifted products; in volumes always, where it is < 8
# Groups, as for the gradient of each example, so small that a few are computed at the same time: numbers in both factors, products.
SMALL_FACTORS = 2**20
SMALL_PRODUCTS = 4 * 10**7
# In root mean squares of an image, by spatial rank: up to this peak the rounding of Winograd is that of the ordinary values.
LARGEST_PEAK = {2: 32, 3: 10}
HIGHEST = ("highest", "float32", lax.Precision.HIGHEST)


class Method(NamedTuple):
    """What a program of several devices, which XLA partitions, asks of the kernels."""

    devices: int = 1  # that share the cores and the cache of the machine
    products: bool = False  # matrix products, rather than XLA's convolutions, which it cannot partition over groups

    @property
    def winograd(self) -> bool:
        """Whether it is exact enough for the data is a question to all devices; no device should wait for another."""
        return self.devices == 1


ONE_DEVICE = Method()


def output(x: Array, kernel: Array, *, geometry: ConvGeometry, precision: Any, method: Method = ONE_DEVICE) -> Array:
    """y[g, b, t, o] from x[g, b, n, i] and k[g, w, i, o]."""
    return _convolve(*widen(x, kernel), geometry, precision, method).astype(x.dtype)


def input(kernel: Array, y: Array, *, geometry: ConvGeometry, precision: Any, method: Method = ONE_DEVICE) -> Array:
    """x[g, b, n, i] from k[g, w, i, o] and y[g, b, t, o]: y, strides - 1 zeros between its elements, convolved with the mirrored kernel."""
    window, (inputs, outputs) = kernel.shape[1:-2], kernel.shape[-2:]
    wide = widen(y, lax.optimization_barrier(_mirror(kernel, first=1)))
    back = windows.transposed(geometry, window)
    if max(geometry.strides) == 1:
        x = _convolve(*wide, back, precision, method)
    elif max(inputs, outputs) == 1 and math.prod(window) <= FEW_PRODUCTS:
        x = forward.depthwise(*wide, back, geometry.strides)
    elif outputs <= FEW_CHANNELS and math.prod(window) * outputs <= FEW_PRODUCTS:
        x = forward.sum_of_products(*wide, back, geometry.strides)
    elif inputs > _few_outputs(window) and (len(window) == 3 or strided.excess(window, geometry) <= MOST_EXCESS):
        x = strided.input(partial(input, precision=precision, method=method), kernel, y, geometry)
    else:
        x = _each_group(
            partial(forward.product_then_sum, geometry=back, lhs_dilation=geometry.strides, devices=method.devices),
            *wide,
        )
    return x.astype(y.dtype)


def kernel(x: Array, y: Array, *, geometry: ConvGeometry, precision: Any, method: Method = ONE_DEVICE) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o]."""
    channels, stride = (x.shape[-1], y.shape[-1]), max(geometry.strides)
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    if channels[1] <= FEW_CHANNELS < channels[0] and stride == 1:
        # The roles exchanged, so that the array with few channels is the one that is unrolled.
        back = windows.transposed(geometry, window)
        return _mirror(kernel(y, x, geometry=back, precision=precision, method=method), first=1)
    plan = kernels.plan(x.shape[2:], y.shape[2:], geometry)
    products = math.prod(y.shape[1:]) * math.prod(window) * channels[0]
    static = isinstance(x.shape[0] * x.shape[1], int)
    small = static and products <= SMALL_PRODUCTS and x.shape[1] * plan.factors_size(*channels) <= SMALL_FACTORS
    wide = widen(x, y)
    if max(channels) == 1:
        result = kernels.depthwise(*wide, geometry)
    elif small and x.shape[0] > 1:
        result = kernels.of_each_group(*wide, plan, method.devices)
    elif method.winograd and _saves_time("kernel", wide[0], geometry, window, y.shape[2:-1], channels, precision):
        result = _each_group(partial(winograd.kernel, geometry=geometry), *wide)
    elif stride > 1 and channels[0] >= MANY_CHANNELS and not plan.outer:
        result = _each_group(partial(kernels.by_columns, geometry=geometry, devices=method.devices), *wide)
    else:
        result = _each_group(partial(kernels.of_images, plan=plan, devices=method.devices), *wide)
    return result.astype(x.dtype)


def _convolve(x: Array, kernel: Array, geometry: ConvGeometry, precision: Any, method: Method) -> Array:
    """y[g, b, t, o] from x[g, b, n, i] and k[g, w, i, o]."""
    window, channels = kernel.shape[1:-2], kernel.shape[-2:]
    stride = max(geometry.strides)
    few = channels[0] <= FEW_CHANNELS
    wide_strided = len(window) == 2 and stride > 1 and channels[1] >= WIDE_OUTPUT
    if max(channels) == 1 and math.prod(window) <= FEW_PRODUCTS:
        return forward.depthwise(x, kernel, geometry)
    if few and math.prod(window) * channels[0] <= FEW_PRODUCTS:
        return forward.sum_of_products(x, kernel, geometry)
    size = geometry.output_size(x.shape[2:-1], window)
    apply: Callable[..., Array]
    if channels[1] <= _few_outputs(window) and not few and stride == 1:
        apply = forward.product_then_sum
    elif method.products or wide_strided or x.dtype == jnp.float64 or len(window) == 3:
        apply = forward.product_of_rows
    else:
        apply = forward.convolution_in_parts
    one = partial(apply, geometry=geometry, devices=method.devices)
    if method.winograd and _saves_time("output", x, geometry, window, size, channels, precision):
        if apply is forward.convolution_in_parts:  # seldom taken: parts would cost more to compile than they save
            one = partial(xla.convolve, geometry=geometry)
        one = partial(_by_range, partial(winograd.convolve, geometry=geometry), one)
    return _each_group(one, x, kernel)


def _few_outputs(window: tuple[int, ...]) -> int:
    """Output channels up to which the product of each pixel with the whole window, its parts shifted and added, is fastest."""
    return 4 if len(window) == 3 else 2


def _by_range(
    winograd: Callable[[Array, Array], Array], direct: Callable[[Array, Array], Array], x: Array, kernel: Array
) -> Array:
    """Winograd, unless the values of an image differ so much that its rounding would reach outputs whose window sees only small ones.

    An infinity or a NaN asks for direct sums as well.
    """
    squares = lax.square(x)
    space = tuple(range(1, x.ndim))
    peak, mean = squares.max(space), squares.mean(space)
    return lax.cond(
        jnp.all((peak <= LARGEST_PEAK[x.ndim - 2] ** 2 * mean) & (peak < jnp.inf)), winograd, direct, x, kernel
    )


def _saves_time(
    role: str,
    x: Array,
    geometry: ConvGeometry,
    window: tuple[int, ...],
    size: tuple[int, ...],
    channels: tuple[int, ...],
    precision: Any,
) -> bool:
    """Whether Winograd is faster, and allowed: float64 and the highest precision are for the most exact sums."""
    costs = choice.costs()
    if costs is None or x.dtype != jnp.float32 or _is_highest(precision) or max(geometry.strides) > 1:
        return False
    if min(window) < 3 or max(window) > 5 or len(window) == 1:
        return False
    cost = costs.kernels if role == "kernel" else costs.volumes if len(window) == 3 else costs.images
    direct = math.prod(window) * math.prod(size)
    return choice.pays(cost, direct, winograd.products(size, window, geometry.dilation), channels)


def _is_highest(precision: Any) -> bool:
    return all(p in HIGHEST for p in (precision if isinstance(precision, tuple) else (precision,)))


def widen(a: Array, b: Array) -> tuple[Array, Array]:
    """Sums are float32 at least, and so are the products: exact for two bfloat16."""
    wide = a.dtype if a.dtype.itemsize >= 4 else jnp.float32
    return a.astype(wide), b.astype(wide)


def _each_group(function: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    return function(a[0], b[0])[None] if a.shape[0] == 1 else lax.map(lambda pair: function(*pair), (a, b))


def _mirror(kernel: Array, first: int) -> Array:
    """The window reversed and the channels exchanged."""
    return jnp.flip(kernel, range(first, kernel.ndim - 2)).swapaxes(-1, -2)
