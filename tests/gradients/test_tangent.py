"""Tangent kernels against Jacobians, regression with them against the linearized network, and landscapes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxsci.errors import InputError
from jaxsci.fitting import least_squares
from jaxsci.gradients import _tangent, landscape, tangent_kernel
from jaxsci.models import convolutional, dense

pytestmark = pytest.mark.usefixtures("x64")

MODEL = dense.model(dense.Config(3, hidden=(5,), outputs=2, activation="tanh"))


def problem():
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), jax.eval_shape(MODEL.init, jax.random.key(0))
    )
    return params, jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=(3, 3)))


def jacobians(params, x):
    vector, unravel = ravel_pytree(params)
    return np.asarray(jax.jit(jax.jacrev(lambda v: jax.vmap(partial(MODEL.apply, unravel(v)))(x)))(vector))


@pytest.mark.parametrize("way", [tangent_kernel, _tangent._from_jacobians, _tangent._along_gradients])
def test_the_kernel_is_that_of_the_jacobians_whichever_way(way):
    params, x, other = problem()
    exact = np.einsum("iap,jbp->ijab", jacobians(params, x), jacobians(params, other))
    call = way if way is tangent_kernel else lambda *a, traced=False: way(*a, traced)
    np.testing.assert_allclose(call(MODEL.apply, params, x, other), exact, rtol=1e-10, atol=1e-12)
    traced = call(MODEL.apply, params, x, other, traced=True)
    np.testing.assert_allclose(traced, np.einsum("ijaa->ij", exact), rtol=1e-10)


def test_the_way_with_fewer_operations_is_taken():
    x = jnp.zeros((30, 16))
    many = dense.model(dense.Config(16, hidden=(32,), outputs=10))
    params = jax.eval_shape(many.init, jax.random.key(0))
    jacobians, along = _tangent._operations(many.apply, params, x, x, False)
    assert along < jacobians  # an output of a dense network costs as much as its parameters, and there are 10
    config = convolutional.Config((12, 12, 1), blocks=(convolutional.Block(4),), dense=(), outputs=1)
    shared = convolutional.model(config)
    params = jax.eval_shape(shared.init, jax.random.key(0))
    jacobians, along = _tangent._operations(
        shared.apply, params, jnp.zeros((30, 12, 12, 1)), jnp.zeros((30, 12, 12, 1)), True
    )
    assert jacobians < along  # every weight of a convolution is used at every pixel


@pytest.mark.slow
def test_regression_with_the_kernel_is_ridge_regression_of_the_linearized_network():
    params, x, other = problem()
    apply = lambda p, x: MODEL.apply(p, x)[0]  # noqa: E731
    y, ridge = jnp.asarray([0.3, -1.0, 2.0, 0.5]), 0.2
    outputs = jax.vmap(partial(apply, params))
    kernel = tangent_kernel(apply, params, x) + ridge * jnp.eye(4)
    weights = jnp.linalg.solve(kernel, y - outputs(x))
    predicted = outputs(other) + tangent_kernel(apply, params, other, x) @ weights

    def moved(shift, x):
        return jax.vmap(lambda x: jax.jvp(lambda p: apply(p, x), (params,), (shift,))[1])(x)

    fitted = least_squares(lambda shift: moved(shift, x), y - outputs(x), jnp.ones(4), like=params, precision=ridge)
    np.testing.assert_allclose(predicted, outputs(other) + moved(fitted.params, other), rtol=1e-8)


def test_a_landscape_is_the_value_at_every_point_of_the_grid():
    params, x, _ = problem()
    value = jax.jit(lambda p: jnp.sum(jax.vmap(partial(MODEL.apply, p))(x) ** 2))
    other = jax.tree.map(lambda leaf: 2 * leaf + 1, params)
    between = jax.tree.map(jnp.subtract, other, params)
    key = jax.random.key(1)
    found = landscape(value, params, [between, key], [np.linspace(0, 1, 5), jnp.array([-0.5, 0.0])], points=3)
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found[[0, -1], 1], [value(params), value(other)], rtol=1e-12)
    direction = _tangent._direction(key, params)
    np.testing.assert_allclose(found[0, 0], value(jax.tree.map(lambda p, d: p - d / 2, params, direction)), rtol=1e-12)
    for layer, drawn in zip(params.values(), direction.values(), strict=True):
        np.testing.assert_allclose(*(np.linalg.norm(a["kernel"], axis=0) for a in (drawn, layer)), rtol=1e-12)
        np.testing.assert_array_equal(drawn["bias"], 0)
    with pytest.raises(InputError, match="directions: expected one for each of 1"):
        landscape(value, params, [], [np.zeros(2)])
