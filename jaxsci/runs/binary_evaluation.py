"""What is measured of a yes/no classifier on a test part, as plain numbers ready for JSON."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array, Key
from jaxsci.metrics import Interval

__all__ = ["classification", "estimate", "gain", "number", "ranking"]

LEVEL = 0.68
EFFICIENCIES = (0.3, 0.5)  # signal efficiencies at which the background rejection is quoted
RESAMPLES = 200


def ranking(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """AUC and background rejections of any score that is larger for signal, each with a 68 % interval.

    Args:
        scores: [example], any monotone function of the probability of signal.
        labels: [example], 1 signal, 0 background; both present.
    """
    (area, area_interval), (rejections, bounds) = _ranking(_floats(scores), _labels(labels))
    result = {"auc": estimate(area, area_interval)}
    for i, efficiency in enumerate(EFFICIENCIES):
        result[f"rejection_{efficiency}"] = estimate(rejections[i], Interval(bounds.lower[i], bounds.upper[i]))
    return result


def classification(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """`ranking`, and what needs a probability: accuracy at 1/2, precision, recall, F1, log loss, calibration error.

    Args:
        logits: [example], the log odds of signal.
        labels: [example], 1 signal, 0 background; both present.
    """
    matrix, interval, others = _classification(_floats(logits), _labels(labels))
    result = ranking(logits, labels)
    result["accuracy"] = estimate(metrics.accuracy(matrix), interval)
    result |= {name: {"value": number(value)} for name, value in others.items()}
    result["confusion_matrix"] = np.asarray(matrix).tolist()
    return result


def gain(scores: np.ndarray, baseline: np.ndarray, labels: np.ndarray, key: Key) -> dict[str, Any]:
    """How much a score is better than a baseline on the same examples.

    The difference of the AUCs with DeLong's standard error, which counts that both rank the same examples, and the ratio of the
    rejections with the 68 % percentile interval of a paired bootstrap.
    """
    (difference, error), (ratios, bounds) = _gain(_floats(scores), _floats(baseline), _labels(labels), key)
    result = {"auc_difference": {"value": number(difference), "error": number(error)}}
    for i, efficiency in enumerate(EFFICIENCIES):
        result[f"rejection_ratio_{efficiency}"] = estimate(ratios[i], Interval(bounds.lower[i], bounds.upper[i]))
    return result


@jax.jit
def _ranking(scores: Array, labels: Array) -> tuple[tuple[Array, Interval], tuple[Array, Interval]]:
    efficiencies = jnp.asarray(EFFICIENCIES)
    rejections = metrics.background_rejection(scores, labels, signal_efficiency=efficiencies)
    bounds = metrics.rejection_interval(scores, labels, signal_efficiency=efficiencies, level=LEVEL)
    return (metrics.auc(scores, labels), metrics.auc_interval(scores, labels, level=LEVEL)), (rejections, bounds)


@jax.jit
def _classification(logits: Array, labels: Array) -> tuple[Array, Interval, dict[str, Array]]:
    matrix = metrics.confusion_matrix(metrics.predicted_label(logits), labels, classes=2)
    interval = metrics.binomial_interval(jnp.trace(matrix), jnp.sum(matrix), level=LEVEL)
    others = {
        "precision": metrics.precision(matrix)[1],
        "recall": metrics.recall(matrix)[1],
        "f1": metrics.f1(matrix)[1],
        "log_loss": metrics.log_loss(logits, labels),
        "calibration_error": metrics.expected_calibration_error(jax.nn.sigmoid(logits), labels),
    }
    return matrix, interval, others


@jax.jit
def _gain(a: Array, b: Array, labels: Array, key: Key) -> tuple[tuple[Array, Array], tuple[Array, Interval]]:
    covariance = metrics.auc_covariance(jnp.stack([a, b]), labels)
    error = jnp.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])

    def ratio(a: Array, b: Array, labels: Array, weight: Array | None = None) -> Array:
        efficiencies = jnp.asarray(EFFICIENCIES)
        passing = [
            metrics.working_point(scores, labels, weight, signal_efficiency=efficiencies).background_efficiency
            for scores in (a, b)
        ]
        return passing[1] / passing[0]

    bounds = metrics.bootstrap(ratio, key, a, b, labels, resamples=RESAMPLES, level=LEVEL)
    return (metrics.auc(a, labels) - metrics.auc(b, labels), error), (ratio(a, b, labels), bounds)


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
