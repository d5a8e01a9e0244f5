"""Weighted sums that keep float32's digits over a million examples, and that padding cannot spoil."""

import jax.numpy as jnp

from jaxsci._numerics import as_real
from jaxsci._shapes import expect_shapes
from jaxsci.core import Array

# A float32 scatter adds one number after another: 400,000 times 0.1 into one bin is off by 5e-4. Spread over so many
# partial sums, which are then added pairwise, it is off by 4e-7.
_PARTIAL_SUMS = 1024


def weights_like(values: Array, weight: Array | None) -> Array:
    """The weights of the examples, to go with `values` [example]; none given: all 1. A boolean weight is a mask."""
    expect_shapes("values [example]", values)
    dtype = as_real(values).dtype
    if weight is None:
        return jnp.ones_like(values, dtype)  # also sharded as they are
    expect_shapes("values [example], weight [example]", values, weight)
    return jnp.asarray(weight).astype(dtype)


def weighted_mean(values: Array, weight: Array | None = None) -> Array:
    """sum_i w_i v_i / sum_i w_i over the examples [example]; what stands at weight 0, NaN included, does not count.

    NaN if all weights are 0 or there are no examples.
    """
    values = as_real(values)
    weight = weights_like(values, weight)
    return jnp.sum(jnp.where(weight != 0, weight * values, jnp.zeros_like(values))) / jnp.sum(weight)


def bin_sums(values: Array, index: Array, bins: int) -> Array:
    """Sum of the `values` [example] with each `index` 0 to bins - 1 (others are dropped); integers exact. -> [bins]."""
    expect_shapes("values [example], index [example]", values, index)
    values, index = jnp.asarray(values), jnp.asarray(index)
    index = jnp.where((index >= 0) & (index < bins), index, bins)  # negative indices would wrap around
    if jnp.issubdtype(values.dtype, jnp.integer):
        return jnp.zeros(bins, values.dtype).at[index].add(values, mode="drop")
    values = as_real(values)
    slot = jnp.arange(values.size) % _PARTIAL_SUMS
    partial = jnp.zeros((bins, _PARTIAL_SUMS), values.dtype).at[index, slot].add(values, mode="drop")
    return jnp.sum(partial, axis=1)
