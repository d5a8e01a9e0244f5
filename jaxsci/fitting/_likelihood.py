"""Maximum likelihood: the terms of one measurement, their sum, and its minimum with errors from the Hessian.

loss = objective(shape.apply, log_density)                # or gaussian, poisson: jaxsci.losses
fit = minimize(total(loss, data), start)                  # parameters, covariance
lower, upper = intervals(total(loss, data), fit)          # 68.3 % of a likelihood that is not quadratic: jaxsci.fitting
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._shapes import expect_example, expect_shapes
from jaxsci.core import Array, Batch, LossFn, Params
from jaxsci.errors import InputError
from jaxsci.fitting._minimizers import Solver, newton
from jaxsci.fitting._parameters import as_vector, listed, names

Function: TypeAlias = Callable[[Params], Array]  # a negative log-likelihood of the parameters alone


class LikelihoodFit(NamedTuple):
    """The minimum of a negative log-likelihood L."""

    params: Params
    covariance: Array  # [parameter, parameter], the inverse Hessian of L, in the order of `parameters.names`
    value: Array  # L at the minimum
    distance: Array  # expected decrease of L to its minimum, g^T H^(-1) g / 2: far below 1 at a minimum; NaN where H is not positive


def gaussian(output: Array, target: Array) -> Array:
    """(f - y)^2 / 2, all components added: with the weight 1 / sigma^2 in the batch the total is chi^2 / 2."""
    expect_shapes("target [*shape], output [*shape]", target, output)
    return jnp.sum(jnp.square(output - target)) / 2


def poisson(output: Array, count: Array) -> Array:
    """mu - n + n log(n / mu) of an expected number mu > 0 and a count n; twice the total is the chi^2 of Baker and Cousins.

    Source: Baker and Cousins 1984, Nucl. Instrum. Meth. 221, 437. Infinite for mu <= 0, but 0 for mu = n = 0.
    """
    expect_shapes("count [*shape], output [*shape]", count, output)
    n = count.astype(output.dtype)
    safe = jnp.where(output > 0, output, 1.0)
    filled = jnp.where(n > 0, n, 1.0)
    possible = (output > 0) | ((output == 0) & (n == 0))  # nothing expected and nothing seen has probability 1
    return jnp.sum(jnp.where(possible, output - n + n * (jnp.log(filled) - jnp.log(safe)), jnp.inf))


def log_density(output: Array, _: Array) -> Array:
    """-log p of an unbinned fit: the model's output is log p(x | a), normalized where x was measured; the target is not used."""
    expect_example("output []", output)
    return -output


def total(loss: LossFn, data: Batch) -> Function:
    """The weighted sum over the data of a loss that is their weighted mean: a negative log-likelihood of the parameters."""
    return lambda params: loss(params, data)[0] * jnp.sum(data.weight)


def minimize(function: Function, start: Params, *, solver: Solver = newton) -> LikelihoodFit:
    """Minimize a negative log-likelihood.

    Pure: jit, vmap (1,000 fits as one program), and derivatives of any order with respect to what `function` closes over, by
    implicit differentiation of grad L = 0. Inside a compiled program it cannot raise: see `require_minimum`.

    Args:
        function: of the parameters; infinite or NaN where they are not allowed (a negative width).
        start: where to begin; its structure is that of the result.
        solver: `newton` for a few parameters, `lbfgs` for many.
    """
    vector, unravel = as_vector(start)

    def flat(a: Array) -> Array:
        return function(unravel(a))

    gradient = jax.grad(flat)
    # The root of the gradient, so that its derivative is the implicit one and not that of the iteration.
    solution = jax.lax.custom_root(gradient, vector, lambda _, a: solver(flat, a), _solve_tangent)
    covariance = jnp.linalg.inv(jax.hessian(flat)(solution))
    slope = jax.lax.stop_gradient(gradient(solution))
    positive = jnp.all(jnp.linalg.eigvalsh(jax.lax.stop_gradient(covariance)) > 0)
    distance = jnp.where(positive, slope @ covariance @ slope / 2, jnp.nan)
    return LikelihoodFit(unravel(solution), covariance, flat(solution), distance)


def _solve_tangent(linear: Callable[[Array], Array], b: Array) -> Array:
    return jnp.linalg.solve(jax.vmap(linear)(jnp.eye(b.size, dtype=b.dtype)).T, b)


def require_minimum(fit: LikelihoodFit, tolerance: float = 1e-3) -> None:
    """Raise InputError unless the fit ended at a minimum; names the parameters that the data do not determine."""
    distance = float(fit.distance)
    if distance < tolerance:
        return
    variance = np.diagonal(np.asarray(fit.covariance))
    bad = [name for name, v in zip(names(fit.params), variance, strict=True) if not (np.isfinite(v) and v > 0)]
    raise InputError(
        f"likelihood fit: expected a minimum, got a point with expected decrease {distance:.1e}"
        + (f"; not determined: {listed(bad)}" if bad else "")
        + "; start nearer to the data, widen the window, or fix a parameter"
    )
