"""What is measured of an ensemble on materials with known answers, as plain numbers ready for JSON; intervals are 68 %."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array, Key
from jaxsci.metrics import Interval
from jaxsci.tasks.binary_evaluation import LEVEL, estimate, number

RESAMPLES = 500


def of_tc(answers: dict[str, np.ndarray], members: np.ndarray, tc: np.ndarray, key: Key) -> dict[str, Any]:
    """Errors of the predicted Tc, and how often the 90 % interval holds the measured one.

    Args:
        answers: of the ensemble.
        members: [member, material], Tc that each member predicts alone, in K.
        tc: [material], measured, in K.
        key: of the bootstrap over materials.
    """
    measured = jnp.asarray(tc, jnp.float32)
    values, bounds = _errors(jnp.asarray(answers["tc"]), measured, key)
    result = {name: estimate(values[name], Interval(bounds.lower[name], bounds.upper[name])) for name in values}
    mean_values, mean_bounds = _errors(jnp.asarray(answers["tc_mean"]), measured, key)
    for name in mean_values:  # of the mean of the distribution in place of its median
        interval = Interval(mean_bounds.lower[name], mean_bounds.upper[name])
        result[f"{name}_of_mean"] = estimate(mean_values[name], interval)
    alone = {"rmse": np.sqrt(np.mean((members - tc) ** 2, axis=1)), "mae": np.mean(np.abs(members - tc), axis=1)}
    for name, each in alone.items():
        result[f"{name}_of_a_member"] = {
            "value": float(each.mean()),
            "lower": float(each.mean() - each.std()),
            "upper": float(each.mean() + each.std()),
        }
    inside = (tc >= answers["tc_lower"]) & (tc <= answers["tc_upper"])
    result["coverage"] = _share(inside.sum(), len(inside))
    result["interval_width"] = {"value": float(np.mean(answers["tc_upper"] - answers["tc_lower"]))}
    return result


def of_class(answers: dict[str, np.ndarray], superconducting: np.ndarray, threshold: float, key: Key) -> dict[str, Any]:
    """Accuracy, precision, recall and F1 at the threshold and of the vote, and what needs no threshold.

    Args:
        answers: of the ensemble.
        superconducting: bool [material].
        threshold: on the probability, chosen elsewhere.
        key: of the bootstrap over materials.
    """
    truth = jnp.asarray(superconducting)
    result: dict[str, Any] = {"threshold": {"value": threshold}}
    for prefix, said in (("", answers["superconducts"]), ("vote_", answers["votes"] > 0.5)):
        (matrix, values), bounds = _decision(jnp.asarray(said), truth, key)
        for name, value in values.items():
            result[prefix + name] = estimate(value, Interval(bounds.lower[name], bounds.upper[name]))
        if not prefix:
            result["confusion_matrix"] = np.asarray(matrix).tolist()
    logit, label = jnp.asarray(answers["logit"]), truth.astype(jnp.int32)
    result["auc"] = estimate(metrics.auc(logit, label), metrics.auc_interval(logit, label, level=LEVEL))
    result["average_precision"] = {"value": number(metrics.average_precision(logit, label))}
    result["log_loss"] = {"value": number(metrics.log_loss(logit, label))}
    probability = jnp.asarray(answers["probability"])
    result["calibration_error"] = {"value": number(metrics.expected_calibration_error(probability, label))}
    return result


def _share(successes: int, trials: int) -> dict[str, float | None]:
    count, total = jnp.asarray(successes, jnp.float32), jnp.asarray(trials, jnp.float32)
    return estimate(count / total, metrics.binomial_interval(count, total, level=LEVEL))


@jax.jit
def _errors(predicted: Array, measured: Array, key: Key) -> tuple[dict[str, Array], Interval]:
    def all_of(predicted: Array, measured: Array, weight: Array | None = None) -> dict[str, Array]:
        functions = {"rmse": metrics.rmse, "mae": metrics.mae, "r2": metrics.r2}
        return {name: function(predicted, measured, weight) for name, function in functions.items()}

    bounds = metrics.bootstrap(all_of, key, predicted, measured, resamples=RESAMPLES, level=LEVEL)
    return all_of(predicted, measured), bounds


@jax.jit
def _decision(said: Array, truth: Array, key: Key) -> tuple[tuple[Array, dict[str, Array]], Interval]:
    def counts(said: Array, truth: Array, weight: Array) -> Array:
        return jnp.stack([jnp.stack([jnp.sum(weight * ((truth == t) & (said == s))) for s in (0, 1)]) for t in (0, 1)])

    def all_of(said: Array, truth: Array, weight: Array) -> dict[str, Array]:
        matrix = counts(said, truth, weight)
        right, wrong, missed = matrix[1, 1], matrix[0, 1], matrix[1, 0]
        return {
            "accuracy": jnp.trace(matrix) / jnp.sum(matrix),
            # Where nothing is said to superconduct, nothing of it is right.
            "precision": right / jnp.maximum(right + wrong, 1),
            "recall": right / (right + missed),
            "f1": 2 * right / (2 * right + wrong + missed),
        }

    once = jnp.ones(said.shape, jnp.float32)
    bounds = metrics.bootstrap(all_of, key, said, truth, resamples=RESAMPLES, level=LEVEL)
    return (counts(said, truth, once), all_of(said, truth, once)), bounds
