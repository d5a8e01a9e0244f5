"""The dense network: affine maps with an activation between them."""

from dataclasses import dataclass
from functools import partial

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params
from jaxsci.models import layers

__all__ = ["Config", "apply", "init", "model"]


@dataclass(frozen=True)
class Config:
    """Sizes and choices of a dense network."""

    inputs: int
    outputs: int = 1
    hidden: tuple[int, ...] = (100, 100)
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None


def init(key: Key, config: Config) -> Params:
    """Parameters: `layer_i` with `kernel` [n_i, n_(i+1)] and `bias` [n_(i+1)]."""
    return layers.init_stack(key, (config.inputs, *config.hidden, config.outputs), config.initializer)


def apply(params: Params, x: Array, config: Config) -> Array:
    """f(x, a) = W_L s(... s(W_1 x + b_1) ...) + b_L of one example.

    Args:
        params: as from `init`.
        x: [inputs], or any shape with that many numbers (an image is flattened).
        config: the network's sizes.

    Returns:
        Linear outputs [outputs]: predictions of a regression, logits of a classification.
    """
    if x.size != config.inputs:
        expect_example("x [inputs]", x, inputs=config.inputs)
    return layers.apply_stack(params, x.reshape(-1), layers.activation(config.activation), config.compute_dtype)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
