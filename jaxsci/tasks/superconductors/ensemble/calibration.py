"""From trained members to a calibrated ensemble: whatever is adjusted is adjusted on the validation split.

Held-out predictions of a Gaussian process conditioned on the training split alone give the weights and thresholds; the process that
predicts afterwards is conditioned on training and validation splits.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Params
from jaxsci.errors import InputError
from jaxsci.fitting import newton
from jaxsci.metrics import log_loss
from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.tasks.superconductors.ensemble.prediction import (
    COVERAGE,
    ClassCalibration,
    Distribution,
    Ensemble,
    TcCalibration,
    distribution,
    known_pairs,
    outputs_of,
)
from jaxsci.tasks.superconductors.gaussian_process import GP
from jaxsci.tasks.superconductors.networks import Network, to_units
from jaxsci.tasks.superconductors.options import Options
from jaxsci.tasks.superconductors.samples import Sample

FAR = 0.95  # of the validation materials are nearer to the known ones than what counts as far


def calibrated(network: Network, params: Params, sample: Sample, table: np.ndarray, options: Options) -> Ensemble:
    """Calibrate trained members on the validation split, with a Gaussian process where the network asks for one.

    Args:
        network: of the members.
        params: [member, ...].
        sample: the materials.
        table: standardized features of the elements [96, feature].
        options: of the run; `target`, `prior` and `seed` matter here.
    """
    train, validation, _ = sample.splits
    known = known_pairs(sample.amounts[train])
    outputs = outputs_of(network, params, sample.amounts[validation])
    of_class = options.target == "class"
    target = np.where(sample.superconducting, 1.0, -1.0) if of_class else to_units(sample.tc)
    held_out, gp = None, None
    if network.gp is not None:
        held_out, gp = processes(network.gp, sample, target, table, options.seed)
    if of_class:
        scores = np.stack([outputs.mean(0)] if held_out is None else [outputs.mean(0), held_out[0]])
        truth, studied = sample.superconducting[validation], sample.studied[validation]
        decision = calibrate(scores, truth, studied, options.prior)
        if held_out is not None:
            decision = decision._replace(far=float(np.quantile(held_out[1], FAR)))
        return Ensemble(network, params, table, known, gp, decision)
    calibration = of_tc(outputs, held_out, jnp.asarray(target[validation], jnp.float32))
    return Ensemble(network, params, table, known, gp, calibration)


def of_tc(outputs: np.ndarray, held_out: tuple[np.ndarray, np.ndarray] | None, measured: Array) -> TcCalibration:
    """The weight of the Gaussian process, and the conformal factor with its growth with the novelty.

    All come from a process that does not know these materials; the one that predicts knows them too.
    """
    members = jnp.asarray(outputs)
    if held_out is None:
        return TcCalibration(conformal_factor(distribution(members), measured))
    mean, novelty = held_out
    center = distribution(members).center
    weight = gaussian_process.best_weight(*(np.asarray(a, np.float64) for a in (mean, center, measured)))
    misses = missed_by(distribution(members, jnp.asarray(mean), weight), measured)
    growth = best_widening(misses, novelty)
    far = float(np.quantile(novelty, FAR))
    return TcCalibration(conformal_quantile(misses / (1 + growth * np.sqrt(novelty))), weight, growth, far)


def processes(
    config: gaussian_process.Config, sample: Sample, target: np.ndarray, table: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], GP]:
    """Held-out mean and novelty on the validation split, and a GP conditioned on training and validation splits.

    Materials that were studied as superconductors are preferred where there are too many: arbitrary crystals are easily told apart.
    """
    train, validation, _ = sample.splits
    amounts, preferred = sample.amounts, sample.studied
    elements = jnp.asarray(table)
    first = gaussian_process.conditioned(config, amounts[train], target[train], table, seed, preferred[train])
    held_out = jax.jit(lambda x: gaussian_process.posterior(first, x, elements))(jnp.asarray(amounts[validation]))
    both = np.concatenate([train, validation])
    gp = gaussian_process.conditioned(config, amounts[both], target[both], table, seed, preferred[both])
    return (np.asarray(held_out[0]), np.asarray(held_out[1])), gp


def conformal_factor(prediction: Distribution, target: Array) -> float:
    """The factor on both sides of the interval with which it covers 90 % of these materials (conformalized quantiles).

    The k-th smallest of max((center - y) / below, (y - center) / above), k = ceil(0.9 (n + 1)): Romano, Patterson and Candes 2019,
    arXiv:1905.03222, with errors in units of the interval. For materials drawn like these the coverage is then at
    least 90 % on average, whatever the network.

    Args:
        prediction: for the validation split.
        target: [material], in the network's units.
    """
    return conformal_quantile(missed_by(prediction, target))


def missed_by(prediction: Distribution, target: Array) -> np.ndarray:
    """max((center - y) / below, (y - center) / above) [material]: the factor on the interval that would just reach the measured value."""
    below, above = (prediction.center - target) / prediction.below, (target - prediction.center) / prediction.above
    return np.asarray(jnp.maximum(below, above), np.float64)


def conformal_quantile(misses: np.ndarray) -> float:
    """The k-th smallest of these, k = ceil(0.9 (n + 1))."""
    rank = min(len(misses), int(np.ceil(COVERAGE * (len(misses) + 1))))
    return float(np.sort(misses)[rank - 1])


def best_widening(misses: np.ndarray, novelty: np.ndarray) -> float:
    """The growth c of intervals with the novelty: f (1 + c sqrt(novelty)) is the 90 % quantile of the misses as a function of it.

    The quantile is that of the smallest pinball loss (Koenker and Bassett 1978), with f the conformal quantile at each c. The square root
    was seen in materials that were left out: their misses rise steeply where the nearest known material is near already.
    """
    growths = np.linspace(0, 10, 101)
    losses = []
    for growth in growths:
        shape = 1 + growth * np.sqrt(novelty)
        beyond = misses - conformal_quantile(misses / shape) * shape
        losses.append(np.mean(np.maximum(COVERAGE * beyond, (COVERAGE - 1) * beyond)))
    return float(growths[np.argmin(losses)])


def calibrate(
    scores: np.ndarray, superconducting: np.ndarray, studied: np.ndarray, prior: float | None
) -> ClassCalibration:
    """The log odds of the smallest log loss (Platt 1999), and the threshold of the largest expected F1, both on these materials.

    The threshold is chosen on materials that had been studied as superconductors, since users ask about such; on arbitrary crystals the
    optimal threshold would be lower. Both are weighted to the same fraction of superconductors.

    Args:
        scores: on the validation split, [score, material]: the mean log odds of the members, and the GP mean if there is one.
        superconducting: bool [material].
        studied: bool [material].
        prior: fraction of superconductors among the materials that will be asked for; None: their fraction among all here.

    Raises:
        InputError: only superconductors, or none.
    """
    if superconducting.all() or not superconducting.any():
        raise InputError("expected superconductors and others in the validation part, got one kind; use --split random")
    wanted = float(superconducting.mean()) if prior is None else prior
    z, y, w = (jnp.asarray(a, jnp.float32) for a in (scores, superconducting, weights(superconducting, wanted)))
    line = np.asarray(_line(z, y, w), np.float64)
    logit = line[:-1] @ scores.astype(np.float64) + line[-1]
    mask = studied if (studied & ~superconducting).any() else np.ones(len(studied), bool)
    chosen = superconducting[mask]
    threshold = best_threshold(logit[mask], chosen, weights(chosen, wanted))
    return ClassCalibration(float(line[0]), float(line[1]) if len(scores) > 1 else 0.0, float(line[-1]), threshold)


def weights(superconducting: np.ndarray, fraction: float) -> np.ndarray:
    """Weights [material] under which this fraction superconducts; their sum is the number of materials."""
    now = float(superconducting.mean())
    return np.where(superconducting, fraction / now, (1 - fraction) / (1 - now))


@jax.jit
def _line(scores: Array, superconducting: Array, weight: Array) -> Array:
    """Slope of each score, and the offset, of the smallest log loss."""
    start = jnp.zeros(len(scores) + 1).at[0].set(1)
    return newton(lambda line: log_loss(line[:-1] @ scores + line[-1], superconducting, weight), start)


def best_threshold(logit: np.ndarray, superconducting: np.ndarray, weight: np.ndarray) -> float:
    """The threshold on the probability with the largest expected F1 = 2 sum_yes w p / (sum_yes w + sum w p).

    p is the probability calibrated on these materials. The threshold is where p is half the largest F1 (Lipton, Elkan and Naryanaswamy
    2014, arXiv:1402.1892). The F1 that is counted has a flat and ragged maximum, which wanders from one set of materials to another.

    Args:
        logit: log odds of the probability [material].
        superconducting: bool [material].
        weight: of the materials.
    """
    line = _line(*(jnp.asarray(a, jnp.float32) for a in (logit[None], superconducting, weight)))
    slope, offset = np.asarray(line, np.float64)
    if slope <= 0:  # such log odds carry no information, and calling everything a superconductor has the largest F1
        return 0.0
    p = np.exp(-np.logaddexp(0, -(slope * logit.astype(np.float64) + offset)))
    order = np.argsort(-p)
    true, called = np.cumsum((weight * p)[order]), np.cumsum(weight[order])
    half = np.max(true / (called + true[-1]))
    return float(np.exp(-np.logaddexp(0, -(np.log(half / (1 - half)) - offset) / slope)))
