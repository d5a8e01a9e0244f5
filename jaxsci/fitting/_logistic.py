"""Logistic regression: yes or no from a sum of features, with errors of their coefficients."""

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array, Params
from jaxsci.fitting._likelihood import LikelihoodFit, minimize
from jaxsci.losses import binary_cross_entropy


def logistic_regression(
    x: Array, labels: Array, weights: Array | None = None, *, strength: float | Array = 0.0
) -> LikelihoodFit:
    """The most likely log odds f(x) = c + sum_k a_k x_k of yes, with the covariance of its coefficients.

    Minimizes sum_i w_i (ln(1 + exp f(x_i)) - y_i f(x_i)) + s |a|^2 / 2 by Newton's method. The prior of strength s keeps coefficients
    finite where features are nearly the same or tell all examples apart; errors then are those of likelihood and prior together, and
    coefficients are drawn to 0. With s = 0 they lie too far from 0, by a bias of order one over the number of examples.

    Without weights the covariance is the inverse Hessian H^(-1). With weights, such as those of simulated events, it is that of the
    scatter: H^(-1) (sum_i w_i^2 g_i g_i^T + S) H^(-1), where g_i is the gradient of one example's term and S the Hessian of the prior
    (Huber 1967; White 1982, Econometrica 50, 1). With s = 0 the scale of the weights does not matter; an example seen twice is two rows.

    Pure: jit, vmap over weights, labels and strengths, derivatives. It cannot raise in a compiled program: see `require_minimum`.

    Args:
        x: [example, feature], of order 1 each, for a prior that treats them alike; many or similar ones ask for float64.
        labels: [example] 0 or 1.
        weights: w [example], at least 0; none: 1 each.
        strength: s, at least 0.

    Returns:
        With the parameters `coefficients` [feature] and `constant`; `errors(fit.covariance, fit.params)` gives theirs.
    """
    expect_shapes("x [example, feature], labels [example]", x, labels)
    w = jnp.ones(len(x), x.dtype) if weights is None else weights
    expect_shapes("labels [example], weights [example]", labels, w)
    strength = jnp.asarray(strength, x.dtype)

    def function(params: Params) -> Array:
        odds = x @ params["coefficients"] + params["constant"]
        losses = jax.vmap(binary_cross_entropy)(odds, labels)
        return w @ losses + strength * jnp.sum(jnp.square(params["coefficients"])) / 2

    start = {"coefficients": jnp.zeros(x.shape[1], x.dtype), "constant": jnp.zeros((), x.dtype)}
    found = minimize(function, start)
    if weights is None:
        return found
    design = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)  # the order of `parameters.names`
    odds = x @ found.params["coefficients"] + found.params["constant"]
    gradients = (w * (jax.nn.sigmoid(odds) - jnp.asarray(labels, x.dtype)))[:, None] * design
    hessian_of_prior = jnp.diag(jnp.full(x.shape[1] + 1, strength).at[-1].set(0))
    return found._replace(covariance=found.covariance @ (gradients.T @ gradients + hessian_of_prior) @ found.covariance)
