"""Figures of a study: the band of a density, the ticks of eigenvalues, histograms that add up to one."""

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.plots.curvature import gradient_norms, spectrum


def test_a_spectrum_shows_density_band_and_eigenvalues():
    grid = np.linspace(-1, 5, 50)
    density = np.exp(-(grid**2))
    figure = spectrum(grid, density, 0.1 * density, [3.0, 4.0])
    (axes,) = figure.axes
    curve, ticks = axes.get_lines()
    np.testing.assert_allclose(curve.get_ydata()[:10], density[:10])
    assert curve.get_ydata().min() > 0  # on a logarithmic axis
    np.testing.assert_array_equal(ticks.get_xdata(), [3, 4])
    assert axes.get_yscale() == "log"
    with pytest.raises(InputError, match="three arrays"):
        spectrum(grid, density, density[1:])
    with pytest.raises(InputError, match="somewhere positive"):
        spectrum(grid, 0 * density, density)


def test_every_example_is_in_a_histogram_of_norms():
    figure = gradient_norms({"QCD": [0.0, 1e-9, 1.0, 2.0], "top": np.geomspace(0.1, 30, 7), "empty": []})
    (axes,) = figure.axes
    heights = [np.asarray(patch.get_xy())[:, 1] for patch in axes.patches]
    totals = sorted(round(float(np.sum(h[1:-1:2])), 6) for h in heights)
    assert totals == [0, 1, 1]
    with pytest.raises(InputError, match="finite numbers of at least 0"):
        gradient_norms({"QCD": [np.nan]})
