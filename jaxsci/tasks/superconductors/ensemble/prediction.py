"""From stoichiometric coefficients to calibrated predictions: an ensemble of networks, blended with a Gaussian process.

    prediction = w * GP mean + (1 - w) * ensemble mean

for Tc; for the class both enter calibrated log odds. Everything that a prediction needs is one value, `Ensemble`, and `predictor` makes
the pure function of it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Params
from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.tasks.superconductors.gaussian_process import GP
from jaxsci.tasks.superconductors.networks import Network, to_kelvin
from jaxsci.training import predict as in_batches

COVERAGE = 0.9  # of the interval of Tc
NORMAL_95 = 1.645  # quantile of the normal distribution at 95 %
NARROWEST = 1e-3  # of the sides of an interval, in the network's units: a single member has no spread
_BATCH = 1024

Predictions: TypeAlias = dict[str, Array]  # each [material]
Predictor: TypeAlias = Callable[[Array], Predictions]  # of stoichiometric coefficients [material, 96]


class TcCalibration(NamedTuple):
    """What the validation split chose for the prediction of Tc.

    Both sides of the interval are multiplied by conformal_factor * (1 + widening * sqrt(novelty)).
    """

    conformal_factor: float
    gp_weight: float = 0.0  # w, of the Gaussian process in the blend
    widening: float = 0.0  # with the distance to the known materials; 0 without a Gaussian process
    far: float = 1.0  # the novelty that 19 of 20 validation materials do not exceed; beyond it a prediction is a guess


class ClassCalibration(NamedTuple):
    """From the mean log odds z of the members and the mean g of the Gaussian process to a probability and a decision.

    Log odds are slope * z + gp_slope * g + offset; a material whose probability exceeds the threshold is called a superconductor.
    """

    slope: float
    gp_slope: float  # 0 without a Gaussian process
    offset: float
    threshold: float
    far: float = 1.0  # as in `TcCalibration`


class Ensemble(NamedTuple):
    """Everything that a prediction needs."""

    network: Network  # of one member
    params: Params  # [member, ...]
    table: np.ndarray  # standardized features of the elements [96, feature]
    known: np.ndarray  # as from `known_pairs`
    gp: GP | None
    calibration: TcCalibration | ClassCalibration


class Distribution(NamedTuple):
    """The distribution of Tc that an ensemble predicts, in the network's units, each [material]."""

    center: Array  # mean over the members of their medians, blended with the Gaussian process
    below: Array  # from the center to the ends of the interval: aleatoric and epistemic parts added in quadrature
    above: Array
    aleatoric_below: Array  # from the predicted quantiles alone
    aleatoric_above: Array
    epistemic: Array  # standard deviation of the medians over the members and the Gaussian process


def member_outputs(network: Network, params: Params, amounts: Array) -> Array:
    """Linear outputs of every member, one member after another: [member, material, ...]."""
    return jax.lax.map(lambda p: jax.vmap(network.model.apply, in_axes=(None, 0))(p, amounts), params)


def outputs_of(network: Network, params: Params, amounts: np.ndarray) -> np.ndarray:
    """`member_outputs` for any number of materials, in batches of one shape."""
    return np.moveaxis(in_batches(_by_material(network), params, amounts, batched=True), 0, 1)


@lru_cache(maxsize=8)  # of one network one function, which is compiled once
def _by_material(network: Network) -> Callable[[Params, Array], Array]:
    return lambda params, amounts: jnp.moveaxis(member_outputs(network, params, amounts), 0, 1)


def distribution(outputs: Array, gp_mean: Array | None = None, gp_weight: float = 0.0) -> Distribution:
    """Combine the members' outputs [member, material, level], or [member, material] of a network without quantiles.

    Args:
        outputs: of the members.
        gp_mean: posterior mean of the Gaussian process [material]; None: there is none.
        gp_weight: its weight; the members split the rest. The epistemic part is the standard deviation under these weights.
    """
    quantiles = outputs if outputs.ndim == 3 else outputs[..., None]
    middle = quantiles.shape[-1] // 2
    mean = jnp.mean(quantiles, axis=0)
    median = mean[:, middle]
    aleatoric_below = jnp.maximum(median - mean[:, 0], 0)
    aleatoric_above = jnp.maximum(mean[:, -1] - median, 0)
    center, epistemic = median, jnp.std(quantiles[..., middle], axis=0)
    if gp_mean is not None:
        center = center + gp_weight * (gp_mean - median)
        epistemic = jnp.hypot(
            (1 - gp_weight) ** 0.5 * epistemic, (gp_weight * (1 - gp_weight)) ** 0.5 * (gp_mean - median)
        )
    between = jnp.maximum(NORMAL_95 * epistemic, NARROWEST)
    below, above = jnp.hypot(aleatoric_below, between), jnp.hypot(aleatoric_above, between)
    return Distribution(center, below, above, aleatoric_below, aleatoric_above, epistemic)


