"""What is measured of a classifier of several classes on a test part, as plain numbers ready for JSON."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array
from jaxsci.metrics import Interval
from jaxsci.runs import binary_evaluation as binary

__all__ = ["classification", "log_odds", "rejections"]


def classification(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, Any]:
    """Accuracy and log loss; of each class recall, precision, F1 and the AUC against all others, and their means over the classes.

    Args:
        logits: [example, class].
        labels: [example], whole numbers from 0; every class is there.
        weights: as in `binary_evaluation.ranking`; the confusion matrix counts examples all the same.
    """
    own = None if (relative := binary.relative(weights)) is None else jnp.asarray(relative)
    z, y = jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.int32)
    counts, right, interval, loss, others = _measured(z, y, own)
    result: dict[str, Any] = {"accuracy": binary.estimate(right, interval), "log_loss": {"value": binary.number(loss)}}
    areas = [binary.ranking(log_odds(logits, k), labels == k, weights)["auc"] for k in range(logits.shape[1])]
    result["auc_macro"] = {"value": float(np.mean([area["value"] for area in areas]))}
    result |= {f"{name}_macro": {"value": binary.number(jnp.nanmean(each))} for name, each in others.items()}
    result["per_class"] = {name: [binary.number(value) for value in each] for name, each in others.items()}
    result["per_class"]["auc"] = areas
    result["confusion_matrix"] = np.asarray(counts).tolist()
    return result


@jax.jit
def _measured(
    logits: Array, labels: Array, weight: Array | None
) -> tuple[Array, Array, Interval, Array, dict[str, Array]]:
    classes, answers = logits.shape[1], metrics.predicted_class(logits)
    counts = metrics.confusion_matrix(answers, labels, classes=classes)
    matrix = counts if weight is None else metrics.confusion_matrix(answers, labels, weight, classes=classes)
    right, interval = binary.accuracy(matrix, weight)
    each = {"recall": metrics.recall(matrix), "precision": metrics.precision(matrix), "f1": metrics.f1(matrix)}
    return counts, right, interval, metrics.log_loss(logits, labels, weight), each


def log_odds(logits: np.ndarray, k: int) -> np.ndarray:
    """log(p_k / (1 - p_k)) of each example, from logits [example, class]: what class k is told from all others by."""
    others = np.delete(logits.astype(np.float64), k, axis=1)
    highest = others.max(axis=1)
    found: np.ndarray = logits[:, k] - highest - np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return found


def rejections(
    logits: np.ndarray, labels: np.ndarray, signal: int, names: Sequence[str], weights: np.ndarray | None = None
) -> dict[str, Any]:
    """The rejection of each other class at the signal efficiencies of `binary_evaluation`, by the ratio of the two probabilities.

    The score is log(p_signal / p_other), which ranks the examples of the two classes as p_signal / (p_signal + p_other) does.

    Args:
        logits: [example, class].
        labels: [example].
        signal: its class.
        names: of the classes.
        weights: as in `classification`.

    Returns:
        By the name of the other class: AUC and rejections with their intervals.
    """
    found = {}
    unequal = None if binary.relative(weights) is None else weights
    for k, name in enumerate(names):
        if k != signal:
            pair = (labels == signal) | (labels == k)
            own = pair if unequal is None else np.where(pair, unequal, 0)
            found[name] = binary.ranking(logits[:, signal] - logits[:, k], labels == signal, own)
    return found
