"""Figures of anomaly detection: how a score depends on what it should not."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["score_against"]

_BINS = 20
_FEWEST = 20  # examples in a bin whose quantiles are drawn


@style.context()
def score_against(
    quantity: np.ndarray, scores: Mapping[str, np.ndarray], classes: Mapping[str, np.ndarray], *, label: str
) -> Figure:
    """The score of each detector against another quantity: the median of each class with the band that holds 68 % of it.

    A flat band of the normal class means that the detector does not read this quantity.

    Args:
        quantity: [example], of the horizontal axis.
        scores: by detector [example]; a panel for each.
        classes: by name, bool [example].
        label: of the quantity, with its unit.

    Raises:
        InputError: no detector, or arrays of unequal lengths.
    """
    if not scores or {len(values) for values in (*scores.values(), *classes.values())} != {len(quantity)}:
        raise InputError(
            f"score against {label}: expected scores and classes of the {len(quantity)} examples, got other lengths or none"
        )
    figure = style.figure(3.4, width=style.WIDTH)
    panels = figure.subplots(1, len(scores), sharex=True, squeeze=False)[0]
    bins = max(1, min(_BINS, len(quantity) // (4 * _FEWEST)))  # few examples in wide bins
    edges = np.quantile(quantity, np.linspace(0, 1, bins + 1))
    for axes, (title, values) in zip(panels, scores.items(), strict=True):
        for index, (name, members) in enumerate(classes.items()):
            centers, quantiles = _profile(quantity[members], values[members], edges)
            color = style.color(index)
            axes.fill_between(centers, quantiles[:, 0], quantiles[:, 2], color=color, alpha=0.2, linewidth=0)
            axes.plot(centers, quantiles[:, 1], color=color, linestyle=style.dash(index), label=style.literal(name))
        axes.set_title(style.literal(title), loc="left")
        axes.set_xlabel(label)
    panels[0].set_ylabel("Anomaly score, median and 68 %")
    style.legend_above(figure, panels[0])
    return figure


def _profile(quantity: np.ndarray, values: np.ndarray, edges: np.ndarray) -> tuple[Sequence[float], np.ndarray]:
    centers, quantiles = [], []
    for low, high in pairwise(edges):
        inside = (quantity >= low) & (quantity <= high)
        if inside.sum() >= _FEWEST:
            centers.append(float(np.median(quantity[inside])))
            quantiles.append(np.quantile(values[inside], (0.16, 0.5, 0.84)))
    return centers, np.array(quantiles).reshape(-1, 3)
