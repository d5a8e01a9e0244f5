"""What is measured of an ensemble on materials with known answers, as plain numbers ready for JSON.

Intervals are 68 %: percentiles of the Poisson bootstrap over materials (as in `jaxsci.metrics.resample`), all resamples of a measure as
one product of matrices.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array
from jaxsci.runs.binary_evaluation import LEVEL, estimate, number

RESAMPLES = 1000

Sums = dict[str, np.ndarray]  # weighted sums over the materials, each [resample]


def of_tc(answers: dict[str, np.ndarray], members: np.ndarray, tc: np.ndarray, seed: int) -> dict[str, Any]:
    """Errors of the predicted Tc, and how often the 90 % interval holds the measured one.

    Args:
        answers: of the ensemble.
        members: [member, material], Tc that each member predicts alone, in K.
        tc: [material], measured, in K.
        seed: of the bootstrap over materials.
    """
    result: dict[str, Any] = {}
    # "tc" is the median of the predicted distribution, "tc_mean" its mean.
    for answer, suffix in (("tc", ""), ("tc_mean", "_of_mean")):
        error = answers[answer].astype(np.float64) - tc
        columns = {"square": error**2, "absolute": np.abs(error), "tc": tc, "tc_square": tc.astype(np.float64) ** 2}
        found = _bootstrap(columns, _tc_measures, seed)
        result |= {name + suffix: entry for name, entry in found.items()}
    alone = {"rmse": np.sqrt(np.mean((members - tc) ** 2, axis=1)), "mae": np.mean(np.abs(members - tc), axis=1)}
    for name, each in alone.items():
        mean, deviation = float(each.mean()), float(each.std())
        result[f"{name}_of_a_member"] = {"value": mean, "lower": mean - deviation, "upper": mean + deviation}
    inside = (tc >= answers["tc_lower"]) & (tc <= answers["tc_upper"])
    result["coverage"] = _share(inside.sum(), len(inside))
    result["interval_width"] = {"value": float(np.mean(answers["tc_upper"] - answers["tc_lower"]))}
    return result


def _tc_measures(sums: Sums) -> Sums:
    weight = sums["weight"]
    variance = sums["tc_square"] / weight - (sums["tc"] / weight) ** 2
    return {
        "rmse": np.sqrt(sums["square"] / weight),
        "mae": sums["absolute"] / weight,
        "r2": 1 - sums["square"] / weight / np.maximum(variance, 1e-12),
    }


def of_class(
    answers: dict[str, np.ndarray], superconducting: np.ndarray, threshold: float, seed: int
) -> dict[str, Any]:
    """Accuracy, precision, recall and F1 at the threshold and of the vote, and what needs no threshold.

    Args:
        answers: of the ensemble.
        superconducting: bool [material].
        threshold: on the probability, chosen elsewhere.
        seed: of the bootstrap over materials.
    """
    result: dict[str, Any] = {"threshold": {"value": threshold}}
    for prefix, said in (("", answers["superconducts"]), ("vote_", answers["votes"] > 0.5)):
        columns = {
            "right": said & superconducting,
            "said": said,
            "true": superconducting,
            "same": said == superconducting,
        }
        found = _bootstrap(columns, _class_measures, seed)
        result |= {prefix + name: entry for name, entry in found.items()}
    matrix = [[int(np.sum((superconducting == t) & (answers["superconducts"] == s))) for s in (0, 1)] for t in (0, 1)]
    result["confusion_matrix"] = matrix
    area, interval, others = _ranking(jnp.asarray(answers["logit"]), jnp.asarray(superconducting, jnp.int32))
    result["auc"] = estimate(area, interval)
    return result | {name: {"value": number(value)} for name, value in others.items()}


@jax.jit
def _ranking(logits: Array, labels: Array) -> tuple[Array, metrics.Interval, dict[str, Array]]:
    others = {
        "average_precision": metrics.average_precision(logits, labels),
        "log_loss": metrics.log_loss(logits, labels),
        "calibration_error": metrics.expected_calibration_error(jax.nn.sigmoid(logits), labels),
    }
    return metrics.auc(logits, labels), metrics.auc_interval(logits, labels, level=LEVEL), others


def _class_measures(sums: Sums) -> Sums:
    # Where nothing is said to superconduct, nothing of it is right.
    return {
        "accuracy": sums["same"] / sums["weight"],
        "precision": sums["right"] / np.maximum(sums["said"], 1),
        "recall": sums["right"] / np.maximum(sums["true"], 1),
        "f1": 2 * sums["right"] / np.maximum(sums["said"] + sums["true"], 1),
    }


def _bootstrap(columns: dict[str, np.ndarray], measures: Callable[[Sums], Sums], seed: int) -> dict[str, Any]:
    """Measures that are functions of sums over the materials, with their intervals.

    Args:
        columns: what is summed, each [material]; "weight" is added.
        measures: from the sums.
        seed: of the resamples.
    """
    values = np.stack([np.ones(len(next(iter(columns.values())))), *columns.values()], axis=1)
    names = ["weight", *columns]
    weights = np.random.default_rng(seed).poisson(1.0, (RESAMPLES, len(values))).astype(np.float64)
    weights = weights[weights.any(axis=1)]

    def measured(sums: np.ndarray) -> Sums:
        return measures(dict(zip(names, sums.T, strict=True)))

    once, resampled = measured(values.sum(axis=0)[None]), measured(weights @ values)
    result = {}
    for name, value in once.items():
        lower, upper = np.quantile(resampled[name], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result[name] = {"value": float(value[0]), "lower": float(lower), "upper": float(upper)}
    return result


def _share(successes: int, trials: int) -> dict[str, float | None]:
    count, total = jnp.asarray(successes, jnp.float32), jnp.asarray(trials, jnp.float32)
    return estimate(count / total, metrics.binomial_interval(count, total, level=LEVEL))
