"""The convolutional network: blocks of convolution, activation and pooling, then a dense network on the flattened map."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params
from jaxsci.errors import InputError
from jaxsci.models import layers
from jaxsci.ops import conv, conv_output_size, max_pool

__all__ = [
    "Block",
    "Config",
    "apply",
    "apply_blocks",
    "apply_convolution",
    "init",
    "init_blocks",
    "map_shapes",
    "model",
]


@dataclass(frozen=True)
class Block:
    """One convolution, its activation, and a maximum over non-overlapping windows."""

    channels: int
    window: int = 3
    padding: Literal["SAME", "VALID"] = "SAME"
    stride: int = 1
    pool: int = 1  # side of the pooling window; 1 does not pool


@dataclass(frozen=True)
class Config:
    """Sizes and choices of a convolutional network on images."""

    shape: tuple[int, int, int]  # height, width, channels
    outputs: int = 1
    blocks: tuple[Block, ...] = (Block(16, pool=2), Block(32, pool=2))
    dense: tuple[int, ...] = (64,)
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None


def map_shapes(shape: tuple[int, int, int], blocks: tuple[Block, ...]) -> list[tuple[int, int, int]]:
    """Shape (height, width, channels) of the input and after every block."""
    shapes = [shape]
    for block in blocks:
        sides = (
            conv_output_size(side, block.window, strides=block.stride, padding=block.padding) // block.pool
            for side in shapes[-1][:2]
        )
        height, width = sides
        if min(height, width) < 1:
            raise InputError(
                f"blocks: expected some that leave a pixel of images of {shape[:2]}, got a map of {shapes[-1][:2]} before {block}; "
                "use fewer or smaller blocks, or larger images"
            )
        shapes.append((height, width, block.channels))
    return shapes


def init_blocks(key: Key, blocks: tuple[Block, ...], channels: int, initialize: layers.Initializer) -> Params:
    """Parameters `block_i`: `kernel` [window, window, in, out] and `bias` [out]."""
    params = {}
    draw = layers.initializer(initialize)
    for i, (block, block_key) in enumerate(zip(blocks, jax.random.split(key, len(blocks)), strict=True)):
        kernel = draw(block_key, (block.window, block.window, channels, block.channels))
        params[f"block_{i}"] = {"kernel": kernel, "bias": jnp.zeros(block.channels, kernel.dtype)}
        channels = block.channels
    return params


def apply_convolution(params: Params, x: Array, block: Block, compute_dtype: layers.ComputeDtype) -> Array:
    """One convolution with its bias: [height, width, in] -> [height', width', out]."""
    kernel, bias = params["kernel"], params["bias"]
    dtype = kernel.dtype if compute_dtype is None else jnp.dtype(compute_dtype)
    y = conv(x[None].astype(dtype), kernel.astype(dtype), strides=block.stride, padding=block.padding)[0]
    return y.astype(kernel.dtype) + jnp.broadcast_to(bias, y.shape)


def apply_blocks(
    params: Params,
    x: Array,
    blocks: tuple[Block, ...],
    act: Callable[[Array], Array],
    compute_dtype: layers.ComputeDtype,
) -> Array:
    """All blocks in order: image [height, width, channels] -> map of the last of `map_shapes`."""
    for i, block in enumerate(blocks):
        x = act(apply_convolution(params[f"block_{i}"], x, block, compute_dtype))
        if block.pool > 1:
            x = max_pool(x[None], block.pool)[0]
    return x


def init(key: Key, config: Config) -> Params:
    """Parameters: `blocks` of convolutions and a stack `dense`."""
    blocks_key, dense_key = jax.random.split(key)
    height, width, channels = map_shapes(config.shape, config.blocks)[-1]
    return {
        "blocks": init_blocks(blocks_key, config.blocks, config.shape[2], config.initializer),
        "dense": layers.init_stack(
            dense_key, (height * width * channels, *config.dense, config.outputs), config.initializer
        ),
    }


def apply(params: Params, x: Array, config: Config) -> Array:
    """One image through the blocks and the dense network.

    Args:
        params: as from `init`.
        x: image [height, width, channels].
        config: the network's sizes.

    Returns:
        Linear outputs [outputs]: predictions of a regression, logits of a classification.
    """
    expect_example("x [*shape]", x, shape=config.shape)
    act = layers.activation(config.activation)
    features = apply_blocks(params["blocks"], x, config.blocks, act, config.compute_dtype)
    return layers.apply_stack(params["dense"], features.reshape(-1), act, config.compute_dtype)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
