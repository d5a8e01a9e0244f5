"""Curvature operators against dense matrices."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.gradients import (
    fisher,
    gauss_newton,
    hessian,
)
from jaxsci.losses import binary_cross_entropy, cross_entropy, huber, l2, objective, regularized, squared_error
from jaxsci.models import dense

pytestmark = pytest.mark.usefixtures("x64")

MODEL = dense.model(dense.Config(3, hidden=(4,), outputs=3, activation="tanh"))
N = 12
KEY = jax.random.key(0)


def problem(kind="classes"):
    """Parameters off the minimum, and data of unequal weights, one example of which is padding that holds NaN."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), jax.eval_shape(MODEL.init, KEY))
    x = rng.normal(size=(N, 3))
    x[4] = np.nan
    y = rng.integers(0, 3, N) if kind == "classes" else rng.normal(size=(N, 3))
    weight = rng.uniform(0.5, 2, N)
    weight[4] = 0
    return params, Batch(jnp.asarray(x), jnp.asarray(y), jnp.asarray(weight))


def counted(data):
    """Inputs, targets and shares of the examples that count, in numpy."""
    keep = np.asarray(data.weight) > 0
    x, y, weight = (np.asarray(leaf)[keep] for leaf in data)
    return x, y, weight / weight.sum()


def symmetric(matrix):
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12 * np.abs(matrix).max())
    return np.asarray(matrix)


def jacobians(params, x):
    """d outputs / d params, [example, output, parameter]."""
    vector, unravel = ravel_pytree(params)
    return np.asarray(jax.jit(jax.jacrev(lambda v: jax.vmap(partial(MODEL.apply, unravel(v)))(x)))(vector))


def test_the_hessian_is_that_of_the_whole_data():
    params, data = problem()
    loss = regularized(objective(MODEL.apply, cross_entropy), l2, 0.1)
    vector, unravel = ravel_pytree(params)
    exact = jax.jit(jax.hessian(lambda v: loss(unravel(v), data)[0]))(vector)
    matrix = symmetric(hessian(loss, params, data, batch_size=5).dense())
    np.testing.assert_allclose(matrix, exact, rtol=0, atol=1e-10 * np.abs(exact).max())


def test_gauss_newton_is_the_sum_of_jacobians_around_the_curvature_of_the_loss():
    params, data = problem()
    x, _, share = counted(data)
    j = jacobians(params, x)
    logits = np.asarray(jax.vmap(partial(MODEL.apply, params))(x))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    curvature = np.eye(3) * p[:, :, None] - p[:, :, None] * p[:, None, :]
    exact = np.einsum("n,nap,nab,nbq->pq", share, j, curvature, j)
    matrix = symmetric(gauss_newton(MODEL.apply, cross_entropy, params, data, batch_size=5).dense())
    np.testing.assert_allclose(matrix, exact, rtol=0, atol=1e-10 * np.abs(exact).max())
    same = fisher(MODEL.apply, cross_entropy, params, data, batch_size=5).dense()
    np.testing.assert_array_equal(matrix, same)


def test_the_empirical_fisher_is_the_mean_outer_product_of_gradients():
    params, data = problem("numbers")
    x, y, share = counted(data)
    slopes = 2 / 3 * (np.asarray(jax.vmap(partial(MODEL.apply, params))(x)) - y)
    g = np.einsum("nap,na->np", jacobians(params, x), slopes)
    matrix = symmetric(fisher(MODEL.apply, squared_error, params, data, kind="empirical", batch_size=5).dense())
    np.testing.assert_allclose(matrix, np.einsum("n,np,nq->pq", share, g, g), rtol=0, atol=1e-10)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "loss", [cross_entropy, pytest.param(squared_error, marks=SLOW), pytest.param(binary_cross_entropy, marks=SLOW)]
)
def test_the_sampled_fisher_is_unbiased_and_does_not_depend_on_the_batch_size(loss):
    params, data = problem("classes" if loss is cross_entropy else "numbers")
    apply = MODEL.apply
    if loss is binary_cross_entropy:
        apply, data = (lambda p, x: MODEL.apply(p, x)[0]), data._replace(y=(data.y[:, 0] > 0).astype(float))
    along = jax.tree.map(jnp.ones_like, params)

    @partial(jax.jit, static_argnums=1)
    def quadratic(key, batch_size):
        operator = fisher(apply, loss, params, data, kind="sampled", key=key, batch_size=batch_size)
        return jnp.vdot(ravel_pytree(along)[0], ravel_pytree(operator(along))[0])

    samples = jax.lax.map(partial(quadratic, batch_size=5), jax.random.split(KEY, 2000))
    exact = ravel_pytree(fisher(apply, loss, params, data)(along))[0].sum()
    assert abs(samples.mean() - exact) < 4 * samples.std() / np.sqrt(2000)  # one in 10,000 by chance
    np.testing.assert_allclose(quadratic(KEY, 5), quadratic(KEY, 256), rtol=1e-12)


def test_what_cannot_be_used_is_refused():
    params, data = problem()
    loss = objective(MODEL.apply, cross_entropy)
    with pytest.raises(InputError, match=r"params\['count'\]: expected floating-point numbers, got int"):
        hessian(loss, {**params, "count": jnp.zeros(3, int)}, data)
    with pytest.raises(InputError, match="one floating type, got float32, float64"):
        gauss_newton(MODEL.apply, cross_entropy, {**params, "scale": jnp.zeros(3, jnp.float32)}, data)
    with pytest.raises(InputError, match=r"loss: expected a mean over the batch by batch.weight, got .* divide"):
        hessian(lambda p, batch: (loss(p, batch)[0] * jnp.sum(batch.weight), {}), params, data)
    with pytest.raises(InputError, match="weights that add up to 0"):
        gauss_newton(MODEL.apply, cross_entropy, params, data._replace(weight=jnp.zeros(N)))
    with pytest.raises(InputError, match=r"expected a likelihood, one of squared_error.*got huber"):
        fisher(MODEL.apply, huber, params, data)
    with pytest.raises(InputError, match="key: expected one"):
        fisher(MODEL.apply, cross_entropy, params, data, kind="sampled")


def test_operators_enter_compiled_programs_as_arguments():
    params, data = problem()
    loss = objective(MODEL.apply, cross_entropy)
    value = jax.jit(chex.assert_max_traces(lambda op, v: op(v), n=1))
    for shift in (0.0, 1.0):
        moved = jax.tree.map(lambda leaf, shift=shift: leaf + shift, params)
        result = value(hessian(loss, moved, data) + shift, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(result, params)
