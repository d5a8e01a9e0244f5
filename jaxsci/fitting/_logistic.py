"""Logistic regression: yes or no from a sum of features, with errors of their coefficients."""

import chex
import jax
import jax.numpy as jnp

from jaxsci.core import Array, Params
from jaxsci.fitting._likelihood import LikelihoodFit, minimize
from jaxsci.losses import binary_cross_entropy


def logistic_regression(
    x: Array, labels: Array, weights: Array | None = None, *, strength: float | Array = 0.0
) -> LikelihoodFit:
    """The most likely log odds f(x) = c + sum_k a_k x_k of yes, with the covariance of its coefficients.

    Minimizes sum_i w_i (ln(1 + exp f(x_i)) - y_i f(x_i)) + s |a|^2 / 2 by Newton's method. The prior of strength s keeps coefficients
    finite where features are nearly the same or tell all examples apart; errors then are those of likelihood and prior together, and
    coefficients are drawn to 0. With s = 0 they are unbiased, to first order in one over the number of examples.

    Pure: jit, vmap over weights, labels and strengths, derivatives. It cannot raise in a compiled program: see `require_minimum`.

    Args:
        x: [example, feature], of order 1 each, for a prior that treats them alike; many or similar ones ask for float64.
        labels: [example] 0 or 1.
        weights: w [example]; none: 1 each.
        strength: s, at least 0.

    Returns:
        With the parameters `coefficients` [feature] and `constant`; `errors(fit.covariance, fit.params)` gives theirs.
    """
    chex.assert_rank([x, labels], [2, 1])
    weights = jnp.ones(len(x), x.dtype) if weights is None else weights
    chex.assert_equal_shape([labels, weights])
    prior = jnp.asarray(strength, x.dtype) / 2

    def function(params: Params) -> Array:
        odds = x @ params["coefficients"] + params["constant"]
        losses = jax.vmap(binary_cross_entropy)(odds, labels)
        return weights @ losses + prior * jnp.sum(jnp.square(params["coefficients"]))

    start = {"coefficients": jnp.zeros(x.shape[1], x.dtype), "constant": jnp.zeros((), x.dtype)}
    return minimize(function, start)
