"""An epoch on the device: order, minibatches gathered from the whole data, training and evaluation as scans."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Batch, Key, LossFn, Metrics, Params
from jaxsci.ops._numerics import as_real
from jaxsci.training._step import Recipe, TrainState, make_step, mean_metrics


class BatchIndices(NamedTuple):
    """Which examples form which minibatch."""

    indices: Array  # int32 [step, example in batch]
    mask: Array  # float [step, example in batch]; 0 pads the last batch


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Number of minibatches that hold all examples once; the last may be padded."""
    return -(-examples // batch_size)


def in_order(examples: int, batch_size: int) -> BatchIndices:
    """All examples once, as they are stored."""
    return _batches(jnp.arange(examples, dtype=jnp.int32), batch_size)


def shuffled(key: Key, examples: int, batch_size: int) -> BatchIndices:
    """All examples once, in an order drawn from `key`."""
    return _batches(jax.random.permutation(key, jnp.arange(examples, dtype=jnp.int32)), batch_size)


def _batches(indices: Array, batch_size: int) -> BatchIndices:
    steps = steps_per_epoch(indices.shape[0], batch_size)
    padding = steps * batch_size - indices.shape[0]
    mask = jnp.pad(jnp.ones(indices.shape, jnp.float32), (0, padding))
    return BatchIndices(*(a.reshape(steps, batch_size) for a in (jnp.pad(indices, (0, padding)), mask)))


def take(data: Batch, indices: Array, mask: Array) -> Batch:
    """The minibatch of these indices; padded examples get weight 0."""
    batch = jax.tree.map(lambda leaf: leaf.at[indices].get(mode="clip"), data)
    return batch._replace(weight=batch.weight * mask.astype(batch.weight.dtype))


def train_steps(
    recipe: Recipe, state: TrainState, active: Array, data: Batch, order: BatchIndices
) -> tuple[TrainState, Array, Metrics]:
    """Scan the optimization step over the minibatches of `order`.

    Args:
        recipe: model, loss, optimizer.
        state: before the first of these steps.
        active: bool; False leaves the state as it is (a member of an ensemble that has stopped).
        data: the whole training part.
        order: indices of each minibatch.

    Returns:
        The state, whether it still runs (a loss that is not finite ends the steps of this state), and the metrics of each step
        with their "weight" (sum of example weights), each [step]; NaN for steps that were not done.
    """
    step = make_step(recipe)

    def hold(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        shapes = jax.eval_shape(step, state, batch)[1]
        return state, jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes)

    def body(carry: tuple[TrainState, Array], minibatch: BatchIndices) -> tuple[tuple[TrainState, Array], Metrics]:
        state, active = carry
        state, metrics = jax.lax.cond(active, step, hold, state, take(data, *minibatch))
        return (state, active & jnp.isfinite(metrics["loss"])), metrics

    (state, active), metrics = jax.lax.scan(body, (state, active), order)
    return state, active, metrics


def evaluate(loss: LossFn, params: Params, data: Batch, batch_size: int) -> Metrics:
    """Means of the loss and of its metrics over `data`, each example weighted, in minibatches of bounded memory."""

    def body(_: None, minibatch: BatchIndices) -> tuple[None, Metrics]:
        batch = take(data, *minibatch)
        value, metrics = loss(params, batch)
        return None, {"weight": jnp.sum(as_real(batch.weight)), **metrics, "loss": value}

    _, metrics = jax.lax.scan(body, None, in_order(data.weight.shape[0], batch_size))
    return mean_metrics(metrics)
