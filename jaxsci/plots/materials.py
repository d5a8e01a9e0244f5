"""Materials: the periodic table painted with a number, predicted against measured temperatures, coverage of intervals."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["coverage", "learning_by_size", "periodic_table", "precision_recall", "predicted_against_measured"]


@style.context()
def periodic_table(
    symbols: Sequence[str], values: ArrayLike, spread: ArrayLike | None = None, *, label: str = "value"
) -> Figure:
    """The periodic table, each element in the color of its value, written under its symbol with its spread.

    The scale diverges from 0; elements without a value are gray.

    Args:
        symbols: of the elements in the order of their atomic numbers, from hydrogen.
        values: [element], NaN where there is none.
        spread: [element].
        label: of the color scale, with its unit.

    Raises:
        InputError: arrays of different lengths.
    """
    numbers = np.asarray(values, np.float64)
    spreads = np.full(numbers.shape, np.nan) if spread is None else np.asarray(spread, np.float64)
    if not len(symbols) == len(numbers) == len(spreads):
        raise InputError(
            f"periodic table: expected a value for each of {len(symbols)} symbols, got {len(numbers)} and {len(spreads)}"
        )
    figure = style.figure(6.6, width=9.4)  # wider than a page: the text in a cell is as small as can be read
    axes = figure.subplots()
    largest = np.nanmax(np.abs(numbers)) if np.isfinite(numbers).any() else 1.0
    norm = TwoSlopeNorm(0, -largest, largest)
    grid = np.full((9, 18), np.nan)
    for row, (symbol, value, error) in enumerate(zip(symbols, numbers, spreads, strict=True)):
        line, column = _place(row + 1)
        grid[line, column] = value
        _cell(axes, line, column, row + 1, symbol, value, error, abs(value) > 0.6 * largest)
    drawn = axes.pcolormesh(
        np.arange(19) - 0.5, np.arange(10) - 0.5, np.ma.masked_invalid(grid), cmap="RdBu_r", norm=norm
    )
    bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.5, aspect=40, pad=0.02)
    bar.set_label(label)
    axes.set(xlim=(-0.5, 17.5), ylim=(8.5, -0.5), xticks=[], yticks=[], aspect=1.25)
    axes.spines[:].set_visible(False)
    return figure


def _place(number: int) -> tuple[int, int]:
    """Row and column of an element; lanthanides and actinides in rows of their own, below."""
    lines = ((1, 2), (3, 10), (11, 18), (19, 36), (37, 54), (55, 86), (87, 118))
    line = next(i for i, (_, last) in enumerate(lines) if number <= last)
    first, last = lines[line]
    if line >= 5:
        if 57 <= number <= 71 or 89 <= number <= 103:
            return line + 2, number - (57 if line == 5 else 89) + 2
        return line, number - first if number - first < 2 else 17 - (last - number)
    early = number - first < (1 if line == 0 else 2)
    return line, number - first if early or line >= 3 else 17 - (last - number)


def _cell(axes: Axes, line: int, column: int, number: int, symbol: str, value: float, error: float, dark: bool) -> None:
    known = np.isfinite(value)
    face = "none" if known else "#eeeeee"
    axes.fill_between(
        [column - 0.5, column + 0.5], line - 0.5, line + 0.5, facecolor=face, edgecolor="white", linewidth=1, zorder=2
    )
    ink = "white" if dark and known else "black" if known else style.GRAY
    gid = style.ON_COLOR if known else None

    def write(x: float, y: float, text: str, size: float, ha: Literal["left", "center"] = "center") -> None:
        axes.text(x, y, style.minus(text), fontsize=size, color=ink, zorder=3, va="center", ha=ha, gid=gid)

    write(column - 0.44, line - 0.36, str(number), 7, "left")
    write(column, line - 0.12, symbol, 10.5)
    if known:
        write(column, line + 0.15, f"{round(value, 1) + 0.0:.1f}", 8)  # no -0.0
    if known and np.isfinite(error):
        write(column, line + 0.36, f"±{error:.1f}", 7)


@style.context()
def predicted_against_measured(
    measured: ArrayLike,
    predicted: ArrayLike,
    family: ArrayLike,
    names: Sequence[str],
    *,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
) -> Figure:
    """Predicted against measured temperature, a color a family, with intervals where they are given (for few materials).

    Args:
        measured: [material] in K.
        predicted: [material] in K.
        family: [material], integers 0 to K - 1.
        names: of the K families.
        lower: [material], lower end of the interval in K.
        upper: [material], its upper end.

    Raises:
        InputError: arrays of different lengths.
    """
    x, y, kinds = np.asarray(measured, np.float64), np.asarray(predicted, np.float64), np.asarray(family)
    if not x.shape == y.shape == kinds.shape or x.ndim != 1:
        raise InputError(f"expected arrays [material] of one length, got shapes {x.shape}, {y.shape}, {kinds.shape}")
    figure = style.figure(5.0, width=5.4)
    axes = figure.subplots()
    few = len(x) <= 100
    top = 1.05 * max(x.max(initial=1.0), y.max(initial=1.0))
    axes.plot([0, top], [0, top], ":", color=style.GRAY, linewidth=1)
    for kind, name in enumerate(names):
        rows = kinds == kind
        if not rows.any():
            continue
        color = style.color(kind)
        if few and lower is not None and upper is not None:
            ends = [np.maximum(y[rows] - np.asarray(lower)[rows], 0), np.maximum(np.asarray(upper)[rows] - y[rows], 0)]
            axes.errorbar(x[rows], y[rows], ends, fmt="none", ecolor=color, elinewidth=0.7, alpha=0.6)
        axes.plot(
            x[rows],
            y[rows],
            style.marker(8 * kind),
            color=color,
            markersize=4 if few else 2.2,
            alpha=0.9 if few else 0.5,
            markeredgewidth=0,
            label=f"{style.literal(name)}, {rows.sum():,}",
        )
    axes.set(
        xlabel="Measured $T_c$ (K)", ylabel="Predicted $T_c$ (K)", xlim=(-0.02 * top, top), ylim=(-0.02 * top, top)
    )
    axes.set_aspect("equal")
    axes.grid(True)
    axes.legend(loc="upper left", markerscale=1 if few else 2)
    return figure


@style.context()
def coverage(predicted: ArrayLike, inside: ArrayLike, *, nominal: float, bins: int = 10) -> Figure:
    """How often the interval holds the measured value, in bins of the prediction with equal numbers of materials.

    Errors are 68 % Wilson intervals; the dashed line is what the interval promises, the dotted one the mean over all materials.

    Args:
        predicted: [material] in K.
        inside: bool [material].
        nominal: what is promised, such as 0.9.
        bins: their number.
    """
    p, held = np.asarray(predicted, np.float64), np.asarray(inside, bool)
    figure = style.figure(3.2, width=5.4)
    axes = figure.subplots()
    if not p.size:
        style.note(axes, "no materials")
        return figure
    parts = np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))
    counts = np.array([len(part) for part in parts])
    good = np.array([held[part].sum() for part in parts])
    middle = np.array([p[part].mean() for part in parts])
    low, high = style.wilson(good, counts)
    share = good / counts
    axes.axhline(nominal, color="black", linestyle="--", linewidth=1, label=f"promised, {100 * nominal:.0f} %")
    axes.axhline(held.mean(), color=style.GRAY, linestyle=":", linewidth=1, label=f"all, {100 * held.mean():.1f} %")
    axes.errorbar(middle, share, [share - low, high - share], fmt="o", color=style.color(0), elinewidth=1)
    axes.set(
        xlabel="Predicted $T_c$ (K)", ylabel="Measured within the interval", ylim=(min(0.6, low.min() - 0.02), 1.01)
    )
    axes.grid(True)
    axes.legend(loc="lower right")
    return figure


@style.context()
def precision_recall(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], threshold: float) -> Figure:
    """Precision against recall, and beside it precision, recall and F1 against the threshold, the chosen one marked.

    Args:
        curves: by name (probability [material], truth bool [material]); the right panel shows the last of them.
        threshold: chosen elsewhere, on the probability.
    """
    figure = style.figure(3.4, width=8.2)
    left, right = figure.subplots(1, 2)
    for number, (name, (probability, truth)) in enumerate(curves.items()):
        cuts, precision, recall = _cuts(probability, truth)
        color = style.color(number)
        left.plot(recall, precision, style.dash(number), color=color, drawstyle="steps-post", label=style.literal(name))
        at = int(np.searchsorted(-cuts, -threshold, side="left")) - 1
        if at >= 0:
            left.plot(recall[at], precision[at], "o", color=color, markersize=6)
    left.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1.01), ylim=(0, 1.02))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    for number, (name, values) in enumerate({"precision": precision, "recall": recall, "F1": f1}.items()):
        right.plot(cuts, values, color=style.color(number + 2), label=name)
    right.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:.2f}")
    right.set(xlabel="Threshold on the probability", xlim=(0, 1), ylim=(0, 1.02), title=style.literal(list(curves)[-1]))
    for axes in (left, right):
        axes.grid(True)
        axes.legend(loc="lower left")
    return figure


def _cuts(probability: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Descending thresholds with the precision and the recall of what is at or above each."""
    p, y = np.asarray(probability, np.float64), np.asarray(truth, bool)
    order = np.argsort(-p, kind="stable")
    found = np.cumsum(y[order])
    last = np.append(np.diff(p[order]) != 0, True)  # equal probabilities pass together
    said = np.arange(1, len(p) + 1)
    return p[order][last], (found / said)[last], (found / max(found[-1], 1))[last]


@style.context()
def learning_by_size(sizes: ArrayLike, errors: ArrayLike, floor: float | None = None) -> Figure:
    """Error against the number of training materials, both on logarithmic scales.

    Args:
        sizes: [size].
        errors: RMSE in K, [size, part], on the validation and the test part.
        floor: K, the scatter of repeated measurements.
    """
    figure = style.figure(3.4)
    axes = figure.subplots()
    for column, (name, marker) in enumerate((("validation", "o"), ("test", "s"))):
        axes.plot(sizes, np.asarray(errors)[:, column], marker=marker, label=name)
    if floor is not None:
        axes.axhline(floor, color="black", linestyle=":", label="scatter of repeated measurements")
    axes.set(xscale="log", yscale="log", xlabel="training materials", ylabel="RMSE (K)")
    ticks = [3, 4, 5, 7, 10, 15, 20]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xticks(np.asarray(sizes), [f"{size:,}" for size in np.asarray(sizes)])
    axes.legend()
    return figure
