"""The score against another quantity: the median of each class in bins that have enough examples, however few there are."""

import numpy as np
import pytest

from jaxsci.plots import anomalies


@pytest.mark.parametrize(("examples", "bins"), [(100, 1), (376, 4), (3000, 20)])
def test_medians_are_drawn_in_as_many_bins_as_there_are_examples_for(examples, bins):
    rng = np.random.default_rng(0)
    mass, normal = rng.uniform(20, 200, examples), np.arange(examples) % 2 == 0
    figure = anomalies.score_against(
        mass, {"detector": 2 * mass}, {"normal": normal, "other": ~normal}, label="Jet mass (GeV)"
    )
    for line in figure.axes[0].lines:
        assert len(line.get_xdata()) == bins
        np.testing.assert_allclose(line.get_ydata(), 2 * np.asarray(line.get_xdata()))
