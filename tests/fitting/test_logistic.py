"""Logistic regression: the minimum of its definition, errors that are those of the scatter, and a prior that keeps it finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from jaxsci.errors import InputError
from jaxsci.fitting import errors, logistic_regression, require_minimum

pytestmark = pytest.mark.usefixtures("x64")
fit = jax.jit(lambda x, labels, weights, strength: logistic_regression(x, labels, weights, strength=strength))
TRUTH = np.array([1.0, -0.5])


def examples(seed, number=400):
    """Correlated features, and answers drawn with the probabilities of `TRUTH`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    return x, (rng.random(number) < 1 / (1 + np.exp(-(x @ TRUTH + 0.3)))).astype(float)


def test_it_is_the_minimum_of_its_definition():
    x, labels = examples(0)
    weights = np.random.default_rng(1).uniform(0, 2, len(x))

    def definition(a):
        odds = x @ a[:2] + a[2]
        return weights @ (np.log1p(np.exp(odds)) - labels * odds) + 3.0 * (a[:2] @ a[:2]) / 2

    expected = minimize(definition, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    found = fit(x, labels, weights, 3.0)
    np.testing.assert_allclose(found.params["coefficients"], expected.x[:2], atol=1e-6)
    np.testing.assert_allclose(found.params["constant"], expected.x[2], atol=1e-6)
    np.testing.assert_allclose(found.value, expected.fun, rtol=1e-10)


def test_errors_are_those_of_the_scatter():
    many = [examples(seed) for seed in range(300)]
    x, labels = (jnp.asarray(np.stack(part)) for part in zip(*many, strict=True))
    found = jax.jit(jax.vmap(lambda x, labels: logistic_regression(x, labels)))(x, labels)
    error = jax.vmap(lambda f: errors(f.covariance, f.params))(found)["coefficients"]
    pulls = (np.asarray(found.params["coefficients"]) - TRUTH) / np.asarray(error)
    # Of first order in one over the number of examples a maximum lies too far out: about 0.1 of an error here.
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=4 / np.sqrt(300) + 0.1)
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=4 / np.sqrt(600))


def test_errors_of_weighted_examples_are_those_of_the_scatter():
    """Also where weights go with the answers, which moves the constant alone."""
    many = [examples(seed) for seed in range(300)]
    x, labels = (jnp.asarray(np.stack(part)) for part in zip(*many, strict=True))
    weights = np.random.default_rng(2).choice([0.5, 5.0], labels.shape) * (1 + 2 * labels)
    found = jax.jit(jax.vmap(fit, in_axes=(0, 0, 0, None)))(x, labels, weights, 0.0)
    error = jax.vmap(lambda f: errors(f.covariance, f.params))(found)["coefficients"]
    pulls = (np.asarray(found.params["coefficients"]) - TRUTH) / np.asarray(error)
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=4 / np.sqrt(600))  # 2.6 by the inverse Hessian


def test_weights_and_a_prior_have_the_scatter_of_both():
    """Coefficients drawn from the prior, whose strength is 8, and examples of unequal weight."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(300, 2)) / np.sqrt(8)
    x = rng.normal(size=(300, 400, 2))
    labels = (rng.random((300, 400)) < 1 / (1 + np.exp(-np.einsum("sik,sk->si", x, truth)))).astype(float)
    weights = rng.choice([0.05, 0.5], labels.shape)
    found = jax.jit(jax.vmap(fit, in_axes=(0, 0, 0, None)))(x, labels, weights, 8.0)
    error = jax.vmap(lambda f: errors(f.covariance, f.params))(found)["coefficients"]
    pulls = (np.asarray(found.params["coefficients"]) - truth) / np.asarray(error)
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=4 / np.sqrt(600))


def test_examples_that_a_line_parts_need_a_prior():
    x = jnp.asarray([[-2.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    labels = jnp.asarray([0.0, 0.0, 1.0, 1.0])
    with pytest.raises(InputError, match="not determined"):
        require_minimum(fit(x, labels, jnp.ones(4), 0.0))
    found = fit(x, labels, jnp.ones(4), 0.1)
    require_minimum(found)
    assert found.params["coefficients"][0] > 1
    np.testing.assert_allclose(
        errors(found.covariance, found.params)["coefficients"][1], np.sqrt(10)
    )  # the prior alone
