"""A mixture of Gaussians as a model of one number: its log density, for a maximum-likelihood fit with error bars.

p(x) = sum_k f_k exp(-(x - mu_k)^2 / (2 sigma_k^2)) / sqrt(2 pi sigma_k^2), f = softmax(logits, 0): the last logit is 0, so that every
parameter is determined by data.
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example, expect_shapes
from jaxsci.core import Array, Key, Model, Params
from jaxsci.errors import InputError

__all__ = ["Config", "apply", "init", "model"]


@dataclass(frozen=True)
class Config:
    """How many Gaussians, and where they begin."""

    components: int
    window: tuple[float, float] = (-1.0, 1.0)  # means start evenly spread over it, deviations at half their distance

    def __post_init__(self) -> None:
        if self.components < 1 or not self.window[0] < self.window[1]:
            raise InputError(f"mixture: expected components and a window of positive width, got {self}")


def init(key: Key, config: Config) -> Params:
    """`logits` [component - 1], `means` and `log_deviations` [component]."""
    low, high = config.window
    step = (high - low) / config.components
    dtype = jnp.result_type(float)
    return {
        "logits": jnp.zeros(config.components - 1, dtype),
        "means": low + step * (jnp.arange(config.components, dtype=dtype) + 0.5),
        "log_deviations": jnp.full(config.components, math.log(step / 2), dtype),
    }


def apply(params: Params, x: Array, config: Config) -> Array:
    """log p(x) of one number; scalar."""
    expect_example("x []", x)
    expect_shapes("params['means'] [component]", params["means"], component=config.components)
    logits = jnp.concatenate([params["logits"], jnp.zeros(1, x.dtype)])
    away = (x - params["means"]) * jnp.exp(-params["log_deviations"])
    terms = jax.nn.log_softmax(logits) - params["log_deviations"] - (away**2 + math.log(2 * math.pi)) / 2
    return jax.nn.logsumexp(terms)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
