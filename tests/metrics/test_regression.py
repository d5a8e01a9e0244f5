"""RMSE, MAE and R2 at their edges; tests/metrics/test_against_sklearn.py has the ordinary cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci import metrics

METRICS = rmse, mae, r2 = [jax.jit(metric) for metric in (metrics.rmse, metrics.mae, metrics.r2)]


def test_constant_target():
    target = jnp.full(7, 0.1)  # whose mean in float32 need not be 0.1
    assert np.isnan(r2(target, target))
    assert float(r2(target.at[0].add(1.0), target)) == -np.inf
    masked = r2(jnp.append(target, 5.0).at[0].add(1.0), jnp.append(target, 5.0), jnp.arange(8) < 7)
    assert float(masked) == -np.inf


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_examples(count):
    some = jnp.ones(count)
    assert np.isnan(r2(some, some + 1))
    for metric in (rmse, mae):
        assert np.isnan(metric(some, some)) == (count == 0)


def test_the_mean_has_r2_of_0_and_what_is_worse_is_negative():
    target = jnp.array([1.0, 2.0, 6.0])
    np.testing.assert_allclose(r2(jnp.full(3, 3.0), target), 0.0, atol=1e-7)
    assert float(r2(-target, target)) < 0
    assert float(r2(target, target)) == 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_nan_counts_unless_its_weight_is_0(metric):
    target, predicted = jnp.array([1.0, 2.0, 6.0, 3.0]), jnp.array([1.5, 2.0, 5.0, 3.0])
    mask = jnp.arange(4) < 3
    expected = metric(predicted[:3], target[:3])
    for spoiled in ((predicted.at[3].set(jnp.nan), target), (predicted, target.at[3].set(jnp.nan))):
        assert np.isnan(metric(*spoiled))
        np.testing.assert_allclose(metric(*spoiled, mask), expected, rtol=1e-6)
        np.testing.assert_allclose(metric(*spoiled, mask.astype(jnp.float32)), expected, rtol=1e-6)
    assert np.isnan(metric(predicted, target, jnp.zeros(4)))


def test_large_offset_costs_no_digits_of_r2():
    rng = np.random.default_rng(0)
    target = (1e4 + rng.normal(size=100_000)).astype(np.float32)
    predicted = (target + 0.5 * rng.normal(size=target.size)).astype(np.float32)
    truth = target.astype(np.float64)
    expected = 1 - np.mean((predicted - truth) ** 2) / np.var(truth)
    # The inputs are exact; the mean is rounded to 1e-3, which moves the variance of 1 by its square.
    np.testing.assert_allclose(r2(jnp.asarray(predicted), jnp.asarray(target)), expected, atol=1e-5)


def test_400_000_errors_lose_no_digits():
    errors = jnp.full(400_000, 0.1)
    for metric in (rmse, mae):
        np.testing.assert_allclose(metric(errors, jnp.zeros(400_000)), 0.1, rtol=1e-6)
