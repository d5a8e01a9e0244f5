"""One optimization step: the body of `lax.scan`, and what it needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsci.core import Array, Batch, Inputs, Key, LossFn, Metrics, Model, Params


class Recipe(NamedTuple):
    """All that defines a training besides the data: pure functions, so that a recipe may close over traced hyperparameters."""

    model: Model
    loss: LossFn
    optimizer: optax.GradientTransformation
    augment: Callable[[Key, Inputs], Inputs] | None = None  # a random change of ONE example that keeps its label
    microbatches: int = 1  # of a batch, whose gradients are added up one after another


class TrainState(NamedTuple):
    """What one step reads and writes. The key never changes: step t uses fold_in(key, t), so any step can be replayed."""

    step: Array  # int32
    key: Key
    params: Params
    opt_state: Any


Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(recipe: Recipe, key: Key) -> TrainState:
    """The state before the first step; parameters and later randomness come from `key`."""
    init_key, step_key = jax.random.split(key)
    params = recipe.model.init(init_key)
    return TrainState(jnp.zeros((), jnp.int32), step_key, params, recipe.optimizer.init(params))


def make_step(recipe: Recipe) -> Step:
    """The step a <- a - update(grad L(a)) on one batch.

    Returns:
        `(state, batch) -> (state, metrics)`, pure: ready for jit, scan and vmap. The metrics hold "loss" and whatever the loss
        function reports, as means over the batch, before the update.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        if recipe.augment is not None:
            keys = jax.random.split(jax.random.fold_in(state.key, state.step), batch.weight.shape[0])
            batch = batch._replace(x=jax.vmap(recipe.augment)(keys, batch.x))
        (value, metrics), gradient = loss_and_gradient(
            recipe.loss, state.params, batch, microbatches=recipe.microbatches
        )
        with jax.numpy_dtype_promotion("standard"):  # optax raises decay rates to an integer step count
            updates, opt_state = recipe.optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, state.key, params, opt_state), {**metrics, "loss": value}

    return step


def loss_and_gradient(
    loss: LossFn, params: Params, batch: Batch, *, microbatches: int = 1
) -> tuple[tuple[Array, Metrics], Params]:
    """Loss, metrics and gradient of a batch, added up over equal microbatches of it.

    L = sum_p (W_p / W) L_p with the weight sum W_p of chunk p: the same number as at once, up to rounding. Portions whose
    activations stay in a processor's cache train a network of small matrices faster, and they bound the memory of a large batch.

    Args:
        loss: a mean over the batch by `batch.weight`, with or without a penalty.
        params: where the gradient is taken.
        batch: [batch, ...].
        microbatches: a divisor of the batch size.

    Raises:
        ValueError: `microbatches` does not divide the batch size.
    """
    value_and_gradient = jax.value_and_grad(loss, has_aux=True)
    if microbatches == 1:
        (value, metrics), gradient = value_and_gradient(params, batch)
        return (value, {"weight": jnp.sum(batch.weight), **metrics}), gradient
    size = batch.weight.shape[0]
    if size % microbatches:
        raise ValueError(f"a number of microbatches that divides the batch size {size} is expected, got {microbatches}")
    parts = jax.tree.map(lambda leaf: leaf.reshape(microbatches, size // microbatches, *leaf.shape[1:]), batch)
    weight = jnp.sum(parts.weight, axis=1)
    total = jnp.sum(weight)
    shares = weight / jnp.where(total > 0, total, jnp.ones_like(total))

    def add(gradient: Params, part: tuple[Batch, Array]) -> tuple[Params, Metrics]:
        share = part[1]
        (value, metrics), terms = value_and_gradient(params, part[0])
        gradient = jax.tree.map(lambda s, term: s + share.astype(s.dtype) * term, gradient, terms)
        return gradient, {"weight": jnp.sum(part[0].weight), **metrics, "loss": value}

    gradient, metrics = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), (parts, shares))
    means = mean_metrics(metrics)
    return (means["loss"], {**means, "weight": total}), gradient


def mean_metrics(metrics: Metrics) -> Metrics:
    """One set of metrics from those of many batches, jax or numpy, stacked along the last axis [..., batch].

    Each is the mean weighted by the batches' "weight", exact for batches of unequal weight, and 0 where all weights are 0; the
    "weight" itself is dropped.
    """
    weight = metrics["weight"]
    total = weight.sum(-1)
    safe = total + (total == 0).astype(weight.dtype)
    return {name: (value * weight).sum(-1) / safe for name, value in metrics.items() if name != "weight"}
