"""Figures of fits and of the sphere: drawable, with all of their text inside."""

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.plots import fit, sphere

X = np.arange(10.0)


def test_measurements_under_curves(checked, words):
    points = fit.Points(X, X + 1, np.ones(10), np.full(10, 0.5), "ten points")
    curves = {"a fit": fit.Curve(X, X + 1, X, X + 2), "another": fit.Curve(X, X)}
    figure = checked(fit.measured(points, curves, pulls=X - 5, xlabel="x [m]", ylabel="y [s]", words="M = 1"))
    for text in ("ten points", "a fit", "another", "x [m]", "y [s]", "pull", "M = 1"):
        assert text in words(figure)
    checked(fit.measured(points._replace(half_width=None), curves, pulls=None, xlabel="x", ylabel="y"))
    with pytest.raises(InputError, match="a pull each"):
        fit.measured(points, curves, pulls=X[:3], xlabel="x", ylabel="y")


def test_scans_and_pulls(checked, words):
    scan = fit.Scan(X, (X - 5) ** 2, 4.0, 6.0)
    assert "from the Hessian" in words(checked(fit.scans({"M": scan, "Γ": scan}, {"M": (5, 1), "Γ": (5, 1)})))
    pulls = np.random.default_rng(0).normal(size=200)
    pulls[0] = np.nan
    figure = checked(fit.pull_distributions({"mass": pulls, "width": pulls}))
    assert f"mean {np.nanmean(pulls):.2f}" in words(figure)


def test_spheres(checked, words):
    grid = np.random.default_rng(1).normal(size=(18, 36))
    grid[8:10] = np.nan
    maps = [sphere.Globe(grid, "sky"), sphere.Globe(grid, "residual", 1.0), sphere.Globe(grid, "third")]
    assert "temperature" in words(checked(sphere.globes(maps, label="temperature [μK]", columns=2)))
    with pytest.raises(InputError, match="at least one map"):
        sphere.globes([], label="")


def test_spectra(checked, words):
    degree = np.arange(2, 200)
    points = fit.Points(degree, 1000.0 + degree, np.full((2, degree.size), 50.0), label="measured")
    curves = {"best fit": fit.Curve(degree, 1000 + degree)}
    figure = checked(sphere.spectrum(points, curves, break_at=30, marks=[sphere.Mark(120, 3, 1100)]))
    assert "best fit" in words(figure)
    checked(sphere.spectrum(points, curves))
    checked(sphere.degree_powers({"given": (degree, 1.0 / degree)}, ylabel="power [m²]"))
