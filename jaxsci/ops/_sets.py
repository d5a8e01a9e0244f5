"""Pooling over the elements of a weighted set; padding (weight 0) contributes exactly nothing to values and derivatives."""

from typing import Literal, TypeAlias

import jax.numpy as jnp

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array, WeightedSet

Pooling: TypeAlias = Literal["sum", "mean", "max"]


def mask_elements(x: WeightedSet) -> Array:
    """The elements [element, feature] with padding replaced by zeros, so that NaN or infinities there can reach no derivative."""
    present = (x.weights != 0)[:, None]
    return jnp.where(present, x.elements, jnp.zeros_like(x.elements))


def pool(latent: Array, weights: Array, pooling: Pooling) -> Array:
    """Pool per-element vectors into one vector.

    Args:
        latent: [element, latent], finite also where padded.
        weights: [element], in the dtype of `latent`; 0 marks padding.
        pooling: "sum": sum_i w_i z_i. "mean": sum_i w_i z_i / sum_i w_i. "max": max z_i over w_i != 0.

    Returns:
        [latent]; zeros for a set of padding alone.
    """
    expect_shapes("latent [element, latent], weights [element]", latent, weights)
    weights = weights.astype(latent.dtype)
    if pooling == "max":
        present = (weights != 0)[:, None]
        largest = jnp.max(latent, axis=0, where=present, initial=-jnp.inf)
        return jnp.where(jnp.any(present), largest, jnp.zeros_like(largest))
    total = jnp.einsum("n,nl->l", weights, latent)
    if pooling == "sum":
        return total
    norm = jnp.sum(weights)
    empty = norm == 0
    return jnp.where(empty, jnp.zeros_like(total), total / jnp.where(empty, jnp.ones_like(norm), norm))
