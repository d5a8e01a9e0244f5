"""A linear tagger that can be read: outputs linear in the energy-flow polynomials of a jet (arXiv:1712.07124).

Any observable that soft particles and collinear splittings leave alone is such a sum, to any accuracy. Its coefficients need no training
by small steps: `jaxsci.fitting.logistic_regression` finds them, with errors.
"""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp

from jaxsci.core import Array, Key, Model, Params, WeightedSet
from jaxsci.models.layers import mask_elements
from jaxsci.ops import energy_flow_polynomials, flow_graphs

__all__ = ["Config", "apply", "init", "model", "polynomials"]


@dataclass(frozen=True)
class Config:
    """Which polynomials; the defaults have 101."""

    degree: int = 5  # most edges of a graph
    beta: float = 0.5  # power of the distance
    outputs: int = 1

    @property
    def graphs(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Those of the polynomials, in their order; of each its edges."""
        return flow_graphs(self.degree)


def init(key: Key, config: Config) -> Params:
    """Parameters: `mean` and `deviation` [polynomial], by which polynomials are standardized, `coefficients` [polynomial, outputs] and
    `constants` [outputs]; all outputs are 0. The key has no say.
    """
    number = len(config.graphs)
    return {
        "mean": jnp.zeros(number),
        "deviation": jnp.ones(number),
        "coefficients": jnp.zeros((number, config.outputs)),
        "constants": jnp.zeros(config.outputs),
    }


def polynomials(x: WeightedSet, config: Config) -> Array:
    """The polynomial of each graph: sum over particles of products of their z and of the distances R_ij^beta along its edges.

    Args:
        x: angles [particle, 2 or more], of which the first two are rapidity or pseudorapidity and azimuth about the axis of the jet, and
            weights z [particle], shares of the transverse momentum, 0 for padding; `jaxsci.data.jets.features.efn_inputs` makes them.
        config: which polynomials.

    Returns:
        [polynomial], in the order of `config.graphs`.
    """
    angles = mask_elements(x)[:, :2]
    squared = jnp.sum(jnp.square(angles[:, None] - angles[None]), axis=-1)
    apart = squared > 0
    # Twice: the power of 0 has no finite derivative, which a single choice would multiply with 0.
    distances = jnp.where(apart, jnp.where(apart, squared, 1) ** (config.beta / 2), 0)
    return energy_flow_polynomials(x.weights, distances, config.graphs)


def apply(params: Params, x: WeightedSet, config: Config) -> Array:
    """Outputs linear in the standardized polynomials of one jet: [outputs], such as log odds.

    Args:
        params: as from `init`.
        x: as for `polynomials`.
        config: which polynomials.
    """
    standardized = (polynomials(x, config) - params["mean"]) / params["deviation"]
    return standardized @ params["coefficients"] + params["constants"]


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))
