"""Deep Sets: a function of a set, independent of the order of its elements (Zaheer et al. 2017, arXiv:1703.06114).

The same network is a Particle Flow Network when the weights are a mask, and an Energy Flow Network when the elements are angles and the
weights momentum fractions (Komiske, Metodiev, Thaler 2019, arXiv:1810.05165).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example, expect_shapes
from jaxsci.core import Array, Key, Model, Params, WeightedSet
from jaxsci.errors import InputError
from jaxsci.models import layers
from jaxsci.models.layers import attend, mask_elements, pool

__all__ = ["Config", "Pooling", "apply", "embed", "embed_many", "init", "model"]

Pooling: TypeAlias = layers.Pooling | Literal["attention"]


@dataclass(frozen=True)
class Config:
    """Sizes and choices of a Deep Set; the last of `phi` is the latent dimension."""

    features: int
    outputs: int = 1
    phi: tuple[int, ...] = (100, 100, 256)
    rho: tuple[int, ...] = (100, 100, 100)
    pooling: Pooling = "sum"
    heads: int = 8  # of the pooling "attention"; each pools its slice of the latent
    activate_latent: bool = True  # whether the activation also follows the last layer of phi
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None

    def __post_init__(self) -> None:
        """Refuse an unknown pooling, and heads that do not divide the latent."""
        known = (*get_args(layers.Pooling), "attention")
        if self.pooling not in known:
            raise InputError(f"pooling: expected one of {', '.join(known)}, got {self.pooling}; choose among them")
        if self.pooling == "attention":
            layers.require_heads(self.heads, self.phi[-1])


def init(key: Key, config: Config) -> Params:
    """Parameters: `phi` and `rho`, each a stack of affine layers; `attention`, the scores of the heads, where the pooling has them."""
    phi_key, rho_key = jax.random.split(key)
    params = {
        "phi": layers.init_stack(phi_key, (config.features, *config.phi), config.initializer),
        "rho": layers.init_stack(rho_key, (config.phi[-1], *config.rho, config.outputs), config.initializer),
    }
    if config.pooling == "attention":
        score_key = jax.random.fold_in(key, 2)  # the other weights are those of the same network with another pooling
        params["attention"] = layers.init_affine(score_key, config.phi[-1], config.heads, "lecun_normal")
    return params


def apply(params: Params, x: WeightedSet, config: Config) -> Array:
    """f(x, a) = rho(pool_i w_i phi(x_i)) of one set.

    Args:
        params: as from `init`.
        x: elements [element, feature] and weights [element]; an element of weight 0 contributes exactly nothing, whatever it holds.
        config: the network's sizes. Pooling "sum" is sum_i w_i phi_i, "mean" divides it by sum_i w_i, "max" is the largest phi_i
            among the elements of non-zero weight, "attention" in each head a mean by weights that it learns (`layers.attend`); each is
            0 for the empty set.

    Returns:
        Linear outputs [outputs].
    """
    return layers.apply_stack(
        params["rho"], embed(params, x, config), layers.activation(config.activation), config.compute_dtype
    )


def embed(params: Params, x: WeightedSet, config: Config) -> Array:
    """The pooled latent vector of one set, [phi[-1]]."""
    form = "x.elements [element, feature], x.weights [element]"
    expect_example(form, x.elements, x.weights, feature=config.features)

    def pooled(latent: Array) -> Array:
        if config.pooling == "attention":
            return attend(params["attention"], x.weights.astype(latent.dtype), latent, config.compute_dtype)
        return pool(latent, x.weights, config.pooling)

    return _embed(params, mask_elements(x), pooled, config)


def embed_many(params: Params, x: WeightedSet, owners: Array, sets: int, config: Config) -> Array:
    """The pooled latent vectors of many sets whose elements lie one after another, with no padding between them: [set, phi[-1]].

    Args:
        params: as from `init`.
        x: the elements of all sets.
        owners: int [element], the set that each belongs to.
        sets: their number.
        config: the network's sizes, with pooling "sum".
    """
    form = "x.elements [element, feature], x.weights [element], owners [element]"
    expect_shapes(form, x.elements, x.weights, owners, feature=config.features)
    if config.pooling != "sum":
        raise InputError(
            f'pooling: expected "sum" for many sets at once, got "{config.pooling}"; take `embed` for each set'
        )
    belongs = owners[None, :] == jnp.arange(sets, dtype=owners.dtype)[:, None]  # [set, element]
    membership = belongs.astype(x.weights.dtype) * x.weights[None, :]
    return _embed(params, mask_elements(x), lambda latent: membership @ latent, config)


def _embed(params: Params, elements: Array, pooled: Callable[[Array], Array], config: Config) -> Array:
    """`pooled` takes [element, latent] to [..., latent]."""
    act, dtype = layers.activation(config.activation), config.compute_dtype
    if config.activate_latent or config.pooling in ("max", "attention"):
        latent = layers.apply_stack(params["phi"], elements, act, dtype)
        return pooled(act(latent) if config.activate_latent else latent)
    # The last layer is linear and so is the pooling: sum_i w_i (W z_i + b) = W sum_i w_i z_i + b sum_i w_i, one product a set.
    *hidden, last = (f"layer_{i}" for i in range(len(config.phi)))
    if hidden:
        elements = act(layers.apply_stack({name: params["phi"][name] for name in hidden}, elements, act, dtype))
    number = pooled(jnp.ones((elements.shape[0], 1), elements.dtype))
    kernel, bias = params["phi"][last]["kernel"], params["phi"][last]["bias"]
    shift = number * jnp.broadcast_to(bias, (*number.shape[:-1], *bias.shape))
    return layers.apply_affine({"kernel": kernel, "bias": shift}, pooled(elements), dtype)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
