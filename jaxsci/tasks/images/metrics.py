"""What is measured of a network on images, as plain numbers ready for JSON."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array
from jaxsci.runs import binary_evaluation


def decided(logits: np.ndarray, threshold: float | None) -> np.ndarray:
    """The class that is answered, [image]: the most probable, or of two the second from a probability `threshold` on."""
    shift = 0.0 if threshold is None else np.log((1 - threshold) / threshold)
    return np.asarray((logits + np.eye(logits.shape[1])[-1] * shift).argmax(1))


def classification(
    logits: np.ndarray, labels: np.ndarray, classes: int, threshold: float | None = None
) -> dict[str, Any]:
    """Confusion matrix, accuracy with its interval, and recall, precision and F1 a class and their means over the classes.

    Also log loss and calibration error: of the class that is answered, or, of two classes that are both there, of class 1, with its AUC as
    `binary_evaluation.classification` measures it.
    """
    answers = jnp.asarray(decided(logits, threshold))
    measured = _measured(jnp.asarray(logits), answers, jnp.asarray(labels), classes)
    matrix, (right, interval), each, others = measured
    result: dict[str, Any] = {"accuracy": binary_evaluation.estimate(right, interval)}
    result |= {name: {"value": binary_evaluation.number(value)} for name, value in others.items()}
    result["per_class"] = {name: [binary_evaluation.number(value) for value in of] for name, of in each.items()}
    result["confusion_matrix"] = np.asarray(matrix).tolist()
    if classes == 2 and len(np.unique(labels)) == 2:
        binary = binary_evaluation.classification(logits[:, 1] - logits[:, 0], labels)
        result |= {name: binary[name] for name in ("auc", "log_loss", "calibration_error")}
    return result


@partial(jax.jit, static_argnums=3)
def _measured(
    logits: Array, answers: Array, labels: Array, classes: int
) -> tuple[Array, tuple[Array, metrics.Interval], dict[str, Array], dict[str, Array]]:
    """Confusion matrix, accuracy with its interval, what is measured of each class, and single numbers."""
    matrix = metrics.confusion_matrix(answers, labels, classes=classes)
    measures = {"recall": metrics.recall, "precision": metrics.precision, "f1": metrics.f1}
    others = {f"{name}_macro": measure(matrix, average="macro") for name, measure in measures.items()}
    right, likely = metrics.predicted_class(logits) == labels, jnp.max(jax.nn.softmax(logits, axis=-1), axis=-1)
    others["log_loss"] = metrics.log_loss(logits, labels)
    others["calibration_error"] = metrics.expected_calibration_error(likely, right)
    each = {name: measure(matrix) for name, measure in measures.items()}
    return matrix, binary_evaluation.accuracy(matrix, None), each, others


def reconstruction(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, Any]:
    """Mean squared error a pixel over all images, with the standard error of the mean over images as its interval."""
    errors = np.asarray(np.mean(np.square(images - reconstructions), axis=(1, 2, 3), dtype=np.float64))
    mean, deviation = float(errors.mean()), float(errors.std(ddof=1) / np.sqrt(len(errors)))
    return {"reconstruction_error": {"value": mean, "lower": mean - deviation, "upper": mean + deviation}}


def pca_error(train: np.ndarray, test: np.ndarray, components: int) -> float:
    """Mean squared error of the test images after projection on the leading principal components of the training images."""
    flat_train, flat_test = (x.reshape(len(x), -1).astype(np.float64) for x in (train, test))
    mean = flat_train.mean(0)
    covariance = (flat_train - mean).T @ (flat_train - mean)
    basis = np.linalg.eigh(covariance)[1][:, -components:]
    rest = (flat_test - mean) - (flat_test - mean) @ basis @ basis.T
    return float(np.mean(np.square(rest)))
