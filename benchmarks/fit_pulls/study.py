"""Pulls of simulated fits: what one study holds, and how it is judged."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

LIMIT = 3.0  # standard errors


class Study(NamedTuple):
    """Fits of simulated data sets with a known truth, by one fitter."""

    fitter: str
    what: str  # was simulated
    pulls: Mapping[
        str, np.ndarray
    ]  # (fitted - true) / error of each fit, by parameter; NaN where it ended at no minimum
    roots: Mapping[str, np.ndarray] = {}  # the same by the signed root of the profile likelihood
    probability: np.ndarray | None = None  # [fit], of a chi^2 at least as large
    # The width that an exact method has (errors from 32 draws make it Student's), and its standard error times sqrt(2 fits).
    width: float = 1.0
    width_error: float = 1.0


Maker = Callable[[int, int], Study]  # (number of fits, seed)


def judged(study: Study) -> dict[str, Any]:
    """What the results say of one study, as JSON."""
    result: dict[str, Any] = {"fitter": study.fitter, "what": study.what, "pulls": _judged(study, study.pulls)}
    if study.roots:
        result["roots"] = _judged(study, study.roots)
    if study.probability is not None:
        good = study.probability[np.isfinite(study.probability)]
        result["probability"] = {"mean": float(good.mean()), "uniform": float(stats.kstest(good, "uniform").pvalue)}
    return result


def _judged(study: Study, pulls: Mapping[str, np.ndarray]) -> dict[str, Any]:
    table = np.stack([np.asarray(values, np.float64) for values in pulls.values()])
    good = np.isfinite(table).all(0)
    table = table[:, good]
    n = table.shape[1]
    mean, width = table.mean(1), table.std(1, ddof=1)
    error = study.width_error / np.sqrt(2 * n)
    parameters = {
        name: {
            "mean": float(mean[i]),
            "width": float(width[i]),
            "inside": float(np.mean(np.abs(table[i]) < 1)),
            "within": bool(abs(mean[i]) < LIMIT / np.sqrt(n) and abs(width[i] - study.width) < LIMIT * error),
        }
        for i, name in enumerate(pulls)
    }
    return {
        "fits": n,
        "failed": int((~good).sum()),
        "mean_error": float(1 / np.sqrt(n)),
        "width_expected": study.width,
        "width_error": float(error),
        "parameters": parameters,
        "means": _joint_means(table / study.width),
        "widths": _joint_widths(table, (width - study.width) / error),
    }


def _joint_means(table: np.ndarray) -> dict[str, float]:
    """Hotelling's T^2 of the means of correlated pulls [parameter, fit], and the probability of a larger one."""
    p, n = table.shape
    mean = table.mean(1)
    t2 = float(n * mean @ np.linalg.solve(np.atleast_2d(np.cov(table)), mean))
    return {"chi2": t2, "dof": p, "probability": float(stats.f.sf(t2 * (n - p) / (p * (n - 1)), p, n - p))}


def _joint_widths(table: np.ndarray, deviations: np.ndarray) -> dict[str, float]:
    """chi^2 of the widths: those of pulls with the correlation rho have the correlation rho^2."""
    correlation = np.atleast_2d(np.corrcoef(table)) ** 2
    chi2 = float(deviations @ np.linalg.solve(correlation, deviations))
    return {"chi2": chi2, "dof": len(table), "probability": float(stats.chi2.sf(chi2, len(table)))}
