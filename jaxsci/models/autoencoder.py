"""The dense autoencoder: an encoder to a few numbers, and a decoder back.

With linear activations (`hidden=()`) its best reconstruction error is that of principal component analysis with as many components
(Baldi and Hornik 1989).
"""

import math
from dataclasses import dataclass
from functools import partial

import jax

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params
from jaxsci.models import layers

__all__ = ["Config", "apply", "decode", "encode", "init", "model"]


@dataclass(frozen=True)
class Config:
    """Sizes and choices; the decoder mirrors the encoder."""

    shape: tuple[int, ...]  # of one example
    latent: int = 8
    hidden: tuple[int, ...] = (128, 32)
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None


def init(key: Key, config: Config) -> Params:
    """Parameters: the stacks `encoder` and `decoder`."""
    sizes = (math.prod(config.shape), *config.hidden, config.latent)
    encoder_key, decoder_key = jax.random.split(key)
    return {
        "encoder": layers.init_stack(encoder_key, sizes, config.initializer),
        "decoder": layers.init_stack(decoder_key, sizes[::-1], config.initializer),
    }


def encode(params: Params, x: Array, config: Config) -> Array:
    """The code of one example: [*shape] -> [latent]."""
    expect_example("x [*shape]", x, shape=config.shape)
    return layers.apply_stack(
        params["encoder"], x.reshape(-1), layers.activation(config.activation), config.compute_dtype
    )


def decode(params: Params, code: Array, config: Config) -> Array:
    """The reconstruction from a code: [latent] -> [*shape]."""
    expect_example("code [latent]", code, latent=config.latent)
    flat = layers.apply_stack(params["decoder"], code, layers.activation(config.activation), config.compute_dtype)
    return flat.reshape(config.shape)


def apply(params: Params, x: Array, config: Config) -> Array:
    """The reconstruction of one example, decode(encode(x)): [*shape] -> [*shape]."""
    return decode(params, encode(params, x, config), config)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
