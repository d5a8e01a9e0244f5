"""Means over a batch whose parts lie on several devices, inside of `jax.shard_map`: the only exchange of a data-parallel step."""

from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array, Key, Metrics, Params
from jaxsci.ops._numerics import accumulator

AxisName: TypeAlias = str | tuple[str, ...]  # of a mesh, over which batches are split


def mean_of_all(means: Any, weight: Array, axis: AxisName) -> Any:
    """sum_p (W_p / W) m_p of each of these means m_p over the part p with the sum of weights W_p; a part of weight 0 may hold NaN."""
    fraction = _fraction(weight, axis)

    def share(leaf: Array) -> Array:
        leaf = leaf.astype(accumulator(leaf.dtype))
        return jnp.where(fraction != 0, fraction.astype(leaf.dtype) * leaf, jnp.zeros_like(leaf))

    total = lax.psum(jax.tree.map(share, means), axis)
    return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), total, means)


def metrics_of_all(metrics: Metrics, axis: AxisName) -> Metrics:
    """The metrics of the whole batch, with its "weight", from those of the parts."""
    weight = metrics["weight"]
    means = {name: value for name, value in metrics.items() if name != "weight"}
    return {"weight": lax.psum(weight, axis), **mean_of_all(means, weight, axis)}


def differentiable_mean(value: Array, weight: Array, axis: AxisName) -> Array:
    """The mean of all; its derivative by what went through `shared` is the derivative of the mean."""
    fraction = _fraction(weight, axis)
    return _sum(jnp.where(fraction != 0, fraction.astype(value.dtype) * value, jnp.zeros_like(value)), axis)


def _fraction(weight: Array, axis: AxisName) -> Array:
    total = lax.psum(weight, axis)
    return weight / jnp.where(total == 0, jnp.ones_like(total), total)


# A sum over devices is its own transpose only where every device has another cotangent. Here the value is the same on all of them, so the
# sum belongs to the parameters, which all of them share.
@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sum(value: Array, axis: AxisName) -> Array:
    return lax.psum(value, axis)


_sum.defvjp(lambda value, axis: (lax.psum(value, axis), None), lambda axis, _, cotangent: (cotangent,))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def shared(params: Params, axis: AxisName) -> Params:
    """The parameters; their cotangents are added up over the devices."""
    return params


shared.defvjp(lambda params, axis: (params, None), lambda axis, _, cotangent: (lax.psum(cotangent, axis),))


def keys_of_examples(key: Key, examples: int, axis: AxisName | None) -> Key:
    """A key for each of the `examples` of this device: those they have where the whole batch lies on one."""
    if axis is None:
        return jax.random.split(key, examples)
    keys = jax.random.split(key, examples * lax.axis_size(axis))
    return lax.dynamic_slice_in_dim(keys, lax.axis_index(axis) * examples, examples)
