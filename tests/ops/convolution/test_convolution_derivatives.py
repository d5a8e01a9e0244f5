"""Derivatives of the convolution to second order against those of XLA, and its adjoint."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from jax import lax

from jaxsci.ops import conv, conv_transpose
from jaxsci.ops.convolution._sizes import conv_geometry
from tests.ops.convolution.cases import CASES, cases, draws, forget, input_fails_in_xla


def lax_conv(x, kernel, *, strides, padding, dilation, groups):
    rank = x.ndim - 2
    space = "HWD"[:rank]
    shape, _ = conv_geometry(x.shape[1:-1], kernel.shape[:rank], strides, padding, dilation)
    numbers = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(
        x, kernel, strides, shape.padding, None, dilation, numbers, feature_group_count=groups
    )


def derivatives(function, x, kernel, directions):
    """Value, gradient, Hessian products both ways, and the Gauss-Newton product."""

    def loss(x, kernel):
        return jnp.sum(jnp.sin(function(x, kernel)))

    gradient = jax.grad(loss, (0, 1))
    y, tangent = jax.jvp(function, (x, kernel), directions)

    def along(x, kernel):
        return sum(jnp.vdot(a, b) for a, b in zip(gradient(x, kernel), directions, strict=True))

    return (
        y,
        gradient(x, kernel),
        jax.jvp(gradient, (x, kernel), directions)[1],
        jax.grad(along, (0, 1))(x, kernel),
        jax.vjp(function, x, kernel)[1](jnp.cos(y) * tangent),
    )


@settings(max_examples=max(4, CASES // 4))
@given(cases())
def test_second_order_equals_xla(case):
    options, groups, (batch, *size, inputs), kernel_shape = case
    shape, output = conv_geometry(tuple(size), kernel_shape[:-2], **options)
    assume(not input_fails_in_xla(shape, kernel_shape[:-2], output))
    options = options | {"groups": groups}
    with jax.enable_x64(True):
        shapes = (batch, *size, groups * inputs), (*kernel_shape[:-1], groups * kernel_shape[-1])
        x, kernel, *directions = draws(*shapes, *shapes)
        ours, xla = jax.jit(lambda *args: [derivatives(partial(f, **options), *args) for f in (conv, lax_conv)])(
            x, kernel, tuple(directions)
        )
    scale = max(jax.tree.leaves(jax.tree.map(lambda a: np.abs(a).max(initial=1), xla)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * scale), ours, xla)
    forget()


@pytest.mark.usefixtures("x64")
@settings(max_examples=max(8, CASES // 4))
@given(cases())
def test_conv_transpose_is_the_adjoint(case):
    options, groups, (batch, *size, inputs), kernel_shape = case
    options = options | {"groups": groups}
    x, kernel = draws((batch, *size, groups * inputs), (*kernel_shape[:-1], groups * kernel_shape[-1]))

    @jax.jit
    def both_sides(x, kernel):
        y = conv(x, kernel, **options)
        cotangent = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        back = conv_transpose(cotangent, kernel, output_size=tuple(size), **options)
        return jnp.vdot(y, cotangent), jnp.vdot(x, back), jnp.linalg.norm(y) * jnp.linalg.norm(cotangent)

    left, right, scale = both_sides(x, kernel)
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-13 * scale)
    forget()
