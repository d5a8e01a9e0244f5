"""Deep Sets: a function of a set, independent of the order of its elements (Zaheer et al. 2017, arXiv:1703.06114).

The same network is a Particle Flow Network when the weights are a mask, and an Energy Flow Network when the elements are angles and the
weights momentum fractions (Komiske, Metodiev, Thaler 2019, arXiv:1810.05165).
"""

from dataclasses import dataclass
from functools import partial

import chex
import jax

from jaxsci.core import Array, Key, Model, Params, WeightedSet
from jaxsci.models import layers
from jaxsci.ops.set_pooling import Pooling, mask_elements, pool


@dataclass(frozen=True)
class Config:
    """Sizes and choices of a Deep Set; the last of `phi` is the latent dimension."""

    features: int
    outputs: int = 1
    phi: tuple[int, ...] = (100, 100, 256)
    rho: tuple[int, ...] = (100, 100, 100)
    pooling: Pooling = "sum"
    activate_latent: bool = True  # whether the activation also follows the last layer of phi
    activation: layers.Activation = "relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = None


def init(key: Key, config: Config) -> Params:
    """Parameters: `phi` and `rho`, each a stack of affine layers."""
    phi_key, rho_key = jax.random.split(key)
    return {
        "phi": layers.init_stack(phi_key, (config.features, *config.phi), config.initializer),
        "rho": layers.init_stack(rho_key, (config.phi[-1], *config.rho, config.outputs), config.initializer),
    }


def apply(params: Params, x: WeightedSet, config: Config) -> Array:
    """f(x, a) = rho(pool_i w_i phi(x_i)) of one set.

    Args:
        params: as from `init`.
        x: elements [element, feature] and weights [element]; an element of weight 0 contributes exactly nothing, whatever it holds.
        config: the network's sizes. Pooling "sum" is sum_i w_i phi_i, "mean" divides it by sum_i w_i, "max" is the largest phi_i
            among the elements of non-zero weight; each is 0 for the empty set.

    Returns:
        Linear outputs [outputs].
    """
    return layers.apply_stack(
        params["rho"], embed(params, x, config), layers.activation(config.activation), config.compute_dtype
    )


def embed(params: Params, x: WeightedSet, config: Config) -> Array:
    """The pooled latent vector of one set, [phi[-1]]."""
    chex.assert_rank([x.elements, x.weights], [2, 1])
    chex.assert_shape(x.elements, (x.weights.shape[0], config.features))
    act = layers.activation(config.activation)
    latent = layers.apply_stack(params["phi"], mask_elements(x), act, config.compute_dtype)
    if config.activate_latent:
        latent = act(latent)
    return pool(latent, x.weights, config.pooling)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
