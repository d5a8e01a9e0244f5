"""The parts of the study of Hosono's list that need no training."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.superconductors import folds as study
from jaxsci.data.materials.compositions import encode
from jaxsci.data.materials.formula import parse


def test_folds_keep_chemical_systems_whole_and_share_them_evenly():
    elements = ["Nb", "Ti", "V", "Ta", "Al", "Sn", "Ge", "Ga", "Si", "Mo"]
    formulas = [f"{a}{n}{b}" for i, a in enumerate(elements) for b in elements[:i] for n in (2, 3)]
    fold = study.folds(encode([parse(text) for text in formulas]), 0)
    np.testing.assert_array_equal(fold[::2], fold[1::2])  # A2B and A3B
    assert np.bincount(fold).tolist() == [18] * study.FOLDS  # 45 systems of two materials


def test_the_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(1).normal(3, 2, (400, 1))
    found = study.bootstrap(lambda mean: mean[0], values)
    assert found["value"] == pytest.approx(values.mean())
    # Half of a 68 % interval; 4,000 resamples know it to some per cent.
    assert (found["upper"] - found["lower"]) / 2 == pytest.approx(0.994 * values.std() / 20, rel=0.08)


def test_thresholds_of_calibrated_scores_are_half_the_largest_f1(monkeypatch):
    """Of two normal classes either rule must find the same place, and the expected F1 must find it more surely."""
    rng = np.random.default_rng(2)
    system = np.repeat(np.arange(2000), 5)
    truth = rng.random(10_000) < 0.3
    scores = np.stack([rng.normal(size=10_000) + 1.5 * truth, rng.normal(size=10_000)])
    sample = SimpleNamespace(compositions=system, superconducting=truth, studied=np.ones(10_000, bool))
    monkeypatch.setattr(study, "same_system", lambda compositions: compositions)
    found = study.thresholds(scores, sample, 0)
    expected, counted = (found[f"largest F1 {name}, threshold"] for name in ("expected", "counted"))
    f1 = found["largest F1 expected, F1 of other systems"]["mean"]
    assert expected["mean"] == pytest.approx(f1 / 2, abs=0.01)
    assert expected["standard deviation"] < 0.5 * counted["standard deviation"]
    assert counted["mean"] == pytest.approx(expected["mean"], abs=3 * counted["standard deviation"])
