"""Convolution under every transformation: vmap over either operand or both, scan, checkpoint, linearize, jit, and their nestings."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxsci.ops import conv

X = (4, 2, 5, 6, 3)  # [mapped, batch, height, width, in]
K = (4, 3, 2, 3, 5)


def draws(*shapes, dtype=jnp.float64, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def loss(x, kernel):
    return jnp.sum(jnp.tanh(conv(x, kernel, strides=(2, 1), dilation=(1, 2))))


def loop(function, in_axes, x, kernel):
    results = [function(x[i] if in_axes[0] == 0 else x, kernel[i] if in_axes[1] == 0 else kernel) for i in range(4)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_equals_a_loop(in_axes):
    x, kernel = draws(X if in_axes[0] == 0 else X[1:], K if in_axes[1] == 0 else K[1:])

    def everything(x, kernel):
        gradient = jax.grad(loss, (0, 1))
        return conv(x, kernel), gradient(x, kernel), jax.jvp(gradient, (x, kernel), (x, kernel))[1]

    mapped = jax.jit(jax.vmap(everything, in_axes))(x, kernel)
    expected = jax.jit(partial(loop, everything, in_axes))(x, kernel)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12), mapped, expected)


@pytest.mark.usefixtures("x64")
def test_mapped_axes_may_lie_anywhere_and_nest():
    x, kernel = draws((3, *X), (3, *K), seed=1)
    expected = jax.vmap(jax.vmap(jax.grad(loss, (0, 1))))(x, kernel)

    def inner(x, kernel):  # mapped along the channels of x and the window of the kernel
        return jax.vmap(jax.grad(loss, (0, 1)), (-1, 1), (-1, 0))(jnp.moveaxis(x, 0, -1), jnp.moveaxis(kernel, 0, 1))

    got = jax.vmap(inner, (2, -1), (0, -1))(jnp.moveaxis(x, 0, 2), jnp.moveaxis(kernel, 0, -1))
    np.testing.assert_allclose(jnp.moveaxis(got[0], -1, 1), expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(jnp.moveaxis(got[1], -1, 0), expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_scan_checkpoint_and_linearize():
    x, kernel = draws(X, K[1:])
    gradient = jax.grad(lambda kernel, x: jax.checkpoint(loss)(x, kernel))

    def descend(kernel, x):
        return kernel - 0.1 * gradient(kernel, x), loss(x, kernel)

    def train(kernel, step_by_step):
        if not step_by_step:
            return lax.scan(descend, kernel, x)
        losses = []
        for one in x:
            kernel, value = descend(kernel, one)
            losses.append(value)
        return kernel, jnp.stack(losses)

    def total(kernel, step_by_step):
        return jnp.sum(train(kernel, step_by_step)[1])

    # Four steps of training, and the derivative of the training itself by its initial kernel.
    results = [jax.jit(jax.value_and_grad(total), static_argnums=1)(kernel, way) for way in (True, False)]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12), *results)
    value, linear = jax.linearize(loss, x[0], kernel)
    tangents = (x[1], 2 * kernel)
    np.testing.assert_allclose(linear(*tangents), jax.jvp(loss, (x[0], kernel), tangents)[1], rtol=1e-12)
    np.testing.assert_allclose(value, loss(x[0], kernel), rtol=1e-12)


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def kernel_gradients(function, *args):
    """Sizes of all results of the primitive that computes kernel gradients."""
    found = equations(jax.make_jaxpr(function)(*args).jaxpr)
    return [e.outvars[0].aval.size for e in found if e.primitive.name == "convolution_kernel"]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("options", [{"strides": (2, 1)}, {"dilation": (1, 2)}])
@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("examples", [16, 35])  # one block of the loop over examples, and blocks that overlap
def test_the_gradients_of_single_examples_are_theirs(examples, channels, options):
    x, k = draws((examples, 5, 6, channels), (3, 2, channels, 2))

    def gradient(k, x):
        return jax.grad(lambda k: jnp.sum(jnp.square(conv(x[None], k, **options))))(k)

    each = jax.jit(jax.vmap(gradient, (None, 0)))(k, x)
    alone = jnp.stack([jax.jit(gradient)(k, example) for example in x])
    np.testing.assert_allclose(each, alone, rtol=1e-12, atol=1e-11)  # sums of 60 products in another order


def test_the_gradient_of_mapped_examples_makes_one_kernel_gradient():
    x, kernel = jnp.ones(X), jnp.ones(K[1:])
    mean = jax.grad(lambda kernel: jnp.mean(jax.vmap(loss, (0, None))(x, kernel)))
    assert kernel_gradients(mean, kernel) == [kernel.size]
    products = jax.grad(lambda kernel: jnp.vdot(mean(kernel), kernel))
    assert set(kernel_gradients(products, kernel)) == {kernel.size}
    # What the check would find otherwise.
    assert kernel_gradients(jax.vmap(jax.grad(loss, 1), (0, None)), x, kernel) == [4 * kernel.size]


def test_one_trace_for_many_calls():
    traces = 0

    @jax.jit
    def step(x, kernel):
        nonlocal traces
        traces += 1
        return jax.grad(loss, (0, 1))(x, kernel)

    for seed in range(3):
        step(*draws(X[1:], K[1:], dtype=jnp.float32, seed=seed))
    assert traces == 1


def test_an_empty_batch_has_no_gradient():
    x, kernel = jnp.zeros((0, 5, 6, 3)), jnp.ones(K[1:])
    assert conv(x, kernel).shape == (0, 5, 6, 5)
    np.testing.assert_array_equal(jax.grad(loss, 1)(x, kernel), jnp.zeros_like(kernel))
    assert jax.vmap(lambda x: conv(x[None], kernel)[0])(x).shape == (0, 5, 6, 5)


@pytest.mark.parametrize(
    ("x", "kernel", "groups"),
    [
        ((0, 28, 28, 16), (3, 3, 16, 8), 1),
        ((0, 14, 14, 64), (3, 3, 64, 64), 1),
        ((0, 5, 6, 1), (3, 3, 1, 1), 1),
        ((0, 5, 6, 4), (3, 3, 2, 4), 2),
        ((2, 5, 6, 0), (3, 3, 0, 4), 1),
    ],
)
def test_a_sum_over_nothing_is_zero_at_every_kind_of_layer(x, kernel, groups):
    x, kernel = jnp.ones(x), jnp.ones(kernel)

    def apply(x, kernel):
        return jnp.sum(conv(x, kernel, groups=groups) ** 2)

    value, gradients = jax.jit(jax.value_and_grad(apply, (0, 1)))(x, kernel)
    assert value == 0
    assert [g.shape for g in gradients] == [x.shape, kernel.shape]
    assert not any(np.any(g) for g in gradients)


def test_precision_reaches_the_accelerator():
    arguments = jnp.ones((1, 4, 1)), jnp.ones((3, 1, 1))
    found = equations(jax.make_jaxpr(partial(conv, precision=lax.Precision.HIGHEST))(*arguments).jaxpr)
    assert [e.params["precision"] for e in found if e.primitive.name == "convolution_output"] == [lax.Precision.HIGHEST]
