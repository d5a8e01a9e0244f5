"""The contractions of `_primitives` as XLA's own convolution and its transposes: cuDNN on a GPU."""

from functools import partial
from typing import Any

import jax
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution._sizes import ConvGeometry


def convolve(x: Array, kernel: Array, geometry: ConvGeometry, precision: Any = None) -> Array:
    """y[b, t, o] from x[b, n, i] and k[w, i, o]."""
    space = "HWD"[: len(geometry.strides)]
    if min(before for before, _ in geometry.padding) < 0:
        # jaxlib 0.10.2 reads what lies before the array on a CPU, a wrong result without a word.
        x = lax.optimization_barrier(windows.pad(x, 1, geometry.padding))
        geometry = geometry._replace(padding=((0, 0),) * len(space))
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=geometry.strides,
        padding=geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
        precision=precision,
    )


def output(x: Array, kernel: Array, *, geometry: ConvGeometry, precision: Any) -> Array:
    """y[g, b, t, o] from x[g, b, n, i] and k[g, w, i, o]."""
    one = partial(convolve, geometry=geometry, precision=precision)
    return one(x[0], kernel[0])[None] if x.shape[0] == 1 else jax.vmap(one)(x, kernel)


def input(kernel: Array, y: Array, *, geometry: ConvGeometry, precision: Any) -> Array:
    """x[g, b, n, i] from k[g, w, i, o] and y[g, b, t, o]."""
    size = geometry.input_size(kernel.shape[1:-2], y.shape[2:-1])
    x = jax.ShapeDtypeStruct((*y.shape[:2], *size, kernel.shape[-2]), y.dtype)
    return jax.linear_transpose(lambda x: output(x, kernel, geometry=geometry, precision=precision), x)(y)[0]


def kernel(x: Array, y: Array, *, geometry: ConvGeometry, precision: Any) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o]."""
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    k = jax.ShapeDtypeStruct((x.shape[0], *window, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: output(x, k, geometry=geometry, precision=precision), k)(y)[0]
