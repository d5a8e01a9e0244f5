"""Layer normalization: each vector by itself, so that no example depends on another and nothing is remembered."""

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Params

_LEAST = 1e-5  # variance


def init_norm(width: int) -> Params:
    """A change of nothing: `kernel` [width], added to 1, and `bias` [width]."""
    return {"kernel": jnp.zeros(width), "bias": jnp.zeros(width)}


def normalize(params: Params, x: Array) -> Array:
    """(x - mean) / sqrt(variance + 1e-5) over the last axis, times 1 + kernel, plus bias (Ba, Kiros and Hinton 2016, arXiv:1607.06450)."""
    gain, bias = (jnp.broadcast_to(vector, x.shape) for vector in (1 + params["kernel"], params["bias"]))
    return _standardize(x) * gain + bias


@jax.custom_jvp
def _standardize(x: Array) -> Array:
    """Mean 0 and variance 1 over the last axis.

    On a processor XLA adds up short rows number by number: here, in the derivative and in its transpose all their sums are products with
    a vector of ones, which takes a tenth off a training step of ParticleNet.
    """
    return _standard(x)[0]


@_standardize.defjvp
def _standardize_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    z, scale = _standard(x)
    ones = jnp.ones((1, x.shape[-1]), x.dtype)
    along, size = (_product(_mean(v), ones) for v in (dx, z * dx))
    return z, scale * (dx - along - z * size)


def _standard(x: Array) -> tuple[Array, Array]:
    """The standardized rows, and what they were multiplied with [..., 1]."""
    centered = x - _mean(x)
    scale = jax.lax.rsqrt(_mean(centered * centered) + _LEAST)
    return centered * scale, scale


def _mean(x: Array) -> Array:
    """Over the last axis, which stays with length 1."""
    return _product(x, jnp.full((x.shape[-1], 1), 1 / x.shape[-1], x.dtype))


def _product(x: Array, y: Array) -> Array:
    return jnp.dot(x, y, precision="highest")  # sums, of which an accelerator must not round the terms
