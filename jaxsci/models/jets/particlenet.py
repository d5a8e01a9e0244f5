"""ParticleNet (Qu and Gouskos 2019, arXiv:1902.08570): convolutions over the nearest neighbors of each particle.

The neighbors are those in the angles of the particles for the first block, and in the space of the features that it made for the next.
Where the original normalizes over the batch, with running means, this one normalizes each vector of an edge or a particle by itself
(layer normalization): then a jet's output depends on no other jet, and there is no state.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params, WeightedSet
from jaxsci.models import layers
from jaxsci.models.jets._norm import init_norm, normalize
from jaxsci.models.layers import mask_elements, pool
from jaxsci.ops import nearest_neighbors

__all__ = ["PUBLISHED", "Config", "apply", "init", "model"]


@dataclass(frozen=True)
class Config:
    """Sizes and choices; the defaults train on a processor."""

    features: int
    outputs: int = 1
    coordinates: int = 2  # so many of the first features are where a particle lies
    neighbors: int = 7
    blocks: tuple[tuple[int, ...], ...] = ((32, 32, 32), (64, 64, 64))  # the dense layers on edges of each block
    dense: tuple[int, ...] = (128,)
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None


PUBLISHED = Config(
    features=7, neighbors=16, blocks=((64, 64, 64), (128, 128, 128), (256, 256, 256)), dense=(256,)
)  # without its dropout of 0.1 before the outputs


def init(key: Key, config: Config) -> Params:
    """Parameters: `block_i` with `self`, `layer_j` and their `norm_j`, and `shortcut`; `dense`, a stack."""
    keys = jax.random.split(key, len(config.blocks) + 1)
    widths = (config.features, *(block[-1] for block in config.blocks))
    blocks = {
        f"block_{i}": _init_block(keys[i], inputs, config.blocks[i], config.initializer)
        for i, inputs in enumerate(widths[:-1])
    }
    sizes = (widths[-1], *config.dense, config.outputs)
    return {**blocks, "dense": layers.init_stack(keys[-1], sizes, config.initializer)}


def _init_block(key: Key, inputs: int, widths: tuple[int, ...], initialize: layers.Initializer) -> Params:
    shortcut, first, *rest = jax.random.split(key, len(widths) + 1)
    # The first layer sees a particle and the difference to its neighbor, 2 x inputs numbers.
    params = {
        "shortcut": layers.init_affine(shortcut, inputs, widths[-1], initialize),
        "layer_0": layers.init_affine(first, 2 * inputs, widths[0], initialize),
    }
    for i, (sizes, layer_key) in enumerate(zip(pairwise(widths), rest, strict=True), 1):
        params[f"layer_{i}"] = layers.init_affine(layer_key, *sizes, initialize)
    return params | {f"norm_{i}": init_norm(width) for i, width in enumerate((*widths, widths[-1]))}


def apply(params: Params, x: WeightedSet, config: Config) -> Array:
    """The outputs for one jet.

    Args:
        params: as from `init`.
        x: features [particle, features], of which the first `coordinates` say where it lies, and weights [particle], of which only 0,
            padding, is told from the rest.
        config: the network's sizes.

    Returns:
        Linear outputs [outputs].
    """
    form = "x.elements [particle, feature], x.weights [particle]"
    expect_example(form, x.elements, x.weights, feature=config.features)
    act, mask = layers.activation(config.activation), x.weights != 0
    z = mask_elements(x)
    points = z[:, : config.coordinates]
    for i in range(len(config.blocks)):
        z = _edge_convolution(params[f"block_{i}"], z, nearest_neighbors(points, mask, config.neighbors), config)
        points = z
    return layers.apply_stack(params["dense"], pool(z, mask.astype(z.dtype), "mean"), act, config.compute_dtype)


def _edge_convolution(params: Params, z: Array, chosen: Array, config: Config) -> Array:
    """The mean over its neighbors of a dense network of a particle and of the difference to each, plus a shortcut: [particle, width]."""
    act, dtype = layers.activation(config.activation), config.compute_dtype
    # The first layer is linear in both, so that it acts on the particles and not on the edges.
    first = params["layer_0"]
    inputs = z.shape[1]
    difference = {"kernel": first["kernel"][inputs:], "bias": jnp.zeros_like(first["bias"])}
    there = layers.apply_affine(difference, z, dtype)
    here = layers.apply_affine({**first, "kernel": first["kernel"][:inputs]}, z, dtype) - there
    edges = here[:, None] + jnp.einsum("iaj,jf->iaf", chosen, there)
    last = sum(name.startswith("layer_") for name in params)
    for i in range(last):
        edges = edges if i == 0 else layers.apply_affine(params[f"layer_{i}"], edges, dtype)
        edges = act(normalize(params[f"norm_{i}"], edges))
    exists = jnp.sum(chosen, axis=-1)  # [particle, neighbor]
    number = jnp.sum(exists, axis=1)
    mean = jnp.einsum("ia,iaf->if", exists, edges) / jnp.maximum(number, jnp.ones_like(number))[:, None]
    shortcut = layers.apply_affine(params["shortcut"], z, dtype)
    return act(normalize(params[f"norm_{last}"], shortcut) + mean)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
