"""What networks share: the affine layer, pooling over a weighted set, activation, initializer, dtype of the matrix work."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array, Key, Params, WeightedSet
from jaxsci.errors import InputError

__all__ = [
    "Activation",
    "ComputeDtype",
    "Initializer",
    "Pooling",
    "activation",
    "apply_affine",
    "apply_blocks",
    "apply_stack",
    "attend",
    "init_affine",
    "init_stack",
    "initializer",
    "mask_elements",
    "pool",
    "require_heads",
]

Activation: TypeAlias = Literal["relu", "gelu", "silu", "elu", "leaky_relu", "softplus", "tanh", "sigmoid"]
Initializer: TypeAlias = Literal[
    "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform"
]
ComputeDtype: TypeAlias = Literal["bfloat16", "float16", "float32"] | None  # None: the dtype of the parameters
Pooling: TypeAlias = Literal["sum", "mean", "max"]

_SCORE_BOUND = 10.0  # an element may count e^20 times as much as another


def activation(name: Activation) -> Callable[[Array], Array]:
    """The elementwise function `jax.nn.<name>`, or tanh."""
    return jnp.tanh if name == "tanh" else getattr(jax.nn, name)


def initializer(name: Initializer) -> Any:
    """The random initializer of the name.

    With n inputs and m outputs of a layer the variance of a weight is 2/n (He et al. 2015, arXiv:1502.01852, for ReLU), 2/(n+m) (Glorot and
    Bengio 2010, for tanh and sigmoid) or 1/n (LeCun et al. 1998).
    """
    return getattr(jax.nn.initializers, name)()


def init_affine(key: Key, inputs: int, outputs: int, initialize: Initializer) -> Params:
    """Weights `kernel` [inputs, outputs] drawn from the initializer, and zero `bias` [outputs]."""
    kernel = initializer(initialize)(key, (inputs, outputs))
    return {"kernel": kernel, "bias": jnp.zeros(outputs, kernel.dtype)}


def apply_affine(params: Params, x: Array, compute_dtype: ComputeDtype = None) -> Array:
    """x W + b over the last axis of `x`: [..., inputs] -> [..., outputs]; without a `bias` x W.

    In a lower `compute_dtype` the product reads rounded operands but adds up in the dtype of the parameters, which the result keeps.
    """
    kernel, bias = params["kernel"], params.get("bias")
    dtype = kernel.dtype if compute_dtype is None else jnp.dtype(compute_dtype)
    y = jnp.dot(x.astype(dtype), kernel.astype(dtype), preferred_element_type=kernel.dtype)
    return y if bias is None else y + jnp.broadcast_to(bias, y.shape)


def init_stack(key: Key, sizes: tuple[int, ...], initialize: Initializer) -> Params:
    """Affine layers `layer_0`, `layer_1`, ... between consecutive `sizes`."""
    keys = jax.random.split(key, len(sizes) - 1)
    return {
        f"layer_{i}": init_affine(keys[i], inputs, outputs, initialize)
        for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes))
    }


def apply_stack(params: Params, x: Array, act: Callable[[Array], Array], compute_dtype: ComputeDtype = None) -> Array:
    """The affine layers in order with `act` between them; the last one stays linear. [..., inputs] -> [..., outputs]."""
    last = len(params) - 1
    for i in range(last):
        x = act(apply_affine(params[f"layer_{i}"], x, compute_dtype))
    return apply_affine(params[f"layer_{last}"], x, compute_dtype)


def apply_blocks(block: Callable[[Params, Array], Array], blocks: Sequence[Params], x: Array, remat: bool) -> Array:
    """`x` through equal blocks, each with its parameters, one after another.

    With `remat` what they compute is not kept for the backward pass, but computed again there. They are then a loop: without one, XLA's
    compiler for processors finds what is computed twice and keeps it after all.
    """
    if not remat:
        for params in blocks:
            x = block(params, x)
        return x
    again = jax.checkpoint(block, prevent_cse=False)  # within a loop there is nothing to take it from
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    last, _ = jax.lax.scan(lambda x, params: (again(params, x), None), x, stacked)
    return last


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
    if pooling not in get_args(Pooling):
        raise InputError(f"pooling: expected one of {', '.join(get_args(Pooling))}, got {pooling}; choose among them")
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


def require_heads(heads: int, latent: int) -> None:
    """Raise InputError for a number of heads of `attend` that does not divide the latent dimension."""
    if heads < 1 or latent % heads:
        raise InputError(
            f"heads: expected a divisor of the latent dimension {latent}, got {heads}; choose another number"
        )


def attend(params: Params, weights: Array, latent: Array, compute_dtype: ComputeDtype = None) -> Array:
    """Pool per-element vectors by heads that learn which elements count: each takes a weighted mean of its slice of the latent.

    Head h has sum_i w_i e^(s_hi) z_hi / sum_i w_i e^(s_hi), with scores s that are affine in the whole latent and bounded by 10: e^s can
    neither overflow nor vanish, and no element needs to know the scores of the others.

    Args:
        params: `kernel` [latent, head] and `bias` [head] of the scores; the heads divide the latent.
        weights: [element]; 0 marks padding. A factor common to all changes nothing.
        latent: [element, latent], finite also where padded.
        compute_dtype: of the product that makes the scores.

    Returns:
        [latent]; zeros for a set of padding alone.
    """
    scores = apply_affine(params, latent, compute_dtype)
    counts = jnp.exp(_SCORE_BOUND * jnp.tanh(scores / _SCORE_BOUND))  # [element, head]
    slices = latent.reshape(*counts.shape, -1)
    top = weights @ (counts[..., None] * slices).reshape(latent.shape)
    bottom = jnp.repeat(weights @ counts, slices.shape[-1])
    return top / jnp.where(bottom == 0, jnp.ones_like(bottom), bottom)
