"""The convolutional autoencoder: convolutions and pooling down to a code, enlargement and convolutions back.

The decoder enlarges a map by repeating pixels before it convolves, which leaves no checkerboard as a strided transpose can
(Odena, Dumoulin, Olah 2016, doi:10.23915/distill.00003).
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params
from jaxsci.errors import InputError
from jaxsci.models import convolutional, layers
from jaxsci.models.convolutional import Block

__all__ = ["Config", "apply", "decode", "encode", "init", "model"]


@dataclass(frozen=True)
class Config:
    """Sizes and choices; the decoder mirrors the encoder.

    Every block pools to its sides divided by `pool`, which must divide them, so that the decoder gives the input's shape.
    """

    shape: tuple[int, int, int]  # height, width, channels
    latent: int = 8
    blocks: tuple[Block, ...] = (Block(16, pool=2), Block(32, pool=2))
    hidden: tuple[int, ...] = (32,)
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None

    def __post_init__(self) -> None:
        height, width, _ = self.shape
        for block in self.blocks:
            if block.stride != 1 or block.padding != "SAME" or height % block.pool or width % block.pool:
                raise InputError(
                    f"blocks: expected stride 1, padding SAME and a pool that divides the map's sides, "
                    f"got {block} on {height}x{width} pixels; choose another pool or pad the images"
                )
            height, width = height // block.pool, width // block.pool


def _decoder_blocks(config: Config) -> tuple[Block, ...]:
    channels = (config.shape[2], *(block.channels for block in config.blocks))
    return tuple(
        Block(channels[i], window=block.window, pool=block.pool)
        for i, block in reversed(list(enumerate(config.blocks)))
    )


def init(key: Key, config: Config) -> Params:
    """Parameters: `encoder` and `decoder`, each with `blocks` and a stack `dense`."""
    keys = jax.random.split(key, 4)
    map_shape = convolutional.map_shapes(config.shape, config.blocks)[-1]
    sizes = (math.prod(map_shape), *config.hidden, config.latent)
    init_blocks = partial(convolutional.init_blocks, initialize=config.initializer)
    return {
        "encoder": {
            "blocks": init_blocks(keys[0], config.blocks, config.shape[2]),
            "dense": layers.init_stack(keys[1], sizes, config.initializer),
        },
        "decoder": {
            "dense": layers.init_stack(keys[2], sizes[::-1], config.initializer),
            "blocks": init_blocks(keys[3], _decoder_blocks(config), map_shape[2]),
        },
    }


def encode(params: Params, x: Array, config: Config) -> Array:
    """The code of one image: [height, width, channels] -> [latent]."""
    expect_example("x [*shape]", x, shape=config.shape)
    act = layers.activation(config.activation)
    features = convolutional.apply_blocks(params["encoder"]["blocks"], x, config.blocks, act, config.compute_dtype)
    return layers.apply_stack(params["encoder"]["dense"], features.reshape(-1), act, config.compute_dtype)


def decode(params: Params, code: Array, config: Config) -> Array:
    """The reconstruction from a code: [latent] -> [height, width, channels]; the last convolution stays linear."""
    expect_example("code [latent]", code, latent=config.latent)
    act = layers.activation(config.activation)
    flat = act(layers.apply_stack(params["decoder"]["dense"], code, act, config.compute_dtype))
    x = flat.reshape(convolutional.map_shapes(config.shape, config.blocks)[-1])
    blocks = _decoder_blocks(config)
    for i, block in enumerate(blocks):
        x = jnp.repeat(jnp.repeat(x, block.pool, axis=0), block.pool, axis=1)
        x = convolutional.apply_convolution(params["decoder"]["blocks"][f"block_{i}"], x, block, config.compute_dtype)
        x = act(x) if i < len(blocks) - 1 else x
    return x


def apply(params: Params, x: Array, config: Config) -> Array:
    """The reconstruction of one image, decode(encode(x)): [height, width, channels] -> the same."""
    return decode(params, encode(params, x, config), config)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
