"""Layer normalization: each vector by itself, so that no example depends on another and nothing is remembered."""

import jax.numpy as jnp

from jaxsci.core import Array, Params

_LEAST = 1e-5  # variance


def init_norm(width: int) -> Params:
    """A change of nothing: `kernel` [width], added to 1, and `bias` [width]."""
    return {"kernel": jnp.zeros(width), "bias": jnp.zeros(width)}


def normalize(params: Params, x: Array) -> Array:
    """(x - mean) / sqrt(variance + 1e-5) over the last axis, times 1 + kernel, plus bias (Ba, Kiros and Hinton 2016, arXiv:1607.06450)."""
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    scale = jnp.reciprocal(jnp.sqrt(jnp.mean(centered**2, axis=-1, keepdims=True) + _LEAST))
    gain, bias = (jnp.broadcast_to(vector, x.shape) for vector in (1 + params["kernel"], params["bias"]))
    return centered * scale * gain + bias
