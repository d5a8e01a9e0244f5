"""Metrics of an ensemble on materials with known targets, as plain numbers ready for JSON.

Intervals are 68 %: percentiles of the Poisson bootstrap over materials (`jaxsci.metrics.bootstrap`).
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array, Key
from jaxsci.runs.binary_evaluation import LEVEL, estimate, number

RESAMPLES = 1000
NOVELTIES = (0.0, 0.05, 0.2, 0.4, 1.01)  # between the rows of a table: near to the known materials and far from them

Sums: TypeAlias = dict[str, Any]  # weighted sums over the materials, scalars of NumPy or JAX
FromSums: TypeAlias = Callable[[Sums], Sums]


def of_tc(predictions: dict[str, np.ndarray], members: np.ndarray, tc: np.ndarray, seed: int) -> dict[str, Any]:
    """Errors of the predicted Tc, and how often the 90 % interval holds the measured one.

    Args:
        predictions: of the ensemble.
        members: [member, material], Tc that each member predicts alone, in K.
        tc: [material], measured, in K.
        seed: of the bootstrap over materials.
    """
    result: dict[str, Any] = {}
    # "tc" is the median of the predicted distribution, "tc_mean" its mean.
    for name, suffix in (("tc", ""), ("tc_mean", "_of_mean")):
        error = predictions[name].astype(np.float64) - tc
        columns = {"square": error**2, "absolute": np.abs(error), "tc": tc, "tc_square": tc.astype(np.float64) ** 2}
        estimates = _with_intervals(columns, _tc_metrics, seed)
        result |= {metric + suffix: entry for metric, entry in estimates.items()}
    alone = {"rmse": np.sqrt(np.mean((members - tc) ** 2, axis=1)), "mae": np.mean(np.abs(members - tc), axis=1)}
    for name, each in alone.items():
        mean, deviation = float(each.mean()), float(each.std())
        result[f"{name}_of_a_member"] = {"value": mean, "lower": mean - deviation, "upper": mean + deviation}
    inside = (tc >= predictions["tc_lower"]) & (tc <= predictions["tc_upper"])
    result["coverage"] = fraction(inside.sum(), len(inside))
    width = predictions["tc_upper"] - predictions["tc_lower"]
    result["interval_width"] = {"value": float(np.mean(width))}
    if "novelty" in predictions:
        result["by_novelty"] = _by_novelty(predictions["novelty"], inside, width, np.abs(predictions["tc"] - tc))
    return result


def _by_novelty(novelty: np.ndarray, inside: np.ndarray, width: np.ndarray, error: np.ndarray) -> list[dict[str, Any]]:
    """Coverage, mean width of the interval and mean absolute error of materials near to and far from the known ones."""
    bins = []
    for first, last in pairwise(NOVELTIES):
        rows = (novelty >= first) & (novelty < last)
        if rows.any():
            means = {"width": float(width[rows].mean()), "mae": float(error[rows].mean())}
            holds = fraction(inside[rows].sum(), rows.sum())
            bins.append({"first": first, "last": last, "materials": int(rows.sum()), "coverage": holds, **means})
    return bins


def _tc_metrics(sums: Sums) -> Sums:
    weight = sums["weight"]
    variance = sums["tc_square"] / weight - (sums["tc"] / weight) ** 2
    return {
        "rmse": (sums["square"] / weight) ** 0.5,
        "mae": sums["absolute"] / weight,
        "r2": 1 - sums["square"] / weight / variance.clip(1e-12),
    }


def of_class(
    predictions: dict[str, np.ndarray], superconducting: np.ndarray, threshold: float, seed: int
) -> dict[str, Any]:
    """Accuracy, precision, recall and F1 at the threshold and of the vote, and what needs no threshold.

    Args:
        predictions: of the ensemble.
        superconducting: bool [material].
        threshold: on the probability, chosen elsewhere.
        seed: of the bootstrap over materials.
    """
    result: dict[str, Any] = {"threshold": {"value": threshold}}
    for prefix, called in (("", predictions["superconducts"]), ("vote_", predictions["votes"] > 0.5)):
        columns = {
            "true_positives": called & superconducting,
            "positives": called,
            "superconductors": superconducting,
            "correct": called == superconducting,
        }
        estimates = _with_intervals(columns, _class_metrics, seed)
        result |= {prefix + name: entry for name, entry in estimates.items()}
    called = predictions["superconducts"]
    result["confusion_matrix"] = [
        [int(np.sum((superconducting == t) & (called == s))) for s in (False, True)] for t in (False, True)
    ]
    area, interval, others = _ranking(jnp.asarray(predictions["logit"]), jnp.asarray(superconducting, jnp.int32))
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


def _class_metrics(sums: Sums) -> Sums:
    # Where nothing is called a superconductor, no call is correct.
    return {
        "accuracy": sums["correct"] / sums["weight"],
        "precision": sums["true_positives"] / sums["positives"].clip(1),
        "recall": sums["true_positives"] / sums["superconductors"].clip(1),
        "f1": 2 * sums["true_positives"] / (sums["positives"] + sums["superconductors"]).clip(1),
    }


def _with_intervals(columns: dict[str, np.ndarray], from_sums: FromSums, seed: int) -> dict[str, Any]:
    """Metrics that are functions of sums over the materials, with their intervals.

    Args:
        columns: what is summed, each [material]; the sum of the weights is added as "weight".
        from_sums: the metrics, of the sums.
        seed: of the resamples.
    """
    table = {"weight": np.ones(len(next(iter(columns.values())))), **columns}
    sums = np.stack(list(table.values()), axis=1).sum(axis=0)
    values = from_sums(dict(zip(table, sums, strict=True)))
    floats = {name: jnp.asarray(column, jnp.float32) for name, column in table.items()}
    bounds = _interval(from_sums, jax.random.key(seed), floats)
    return {name: estimate(value, metrics.Interval(*(end[name] for end in bounds))) for name, value in values.items()}


@partial(jax.jit, static_argnums=0)
def _interval(from_sums: FromSums, key: Key, columns: dict[str, Array]) -> metrics.Interval:
    names = list(columns)

    def metric(table: Array, weight: Array) -> Sums:
        return from_sums(dict(zip(names, jnp.matmul(weight, table, precision="highest"), strict=True)))

    table = jnp.stack(list(columns.values()), axis=1)
    return metrics.bootstrap(metric, key, table, resamples=RESAMPLES, level=LEVEL)


_binomial = jax.jit(partial(metrics.binomial_interval, level=LEVEL))


def fraction(successes: int, trials: int) -> dict[str, float | None]:
    """A fraction with its binomial interval."""
    count, total = jnp.asarray(successes, jnp.float32), jnp.asarray(trials, jnp.float32)
    return estimate(count / total, _binomial(count, total))
