"""What is measured of a yes/no classifier on a test part, as plain numbers ready for JSON."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array

LEVEL = 0.68
EFFICIENCIES = (0.3, 0.5)  # signal efficiencies at which the background rejection is quoted
RESAMPLES = 200


def ranking(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """AUC and background rejections of any score that is larger for signal, each with a 68 % interval.

    Args:
        scores: [example], any monotone function of the probability of signal.
        labels: [example], 1 signal, 0 background; both present.
    """
    s, y = jnp.asarray(scores, jnp.float32), jnp.asarray(labels, jnp.int32)
    interval = metrics.auc_interval(s, y, level=LEVEL)
    result = {"auc": estimate(metrics.auc(s, y), interval)}
    for efficiency in EFFICIENCIES:
        rejection = metrics.background_rejection(s, y, signal_efficiency=efficiency)
        bounds = metrics.rejection_interval(s, y, signal_efficiency=efficiency, level=LEVEL)
        result[f"rejection_{efficiency}"] = estimate(rejection, bounds)
    return result


def classification(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """`ranking`, and what needs a probability: accuracy at 1/2, precision, recall, F1, log loss, calibration error.

    Args:
        logits: [example], the log odds of signal.
        labels: [example], 1 signal, 0 background; both present.
    """
    z, y = jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.int32)
    matrix = metrics.confusion_matrix(metrics.predicted_yes(z), y, classes=2)
    right = jnp.trace(matrix)
    result = ranking(logits, labels)
    result["accuracy"] = estimate(
        metrics.accuracy(matrix), metrics.binomial_interval(right, jnp.sum(matrix), level=LEVEL)
    )
    for name, measure in (("precision", metrics.precision), ("recall", metrics.recall), ("f1", metrics.f1)):
        result[name] = {"value": number(measure(matrix)[1])}
    result["log_loss"] = {"value": number(metrics.log_loss(z, y))}
    result["calibration_error"] = {"value": number(metrics.expected_calibration_error(jax.nn.sigmoid(z), y))}
    result["confusion_matrix"] = np.asarray(matrix).tolist()
    return result


def gain(scores: np.ndarray, baseline: np.ndarray, labels: np.ndarray, key: Array) -> dict[str, Any]:
    """How much a score is better than a baseline on the same examples.

    The difference of the AUCs with DeLong's standard error, which counts that both rank the same examples, and the ratio of the
    rejections with the 68 % percentile interval of a paired bootstrap.
    """
    a, b = (jnp.asarray(s, jnp.float32) for s in (scores, baseline))
    y = jnp.asarray(labels, jnp.int32)
    covariance = metrics.auc_covariance(jnp.stack([a, b]), y)
    error = jnp.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = metrics.auc(a, y) - metrics.auc(b, y)
    result = {"auc_difference": {"value": number(difference), "error": number(error)}}
    for efficiency in EFFICIENCIES:

        def ratio(a: Array, b: Array, y: Array, weight: Array | None = None, efficiency: float = efficiency) -> Array:
            passing = [
                metrics.working_point(s, y, weight, signal_efficiency=efficiency).background_efficiency for s in (a, b)
            ]
            return passing[1] / passing[0]

        bounds = metrics.bootstrap(ratio, key, a, b, y, resamples=RESAMPLES, level=LEVEL)
        result[f"rejection_ratio_{efficiency}"] = estimate(ratio(a, b, y), bounds)
    return result


def estimate(value: Array, interval: metrics.Interval) -> dict[str, float | None]:
    """A value with the ends of its interval, as JSON numbers."""
    return {"value": number(value), "lower": number(interval.lower), "upper": number(interval.upper)}


def number(value: Any) -> float | None:
    """A JSON number; None where the value is not finite (an infinite rejection: no background passes)."""
    real = float(value)
    return real if math.isfinite(real) else None
