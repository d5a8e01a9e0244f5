"""What is measured of a yes/no classifier on a test part, as plain numbers ready for JSON."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array, Key
from jaxsci.metrics import Interval

__all__ = ["classification", "effective", "estimate", "gain", "number", "ranking", "relative"]

LEVEL = 0.68
EFFICIENCIES = (0.3, 0.5)  # signal efficiencies at which the background rejection is quoted
RESAMPLES = 200


def ranking(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, Any]:
    """AUC and background rejections of any score that is larger for signal, each with a 68 % interval.

    Args:
        scores: [example], any monotone function of the probability of signal.
        labels: [example], 1 signal, 0 background; both present.
        weights: [example], at least 0; intervals then count effective numbers. None, or all equal: each example counts once; a mask:
            those where it is true do.
    """
    (area, area_interval), (rejections, bounds) = _ranking(_floats(scores), _labels(labels), _weights(weights))
    result = {"auc": estimate(area, area_interval)}
    for i, efficiency in enumerate(EFFICIENCIES):
        result[f"rejection_{efficiency}"] = estimate(rejections[i], Interval(bounds.lower[i], bounds.upper[i]))
    return result


def uncounted(noun: str, weighted: bool) -> str:
    """What a page says of a confusion matrix of weighted examples, which are counted; empty where they have no weights."""
    return f" It counts {noun}, without their weights." if weighted else ""


def classification(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, Any]:
    """`ranking`, and what needs a probability: accuracy at 1/2, precision, recall, F1, log loss, calibration error.

    Args:
        logits: [example], the log odds of signal.
        labels: [example], 1 signal, 0 background; both present.
        weights: as in `ranking`; the confusion matrix counts examples all the same.
    """
    counts, right, interval, others = _classification(_floats(logits), _labels(labels), _weights(weights))
    result = ranking(logits, labels, weights)
    result["accuracy"] = estimate(right, interval)
    result |= {name: {"value": number(value)} for name, value in others.items()}
    result["confusion_matrix"] = np.asarray(counts).tolist()
    return result


def gain(
    scores: np.ndarray, baseline: np.ndarray, labels: np.ndarray, key: Key, weights: np.ndarray | None = None
) -> dict[str, Any]:
    """How much a score is better than a baseline on the same examples.

    The difference of the AUCs with DeLong's standard error, which counts that both rank the same examples, and the ratio of the
    rejections with the 68 % percentile interval of a paired bootstrap. `weights` as in `ranking`; the bootstrap multiplies them.
    """
    given = _floats(scores), _floats(baseline), _labels(labels), _weights(weights)
    (difference, error), (ratios, bounds) = _gain(*given, key)
    result = {"auc_difference": {"value": number(difference), "error": number(error)}}
    for i, efficiency in enumerate(EFFICIENCIES):
        result[f"rejection_ratio_{efficiency}"] = estimate(ratios[i], Interval(bounds.lower[i], bounds.upper[i]))
    return result


@jax.jit
def _ranking(
    scores: Array, labels: Array, weight: Array | None
) -> tuple[tuple[Array, Interval], tuple[Array, Interval]]:
    efficiencies = jnp.asarray(EFFICIENCIES)
    rejections = metrics.background_rejection(scores, labels, weight, signal_efficiency=efficiencies)
    bounds = metrics.rejection_interval(scores, labels, weight, signal_efficiency=efficiencies, level=LEVEL)
    area = metrics.auc(scores, labels, weight), metrics.auc_interval(scores, labels, weight, level=LEVEL)
    return area, (rejections, bounds)


@jax.jit
def _classification(
    logits: Array, labels: Array, weight: Array | None
) -> tuple[Array, Array, Interval, dict[str, Array]]:
    answers = metrics.predicted_label(logits)
    counts = metrics.confusion_matrix(answers, labels, classes=2)
    matrix = counts if weight is None else metrics.confusion_matrix(answers, labels, weight, classes=2)
    right, interval = accuracy(matrix, weight)
    others = {
        "precision": metrics.precision(matrix)[1],
        "recall": metrics.recall(matrix)[1],
        "f1": metrics.f1(matrix)[1],
        "log_loss": metrics.log_loss(logits, labels, weight),
        "calibration_error": metrics.expected_calibration_error(jax.nn.sigmoid(logits), labels, weight),
    }
    return counts, right, interval, others


def accuracy(matrix: Array, weight: Array | None) -> tuple[Array, Interval]:
    """The part of right answers with its 68 % interval, from a confusion matrix of examples with these weights, if they have any."""
    right = metrics.accuracy(matrix)
    if weight is None or weight.dtype == bool:
        return right, metrics.binomial_interval(jnp.trace(matrix), jnp.sum(matrix), level=LEVEL)
    trials = jnp.square(jnp.sum(weight)) / jnp.sum(jnp.square(weight))
    return right, metrics.binomial_interval(right * trials, trials, level=LEVEL)


@jax.jit
def _gain(
    a: Array, b: Array, labels: Array, own: Array | None, key: Key
) -> tuple[tuple[Array, Array], tuple[Array, Interval]]:
    covariance = metrics.auc_covariance(jnp.stack([a, b]), labels, own)
    error = jnp.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])

    def ratio(a: Array, b: Array, labels: Array, drawn: Array | None = None) -> Array:
        efficiencies = jnp.asarray(EFFICIENCIES)
        weight = own if drawn is None else drawn if own is None else own * drawn
        passing = [
            metrics.working_point(scores, labels, weight, signal_efficiency=efficiencies).background_efficiency
            for scores in (a, b)
        ]
        return passing[1] / passing[0]

    bounds = metrics.bootstrap(ratio, key, a, b, labels, resamples=RESAMPLES, level=LEVEL)
    difference = metrics.auc(a, labels, own) - metrics.auc(b, labels, own)
    return (difference, error), (ratio(a, b, labels), bounds)


def relative(weights: np.ndarray | None, of: np.ndarray | None = None) -> np.ndarray | None:
    """Weights in units of their mean, or of the mean of those at the places `of`, as training and metrics take them.

    Returns:
        float32 [example]; None where all are equal, which is no weight at all.
    """
    if weights is None or np.ptp(weights) == 0:
        return None
    return (weights / np.mean(weights if of is None else weights[of])).astype(np.float32)


def effective(weights: np.ndarray | None, number: int) -> float:
    """The number of unweighted examples that tell as much: (sum w)^2 / sum w^2."""
    if weights is None:
        return float(number)
    scaled = weights / np.max(weights)
    return float(scaled.sum() ** 2 / np.square(scaled).sum())


def _weights(weights: np.ndarray | None) -> Array | None:
    if weights is not None and weights.dtype != bool:
        weights = relative(weights)
    return None if weights is None else jnp.asarray(weights)


def _floats(scores: np.ndarray) -> Array:
    return jnp.asarray(scores, jnp.float32)


def _labels(labels: np.ndarray) -> Array:
    return jnp.asarray(labels, jnp.int32)


def estimate(value: Array, interval: Interval) -> dict[str, float | None]:
    """A value with the ends of its interval, as JSON numbers."""
    return {"value": number(value), "lower": number(interval.lower), "upper": number(interval.upper)}


def number(value: Any) -> float | None:
    """A JSON number; None where the value is not finite (an infinite rejection: no background passes)."""
    real = float(value)
    return real if math.isfinite(real) else None
