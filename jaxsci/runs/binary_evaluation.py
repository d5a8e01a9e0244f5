"""What is measured of a yes/no classifier on a test part, as plain numbers ready for JSON."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array, Key
from jaxsci.metrics import Interval

__all__ = ["classification", "effective", "estimate", "gain", "number", "ranking", "relative", "roc"]

LEVEL = 0.68
EFFICIENCIES = (0.3, 0.5)  # signal efficiencies at which the background rejection is quoted
RESAMPLES = 200
ROC_POINTS = 199


def ranking(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, Any]:
    """AUC and background rejections of any score that is larger for signal, each with a 68 % interval.

    Args:
        scores: [example], any monotone function of the probability of signal.
        labels: [example], 1 signal, 0 background; both present.
        weights: [example], at least 0; intervals then count effective numbers. None, or all equal: each example counts once; a mask:
            those where it is true do.
    """
    found = _ranked(scores, labels, weights)
    result = {"auc": estimate(found.area, found.area_interval)}
    with np.errstate(divide="ignore"):
        rejections = 1 / found.at.background_efficiency
    for i, efficiency in enumerate(EFFICIENCIES):
        bounds = Interval(found.bounds.lower[i], found.bounds.upper[i])
        result[f"rejection_{efficiency}"] = estimate(rejections[i], bounds)
    return result


def roc(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, Interval]:
    """Signal and background efficiencies of 199 points of the ROC, each [point], and the 68 % interval of the rejection.

    The interval counts the errors of the background and of the cut. Arguments as in `ranking`, whose program it shares.
    """
    at, bounds = (
        jax.tree.map(lambda points: points[len(EFFICIENCIES) :], found)
        for found in _ranked(scores, labels, weights)[2:]
    )
    return at.signal_efficiency, at.background_efficiency, bounds


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
    ours, theirs = (_ranked(given, labels, weights) for given in (scores, baseline))
    given = _floats(scores), _floats(baseline), _labels(labels), _weights(weights)
    error, bounds = jax.tree.map(np.asarray, _gain(*given, key))
    result = {"auc_difference": {"value": number(ours.area - theirs.area), "error": number(error)}}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = theirs.at.background_efficiency / ours.at.background_efficiency
    for i, efficiency in enumerate(EFFICIENCIES):
        result[f"rejection_ratio_{efficiency}"] = estimate(ratios[i], Interval(bounds.lower[i], bounds.upper[i]))
    return result


class _Ranking(NamedTuple):
    """What the ranking of the examples tells; points are those of `EFFICIENCIES` and then those of the ROC."""

    area: Any
    area_interval: Interval
    at: metrics.WorkingPoint  # each [point]
    bounds: Interval  # of the rejections, each [point]


def _ranked(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> _Ranking:
    found: _Ranking = jax.tree.map(np.asarray, _ranking(_floats(scores), _labels(labels), _weights(weights)))
    return found


@jax.jit
def _ranking(scores: Array, labels: Array, weight: Array | None) -> _Ranking:
    asked = jnp.concatenate([jnp.asarray(EFFICIENCIES), jnp.linspace(0.005, 0.995, ROC_POINTS)])
    return _Ranking(
        metrics.auc(scores, labels, weight),
        metrics.auc_interval(scores, labels, weight, level=LEVEL),
        metrics.working_point(scores, labels, weight, signal_efficiency=asked),
        metrics.rejection_interval(scores, labels, weight, signal_efficiency=asked, level=LEVEL),
    )


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
def _gain(a: Array, b: Array, labels: Array, own: Array | None, key: Key) -> tuple[Array, Interval]:
    """The error of the difference of the AUCs, and the interval of the ratio of the rejections."""
    covariance = metrics.auc_covariance(jnp.stack([a, b]), labels, own)
    error = jnp.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])

    def ratio(a: Array, b: Array, labels: Array, drawn: Array) -> Array:
        weight = drawn if own is None else own * drawn

        def passing(scores: Array) -> Array:
            asked = jnp.asarray(EFFICIENCIES)
            return metrics.working_point(scores, labels, weight, signal_efficiency=asked).background_efficiency

        of_a, of_b = jax.vmap(passing)(jnp.stack([a, b]))
        return of_b / of_a

    return error, metrics.bootstrap(ratio, key, a, b, labels, resamples=RESAMPLES, level=LEVEL)


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
    return jnp.asarray(np.asarray(scores, np.float32))


def _labels(labels: np.ndarray) -> Array:
    return jnp.asarray(np.asarray(labels, np.int32))


def estimate(value: Array, interval: Interval) -> dict[str, float | None]:
    """A value with the ends of its interval, as JSON numbers."""
    return {"value": number(value), "lower": number(interval.lower), "upper": number(interval.upper)}


def number(value: Any) -> float | None:
    """A JSON number; None where the value is not finite (an infinite rejection: no background passes)."""
    real = float(value)
    return real if math.isfinite(real) else None
