"""Products with a parameter: the gradient by it as a sum of outer products over positions, M[g, i, o] = sum_t A[g, t, i] D[g, t, o].

Of a matrix product A is the input and D the cotangent of the output, of a convolution A are the windows of the input. Groups g are axes
that both operands share.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array


class Product(NamedTuple):
    """How a step multiplies by a parameter."""

    layout: tuple[Any, ...]  # equal for products whose M are of one arrangement
    positions: int  # t
    sizes: tuple[int, int, int]  # g, i, o
    factors: Callable[[Array, Array], tuple[Array, Array]]  # (other operand, cotangent of the output) -> A, D
    arrange: Callable[[Array], Array]  # M -> the arrangement of the operand


def product(step: Any, operand: int, shapes: Sequence[tuple[int, ...]]) -> Product | None:
    """The product of this step with its input number `operand`; shapes of both inputs and of the output. None if it is no product."""
    name = step.primitive.name
    if name == "dot_general":
        return _matrix(step.params, operand, shapes)
    if name == "convolution_output" and operand == 1:
        return _convolution(step.params["geometry"], shapes[0], shapes[1], shapes[2], swap=False)
    if name == "convolution_input" and operand == 0:
        return _convolution(step.params["geometry"], shapes[2], shapes[0], shapes[1], swap=True)
    if name == "conv_general_dilated" and operand == 1 and step.params["batch_group_count"] == 1:
        return _lax_convolution(step.params, shapes)
    return None


def _matrix(params: Any, operand: int, shapes: Sequence[tuple[int, ...]]) -> Product:
    contracted, shared = params["dimension_numbers"]
    kernel, other = shapes[operand], shapes[1 - operand]
    own = (*shared[operand], *contracted[operand])
    free = tuple(axis for axis in range(len(kernel)) if axis not in own)
    across = (*shared[1 - operand], *contracted[1 - operand])
    position = tuple(axis for axis in range(len(other)) if axis not in across)
    g, t = _size(kernel, shared[operand]), _size(other, position)
    i, o = _size(kernel, contracted[operand]), _size(kernel, free)
    order = (*own, *free)

    def factors(x: Array, d: Array) -> tuple[Array, Array]:
        a = x.transpose(*shared[1 - operand], *position, *contracted[1 - operand]).reshape(g, t, i)
        return a, d.reshape(g, t, o) if operand == 1 else d.reshape(g, o, t).swapaxes(1, 2)

    def arrange(m: Array) -> Array:
        return m.reshape([kernel[axis] for axis in order]).transpose(*np.argsort(order).tolist())

    return Product(("matrix", order, len(shared[operand]), len(contracted[operand])), t, (g, i, o), factors, arrange)


def _size(shape: Sequence[int], axes: Sequence[int]) -> int:
    return math.prod(shape[axis] for axis in axes)


def _convolution(
    geometry: Any, size: tuple[int, ...], kernel: tuple[int, ...], output: tuple[int, ...], *, swap: bool
) -> Product:
    """x [g, b, *size, i], k [g, *window, i, o], y [g, b, *output, o]; swapped, x is the cotangent and y the other operand."""
    g, *window, i, o = kernel
    t = math.prod(output[1:-1])

    def factors(other: Array, d: Array) -> tuple[Array, Array]:
        x, y = (d, other) if swap else (other, d)
        a = windows(x, tuple(window), geometry.strides, geometry.padding, geometry.dilation, output[2:-1])
        return a.reshape(g, t, -1), y.reshape(g, t, o)

    return Product(("windows", kernel), t, (g, math.prod(window) * i, o), factors, lambda m: m.reshape(kernel))


def _lax_convolution(params: Any, shapes: Sequence[tuple[int, ...]]) -> Product:
    image, filters, out = params[
        "dimension_numbers"
    ]  # axes of (batch, channel, *space), (out, in, *window), (batch, channel, *space)
    g = params["feature_group_count"]
    outputs, i, *window = (shapes[1][axis] for axis in filters)
    o = outputs // g
    batch, _, *output = (shapes[2][axis] for axis in out)
    t = batch * math.prod(output)

    def factors(x: Array, d: Array) -> tuple[Array, Array]:
        x = x.transpose(image[0], *image[2:], image[1])
        dilated = [(0, 0, 0), *((0, 0, step - 1) for step in params["lhs_dilation"]), (0, 0, 0)]
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), dilated)
        geometry = (params["window_strides"], params["padding"], params["rhs_dilation"])
        a = windows(x, tuple(window), *geometry, tuple(output)).reshape(t, -1, g, i)
        d = d.transpose(out[0], *out[2:], out[1]).reshape(t, g, o)
        return jnp.moveaxis(a, 2, 0).reshape(g, t, -1), d.swapaxes(0, 1)

    def arrange(m: Array) -> Array:
        k = jnp.moveaxis(m.reshape(g, *window, i, o), 0, -2).reshape(*window, i, g * o)
        order = (*filters[2:], filters[1], filters[0])
        return k.transpose(*np.argsort(order).tolist())

    return Product(("lax windows", tuple(filters), g, shapes[1]), t, (g, math.prod(window) * i, o), factors, arrange)


def windows(
    x: Array,
    window: tuple[int, ...],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    output: Sequence[int],
) -> Array:
    """[..., *size, channel] -> [..., *output, window, channel]: what each window sees."""
    lead = x.ndim - 1 - len(window)
    edges = [(0, 0, 0)] * lead + [(before, after, 0) for before, after in padding] + [(0, 0, 0)]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), edges)
    seen = []
    for offset in itertools.product(*map(range, window)):
        start = [d * w for d, w in zip(dilation, offset, strict=True)]
        stop = [first + s * (n - 1) + 1 for first, s, n in zip(start, strides, output, strict=True)]
        limits = (*x.shape[:lead], *stop, x.shape[-1])
        seen.append(jax.lax.slice(x, (*(0,) * lead, *start, 0), limits, (*(1,) * lead, *strides, 1)))
    return jnp.stack(seen, axis=-2)
