"""Errors of a fit whose chi^2 is too large are widened to what the scatter asks for; those of a good one stay."""

import numpy as np
import pytest

from jaxsci.tasks.cmb.misfit import cross_notes, deviations, error_scale
from jaxsci.tasks.cmb.sky_fit import Sky


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_errors_follow_the_scatter_where_the_noise_is_larger_than_said(factor):
    rng = np.random.default_rng(0)
    n, skies = 400, 500
    design = np.stack([np.ones(n), np.linspace(-1, 1, n)], 1)
    noise = factor * rng.normal(size=(n, skies))  # said to be 1
    found, squares, _, _ = np.linalg.lstsq(design, noise, rcond=None)
    said = np.sqrt(np.diagonal(np.linalg.inv(design.T @ design)))
    scales = np.array([error_scale(chi2, n - 2) for chi2 in squares])
    pulls = found / (said[:, None] * scales)
    assert pulls.std() == pytest.approx(1, abs=0.1)  # 1,000 pulls: 2 %, and that of the scale
    if factor == 1:
        assert (scales == 1).mean() > 0.999


def test_deviations_are_those_of_chi_squared():
    draws = np.random.default_rng(1).chisquare(5000, 2000)
    away = np.array([deviations(chi2, 5000) for chi2 in draws])
    assert away.mean() == pytest.approx(0, abs=0.1)
    assert away.std() == pytest.approx(1, abs=0.08)
    assert error_scale(4000, 5000) == 1  # too small a chi^2 narrows nothing


def test_two_maps_of_one_noise_are_warned_of():
    rng = np.random.default_rng(2)
    signal, keep = 50 * rng.normal(size=192), np.ones(192, bool)
    first, second = signal + 6 * rng.normal(size=(2, 192))
    assert cross_notes(Sky(4, keep, first, 6.0)) == []
    (note,) = cross_notes(Sky(4, keep, first, 6.0, second + 3))  # another monopole is no noise
    assert "polarization" in note
    for other in (first + 2 * rng.normal(size=192), first + 3):
        *_, warning = cross_notes(Sky(4, keep, first, 6.0, other))
        assert warning.startswith("warning: the two maps differ by")
