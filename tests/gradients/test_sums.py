"""Clipped sums, moments and the noise scale."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.gradients import clipped_sum, moments, noise_scale, per_example_gradients
from jaxsci.losses import objective, squared_error
from tests.gradients.networks import NETWORKS, WEIGHT, dense_network, flat, matrix

SHARES = WEIGHT / WEIGHT.sum()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name", [pytest.param("dense", marks=pytest.mark.slow), "tied", pytest.param("images", marks=pytest.mark.slow)]
)
def test_sums_of_gradients_equal_those_of_stored_ones(name):
    loss, params, batch = NETWORKS[name](np.random.default_rng(1))
    stored = matrix(loss, params, batch)
    lengths = np.sqrt((stored**2).sum(1))
    bound = np.sort(lengths)[2]

    @jax.jit
    def both(params, batch, bound):
        clipped = clipped_sum(loss, params, batch, bound)
        return clipped, moments(loss, params, batch, memory=15_000), noise_scale(loss, params, batch, per_leaf=True)

    clipped, found, noises = both(params, batch, bound)
    factors = np.minimum(1, bound / np.where(lengths > 0, lengths, 1))
    np.testing.assert_allclose(flat(clipped), factors @ stored, rtol=1e-12, atol=1e-13)
    mean, square = SHARES @ stored, SHARES @ stored**2
    variance = (square - mean**2) / (1 - (SHARES**2).sum())
    np.testing.assert_allclose(flat(found.mean), mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(flat(found.variance), variance, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(flat(found.signal_to_noise) * np.sqrt(variance), np.abs(mean), rtol=1e-8, atol=1e-12)
    ends = np.cumsum([leaf.size for leaf in jax.tree.leaves(params)])[:-1]
    is_noise = {"is_leaf": lambda node: hasattr(node, "scatter")}
    leaves = jax.tree.leaves(noises, **is_noise)
    for part, noise in zip(np.split(stored, ends, axis=1), leaves, strict=True):
        np.testing.assert_allclose(
            [noise.scatter, noise.signal], scatter_and_signal(part, SHARES), rtol=1e-9, atol=1e-12
        )


def scatter_and_signal(stored, shares):
    mean = shares @ stored
    scatter = (shares @ stored**2 - mean**2).sum() / (1 - (shares**2).sum())
    return scatter, mean @ mean - (shares**2).sum() * scatter


@pytest.mark.usefixtures("x64")
def test_the_interval_is_the_jackknife_of_the_stored_gradients():
    loss, params, batch = dense_network(np.random.default_rng(2))
    stored = matrix(loss, params, batch)
    found = jax.jit(lambda params, batch: noise_scale(loss, params, batch, level=0.95))(params, batch)
    inverses = []
    for left in np.flatnonzero(WEIGHT):
        shares = np.where(np.arange(WEIGHT.size) == left, 0, WEIGHT)
        scatter, signal = scatter_and_signal(stored, shares / shares.sum())
        inverses.append(signal / scatter)
    scatter, signal = scatter_and_signal(stored, SHARES)
    error = 1.959963984540054 * np.sqrt(3 / 4 * np.sum((np.array(inverses) - np.mean(inverses)) ** 2))
    ends = np.array([signal / scatter, signal / scatter + error, signal / scatter - error])
    with np.errstate(divide="ignore"):
        expected = np.where(ends > 0, 1 / ends, np.inf)
    np.testing.assert_allclose([found.scale, found.low, found.high], expected, rtol=1e-9)


def test_the_interval_covers_the_true_noise_scale():
    """Gradients with a known mean and covariance: of the loss -params . x with x ~ N(m, 1) the gradient is -x, and B = d / |m|^2."""
    mean, draws, size = np.full(6, 0.4), 300, 64

    def loss(params, batch):
        values = -jnp.sum(batch.x * params["a"][None], axis=1)
        weight = jnp.sum(batch.weight)
        return jnp.sum(values * batch.weight) / jnp.where(weight == 0, 1, weight), {}

    x = (np.random.default_rng(3).normal(size=(draws, size, 6)) + mean).astype(np.float32)
    ones = np.ones(size, np.float32)
    one = jax.jit(jax.vmap(lambda x: noise_scale(loss, {"a": jnp.ones(6)}, Batch(x, ones, ones), level=0.9)))
    found = one(x)
    truth = 6 / np.sum(mean**2)
    covered = np.mean((found.low <= truth) & (truth <= found.high))
    assert (
        0.9 - 3 * np.sqrt(0.09 / draws) < covered < 0.98
    )  # 0.9 within three standard errors of 300 draws; the jackknife is a little wide
    np.testing.assert_allclose(np.mean(found.scatter), 6, rtol=0.02)
    np.testing.assert_allclose(np.mean(found.signal), np.sum(mean**2), rtol=0.05)


@pytest.mark.usefixtures("x64")
def test_the_clipped_sum_is_that_of_optax_and_the_noise_has_its_size():
    loss, params, batch = dense_network(np.random.default_rng(4))
    transform = optax.contrib.differentially_private_aggregate(0.7, 0.0, 0)
    with jax.numpy_dtype_promotion("standard"):
        theirs, _ = jax.jit(
            lambda params, batch: transform.update(per_example_gradients(loss, params, batch), transform.init(params))
        )(params, batch)
    ours = jax.jit(partial(clipped_sum, loss))(params, batch, 0.7)
    np.testing.assert_allclose(flat(ours) / WEIGHT.size, flat(theirs), rtol=1e-12)
    noisy = jax.jit(lambda key: clipped_sum(loss, params, batch, 0.7, noise=2.0, key=key))
    draws = np.array([flat(noisy(jax.random.key(seed))) - flat(ours) for seed in range(20)]) / 1.4
    assert abs(draws.mean()) < 5 / np.sqrt(draws.size)
    assert abs(draws.std() - 1) < 5 / np.sqrt(2 * draws.size)
    with pytest.raises(InputError, match="key"):
        clipped_sum(loss, params, batch, 0.7, noise=1.0)


def test_losses_and_batches_that_have_no_noise_scale_are_refused():
    loss = objective(lambda params, x: x * params["a"], squared_error)
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    params, batch = {"a": jnp.ones(2)}, Batch(x, x**2, np.ones(5, np.float32))
    with pytest.raises(InputError, match="at least 3 examples"):
        noise_scale(loss, params, batch._replace(weight=np.array([1, 1, 0, 0, 0], np.float32)))
    with pytest.raises(InputError, match="at least 2 examples"):
        moments(loss, params, batch._replace(weight=np.zeros(5, np.float32)))

    def summed(params, batch):
        value, metrics = loss(params, batch)
        return value * jnp.sum(batch.weight), metrics

    with pytest.raises(InputError, match="divide a sum by the sum of the weights"):
        noise_scale(summed, params, batch)
    x = batch.x.copy()
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="not of example 3"):
        noise_scale(loss, params, batch._replace(x=x))


def test_a_linear_model_needs_no_more_than_its_residuals():
    x, y = np.array([[1.0], [2.0], [3.0]], np.float32), np.array([[1.0], [1.0], [4.0]], np.float32)
    loss = objective(lambda params, x: x * params["a"], squared_error)
    found = jax.jit(partial(moments, loss))({"a": jnp.zeros(1)}, Batch(x, y, np.ones(3, np.float32)))
    gradients = -2 * x * y
    np.testing.assert_allclose(found.mean["a"], gradients.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.variance["a"], gradients.var(0, ddof=1), rtol=1e-5)
