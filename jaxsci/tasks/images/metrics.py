"""What is measured of a network on images, as plain numbers ready for JSON."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
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
    z, y = jnp.asarray(logits), jnp.asarray(labels)
    answers = jnp.asarray(decided(logits, threshold))
    matrix = metrics.confusion_matrix(answers, y, classes=classes)
    interval = metrics.binomial_interval(jnp.trace(matrix), jnp.sum(matrix), level=binary_evaluation.LEVEL)
    result: dict[str, Any] = {"accuracy": binary_evaluation.estimate(metrics.accuracy(matrix), interval)}
    per_class = {}
    for name, measure in (("recall", metrics.recall), ("precision", metrics.precision), ("f1", metrics.f1)):
        result[f"{name}_macro"] = {"value": binary_evaluation.number(measure(matrix, average="macro"))}
        per_class[name] = [binary_evaluation.number(value) for value in measure(matrix)]
    result["per_class"] = per_class
    result["confusion_matrix"] = np.asarray(matrix).tolist()
    likely = jax.nn.softmax(z, axis=-1)
    calibration = metrics.expected_calibration_error(jnp.max(likely, axis=-1), metrics.predicted_class(z) == y)
    result["log_loss"] = {"value": binary_evaluation.number(metrics.log_loss(z, y))}
    result["calibration_error"] = {"value": binary_evaluation.number(calibration)}
    if classes == 2 and len(np.unique(labels)) == 2:
        binary = binary_evaluation.classification(logits[:, 1] - logits[:, 0], labels)
        result |= {name: binary[name] for name in ("auc", "log_loss", "calibration_error")}
    return result


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
