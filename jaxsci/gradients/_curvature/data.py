"""Sums over a data set in microbatches, on one device or several, and what is refused before them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._numerics import accumulator, as_real, fill_padding
from jaxsci.core import Array, Batch, LossFn, Params
from jaxsci.errors import InputError


def check_params(params: Params) -> None:
    """Raise InputError unless all parameters are real floating numbers of one type."""
    dtypes = {jnp.dtype(leaf.dtype).name for leaf in map(jnp.asarray, jax.tree.leaves(params))}
    if len(dtypes) != 1 or not jnp.issubdtype(dtypes.copy().pop(), jnp.floating):
        raise InputError(
            f"parameters: expected real numbers of one floating type, got {', '.join(sorted(dtypes)) or 'none'}; "
            "leave out or convert the others"
        )


def in_microbatches(data: Batch, batch_size: int) -> Batch:
    """The data as [example, microbatch, ...], the last ones padded with weight 0; example i is at (i // microbatches, i % microbatches).

    The leading axis stays that of the examples: where it is split over devices, each keeps its own. What has weight 0 is replaced by a
    copy of a counted example, so that no NaN in it reaches a derivative.
    """
    size = data.weight.shape[0]
    if batch_size < 1:
        raise InputError(f"batch_size: expected a number of at least 1, got {batch_size}; give a larger one")
    if not isinstance(data.weight, jax.core.Tracer) and not np.sum(np.asarray(data.weight)) > 0:
        raise InputError("data: expected examples of positive weight, got weights that add up to 0; give weights of 1")
    x, y = fill_padding((data.x, data.y), jnp.asarray(data.weight).astype(bool))
    batch_size = min(batch_size, size)
    steps = -(-size // batch_size)

    def split(leaf: Any, weight: bool = False) -> Array:
        leaf = jnp.asarray(leaf)
        padding = steps * batch_size - size
        if padding:
            repeated = jnp.broadcast_to(leaf[:1], (padding, *leaf.shape[1:]))
            leaf = jnp.concatenate([leaf, jnp.zeros_like(repeated) if weight else repeated])
        return leaf.reshape(batch_size, steps, *leaf.shape[1:])

    return Batch(jax.tree.map(split, x), jax.tree.map(split, y), split(data.weight, weight=True))


def require_mean(loss: LossFn, params: Params, data: Batch) -> None:
    """Raise InputError unless the loss of a microbatch is the mean of those of its halves, by their weights, where that is known.

    A sum over the batch would give another curvature for every size of the microbatches.
    """
    half = data.weight.shape[0] // 2
    if half == 0 or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, data))):
        return
    whole, mean = _loss_and_mean_of_halves(loss, params, data)
    if np.isfinite(whole) and not np.isclose(whole, mean, rtol=1e-3, atol=1e-6):
        raise InputError(
            f"loss: expected a mean over the batch by batch.weight, got {float(whole):.4g} where the mean of two halves is "
            f"{float(mean):.4g}; divide by the sum of the weights, or make it with losses.objective"
        )


@partial(jax.jit, static_argnums=0)
def _loss_and_mean_of_halves(loss: LossFn, params: Params, data: Batch) -> tuple[Array, Array]:
    batch = _microbatch(data, jnp.zeros((), jnp.int32))
    half = data.weight.shape[0] // 2
    parts = [jax.tree.map(lambda leaf, part=part: leaf[part], batch) for part in (slice(half), slice(half, None))]
    weights = [jnp.sum(as_real(part.weight)) for part in parts]
    values = [loss(params, part)[0] for part in parts]
    share = (weights[0] / (weights[0] + weights[1])).astype(values[0].dtype)
    return loss(params, batch)[0], share * values[0] + (1 - share) * values[1]


def in_order(values: Array, size: int) -> Array:
    """What `for_each` gives, [microbatch, example, ...], as [example, ...] in the order of the data."""
    return jnp.moveaxis(values, 0, 1).reshape(-1, *values.shape[2:])[:size]


def for_each(function: Callable[[Batch], Any], data: Batch) -> Any:
    """`function` of every microbatch, stacked along a leading axis."""
    steps = data.weight.shape[1]
    return jax.lax.map(lambda step: function(_microbatch(data, step)), jnp.arange(steps))


def add_up(function: Callable[[Batch, Array, Array], Any], data: Batch) -> Any:
    """The sum over the microbatches of function(batch, share, index).

    Args:
        function: of a microbatch, the share w_i / W of each example in the total weight [example], and the number of each in the data.
        data: as from `in_microbatches`.
    """
    weight = as_real(data.weight)
    total = jnp.sum(weight)
    share = weight / jnp.where(total > 0, total, jnp.ones_like(total))
    size, steps = weight.shape

    def part(step: Array) -> Any:
        index = jnp.arange(size, dtype=jnp.int32) * steps + step
        shares = jax.lax.dynamic_index_in_dim(share, step, 1, keepdims=False)
        return function(_microbatch(data, step), shares, index)

    if steps == 1:
        return part(jnp.zeros((), jnp.int32))

    def body(total: Any, step: Array) -> tuple[Any, None]:
        return jax.tree.map(lambda s, term: s + term.astype(s.dtype), total, part(step)), None

    shapes = jax.eval_shape(part, jnp.zeros((), jnp.int32))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, accumulator(leaf.dtype)), shapes)
    total, _ = jax.lax.scan(body, zeros, jnp.arange(steps, dtype=jnp.int32))
    return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), total, shapes)


def _microbatch(data: Batch, step: Array) -> Batch:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, step, 1, keepdims=False), data)
