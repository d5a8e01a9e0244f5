"""Products with a parameter: the gradient by it as a sum of outer products over positions, M[g, i, o] = sum_t A[g, t, i] D[g, t, o].

Of a matrix product A is the input and D the cotangent of the output, of a convolution A are the windows of the input. Groups g are axes
that both operands share.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.gradients._capture.windows import Sliding


class Product(NamedTuple):
    """How a step multiplies by a parameter."""

    layout: tuple[Any, ...]  # equal for products whose M are of one arrangement
    positions: int  # t
    sizes: tuple[int, int, int]  # g, i, o
    factors: Callable[[Array, Array], tuple[Array, Array]]  # (other operand, cotangent of the output) -> A, D
    arrange: Callable[[Array], Array]  # M -> the arrangement of the operand
    # sum_b c_b sum_t A_t A_t^T [g, i, i] of many examples (other operands, cotangents, c), where it needs no A
    second_moment: Callable[[Array, Array, Array], Array] | None = None


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
    sliding = Sliding(tuple(window), geometry.strides, geometry.padding, geometry.dilation, output[2:-1])

    def factors(other: Array, d: Array) -> tuple[Array, Array]:
        x, y = (d, other) if swap else (other, d)
        return sliding.windows(x).reshape(g, t, -1), y.reshape(g, t, o)

    def second_moment(others: Array, d: Array, c: Array) -> Array:
        return sliding.second_moment(*_as_images(d if swap else others, c))

    moment = second_moment if sliding.correlates(size[2:-1], i) else None
    return Product(("windows", kernel), t, (g, math.prod(window) * i, o), factors, lambda m: m.reshape(kernel), moment)


def _as_images(x: Array, c: Array) -> tuple[Array, Array]:
    """[example, g, b, *size, i] -> [g, example * b, *size, i], and the coefficient of each image."""
    images = jnp.moveaxis(x, 0, 1)
    count = images.shape[1] * images.shape[2]
    return images.reshape(images.shape[0], count, *images.shape[3:]), jnp.repeat(c, images.shape[2])


def _lax_convolution(params: Any, shapes: Sequence[tuple[int, ...]]) -> Product:
    image, filters, out = params[
        "dimension_numbers"
    ]  # axes of (batch, channel, *space), (out, in, *window), (batch, channel, *space)
    g = params["feature_group_count"]
    outputs, i, *window = (shapes[1][axis] for axis in filters)
    o = outputs // g
    batch, _, *output = (shapes[2][axis] for axis in out)
    t = batch * math.prod(output)
    geometry = (params["window_strides"], params["padding"], params["rhs_dilation"])
    sliding = Sliding(tuple(window), *geometry, tuple(output))
    dilation = [(0, 0, 0), *((0, 0, step - 1) for step in params["lhs_dilation"]), (0, 0, 0)]

    def images_of(x: Array) -> Array:
        """[g, batch, *size, i], with the zeros between the pixels."""
        x = x.transpose(image[0], *image[2:], image[1])
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), dilation)
        return jnp.moveaxis(x.reshape(*x.shape[:-1], g, i), -2, 0)

    def factors(x: Array, d: Array) -> tuple[Array, Array]:
        d = d.transpose(out[0], *out[2:], out[1]).reshape(t, g, o)
        return sliding.windows(images_of(x)).reshape(g, t, -1), d.swapaxes(0, 1)

    def second_moment(others: Array, _: Array, c: Array) -> Array:
        return sliding.second_moment(*_as_images(jax.vmap(images_of)(others), c))

    def arrange(m: Array) -> Array:
        k = jnp.moveaxis(m.reshape(g, *window, i, o), 0, -2).reshape(*window, i, g * o)
        order = (*filters[2:], filters[1], filters[0])
        return k.transpose(*np.argsort(order).tolist())

    size = [(shapes[0][axis] - 1) * step + 1 for axis, step in zip(image[2:], params["lhs_dilation"], strict=True)]
    moment = second_moment if sliding.correlates(tuple(size), i) else None
    sizes = (g, math.prod(window) * i, o)
    return Product(("lax windows", tuple(filters), g, shapes[1]), t, sizes, factors, arrange, moment)
