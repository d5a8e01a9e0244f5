"""A particle transformer (Qu, Li and Qian 2022, arXiv:2202.03772): attention among particles, biased by what each pair has in common.

The bias of every head is a small dense network of the pair features ln dR, ln kT, ln z and ln m^2 (`ops.pair_features`), the same for all
layers. After them a learned query, the class token, collects the answer from all particles. Each layer normalizes before attention and
before its dense network; ParT's further normalizations, its dropout and its scaling of heads are left out.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params
from jaxsci.errors import InputError
from jaxsci.models import layers
from jaxsci.models.jets._norm import init_norm, normalize
from jaxsci.ops import PAIR_FEATURES, pair_features

__all__ = ["PUBLISHED", "Config", "Particles", "apply", "init", "model"]

# (feature - shift) * scale is of order 1. Of simulated jets (`jaxsci.data.jets.embedded`, 40 merged particles) the pair features have
# the means -1.6, 0.0, -1.5, 1.5 and the standard deviations 1.2, 1.4, 0.9, 2.3.
_SHIFT = np.array([-1.5, 0.0, -1.5, 1.5])
_SCALE = np.array([1.0, 0.7, 1.0, 0.5])


class Particles(NamedTuple):
    """The particles of a jet; those of weight 0 are padding."""

    elements: Array  # [particle, feature]
    weights: Array  # [particle]
    momenta: Array  # [particle, 4]: E, px, py, pz in GeV


@dataclass(frozen=True)
class Config:
    """Sizes and choices; the defaults train on a processor."""

    features: int
    outputs: int = 1
    width: int = 32
    heads: int = 4
    blocks: int = 3  # among the particles
    class_blocks: int = 1  # of the class token
    embed: tuple[int, ...] = (64,)  # hidden layers before the first block
    pair: tuple[int, ...] = (16,)  # hidden layers of the bias
    expansion: int = 2  # of the dense network of each block
    activation: layers.Activation = "gelu"
    initializer: layers.Initializer = "lecun_normal"
    compute_dtype: layers.ComputeDtype = None
    remat: bool = False  # compute the blocks again in the backward pass, instead of keeping what they computed

    def __post_init__(self) -> None:
        """Refuse heads that do not divide the width."""
        if self.width % self.heads:
            raise InputError(
                f"heads: expected a divisor of the width {self.width}, got {self.heads}; choose another number"
            )


PUBLISHED = Config(
    features=7, width=128, heads=8, blocks=8, class_blocks=2, embed=(128, 512), pair=(64, 64, 64), expansion=4
)


def init(key: Key, config: Config) -> Params:
    """Parameters: `embed` and `pair`, stacks; `block_i` and `class_i` with `attention`, `dense` and norms; `token`; `head`, affine."""
    embed_key, pair_key, token_key, head_key, block_key = jax.random.split(key, 5)
    count = config.blocks + config.class_blocks
    keys = jax.random.split(block_key, count)
    names = [f"block_{i}" for i in range(config.blocks)] + [f"class_{i}" for i in range(config.class_blocks)]
    initialize = config.initializer
    return {
        "embed": layers.init_stack(embed_key, (config.features, *config.embed, config.width), initialize),
        "pair": layers.init_stack(pair_key, (len(PAIR_FEATURES), *config.pair, config.heads), initialize),
        "token": {"bias": 0.02 * jax.random.normal(token_key, (config.width,))},
        "head": layers.init_affine(head_key, config.width, config.outputs, initialize),
        "norm": init_norm(config.width),
        **{name: _init_block(k, config) for name, k in zip(names, keys, strict=True)},
    }


def _init_block(key: Key, config: Config) -> Params:
    keys = jax.random.split(key, 5)
    width, initialize = config.width, config.initializer
    affine = {
        name: layers.init_affine(k, width, width, initialize)
        for name, k in zip(("query", "key", "value", "output"), keys, strict=False)
    }
    sizes = (width, config.expansion * width, width)
    return {
        "attention": affine,
        "dense": layers.init_stack(keys[4], sizes, initialize),
        "norm_attention": init_norm(width),
        "norm_dense": init_norm(width),
    }


def apply(params: Params, x: Particles, config: Config) -> Array:
    """The outputs for one jet.

    Args:
        params: as from `init`.
        x: its particles.
        config: the network's sizes.

    Returns:
        Linear outputs [outputs].
    """
    form = "x.elements [particle, feature], x.weights [particle], x.momenta [particle, 4]"
    expect_example(form, x.elements, x.weights, x.momenta, feature=config.features)
    act, dtype, mask = layers.activation(config.activation), config.compute_dtype, x.weights != 0
    z = jnp.where(mask[:, None], x.elements, jnp.zeros_like(x.elements))
    z = layers.apply_stack(params["embed"], z, act, dtype)
    of_pairs = _bias(params["pair"], x.momenta, mask, config)

    def of_particles(params: Params, z: Array) -> Array:
        normed = normalize(params["norm_attention"], z)
        return _dense(params, z + _attention(params["attention"], normed, normed, of_pairs, config), config)

    z = layers.apply_blocks(of_particles, [params[f"block_{i}"] for i in range(config.blocks)], z, config.remat)
    token = params["token"]["bias"][None]
    mask = jnp.concatenate([jnp.ones(1, bool), mask])
    bias = jnp.where(mask[None, None, :], jnp.zeros((), z.dtype), jnp.asarray(-jnp.inf, z.dtype))
    for i in range(config.class_blocks):
        block = params[f"class_{i}"]
        all_of_them = normalize(block["norm_attention"], jnp.concatenate([token, z]))
        token = token + _attention(block["attention"], all_of_them[:1], all_of_them, bias, config)
        token = _dense(block, token, config)
    return layers.apply_affine(params["head"], normalize(params["norm"], token[0]), dtype)


def _bias(params: Params, momenta: Array, mask: Array, config: Config) -> Array:
    """What is added to the scores of each head: [head, query, key], minus infinity where the key is padding and not the query itself."""
    features = pair_features(momenta, mask)
    shift, scale = (jnp.asarray(numbers, features.dtype)[None, None] for numbers in (_SHIFT, _SCALE))
    bias = layers.apply_stack(
        params, (features - shift) * scale, layers.activation(config.activation), config.compute_dtype
    )
    n = mask.shape[0]
    attended = mask[None, :] | jnp.eye(n, dtype=bool)  # a padded query attends to itself: to nothing, it would be NaN
    return jnp.where(attended[None], jnp.moveaxis(bias, -1, 0), jnp.asarray(-jnp.inf, bias.dtype))


def _attention(params: Params, queries: Array, keys: Array, bias: Array, config: Config) -> Array:
    """Softmax attention of `queries` [q, width] to `keys` [k, width] with a bias [head or 1, q or 1, k]: [q, width]."""
    dtype, heads = config.compute_dtype, config.heads
    q = layers.apply_affine(params["query"], queries, dtype).reshape(len(queries), heads, -1)
    k = layers.apply_affine(params["key"], keys, dtype).reshape(len(keys), heads, -1)
    v = layers.apply_affine(params["value"], keys, dtype).reshape(len(keys), heads, -1)
    scores = jnp.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1]).astype(q.dtype)
    attention = jax.nn.softmax(scores + bias, axis=-1)
    values = jnp.einsum("hqk,khd->qhd", attention, v)
    return layers.apply_affine(params["output"], values.reshape(len(queries), -1), dtype)


def _dense(block: Params, z: Array, config: Config) -> Array:
    act = layers.activation(config.activation)
    return z + layers.apply_stack(block["dense"], normalize(block["norm_dense"], z), act, config.compute_dtype)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
