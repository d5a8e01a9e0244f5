"""Linear least squares by conjugate gradients, for designs too large to write down; error bars by posterior draws."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Key, Params
from jaxsci.errors import InputError
from jaxsci.fitting._linear import Forward, prepared, root, spread


class IterativeFit(NamedTuple):
    """The solution of a large linear least-squares problem."""

    params: Params
    draws: Params  # each leaf [draw, ...]: deviations with the covariance of the parameters
    chi2: Array  # at the solution, without the penalty
    dof: Array  # measurements minus the effective number of parameters, the latter estimated from the draws
    pulls: Array  # (y - F a) / sigma, like y; 0 where masked
    residual: Array  # |A a - b| / |b| of the normal equations: how far the iteration came


class CGOptions(NamedTuple):
    """How much work conjugate gradients take."""

    draws: int = 32  # from the covariance, for the error bars
    tolerance: float = 1e-8  # of the relative residual
    iterations: int = 1000  # at most; then `require_converged` complains


DEFAULT = CGOptions()


def conjugate_gradients(
    forward: Forward,
    y: Array,
    weight: Array,
    *,
    like: Params,
    precision: Params | Array | float | None = None,
    diagonal: Params | Array | float = 1.0,
    key: Key,
    options: CGOptions = DEFAULT,
) -> IterativeFit:
    """Minimize sum_i w_i (y_i - (F a)_i)^2 + sum_j P_j a_j^2 with F as a function only, transposed by JAX.

    A draw from the covariance is the solution for the right-hand side F^T W^(1/2) xi + P^(1/2) eta with xi and eta normal: error
    bars good to 1 / sqrt(2 draws), without the matrix. Pure, and differentiable of any order by implicit differentiation.

    Args:
        forward: the linear (or affine) map F from parameters to predictions.
        y: the measurements, the shape of the predictions; anything, NaN included, where the weight is 0.
        weight: 1 / sigma^2, like y; 0 masks.
        like: parameters whose structure, shapes and dtype the solution takes; the values are not used.
        precision: P_j >= 0, a number or in the structure of `like`; None: no penalty.
        diagonal: estimate of the diagonal of F^T W F, for the preconditioner, a number or in the structure of `like`.
        key: of the draws.
        options: number of draws and iterations.

    Raises:
        InputError: `forward` is not linear.
    """
    forward, mask, y, weight = prepared(forward, y, weight, like)
    penalty = spread(0.0 if precision is None else precision, like)
    transposed = jax.linear_transpose(forward, like)

    def normal(a: Params) -> Params:
        return jax.tree.map(lambda fwf, p, leaf: fwf + p * leaf, transposed(weight * forward(a))[0], penalty, a)

    scale = jax.tree.map(jnp.add, spread(diagonal, like), penalty)

    def solve(b: Params) -> Params:
        precondition = lambda a: jax.tree.map(jnp.divide, a, scale)  # noqa: E731
        return jax.scipy.sparse.linalg.cg(normal, b, tol=options.tolerance, maxiter=options.iterations, M=precondition)[
            0
        ]

    def draw(key: Key) -> Params:
        data_key, prior_key = jax.random.split(key)
        noise = transposed(root(weight) * jax.random.normal(data_key, y.shape, y.dtype))[0]
        return solve(jax.tree.map(jnp.add, noise, _from_prior(prior_key, penalty)))

    right = transposed(weight * y)[0]
    solution = solve(right)
    samples = jax.vmap(draw)(jax.random.split(key, options.draws))
    effective = jnp.mean(jax.vmap(lambda a: jnp.sum(weight * forward(a) ** 2))(samples))
    difference = jnp.where(mask, y - forward(solution), jnp.zeros_like(y))
    return IterativeFit(
        params=solution,
        draws=samples,
        chi2=jnp.sum(weight * difference**2),
        dof=jnp.sum(mask).astype(y.dtype) - effective,
        pulls=root(weight) * difference,
        residual=_norm(jax.tree.map(jnp.subtract, normal(solution), right)) / _norm(right),
    )


def draw_errors(fit: IterativeFit) -> Params:
    """Standard errors from the draws, whose mean is known to be 0, in the shape of the parameters."""
    return jax.tree.map(lambda leaf: jnp.sqrt(jnp.mean(leaf**2, axis=0)), fit.draws)


def require_converged(fit: IterativeFit, tolerance: float = 1e-5) -> None:
    """Raise InputError where the iteration did not reach this relative residual: the design is singular or nearly so."""
    residual = float(np.max(np.asarray(fit.residual)))
    if not residual <= tolerance:
        raise InputError(
            f"conjugate gradients: expected a relative residual below {tolerance:.0e}, got {residual:.1e}; allow more iterations, "
            "or give a penalty: the data may not determine every coefficient"
        )


def _from_prior(key: Key, penalty: Params) -> Params:
    """P^(1/2) eta with eta normal."""
    leaves, structure = jax.tree.flatten(penalty)
    keys = jax.random.split(key, len(leaves))
    drawn = [root(p) * jax.random.normal(k, p.shape, p.dtype) for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def _norm(tree: Params) -> Array:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
