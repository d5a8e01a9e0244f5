"""Weighted second moments of vectors, as one product."""

import jax.numpy as jnp

from jaxsci.core import Array


def second_moment(a: Array, weight: Array) -> Array:
    """sum_n,t w a a^T from a [n, g, t, i] and w [n, g, t]: [g, i, i]."""
    # One product over examples and positions together, which compilers do not find by themselves.
    scaled = a * weight[..., None]
    a, scaled = (jnp.moveaxis(each, 1, 0).reshape(each.shape[1], -1, each.shape[-1]) for each in (a, scaled))
    return jnp.einsum("gti,gtj->gij", a, scaled)
