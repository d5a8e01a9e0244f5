"""ParticleNet (Qu and Gouskos 2019, arXiv:1902.08570): convolutions over the nearest neighbors of each particle.

The neighbors are those in the angles of the particles for the first block, and in the space of the features that it made for the next.
The original normalizes over the batch, with running means: `normalization="batch"`, a model with state. By default each vector of an edge
or a particle is normalized by itself: then a jet's output depends on no other jet, so that every jet has a gradient, and there is no state.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params, StatefulModel, WeightedSet
from jaxsci.models import layers
from jaxsci.models.jets import _batch_norm, _norm
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
    normalization: Literal["layer", "batch"] = "layer"
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None


PUBLISHED = Config(
    features=7, neighbors=16, blocks=((64, 64, 64), (128, 128, 128), (256, 256, 256)), dense=(256,)
)  # without its dropout of 0.1 before the outputs


def init(key: Key, config: Config) -> Params:
    """Parameters: `block_i` with `self`, `layer_j` and their `norm_j`, and `shortcut`; `dense`, a stack.

    Of a batch normalization they are the variables {"params": ..., "state": ...}, and layers before it have no `bias`, which it would undo.
    """
    keys = jax.random.split(key, len(config.blocks) + 1)
    widths = (config.features, *(block[-1] for block in config.blocks))
    blocks = {f"block_{i}": _init_block(keys[i], inputs, i, config) for i, inputs in enumerate(widths[:-1])}
    sizes = (widths[-1], *config.dense, config.outputs)
    params = {**blocks, "dense": layers.init_stack(keys[-1], sizes, config.initializer)}
    if config.normalization == "layer":
        return params
    state = {
        f"block_{i}": {f"norm_{j}": _batch_norm.init_running(width) for j, width in enumerate(_normalized(widths))}
        for i, widths in enumerate(config.blocks)
    }
    return {"params": params, "state": state}


def _init_block(key: Key, inputs: int, i: int, config: Config) -> Params:
    widths = config.blocks[i]
    shortcut, first, *rest = jax.random.split(key, len(widths) + 1)
    # The first layer sees a particle and the difference to its neighbor, 2 x inputs numbers.
    params = {
        "shortcut": layers.init_affine(shortcut, inputs, widths[-1], config.initializer),
        "layer_0": layers.init_affine(first, 2 * inputs, widths[0], config.initializer),
    }
    for j, (sizes, layer_key) in enumerate(zip(pairwise(widths), rest, strict=True), 1):
        params[f"layer_{j}"] = layers.init_affine(layer_key, *sizes, config.initializer)
    if config.normalization == "batch":
        params = {name: {"kernel": layer["kernel"]} for name, layer in params.items()}
    return params | {f"norm_{j}": _norm.init_norm(width) for j, width in enumerate(_normalized(widths))}


def _normalized(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Of a block the layers on edges, and the shortcut."""
    return (*widths, widths[-1])


def apply(params: Params, x: WeightedSet, config: Config) -> Array:
    """The outputs for one jet, with layer normalization.

    Args:
        params: as from `init`.
        x: features [particle, features], of which the first `coordinates` say where it lies, and weights [particle], of which only 0,
            padding, is told from the rest.
        config: the network's sizes.

    Returns:
        Linear outputs [outputs].
    """
    return _outputs(params, x, config)[0]


def _outputs(params: Params, x: WeightedSet, config: Config) -> tuple[Array, Params]:
    """Those of one jet, and what its normalizations saw."""
    form = "x.elements [particle, feature], x.weights [particle]"
    expect_example(form, x.elements, x.weights, feature=config.features)
    act, mask = layers.activation(config.activation), x.weights != 0
    z = mask_elements(x)
    points, seen = z[:, : config.coordinates], {}
    for name in (f"block_{i}" for i in range(len(config.blocks))):
        chosen = nearest_neighbors(points, mask, config.neighbors)
        z, seen[name] = _edge_convolution(params[name], z, mask, chosen, config)
        points = z
    outputs = layers.apply_stack(params["dense"], pool(z, mask.astype(z.dtype), "mean"), act, config.compute_dtype)
    return outputs, seen


def _edge_convolution(
    params: Params, z: Array, mask: Array, chosen: Array, config: Config
) -> tuple[Array, dict[str, Params]]:
    """The mean over its neighbors of a dense network of a particle and of the difference to each, plus a shortcut: [particle, width]."""
    act, dtype = layers.activation(config.activation), config.compute_dtype
    seen: dict[str, Params] = {}

    def normalize(x: Array, exists: Array) -> Array:
        name = f"norm_{len(seen)}"
        if config.normalization == "layer":
            y, seen[name] = _norm.normalize(params[name], x), {}
        else:
            y, seen[name] = _batch_norm.normalize(params[name], x, exists)
        return y

    # The first layer is linear in both, so that it acts on the particles and not on the edges.
    first = params["layer_0"]
    inputs = z.shape[1]
    there = layers.apply_affine({"kernel": first["kernel"][inputs:]}, z, dtype)
    here = layers.apply_affine({**first, "kernel": first["kernel"][:inputs]}, z, dtype) - there
    edges = here[:, None] + jnp.einsum("iaj,jf->iaf", chosen, there)
    exists = jnp.sum(chosen, axis=-1)  # [particle, neighbor]
    for i in range(sum(name.startswith("layer_") for name in params)):
        edges = edges if i == 0 else layers.apply_affine(params[f"layer_{i}"], edges, dtype)
        edges = act(normalize(edges, exists))
    number = jnp.sum(exists, axis=1)
    mean = jnp.einsum("ia,iaf->if", exists, edges) / jnp.maximum(number, jnp.ones_like(number))[:, None]
    shortcut = layers.apply_affine(params["shortcut"], z, dtype)
    return act(normalize(shortcut, mask.astype(z.dtype)) + mean), seen


def _apply_batch(
    variables: Params, x: WeightedSet, mask: Array, key: Key | None, config: Config
) -> tuple[Array, Params]:
    """The outputs for a batch, with batch normalization, and the state it leaves."""
    params, state = variables["params"], variables["state"]
    if key is None:
        known = _batch_norm.with_running(params, state)
        return jax.vmap(lambda jet: _outputs(known, jet, config)[0])(x), state
    counted = x._replace(weights=jnp.where(mask[:, None], x.weights, jnp.zeros_like(x.weights)))
    one = jax.vmap(partial(_outputs, params, config=config), out_axes=(0, None), axis_name=_batch_norm.BATCH)
    outputs, seen = one(counted)
    return outputs, _batch_norm.moved(state, seen)


def model(config: Config) -> Model | StatefulModel:
    """The pair (init, apply) of this configuration; with batch normalization one of a batch and with state."""
    if config.normalization == "batch":
        return StatefulModel(partial(init, config=config), partial(_apply_batch, config=config))
    return Model(partial(init, config=config), partial(apply, config=config))
