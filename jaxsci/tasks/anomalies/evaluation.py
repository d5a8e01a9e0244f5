"""What is measured of a detector: areas under the curve over all jets, and among jets of equal mass."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Array
from jaxsci.runs import binary_evaluation
from jaxsci.runs.binary_evaluation import estimate

BINS = 16  # of mass, each with as many jets
FEWEST = 20  # jets of either class in a bin, for its area to mean something


class Direction(NamedTuple):
    """One class learned, the other found."""

    normal: str  # "qcd" or "top"
    scores: np.ndarray  # [jet], large for an anomaly
    baselines: dict[str, np.ndarray]  # scores of the baselines, each [jet]


class Bins(NamedTuple):
    """Areas under the curve in bins of mass."""

    edges: np.ndarray  # GeV [bin + 1]
    area: np.ndarray  # [bin]; NaN where a class has too few jets
    error: np.ndarray  # [bin], DeLong's
    weight: np.ndarray  # [bin], pairs of a normal jet and an anomaly; 0 where there is no area


def measure(direction: Direction, anomalous: np.ndarray, mass: np.ndarray) -> dict[str, Any]:
    """AUC of a detector and of the baselines, plain and at equal mass, with 68 % intervals.

    A score that is the mass in disguise has an AUC at equal mass of 1/2.

    Args:
        direction: of the detector.
        anomalous: bool [jet], the jets of the class that was not learned.
        mass: GeV [jet].
    """
    rows = {"detector": direction.scores, **direction.baselines}
    return {name: _areas(scores, anomalous, mass) for name, scores in rows.items()}


def _areas(scores: np.ndarray, anomalous: np.ndarray, mass: np.ndarray) -> dict[str, Any]:
    bins = at_equal_mass(scores, anomalous, mass)
    found = {"auc": binary_evaluation.ranking(scores, anomalous)["auc"]}
    total = bins.weight.sum()
    if total == 0:
        return found | {"auc_at_equal_mass": {"value": None, "lower": None, "upper": None}}
    share = bins.weight / total
    value = np.nansum(share * bins.area)
    error = np.sqrt(np.nansum((share * bins.error) ** 2))
    interval = metrics.Interval(jnp.asarray(value - error), jnp.asarray(value + error))
    return found | {"auc_at_equal_mass": estimate(jnp.asarray(value), interval)}


def at_equal_mass(scores: np.ndarray, anomalous: np.ndarray, mass: np.ndarray) -> Bins:
    """The area under the curve in bins of mass that hold equally many jets."""
    edges = np.quantile(mass, np.linspace(0, 1, BINS + 1))
    place = np.clip(np.searchsorted(edges, mass, side="right") - 1, 0, BINS - 1)
    area, error, weight = np.full(BINS, np.nan), np.full(BINS, np.nan), np.zeros(BINS)
    for b in range(BINS):
        inside = (place == b).astype(np.float32)
        signals, backgrounds = float(inside[anomalous].sum()), float(inside[~anomalous].sum())
        if min(signals, backgrounds) >= FEWEST:
            area[b], error[b] = map(float, _area(jnp.asarray(scores), jnp.asarray(anomalous), jnp.asarray(inside)))
            weight[b] = signals * backgrounds
    return Bins(edges, area, error, weight)


@jax.jit
def _area(scores: Array, anomalous: Array, weight: Array) -> tuple[Array, Array]:
    scores, labels = scores.astype(jnp.float32), anomalous.astype(jnp.int32)
    return metrics.auc(scores, labels, weight), jnp.sqrt(metrics.auc_covariance(scores[None, :], labels, weight)[0, 0])
