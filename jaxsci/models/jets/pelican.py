"""A small Lorentz-invariant network after PELICAN (Bogatskiy et al. 2022, arXiv:2211.00454): it sees invariant products alone.

What goes in are the products p_i . p_j of the four-momenta of a jet and of two vectors along the beams. Layers act on the array over
pairs by the fifteen linear maps that commute with permutations, between dense layers on each pair; means over all pairs, and over all
pairs of a particle with itself, come out.

Invariance: without beams the output is the same for every Lorentz transformation of the jet, to rounding. The beams are fixed vectors:
with them it is so for rotations about the beam and for the reflection that exchanges the beams; a boost along the beam changes it, unless
the jet is first put into the frame in which its rapidity is 0, as the tagger `pelican` does.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params, WeightedSet
from jaxsci.models import layers
from jaxsci.models.layers import mask_elements
from jaxsci.ops import PAIR_MAPS, apply_pair_maps, lorentz_products, pair_means

__all__ = ["PARAMETERS_1K", "PARAMETERS_3K", "PARAMETERS_10K", "Config", "apply", "init", "model"]

_BEAMS = ((1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Config:
    """Sizes and choices; the defaults have 2,942 parameters."""

    outputs: int = 1
    channels: int = 5  # of the array over pairs between the blocks
    messages: int = 6  # channels within a block, after its dense layer
    blocks: int = 5
    pooled: int = 12  # channels of which the means are taken
    hidden: tuple[int, ...] = (14,)  # dense layers after that
    beams: bool = True  # whether two vectors (1, 0, 0, +-1) GeV join the particles
    scales: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)  # GeV^2, of the logarithms of products
    number: float = 32.0  # a typical number of particles, by which sums become means
    activation: layers.Activation = "leaky_relu"
    initializer: layers.Initializer = "he_normal"
    compute_dtype: layers.ComputeDtype = (
        None  # of the dense layers; the maps over pairs keep the dtype of the parameters
    )
    remat: bool = False  # compute the blocks again in the backward pass, instead of keeping what they computed


PARAMETERS_1K = Config(channels=3, messages=4, blocks=3, pooled=10, hidden=(12,))
PARAMETERS_3K = Config()
PARAMETERS_10K = Config(channels=8, messages=12, blocks=5, pooled=24, hidden=(24,))


def init(key: Key, config: Config) -> Params:
    """Parameters: `encode`, affine; `block_i` with `message`, affine, `maps`, the weights of the
    fifteen maps, and the bias `on_diagonal`; `pool`, affine; `rho`, a stack.
    """
    keys = jax.random.split(key, 2 * config.blocks + 3)
    channels, messages, initialize = config.channels, config.messages, config.initializer
    maps = layers.initializer(initialize)
    blocks = {
        f"block_{i}": {
            "message": layers.init_affine(keys[2 * i], channels, messages, initialize),
            "maps": {"kernel": maps(keys[2 * i + 1], (PAIR_MAPS, messages, channels)), "bias": jnp.zeros(channels)},
            "on_diagonal": {"bias": jnp.zeros(channels)},
        }
        for i in range(config.blocks)
    }
    return {
        "encode": layers.init_affine(keys[-3], len(config.scales), channels, initialize),
        **blocks,
        "pool": layers.init_affine(keys[-2], channels, config.pooled, initialize),
        "rho": layers.init_stack(keys[-1], (2 * config.pooled, *config.hidden, config.outputs), initialize),
    }


def apply(params: Params, x: WeightedSet, config: Config) -> Array:
    """The outputs for one jet, a function of the products p_i . p_j alone.

    Args:
        params: as from `init`.
        x: four-momenta (E, px, py, pz) in GeV [particle, 4], and weights [particle], of which only 0, padding, is told from the rest.
            Four further columns [particle, 8] hold what rounding took from the momenta, as in `ops.lorentz_products`; without them
            the rounding of the energies limits the invariance.
        config: the network's sizes.

    Returns:
        Linear outputs [outputs].
    """
    expect_example("x.elements [particle, 4|8], x.weights [particle]", x.elements, x.weights)
    dtype, act = config.compute_dtype, layers.activation(config.activation)
    momenta, mask = mask_elements(x), x.weights != 0
    if config.beams:
        beams = jnp.asarray(_BEAMS, momenta.dtype)[:, : momenta.shape[1]]
        momenta, mask = jnp.concatenate([momenta, beams]), jnp.concatenate([mask, jnp.ones(2, bool)])
    both = (mask[:, None] & mask[None, :])[..., None].astype(momenta.dtype)
    eye = jnp.eye(mask.shape[0], dtype=momenta.dtype)[:, :, None]

    def block(params: Params, pairs: Array) -> Array:
        messages = both * act(layers.apply_affine(params["message"], pairs, dtype))
        bias, diagonal = (params[name]["bias"][None, None] for name in ("maps", "on_diagonal"))
        change = apply_pair_maps(messages, params["maps"]["kernel"], config.number) + bias + eye * diagonal
        return pairs + both * change

    products = lorentz_products(momenta[:, :4], momenta[:, 4:] if momenta.shape[1] == 8 else None)
    pairs = both * layers.apply_affine(params["encode"], _encode(products, config.scales), dtype)
    pairs = layers.apply_blocks(block, [params[f"block_{i}"] for i in range(config.blocks)], pairs, config.remat)
    means = pair_means(both * act(layers.apply_affine(params["pool"], pairs, dtype)), config.number)
    return layers.apply_stack(params["rho"], means.reshape(-1), act, dtype)


def _encode(products: Array, scales: tuple[float, ...]) -> Array:
    """Products [...] as signed logarithms ln(1 + |d| / s) at each of the scales s, brought to order 1: [..., scale]."""
    scale = jnp.asarray(scales, products.dtype).reshape((1,) * products.ndim + (-1,))
    d = products[..., None]
    return jnp.sign(d) * jnp.log1p(jnp.abs(d) / scale) / 2


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
