"""A Gaussian process over compositions is the textbook's formula, whatever is cleverly computed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.tasks.superconductors.gaussian_process import Config

ELEMENTS, FEATURES, NUMBER = 7, 3, 40
CONFIG = Config(slots=5)


def materials(count, seed):
    """Compositions of one to five elements."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.1, 3, (count, ELEMENTS))
    for row in amounts:
        row[rng.permutation(ELEMENTS)[: rng.integers(2, ELEMENTS)]] = 0
    return amounts


TABLE = np.random.default_rng(7).normal(size=(ELEMENTS, FEATURES))
KNOWN, ASKED = materials(NUMBER, 0), materials(6, 1)
Y = 1 + np.random.default_rng(2).normal(size=NUMBER)


def oracle(known, y, asked, config):
    """Distances and matrices written out."""
    covariance = covariance_function(known, config)
    inner = covariance(known, known) + config.noise * np.eye(len(y))
    across, weights = covariance(asked, known), np.linalg.solve(inner, y - y.mean())
    left = sum(config.amplitudes) + config.noise - np.sum(across.T * np.linalg.solve(inner, across.T), axis=0)
    return y.mean() + across @ weights, np.sqrt((y - y.mean()) @ weights / len(y) * left)


def covariance_function(known, config):
    def features(amounts):
        f = amounts / amounts.sum(1, keepdims=True)
        mean = f @ TABLE
        deviation = np.stack([row @ np.abs(TABLE - m) for row, m in zip(f, mean, strict=True)])
        return f, np.sqrt(f), np.concatenate([mean, deviation], axis=1)

    def covariance(a, b):
        raw = features(known)[2]
        total = np.zeros((len(a), len(b)))
        for i, (left, right) in enumerate(zip(features(a), features(b), strict=True)):
            difference = left[:, None] - right[None]
            distance = np.sqrt(np.mean((difference / raw.std(0)) ** 2, -1)) if i == 2 else np.abs(difference).sum(-1)
            total += config.amplitudes[i] * np.exp(-distance / config.lengths[i])
        return total

    return covariance


def predicted(known, y, asked, config, dtype):
    table = jnp.asarray(TABLE, dtype)
    params = jax.jit(partial(gaussian_process.condition, config=config, table=table))(
        jnp.asarray(known, dtype), jnp.asarray(y, dtype)
    )
    apply = jax.jit(jax.vmap(lambda x: gaussian_process.apply(params, x, config, table)))
    return np.asarray(apply(jnp.asarray(asked, dtype)))


@pytest.mark.usefixtures("x64")
def test_it_is_the_formula_of_the_textbook():
    found = predicted(KNOWN, Y, ASKED, CONFIG, jnp.float64)
    np.testing.assert_allclose(found, oracle(KNOWN, Y, ASKED, CONFIG)[0], rtol=1e-9)


def test_single_precision_is_near_and_the_scale_of_a_formula_is_nothing():
    exact = oracle(KNOWN, Y, ASKED, CONFIG)[0]
    found = predicted(KNOWN, Y, ASKED, CONFIG, jnp.float32)
    # A square of about 1 that cancels to d^2 has an error of 1e-6, so d one of 1e-6 / d; weights are about 1 / noise.
    np.testing.assert_allclose(found, exact, atol=2e-3)
    scales = np.random.default_rng(3).uniform(0.1, 10, (len(ASKED), 1))
    np.testing.assert_allclose(predicted(KNOWN, Y, scales * ASKED, CONFIG, jnp.float32), found, atol=2e-3)


@pytest.mark.usefixtures("x64")
def test_the_novelty_is_one_minus_the_largest_covariance():
    config = Config(amplitudes=(0.6, 0.8, 0.6), slots=5)  # of variance 2
    condition = jax.jit(lambda x, y: gaussian_process.condition(x, y, config, TABLE))
    gp = gaussian_process.GP(config, condition(KNOWN, Y), NUMBER)
    asked = jnp.asarray(np.concatenate([ASKED, 3 * KNOWN[:2]]))
    mean, novelty = map(np.asarray, jax.jit(lambda x: gaussian_process.posterior(gp, x, TABLE))(asked))
    np.testing.assert_allclose(mean[: len(ASKED)], oracle(KNOWN, Y, ASKED, config)[0], rtol=1e-9)
    largest = covariance_function(KNOWN, config)(ASKED, KNOWN).max(axis=1)
    np.testing.assert_allclose(novelty[: len(ASKED)], 1 - largest / 2, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(novelty[len(ASKED) :], 0, atol=1e-7)  # a known material, in other units


@pytest.mark.usefixtures("x64")
def test_without_noise_it_returns_what_it_was_told_and_with_all_noise_the_mean():
    quiet = Config(noise=1e-10, slots=5)
    # The difference is the noise times the weights, which the smallest eigenvalue of K makes up to some 10^4.
    np.testing.assert_allclose(predicted(KNOWN, Y, KNOWN[:6], quiet, jnp.float64), Y[:6], atol=1e-5)
    loud = Config(noise=1e9, slots=5)
    np.testing.assert_allclose(predicted(KNOWN, Y, ASKED, loud, jnp.float64), Y.mean(), atol=1e-6)


@pytest.mark.slow
def test_derivatives_are_finite_also_at_a_known_material_and_an_element():
    table = jnp.asarray(TABLE, jnp.float32)
    params = gaussian_process.condition(jnp.asarray(KNOWN, jnp.float32), jnp.asarray(Y, jnp.float32), CONFIG, table)
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: gaussian_process.apply(params, x, CONFIG, table))))
    at = np.concatenate([KNOWN[:3], ASKED[:3], np.eye(ELEMENTS)[:2]])
    assert np.isfinite(gradient(jnp.asarray(at, jnp.float32))).all()


def test_the_spread_of_a_new_measurement_is_that_of_the_textbook(x64):
    arrays = (jnp.asarray(a) for a in (KNOWN, Y, ASKED))
    found = jax.jit(partial(gaussian_process.predictive, config=CONFIG))(*arrays, table=jnp.asarray(TABLE))
    for got, expected in zip(found, oracle(KNOWN, Y, ASKED, CONFIG), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9)
