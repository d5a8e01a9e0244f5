"""Deep Sets of chemical compositions over a fixed table of elements.

The elements of every composition are rows of one table, so phi is a function of the table alone: under `vmap` over compositions it is
evaluated once for all of them, and pooling is one matrix product with the amounts. An element that is absent has amount 0 and adds
exactly nothing.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example, expect_shapes
from jaxsci.core import Array, Key, Model, Params
from jaxsci.errors import InputError
from jaxsci.models import layers

__all__ = [
    "Config",
    "Pooling",
    "apply",
    "element_latents",
    "embed",
    "init",
    "model",
]

Pooling: TypeAlias = Literal["sum", "mean", "variance", "attention", "fourier"]


@dataclass(frozen=True)
class Config:
    """Sizes and choices; the last of `phi` is the latent dimension, and rho sees the pooled latents, concatenated."""

    features: int  # columns of the table of elements
    elements: int  # rows of it
    outputs: int = 1
    phi: tuple[int, ...] = (128, 64)
    rho: tuple[int, ...] | None = (128, 128)  # None: the pooled latent itself is the output
    pooling: tuple[Pooling, ...] = ("mean", "variance", "attention")
    heads: int = 8  # of the attention; each pools its slice of the latent
    frequencies: int = 6  # of the Fourier features, each twice the one before
    embedding: int = 0  # learned features of each element beside those of the table
    activation: layers.Activation = "silu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None

    def __post_init__(self) -> None:
        """Refuse unknown poolings, and heads that do not divide the latent."""
        unknown = [name for name in self.pooling if name not in get_args(Pooling)]
        if unknown:
            raise InputError(
                f"pooling: expected some of {', '.join(get_args(Pooling))}, got {unknown[0]}; choose among them"
            )
        if "attention" in self.pooling:
            layers.require_heads(self.heads, self.phi[-1])
        if self.rho is None and self.outputs != self.pooled:
            raise InputError(
                f"outputs: expected {self.pooled}, as many as pooled numbers, without rho, got {self.outputs}; give a rho"
            )

    @property
    def pooled(self) -> int:
        """Numbers that `embed` gives."""
        fourier = 2 * self.frequencies if "fourier" in self.pooling else 1
        return (len(self.pooling) - 1 + fourier) * self.phi[-1]


def init(key: Key, config: Config) -> Params:
    """Parameters: `phi` and `rho`, stacks of affine layers; `attention`, the scores of the heads; `embedding` of the elements."""
    phi_key, rho_key, score_key, embedding_key = jax.random.split(key, 4)
    latent = config.phi[-1]
    inputs = config.features + config.embedding
    params = {"phi": layers.init_stack(phi_key, (inputs, *config.phi), config.initializer)}
    if config.rho is not None:
        params["rho"] = layers.init_stack(rho_key, (config.pooled, *config.rho, config.outputs), config.initializer)
    if "attention" in config.pooling:
        params["attention"] = layers.init_affine(score_key, latent, config.heads, "lecun_normal")
    if config.embedding:
        params["embedding"] = {"bias": 0.1 * jax.random.normal(embedding_key, (config.elements, config.embedding))}
    return params


def apply(params: Params, amounts: Array, config: Config, table: Array) -> Array:
    """f(n, a) = rho(pool_i n_i phi(element_i)) of one composition.

    Args:
        params: as from `init`.
        amounts: [element], the stoichiometric coefficient of each element of the table, 0 for those that are absent.
        config: the network's sizes.
        table: [element, feature].

    Returns:
        Linear outputs [outputs].
    """
    pooled = embed(params, amounts, config, table)
    if config.rho is None:
        return pooled
    return layers.apply_stack(params["rho"], pooled, layers.activation(config.activation), config.compute_dtype)


def embed(params: Params, amounts: Array, config: Config, table: Array) -> Array:
    """The pooled latents of one composition, concatenated: [config.pooled].

    With z_i = phi(element_i), amounts n_i and fractions f_i = n_i / sum n: "sum" is sum_i n_i z_i, "mean" m = sum_i f_i z_i, "variance"
    sum_i f_i z_i^2 - m^2, "attention" in each head sum_i f_i e^(s_i) z_i / sum_i f_i e^(s_i) with a learned score s_i, and "fourier"
    sum_i sin(2^k pi f_i) z_i and sum_i (1 - cos(2^k pi f_i)) z_i for k = 0, ..., frequencies - 1. The Fourier features resolve
    doping by a few hundredths, which a network learns slowly from the fractions themselves (Tancik et al. 2020, arXiv:2006.10739). All but
    "sum" are the same for Mg2B4 and MgB2. The composition without elements is pooled to zeros.
    """
    expect_example("amounts [element]", amounts, element=config.elements)
    latent = element_latents(params, config, table)
    total = jnp.sum(amounts)
    fractions = amounts / jnp.where(total == 0, jnp.ones_like(total), total)
    mean = fractions @ latent
    pooled = []
    for pooling in config.pooling:
        match pooling:
            case "sum":
                pooled.append(amounts @ latent)
            case "mean":
                pooled.append(mean)
            case "variance":
                pooled.append(fractions @ jnp.square(latent) - jnp.square(mean))
            case "attention":
                pooled.append(layers.attend(params["attention"], fractions, latent, config.compute_dtype))
            case "fourier":
                pooled.append((_fourier_features(fractions, config.frequencies) @ latent).ravel())
    return jnp.concatenate(pooled)


def element_latents(params: Params, config: Config, table: Array) -> Array:
    """phi of every element of the table, [element, phi[-1]]: with a latent of one dimension, its influence."""
    expect_shapes("table [element, feature]", table, element=config.elements, feature=config.features)
    if config.embedding:
        table = jnp.concatenate([table, params["embedding"]["bias"].astype(table.dtype)], axis=1)
    return layers.apply_stack(params["phi"], table, layers.activation(config.activation), config.compute_dtype)


def model(config: Config, table: Array) -> Model:
    """The pair (init, apply) over this table [element, feature]."""
    return Model(partial(init, config=config), partial(apply, config=config, table=table))


def _fourier_features(fractions: Array, frequencies: int) -> Array:
    """Functions of the fraction that are 0 where an element is absent, [2 * frequencies, element]."""
    angles = jnp.pi * 2.0 ** jnp.arange(frequencies, dtype=fractions.dtype)[:, None] * fractions[None, :]
    return jnp.concatenate([jnp.sin(angles), 1 - jnp.cos(angles)])
