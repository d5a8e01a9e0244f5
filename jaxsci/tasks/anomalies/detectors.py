"""The detectors: for each its inputs (numpy, from constituents), its network, and the number that is large for an anomaly.

A detector sees jets of one class alone. Its score is minus the log density, or an energy, of a jet under what it learned. Those here look
at the substructure of `jaxsci.data.jets.observables`, in units of the spread of the jets they learned; autoencoders of images are in
`image_detectors`, normalized autoencoders in `normalized`.
"""

import difflib
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Key, LossFn, Model, Params
from jaxsci.data.jets.observables import observables
from jaxsci.errors import InputError
from jaxsci.losses import objective
from jaxsci.tasks.anomalies.options import DETECTORS

COMPONENTS = 16  # of the mixture
LARGEST = 6.0  # of a standardized observable: a jet farther out is as anomalous as one there
_FLOOR = 0.02  # of a component's width, in spreads of the whole: a jet cannot have a Gaussian of its own


@dataclass(frozen=True)
class Detector:
    """From a jet to how anomalous it is."""

    inputs: Callable[[np.ndarray], np.ndarray]  # constituents [jet, constituent, 4] -> [jet, ...]
    make_model: Callable[
        [np.ndarray], Model
    ]  # inputs of the training part, or zeros of their shape -> model whose output the score reads
    score: Callable[[Model, Params, Array], Array]  # (model, params, inputs of ONE jet) -> scalar, large for an anomaly
    make_loss: Callable[[Model], LossFn]
    epochs: int
    batch_size: int
    learning_rate: float
    augment: Callable[[Key, Array], Any] | None = None


def detector(name: str) -> Detector:
    """The detector of that name.

    Raises:
        InputError: there is none.
    """
    if name not in DETECTORS:
        near = difflib.get_close_matches(name, DETECTORS, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them"
        raise InputError(f"--detector: expected one of {', '.join(DETECTORS)}, got {name}; {hint}")
    module, function = DETECTORS[name].split(":")
    found: Detector = getattr(importlib.import_module(module), function)()
    return found


def substructure(constituents: np.ndarray) -> np.ndarray:
    """The observables of each jet, those that span decades as logarithms: float32 [jet, 8]."""
    return as_columns(observables(constituents))


def as_columns(found: dict[str, np.ndarray]) -> np.ndarray:
    """The same of observables that are there already."""
    logarithms = ("mass", "number", "momentum_dispersion", "d2")
    columns = [np.log(np.maximum(values, 1e-2)) if name in logarithms else values for name, values in found.items()]
    return np.stack(columns, axis=1).astype(np.float32)


def standardized(network: Model, examples: np.ndarray) -> Model:
    """`network` on inputs less their mean over `examples` [example, feature], in units of their standard deviation.

    Mean and deviation are parameters that no gradient reaches, so that the weights of a run hold all that a score needs.
    """
    mean, deviation = examples.mean(axis=0), examples.std(axis=0)
    scale = {"mean": jnp.asarray(mean), "deviation": jnp.asarray(np.where(deviation > 0, deviation, 1))}

    def init(key: Key) -> Params:
        return {"scale": scale, "network": network.init(key)}

    def apply(params: Params, x: Array) -> Array:
        return network.apply(params["network"], in_units(params, x))

    return Model(init, apply)


def in_units(params: Params, x: Array) -> Array:
    """What the network of `standardized` sees of `x`."""
    fixed = jax.lax.stop_gradient(params["scale"])
    return jnp.clip((x - fixed["mean"]) / fixed["deviation"], -LARGEST, LARGEST)


def mixture() -> Detector:
    """A mixture of 16 Gaussians with full covariance in the observables, by maximum likelihood; the score is -log p."""

    def init(key: Key, features: int) -> Params:
        deviation = jnp.full((COMPONENTS, features), 0.5)
        return {
            "logits": jnp.zeros(COMPONENTS),
            "means": jax.random.normal(key, (COMPONENTS, features)),
            "log_deviations": jnp.log(deviation),
            "shears": jnp.zeros((COMPONENTS, features, features)),
        }

    def make_model(examples: np.ndarray) -> Model:
        features = examples.shape[1]
        return standardized(Model(lambda key: init(key, features), log_density), examples)

    return Detector(
        substructure,
        make_model,
        lambda model, params, x: -model.apply(params, x),
        lambda model: objective(model.apply, lambda output, target: -output),
        epochs=40,
        batch_size=256,
        learning_rate=1e-2,
    )


def log_density(params: Params, x: Array) -> Array:
    """log sum_k f_k N(x; mu_k, Sigma_k) of one point [feature], with Sigma_k^-1 = L^T L for a lower triangular L of positive diagonal."""
    features = x.shape[0]
    deviations = _FLOOR + jnp.exp(params["log_deviations"])
    away = (x[None, :] - params["means"]) / deviations
    sheared = away + jnp.einsum("kij,kj->ki", jnp.tril(params["shears"], -1), away)
    terms = -0.5 * jnp.sum(sheared**2, axis=1) - jnp.sum(jnp.log(deviations), axis=1)
    constant = 0.5 * features * math.log(2 * math.pi)
    return jax.nn.logsumexp(jax.nn.log_softmax(params["logits"]) + terms) - constant
