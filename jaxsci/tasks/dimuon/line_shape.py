"""Parametric shapes of a peak over a background as log densities: models of one measurement, normalized in a window."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Key, Model, Params
from jaxsci.ops import voigt

FINE_STRUCTURE = 1 / 137.035999  # CODATA 2018
MUON_MASS = 0.1056583755  # GeV, CODATA 2018


@dataclass(frozen=True)
class Config:
    """A resonance that decays to two leptons, seen with a Gaussian resolution over an exponential background."""

    window: tuple[float, float] = (70.0, 110.0)  # GeV
    mass: float = 91.0  # GeV, where a fit starts
    width: float = 2.5
    resolution: float = 1.5
    signal: float = 0.9  # fraction
    slope: float = 0.0  # 1 / GeV
    radiation: bool = False  # of photons by the leptons, which lowers the mass of the pair
    lepton_mass: float = MUON_MASS
    nodes: int = 160  # of the quadrature over the window; enough for peaks wider than a twentieth of it


def init(key: Key, config: Config) -> Params:
    """Where a fit starts: mass, width and resolution (in the unit of the window), the fraction of signal, the slope of the background."""
    names = ("mass", "width", "resolution", "signal", "slope")
    return {name: jnp.asarray(getattr(config, name), jnp.result_type(float)) for name in names}


def apply(params: Params, x: Array, config: Config) -> Array:
    """log p(x) = log(f S(x) + (1 - f) B(x)) of one mass x in the window, S and B normalized there.

    S is a Breit-Wigner convolved with a Gaussian (the Voigt profile), and with `radiation` also with what the leptons radiate; B is
    exp(-slope (x - middle)). Both are evaluated at the nodes of the quadrature that normalizes them, once for all examples, and
    interpolated by the polynomial through these nodes.

    Args:
        params: as from `init`. NaN, which no fit accepts, where a width is not positive or the fraction not in (0, 1).
        x: scalar, the unit of the window.
        config: window and shape.
    """
    nodes, weights = quadrature(config.window, config.nodes)
    at_nodes = (shape(params, jnp.asarray(nodes, x.dtype), config) for shape in (peak, exponential))
    signal, background = (values / (jnp.asarray(weights, x.dtype) @ values) for values in at_nodes)
    fraction = params["signal"].astype(x.dtype)
    density = interpolation(x, nodes, weights) @ (fraction * signal + (1 - fraction) * background)
    allowed = (params["width"] > 0) & (params["resolution"] > 0) & (fraction > 0) & (fraction < 1) & (density > 0)
    return jnp.where(allowed, jnp.log(jnp.where(allowed, density, 1.0)), jnp.nan)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return Model(partial(init, config=config), partial(apply, config=config))


def peak(params: Params, x: Array, config: Config) -> Array:
    """The signal at x [...], not normalized in the window.

    With radiation the pair keeps the part z of its squared mass, by the leading logarithms of quantum electrodynamics
    with the density D(z) = beta (1 - z)^(beta - 1) (1 + 3 beta / 4) - beta (1 + z) / 2 and
    beta = (2 alpha / pi) (log(M^2 / m^2) - 1), where M is the mass at which the fit starts; with u = (1 - z)^beta

        S(x) = int_0^1 V(x / sqrt z) / sqrt z D(z) dz,     D(z) dz = (1 + 3 beta / 4 - (1 + z) (1 - z)^(1 - beta) / 2) du.

    Source: Kuraev and Fadin 1985, Sov. J. Nucl. Phys. 41, 466. The resolution is taken in proportion to the mass, so that it can
    be applied first.
    """
    if not config.radiation:
        return voigt(x, params["mass"], params["width"], params["resolution"])
    kept, weights = _radiator(config)
    values = jax.vmap(lambda z: voigt(x / z, params["mass"], params["width"], params["resolution"]) / z)
    return jnp.tensordot(jnp.asarray(weights, x.dtype), values(jnp.asarray(kept, x.dtype)), axes=1)


def _radiator(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """The part sqrt z of its mass that a pair keeps, as nodes with their probabilities.

    Up to a loss of 2 % of z the nodes are those of u, where the density is flat; beyond, those of z down to where nothing is left in
    the window, where neighbors must be closer than the width of the peak.
    """
    beta = 2 * FINE_STRUCTURE / np.pi * (2 * np.log(config.mass / config.lepton_mass) - 1)
    soft = 0.02
    u, soft_weights = quadrature((0.0, soft**beta), 12)
    most = max(2 * soft, 1 - (config.window[0] / (1.5 * config.mass)) ** 2)
    hard, hard_weights = quadrature((soft, most), 64)
    hard_weights = hard_weights * beta * hard ** (beta - 1)
    lost = np.concatenate([u ** (1 / beta), hard])
    correction = 1 + 0.75 * beta - (2 - lost) * lost ** (1 - beta) / 2
    return np.sqrt(1 - lost), np.concatenate([soft_weights, hard_weights]) * correction


def exponential(params: Params, x: Array, config: Config) -> Array:
    """exp(-slope (x - middle of the window)) at x [...], not normalized."""
    return jnp.exp(-params["slope"].astype(x.dtype) * (x - sum(config.window) / 2))


def quadrature(window: tuple[float, float], nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on a window."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    half = (window[1] - window[0]) / 2
    return window[0] + half * (x + 1), half * w


def interpolation(x: Array, nodes: np.ndarray, weights: np.ndarray) -> Array:
    """Coefficients [node] that give the value at x of the polynomial through values at Gauss-Legendre nodes (barycentric formula).

    Source: Wang and Xiang 2012, Math. Comput. 81, 861, for the weights (-1)^j sqrt((1 - x_j^2) w_j).
    """
    scaled = (2 * nodes - nodes[0] - nodes[-1]) / weights.sum()  # the nodes on [-1, 1]
    alternating = np.where(np.arange(nodes.size) % 2, -1.0, 1.0) * np.sqrt((1 - scaled**2) * weights)
    distance = x - jnp.asarray(nodes, x.dtype)
    on_node = distance == 0
    terms = jnp.asarray(alternating, x.dtype) / jnp.where(on_node, 1.0, distance)
    return jnp.where(jnp.any(on_node), on_node.astype(x.dtype), terms / jnp.sum(terms))
