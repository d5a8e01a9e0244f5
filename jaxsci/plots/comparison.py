"""Several models side by side: their metrics with uncertainties."""

from collections.abc import Collection, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxsci.errors import InputError
from jaxsci.plots import style
from jaxsci.plots.estimate import Estimate


@style.context()
def comparison(metrics: Mapping[str, Mapping[str, Estimate]], *, log: Sequence[str] = ()) -> Figure:
    """Estimates of several classifiers with their intervals: a panel a metric, a line a classifier.

    Args:
        metrics: for each metric its estimate by classifier; the order of the first metric is kept, from the top. An unknown
            value is left out.
        log: names of the metrics on a logarithmic axis.

    Raises:
        InputError: no metric or no classifier.
    """
    names = list(dict.fromkeys(name for estimates in metrics.values() for name in estimates))
    if not names:
        raise InputError("comparison: expected at least one metric of one classifier, got none")
    figure = style.figure(0.3 * len(names) + 1.0)
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, (metric, estimates) in zip(panels, metrics.items(), strict=True):
        for row, name in enumerate(names):
            _draw_estimate(axes, row, estimates.get(name, Estimate(None)))
        axes.set(xlabel=style.literal(metric))
        if metric in log:
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(4)) if metric not in log else None
        axes.grid(True, axis="x")
    panels[0].set_yticks(range(len(names)), [style.literal(name) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _draw_estimate(axes: Axes, row: int, estimate: Estimate) -> None:
    value, lower, upper = estimate
    if value is None:
        return
    errors = None if lower is None or upper is None else [[value - lower], [upper - value]]
    axes.errorbar([value], [row], xerr=errors, fmt="o", color=style.colour(row), elinewidth=1.4, capsize=2.5)
