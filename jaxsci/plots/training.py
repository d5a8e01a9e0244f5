"""How a training went: learning curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxsci.plots import style

_PARTS = ("train", "validation")
_COLUMNS = 2


@style.context()
def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Losses and other metrics of training and validation by epoch, the epoch of the smallest validation loss marked.

    A panel a metric, the loss first. An axis is logarithmic where positive values span more than a decade. A value that is missing,
    None or not finite leaves a gap, and the panel says in which epochs. An ensemble, whose records carry lists, is drawn as the
    median of the members and the band from the 16 % to the 84 % quantile; marked is the span of the members' best epochs.

    Args:
        history: a record an epoch: "epoch", and "train_NAME", "validation_NAME" as numbers or lists of them [member]; other keys are
            left out. Without records the figure says so.
    """
    metrics = list(dict.fromkeys(key.split("_", 1)[1] for record in history for key in record if _is_metric(key)))
    metrics.sort(key=lambda name: name != "loss")
    rows = -(-max(len(metrics), 1) // _COLUMNS)
    columns = min(max(len(metrics), 1), _COLUMNS)
    figure = style.figure(2.9 * rows, width=style.WIDTH if columns > 1 else 4.8)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(metrics) :]:
        axes.set_visible(False)
    if not metrics:
        panels[0].set_visible(True)
        style.note(panels[0], "no epoch is complete")
        return figure
    epochs = np.array([record.get("epoch", i) for i, record in enumerate(history, start=1)], np.float64)
    best = _best_epochs(epochs, _members(history, "validation_loss"))
    for axes, name in zip(panels, metrics, strict=False):
        _draw_metric(axes, name, epochs, {part: _members(history, f"{part}_{name}") for part in _PARTS}, best)
    panels[0].legend(loc="best")
    return figure
