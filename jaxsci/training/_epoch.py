"""An epoch on the device: order, minibatches gathered from the whole data, training and evaluation as scans."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsci._numerics import as_real
from jaxsci.core import Array, Batch, Key, LossFn, Metrics, Params
from jaxsci.training._mesh import AxisName, mean_of_all
from jaxsci.training._step import Recipe, TrainState, make_step, mean_metrics

ORDER = "stratified"  # of `stratified_block`, as checkpoints within an epoch note it: another order needs another name


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


def stratified(key: Key, examples: int, batch_size: int) -> BatchIndices:
    """All examples once, one of each of `batch_size` equal parts in every minibatch; the order within the parts is drawn from `key`.

    Where the examples are split over devices in the order they are stored in, every device finds its share of each minibatch among its
    own examples, and the minibatches are the same for any number of devices. `examples` is a multiple of `batch_size`.
    """
    steps = examples // batch_size
    own = jax.vmap(lambda key: jax.random.permutation(key, steps))(jax.random.split(key, batch_size))
    indices = (steps * jnp.arange(batch_size)[:, None] + own).T.astype(jnp.int32)
    return BatchIndices(indices, jnp.ones(indices.shape, jnp.float32))


def stratified_block(key: Key, examples: int, block: int, batch_size: int, shards: int) -> BatchIndices:
    """`stratified` of a block that may have fewer `examples`, filled up with masked ones to the steps of a whole block.

    The block lies in `shards` equal parts, in which the examples of `Shares.rows` begin; the last batches are padded by weights of 0.
    """
    steps = steps_per_epoch(examples, batch_size)
    order = stratified(key, steps * batch_size, batch_size)
    width = batch_size // shards
    part = (jnp.arange(batch_size, dtype=jnp.int32) // width)[None]
    indices = order.indices + part * (block // shards - width * steps)
    missing = block // batch_size - steps
    return BatchIndices(*(jnp.pad(a, ((0, missing), (0, 0))) for a in (indices, order.mask)))


def _batches(indices: Array, batch_size: int) -> BatchIndices:
    steps = steps_per_epoch(indices.shape[0], batch_size)
    padding = steps * batch_size - indices.shape[0]
    mask = jnp.pad(jnp.ones(indices.shape, jnp.float32), (0, padding))
    return BatchIndices(*(a.reshape(steps, batch_size) for a in (jnp.pad(indices, (0, padding)), mask)))


def own_share(order: BatchIndices, axis: AxisName, first: Array | int) -> BatchIndices:
    """This device's columns of each minibatch, as indices into the examples from `first` on."""
    width = order.indices.shape[-1] // jax.lax.axis_size(axis)
    start = jax.lax.axis_index(axis) * width
    indices, mask = (jax.lax.dynamic_slice_in_dim(a, start, width, axis=-1) for a in order)
    return BatchIndices(indices - first, mask)


def take(data: Batch, indices: Array, mask: Array) -> Batch:
    """The minibatch of these indices; padded examples get weight 0."""
    batch = jax.tree.map(lambda leaf: leaf.at[indices].get(mode="clip"), data)
    return batch._replace(weight=batch.weight * mask.astype(batch.weight.dtype))


def train_steps(
    recipe: Recipe,
    state: TrainState,
    active: Array,
    data: Batch,
    order: BatchIndices,
    span: tuple[Array, Array] | None = None,
    axis: AxisName | None = None,
) -> tuple[TrainState, Array, Metrics]:
    """Do the optimization step for the minibatches of `order` one after another.

    Args:
        recipe: model, loss, optimizer.
        state: before the first of these steps.
        active: bool; False leaves the state as it is (a member of an ensemble that has stopped).
        data: the whole training part.
        order: indices of each minibatch.
        span: the first of these steps, and the one after the last, where not all are to be done: numbers that may be traced, so
            that one program serves any part of an epoch.
        axis: over which every minibatch is split; data and order are then those of this device.

    Returns:
        The state, whether it still runs (a loss that is not finite ends the steps of this state), and the metrics of each step
        with their "weight" (sum of example weights), each [step]; NaN for steps that were not done.
    """
    step = make_step(recipe, axis_name=axis)

    def minibatch(i: Array | int) -> Batch:
        return take(data, *(a[i] for a in order))

    shapes = jax.eval_shape(lambda state: step(state, minibatch(0))[1], state)
    nothing = jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes)
    steps = order.indices.shape[0]
    metrics = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (steps, *leaf.shape)), nothing)

    def body(i: Array, carry: tuple[TrainState, Array, Metrics]) -> tuple[TrainState, Array, Metrics]:
        state, active, metrics = carry
        state, now = jax.lax.cond(active, step, lambda state, _: (state, nothing), state, minibatch(i))
        metrics = jax.tree.map(lambda all, one: all.at[i].set(one), metrics, now)
        return state, active & jnp.isfinite(now["loss"]), metrics

    first, end = (0, steps) if span is None else span
    return jax.lax.fori_loop(first, end, body, (state, active, metrics))


def evaluate(loss: LossFn, params: Params, data: Batch, order: BatchIndices, axis: AxisName | None = None) -> Metrics:
    """Means of the loss and of its metrics over `data`, each example weighted, in minibatches of bounded memory.

    Where they are split over `axis`, data and order are those of this device, and the means are those of all.
    """

    def body(_: None, minibatch: BatchIndices) -> tuple[None, Metrics]:
        batch = take(data, *minibatch)
        value, metrics = loss(params, batch)
        return None, {"weight": jnp.sum(as_real(batch.weight)), **metrics, "loss": value}

    _, metrics = jax.lax.scan(body, None, order)
    means = mean_metrics(metrics)
    return means if axis is None else mean_of_all(means, jnp.sum(metrics["weight"]), axis)[0]
