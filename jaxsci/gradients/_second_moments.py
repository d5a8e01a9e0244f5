"""Weighted second moments of vectors, as one product."""

import jax.numpy as jnp

from jaxsci.core import Array

LARGE = 2048  # rows of a factor from which half of it is computed and mirrored


def second_moment(a: Array, weight: Array) -> Array:
    """sum_n,t w a a^T from a [n, g, t, i] and w [n, g, t]: [g, i, i]."""
    # One product over examples and positions together, which compilers do not find by themselves.
    scaled = a * weight[..., None]
    a, scaled = (jnp.moveaxis(each, 1, 0).reshape(each.shape[1], -1, each.shape[-1]) for each in (a, scaled))
    return _symmetric(a, scaled)


def _symmetric(a: Array, b: Array) -> Array:
    """sum_t a_t b_t^T [g, i, i], of which it is known that it is symmetric, so that of large ones half is computed."""
    size = a.shape[-1]
    if size < LARGE:
        return jnp.einsum("gti,gtj->gij", a, b)
    half = size // 2
    above, below = _symmetric(a[..., :half], b[..., :half]), _symmetric(a[..., half:], b[..., half:])
    beside = jnp.einsum("gti,gtj->gij", a[..., :half], b[..., half:])
    rows = [jnp.concatenate(pair, -1) for pair in ((above, beside), (beside.swapaxes(1, 2), below))]
    return jnp.concatenate(rows, -2)
