"""How far predictions of numbers are from the truth."""

import jax.numpy as jnp

from jaxsci._numerics import as_real
from jaxsci._shapes import expect_dtype, expect_shapes
from jaxsci.core import Array
from jaxsci.metrics._sums import weighted_mean, weights_like


def rmse(predicted: Array, target: Array, weight: Array | None = None) -> Array:
    """Root of the mean squared error, sqrt(sum_i w_i (p_i - y_i)^2 / sum_i w_i), in the unit of the target.

    Args:
        predicted: [example], floating; `jax.vmap` over columns for several outputs.
        target: [example], the same dtype.
        weight: [example], >= 0; none: all 1; boolean: a mask. An example of weight 0 does not count, NaN included.

    Returns:
        Scalar in the dtype of the predictions, at least float32; NaN without examples.
    """
    return jnp.sqrt(weighted_mean(jnp.square(_errors(predicted, target)), weight))


def mae(predicted: Array, target: Array, weight: Array | None = None) -> Array:
    """Mean absolute error, sum_i w_i |p_i - y_i| / sum_i w_i; arguments and edge cases as in `rmse`."""
    return weighted_mean(jnp.abs(_errors(predicted, target)), weight)


def r2(predicted: Array, target: Array, weight: Array | None = None) -> Array:
    """Coefficient of determination, 1 - sum_i w_i (p_i - y_i)^2 / sum_i w_i (y_i - mean y)^2; arguments as in `rmse`.

    1 is perfect, 0 is as good as the (weighted) mean of the targets. Where all targets are equal there is no variance
    to explain: NaN if the predictions are perfect, else -infinity, scikit-learn's `force_finite=False` (its default
    invents 1 and 0). NaN for fewer than two examples, as in scikit-learn.
    """
    errors, target = _errors(predicted, target), as_real(target)
    weight = weights_like(errors, weight)
    mask = weight != 0
    deviations = target - jnp.where(mask, weighted_mean(target, weight), 0)
    # The rounded mean of equal numbers may differ from them, and a variance of 1e-17 is not one to divide by.
    lowest = jnp.min(target, where=mask, initial=jnp.inf)
    highest = jnp.max(target, where=mask, initial=-jnp.inf)
    variance = jnp.where(highest > lowest, weighted_mean(jnp.square(deviations), weight), 0)
    unexplained = weighted_mean(jnp.square(errors), weight) / variance
    missing = (jnp.sum(mask) < 2) | jnp.isnan(highest) | jnp.isnan(lowest)
    return jnp.where(missing, jnp.nan, 1 - unexplained)


def _errors(predicted: Array, target: Array) -> Array:
    expect_shapes("predicted [example], target [example]", predicted, target)
    expect_dtype("predicted", predicted, "floating")
    expect_dtype("target", target, "floating")
    return as_real(predicted) - as_real(target)