def predictor(ensemble: Ensemble) -> Predictor:
    """The function from stoichiometric coefficients [material, 96] to predictions, each [material].

    Of Tc, in K: "tc" (median) with its 90 % interval "tc_lower" to "tc_upper", "tc_mean" (mean of the predicted distribution), and the
    sources of the interval: "aleatoric" (half the width of the predicted quantiles from 5 % to 95 %) and "epistemic" (standard deviation
    over the members); with a Gaussian process also "novelty", 0 to 1, the distance from all known materials
    (`gaussian_process.posterior`). Of the class: "probability", its standard deviation over the members "probability_spread", the
    fraction "votes" of members that exceed the threshold, "logit" and "superconducts". Of both: "out_of_distribution", whether an
    element, or two together, occur in no training material, or the novelty (with a Gaussian process) is beyond the calibration's `far`.
    """

    def predict(amounts: Array) -> Predictions:
        outputs = member_outputs(ensemble.network, ensemble.params, amounts)
        gp, calibration = ensemble.gp, ensemble.calibration
        mean, novelty = None, None
        if gp is not None:
            mean, novelty = gaussian_process.posterior(gp, amounts, jnp.asarray(ensemble.table))
        unknown = _out_of_distribution(amounts, ensemble.known)
        if novelty is not None:
            unknown = unknown | (novelty > calibration.far)
        if isinstance(calibration, ClassCalibration):
            return _predict_class(outputs, mean, calibration) | {"out_of_distribution": unknown}
        return _predict_tc(outputs, mean, novelty, calibration) | {"out_of_distribution": unknown}

    return predict


def _predict_tc(
    outputs: Array, gp_mean: Array | None, novelty: Array | None, calibration: TcCalibration
) -> Predictions:
    weight, factor = calibration.gp_weight, calibration.conformal_factor * widening(calibration, novelty)
    mean = jnp.mean(to_kelvin(outputs), axis=0)
    mean = jnp.mean(mean, axis=-1) if mean.ndim == 2 else mean
    if gp_mean is not None:
        mean = mean + weight * (to_kelvin(gp_mean) - mean)
    found = distribution(outputs, gp_mean, weight)
    upper, lower = found.center + found.aleatoric_above, found.center - found.aleatoric_below
    return {
        "tc": to_kelvin(found.center),
        "tc_lower": to_kelvin(found.center - factor * found.below),
        "tc_upper": to_kelvin(found.center + factor * found.above),
        "tc_mean": mean,
        "aleatoric": (to_kelvin(upper) - to_kelvin(lower)) / 2,
        "epistemic": to_kelvin(found.epistemic),
        **({} if novelty is None else {"novelty": novelty}),
    }


def widening(calibration: TcCalibration, novelty: Array | None) -> Array:
    """How much wider than among known materials an interval is, 1 + widening * sqrt(novelty), [material] or a scalar."""
    if novelty is None:
        return jnp.ones(())
    return 1 + calibration.widening * jnp.sqrt(
        jnp.maximum(novelty, 1e-12)
    )  # whose derivative is finite at a known material


def _predict_class(outputs: Array, gp_mean: Array | None, calibration: ClassCalibration) -> Predictions:
    logits = calibration.slope * outputs + calibration.offset
    if gp_mean is not None:
        logits = logits + calibration.gp_slope * gp_mean[None]
    logit = jnp.mean(logits, axis=0)
    probability = jax.nn.sigmoid(logit)
    return {
        "probability": probability,
        "probability_spread": jnp.std(jax.nn.sigmoid(logits), axis=0),
        "votes": jnp.mean((jax.nn.sigmoid(logits) > calibration.threshold).astype(logit.dtype), axis=0),
        "logit": logit,
        "superconducts": probability > calibration.threshold,
    }


def known_pairs(amounts: np.ndarray) -> np.ndarray:
    """Which elements occur together in these materials, bool [96, 96]; the diagonal: which occur at all."""
    mask = (amounts > 0).astype(np.float32)
    return np.asarray(mask.T @ mask > 0)


def predict(predictor: Predictor, amounts: np.ndarray) -> dict[str, np.ndarray]:
    """The predictions for any number of materials, in batches of one shape."""
    params = {"predictor": jax.tree_util.Partial(predictor)}  # equal for the same function, which is compiled once
    batch_size = min(_BATCH, len(amounts))
    result: dict[str, np.ndarray] = in_batches(_call, params, amounts, batch_size=batch_size, batched=True)
    return result


def _call(params: Params, amounts: Array) -> Predictions:
    values: Predictions = params["predictor"](amounts)
    return values


def _out_of_distribution(amounts: Array, known: np.ndarray) -> Array:
    """Whether a composition has an element, or a pair of them, that no training material has: bool [material]."""
    mask = (amounts > 0).astype(amounts.dtype)
    return jnp.sum((mask @ jnp.asarray(~known, amounts.dtype)) * mask, axis=1) > 0
