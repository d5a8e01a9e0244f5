"""What each training example did to a prediction, and how well that foretells a training without it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Batch, ExampleLoss, Key, Params
from jaxsci.errors import InputError
from jaxsci.gradients._curvature.data import check_params, for_each, in_microbatches, in_order
from jaxsci.gradients._curvature.krylov import Estimate, require_converged, solve
from jaxsci.gradients._curvature.operators import Apply, Operator, Vector, gauss_newton
from jaxsci.gradients._retraining import require_stateless, retrained
from jaxsci.training import Recipe, Settings

_TOLERANCE = 1e-5  # of conjugate gradients: far below what the linear approximation costs
_TOGETHER = 4  # measured numbers whose products are taken at a time: each takes the memory of a gradient


def influence(
    apply: Apply,
    example_loss: ExampleLoss,
    params: Params,
    train: Batch,
    measure: Callable[[Params], Array],
    *,
    damping: float | None = None,
    inverse: Callable[[Vector], Vector] | None = None,
    batch_size: int = 256,
) -> Array:
    """By how much a measured number would change if a training example were left out, to first order.

        influence_i = (w_i / W) grad m^T A^-1 grad loss_i,

    with the sum W of the weights. For a loss on other data, positive is an example that helps (without it the loss is larger) and
    negative one that harms. No gradient of a training example is stored: each is a derivative of its loss along A^-1 grad m. Stored are
    the gradients of all measured numbers, and what four solutions at a time need: of conjugate gradients four times the memory of one.

    With `damping` A is the Gauss-Newton matrix of the training data plus damping, solved by conjugate gradients; 2 strength is
    that of `regularized(loss, l2, strength)`, where all parameters are weights. With `inverse` it is any other: Kronecker factors, or
    lambda v: v, which summed over the checkpoints of a training with their learning rates is TracIn (Pruthi et al. 2020,
    arXiv:2002.08484) up to W.

    Args:
        apply: a model of one example.
        example_loss: (output, target) -> scalar.
        params: the trained parameters.
        train: what they were trained on, [example, ...].
        measure: params -> a number or an array of them, such as the losses of the validation examples or one prediction.
        damping: a positive number, for the Gauss-Newton matrix.
        inverse: v -> A^-1 v, linear, instead; it may be an `Operator`.
        batch_size: training examples at a time.

    Returns:
        [*measured, example]: 0 for examples of weight 0.

    Raises:
        InputError: neither or both of `damping` and `inverse`; a singular curvature with too little damping; a training example
            whose gradient is not finite (the message says which); parameters or data as for `gauss_newton`.

    Source: Koh and Liang 2017, arXiv:1703.04730; Bae et al. 2022, arXiv:2209.05364 for the Gauss-Newton matrix.
    """
    check_params(params)
    if (damping is None) == (inverse is None):
        raise InputError("influence: expected damping or inverse, got neither or both; give one")
    slopes, shape = _slopes(measure, params)
    if damping is not None:
        operator = gauss_newton(apply, example_loss, params, train, batch_size=batch_size) + damping
        solutions = _solve_each(operator, slopes)
        require_converged(solutions.error, _TOLERANCE)
        directions = solutions.value
    elif isinstance(inverse, Operator):
        directions = _multiply_each(inverse, slopes)
    elif inverse is not None:
        directions = _multiply_once(inverse, slopes)
    size = np.shape(train.weight)[0]
    found = _along(apply, example_loss, params, in_microbatches(train, batch_size), directions)
    found = jax.vmap(partial(in_order, size=size), in_axes=1)(found)
    _require_finite(found)
    return found.reshape(*shape, size)


def _slopes(measure: Callable[[Params], Array], params: Params) -> tuple[Vector, tuple[int, ...]]:
    """The gradients of the measured numbers, each leaf [measured, ...], and the shape of these."""
    values, pull = jax.vjp(measure, params)
    unit = jnp.eye(values.size, dtype=values.dtype).reshape(values.size, *values.shape)
    return jax.vmap(lambda cotangent: pull(cotangent)[0])(unit), values.shape


@jax.jit
def _solve_each(operator: Operator, slopes: Vector) -> Estimate:
    # Several share the forward pass of every product, and end when all have converged.
    return jax.lax.map(lambda slope: solve(operator, slope, tolerance=_TOLERANCE), slopes, batch_size=_TOGETHER)


@jax.jit
def _multiply_each(operator: Operator, slopes: Vector) -> Vector:
    return jax.lax.map(operator, slopes, batch_size=_TOGETHER)


def _multiply_once(inverse: Callable[[Vector], Vector], slopes: Vector) -> Vector:
    # A program of its own, which is kept no longer than the function, and of which nothing is hashed.
    return jax.jit(lambda slopes: jax.lax.map(inverse, slopes, batch_size=_TOGETHER))(slopes)


@partial(jax.jit, static_argnums=(0, 1))
def _along(apply: Apply, example_loss: ExampleLoss, params: Params, data: Batch, directions: Vector) -> Array:
    """The shares of the training examples in the mean loss, differentiated along each direction: [microbatch, direction, example]."""
    total = jnp.sum(data.weight)

    def part(batch: Batch) -> Array:
        def losses(params: Params) -> Array:
            return jax.vmap(example_loss)(jax.vmap(partial(apply, params))(batch.x), jnp.asarray(batch.y))

        _, push = jax.linearize(losses, params)
        slopes = jax.lax.map(push, directions, batch_size=_TOGETHER)
        return slopes * jnp.broadcast_to((batch.weight / total).astype(slopes.dtype), slopes.shape)

    return for_each(part, data)


def _require_finite(found: Array) -> None:
    if isinstance(found, jax.core.Tracer):
        return
    bad = np.flatnonzero(~np.isfinite(np.asarray(found)).all(axis=tuple(range(found.ndim - 1))))
    if bad.size == found.shape[-1]:
        raise InputError("influence: expected finite gradients, got none; look at the measure and the parameters")
    if bad.size:
        raise InputError(
            f"train: expected finite gradients, got others at {bad.size} examples, the first at index {bad[0]}; give them weight 0"
        )


def datamodeling_score(
    scores: Any,
    recipe: Recipe,
    train: Batch,
    validation: Batch,
    measure: Callable[[Params], Array],
    *,
    key: Key,
    settings: Settings,
    subsets: int = 64,
    fraction: float = 0.5,
    seeds: int = 1,
) -> Any:
    """The linear datamodeling score: how well sums of influences foretell what trainings on random subsets give.

    For each measured number, Spearman's rank correlation over the subsets S of sum_(i in S) -scores_i with the number measured after a
    training on S alone (mean over seeds). 1 foretells the order of all subsets, 0 is chance. All trainings are one program under
    `vmap` (`fit_ensemble`).

    Args:
        scores: [*measured, example], as from `influence`: what leaving an example out adds to the number. Or a tree of such, as of
            several methods by name: all are judged by the same trainings.
        recipe: model, loss and optimizer of a training; its loss is a mean by `batch.weight`.
        train: [example, ...].
        validation: decides on early stopping, if the settings have it; the last parameters of every training are measured.
        measure: params -> a number or an array of them, the one given to `influence`.
        key: of the subsets and of the trainings.
        settings: epochs and batch size of a training.
        subsets: how many.
        fraction: of the training examples in a subset.
        seeds: trainings of each subset, over which its numbers are averaged.

    Returns:
        An `Estimate`, or a tree of them: mean of the correlations over the measured numbers, and its standard error by the jackknife
        over the subsets.

    Raises:
        InputError: scores of another shape, fewer than 3 subsets, or a training that diverged.

    Source: Park et al. 2023, arXiv:2303.14186.
    """
    size = np.shape(train.weight)[0]
    if subsets < 3 or not 0 < fraction < 1:
        raise InputError(
            f"subsets, fraction: expected at least 3 and a number between 0 and 1, got {subsets} and {fraction}; change them"
        )
    require_stateless(recipe)
    shape = (*jax.eval_shape(lambda key: measure(recipe.model.init(key)), key).shape, size)
    for each in jax.tree.leaves(scores):
        if each.shape != shape:
            raise InputError(
                f"scores: expected the shape {list(shape)}, measured numbers by examples, got {list(each.shape)}"
            )
    subset_key, fit_key = jax.random.split(key)
    order = jax.vmap(lambda key: jax.random.permutation(key, size))(jax.random.split(subset_key, subsets))
    kept = (order < round(fraction * size)).astype(jnp.float32)
    measured = retrained(recipe, train, validation, measure, kept, key=fit_key, settings=settings, seeds=seeds)
    measured = jnp.mean(measured, axis=1).reshape(subsets, -1)
    if not np.isfinite(np.asarray(measured)).all():
        raise InputError("datamodeling score: expected finite measured numbers, got others; train less or slower")

    def score(scores: Array) -> Estimate:
        return mean_correlation(-kept.astype(scores.dtype) @ scores.reshape(-1, size).T, measured)

    return jax.tree.map(score, scores)


@jax.jit
def mean_correlation(foretold: Array, measured: Array) -> Estimate:
    """Spearman's correlation over the subsets, the mean over the columns, and its jackknife error; both [subset, measured]."""
    count = len(foretold)

    def ranks(values: Array, weight: Array) -> Array:
        below = (jnp.sign(values[:, None] - values[None, :]) + 1) / 2  # 1/2 for equal ones
        return below @ weight

    def correlation(foretold: Array, measured: Array, weight: Array) -> Array:
        share = weight / jnp.sum(weight)
        a, b = ranks(foretold, weight), ranks(measured, weight)
        a, b = a - jnp.sum(share * a), b - jnp.sum(share * b)
        spread = jnp.sum(share * a**2) * jnp.sum(share * b**2)
        return jnp.where(spread > 0, jnp.sum(share * a * b) / jnp.sqrt(jnp.where(spread > 0, spread, 1)), 0)

    def mean(weight: Array) -> Array:
        return jnp.mean(jax.vmap(correlation, in_axes=(1, 1, None))(foretold, measured, weight))

    measured = measured.astype(foretold.dtype)
    without = jax.lax.map(mean, 1 - jnp.eye(count, dtype=foretold.dtype))
    value = mean(jnp.ones(count, foretold.dtype))
    return Estimate(value, jnp.sqrt((count - 1) / count * jnp.sum((without - jnp.mean(without)) ** 2)))
