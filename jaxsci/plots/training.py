"""How a training went: learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["learning_curves"]

_PARTS = ("train", "validation")
_COLUMNS = 2
_QUANTILES = (0.16, 0.5, 0.84)


@style.context()
def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Losses and other metrics of training and validation by epoch, the epoch of the smallest validation loss marked.

    A panel a metric, the loss first. An axis is logarithmic where its values are positive and span more than a decade. A value that
    is missing, None or not finite leaves a gap, and the panel says in which epochs. An ensemble, whose records carry lists, is drawn
    as the median of the members whose value is finite and the band from their 16 % to their 84 % quantile; marked is the span of
    the members' best epochs.

    Args:
        history: a record an epoch: "epoch", and "train_NAME", "validation_NAME" as numbers or lists of them [member]; other keys are
            left out. Without records the figure says so.

    Raises:
        InputError: values of one metric that differ in their number of members.
    """
    names = list(
        dict.fromkeys(key.split("_", 1)[1] for record in history for key in record if key.startswith(_PREFIXES))
    )
    names.sort(key=lambda name: name != "loss")
    rows, columns = -(-max(len(names), 1) // _COLUMNS), min(max(len(names), 1), _COLUMNS)
    figure = style.figure(2.9 * rows, width=style.WIDTH if columns > 1 else 4.8)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[max(len(names), 1) :]:
        axes.set_visible(False)
    if not names:
        style.note(panels[0], "no epoch is complete")
        return figure
    epochs = np.array([record.get("epoch", i) for i, record in enumerate(history, start=1)], np.float64)
    losses = _members(history, "validation_loss")
    best = epochs[[int(np.nanargmin(member)) for member in losses.T if np.isfinite(member).any()]]
    for axes, name in zip(panels, names, strict=False):
        parts = [part for part in _PARTS if any(f"{part}_{name}" in record for record in history)]
        curves = {part: _members(history, f"{part}_{name}") for part in parts}
        _draw_metric(axes, name, epochs, curves, best)
    style.legend_above(figure, panels[0])
    return figure


_PREFIXES = tuple(f"{part}_" for part in _PARTS)


def _members(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """The values of a metric [epoch, member], NaN where there is none."""
    rows = [np.atleast_1d(np.array(record.get(key), np.float64)).ravel() for record in history]  # None becomes NaN
    members = max(len(row) for row in rows)
    if {len(row) for row in rows} - {1, members}:
        raise InputError(f"history: expected as many members in every {key}, got {sorted({len(row) for row in rows})}")
    values = np.stack([np.broadcast_to(row, members) for row in rows])
    return np.where(np.isfinite(values), values, np.nan)


def _draw_metric(axes: Axes, name: str, epochs: np.ndarray, curves: Mapping[str, np.ndarray], best: np.ndarray) -> None:
    lost: set[int] = set()
    for index, (part, values) in enumerate(curves.items()):
        lower, middle, upper = _quantiles(values)
        marker = "o" if len(epochs) <= 60 else ""
        label = "training" if part == "train" else part
        axes.plot(epochs, middle, marker=marker, markersize=3, color=style.color(index), label=label)
        if values.shape[1] > 1:
            axes.fill_between(epochs, lower, upper, color=style.color(index), alpha=0.2, linewidth=0)
        lost |= set(epochs[np.isnan(values).all(axis=1)].astype(int).tolist())
    if best.size and best.min() == best.max():
        axes.axvline(best[0], color=style.GRAY, linewidth=1, linestyle="--", label=f"best epoch {best[0]:.0f}")
    elif best.size:
        axes.axvspan(
            best.min(), best.max(), color=style.GRAY, alpha=0.15, label=f"best epochs {best.min():.0f}–{best.max():.0f}"
        )
    known = np.concatenate([values[np.isfinite(values)] for values in curves.values()])
    if known.size and known.min() > 0 and known.max() > 10 * known.min():
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set(
        xlim=(epochs.min() - 0.5, epochs.max() + 0.5),
        xlabel="Epoch",
        ylabel=style.literal(name.replace("_", " ").capitalize()),
    )
    axes.grid(True)
    if lost:
        axes.set_title(f"no finite value in {_listed(sorted(lost))}", fontsize=8, color=style.color(1))


def _quantiles(values: np.ndarray) -> np.ndarray:
    """[3, epoch]: the quantiles over the members that are finite, NaN where none is."""
    result = np.full((3, len(values)), np.nan)
    some = np.isfinite(values).any(axis=1)
    result[:, some] = np.nanquantile(values[some], _QUANTILES, axis=1)
    return result


def _listed(epochs: list[int], most: int = 5) -> str:
    shown = ", ".join(map(str, epochs[:most])) + (f" and {len(epochs) - most} more" if len(epochs) > most else "")
    return f"epoch{'s' if len(epochs) > 1 else ''} {shown}"
