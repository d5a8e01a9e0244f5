"""Fits with their errors: measurements under curves, with the pulls below; profile scans; the pulls of simulated fits."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = [
    "Curve",
    "Points",
    "Scan",
    "draw_curve",
    "draw_points",
    "draw_pulls",
    "measured",
    "pull_distributions",
    "scans",
]


class Points(NamedTuple):
    """Measurements with their errors."""

    x: ArrayLike  # [point]
    y: ArrayLike  # [point]
    error: ArrayLike  # [point], or [2, point] below and above
    half_width: ArrayLike | None = None  # [point], of the bin in x
    label: str = "data"


class Curve(NamedTuple):
    """A function to draw: of a basis, of a network, or a part of either."""

    x: ArrayLike  # [point]
    y: ArrayLike  # [point]
    lower: ArrayLike | None = None  # ends of its 68 % band
    upper: ArrayLike | None = None


@style.context()
def measured(
    points: Points,
    curves: Mapping[str, Curve],
    *,
    pulls: ArrayLike | None,
    xlabel: str,
    ylabel: str,
    words: str = "",
) -> Figure:
    """Measurements with error bars, curves through them by name, and the pulls (y - f) / sigma of the first curve in a panel below.

    Args:
        points: the measurements.
        curves: by name, the first drawn strongest.
        pulls: [point]; None: no panel.
        xlabel: with its unit.
        ylabel: with its unit.
        words: a few results to write into the upper corner with fewer measurements, lines separated by line breaks.

    Raises:
        InputError: no measurement, or pulls of another number.
    """
    x = np.asarray(points.x, np.float64)
    if x.size == 0 or (pulls is not None and np.asarray(pulls).shape != x.shape):
        raise InputError(
            f"fit: expected measurements [point] with a pull each, got {x.shape} and {np.asarray(pulls).shape}"
        )
    figure = style.figure(4.8 if pulls is not None else 3.8)
    if pulls is None:
        axes = figure.subplots()
        bottom = axes
    else:
        axes, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3.2, 1]})
    for i, (name, curve) in enumerate(curves.items()):
        draw_curve(axes, name, curve, i)
    draw_points(axes, points)
    axes.set(ylabel=ylabel)
    if np.min(points.y) >= 0:
        axes.set_ylim(bottom=0)
    style.legend_above(figure, axes)
    if words:
        y, third = np.asarray(points.y, np.float64)[np.argsort(x)], -(-x.size // 3)
        left = y[-third:].mean() > y[:third].mean()  # the corner that the measurements leave free
        place, side = (0.015, "left") if left else (0.985, "right")
        axes.text(place, 0.97, words, transform=axes.transAxes, ha=side, va="top", linespacing=1.5)
    if pulls is not None:
        draw_pulls(bottom, x, np.asarray(pulls, np.float64), points.half_width)
    bottom.set(xlabel=xlabel)
    return figure


def draw_curve(axes: Axes, name: str, curve: Curve, index: int) -> None:
    """A curve with its band, in color number `index`; the first is the strongest."""
    axes.plot(
        curve.x, curve.y, "-" if index == 0 else "--", color=style.color(index), label=style.literal(name), zorder=3
    )
    if curve.lower is not None and curve.upper is not None:
        axes.fill_between(curve.x, curve.lower, curve.upper, color=style.color(index), alpha=0.25, linewidth=0)


def draw_points(axes: Axes, points: Points) -> None:
    """Black points with error bars."""
    axes.errorbar(
        points.x,
        points.y,
        yerr=points.error,
        xerr=points.half_width,
        fmt="o",
        color="black",
        markersize=2.6,
        elinewidth=0.8,
        label=style.literal(points.label),
        zorder=4,
    )


def draw_pulls(axes: Axes, x: np.ndarray, pulls: np.ndarray, half_width: ArrayLike | None = None) -> None:
    """Pulls as bars with lines at -2, 0 and 2."""
    half = np.diff(x, append=x[-1] + 1).min() / 2 if half_width is None else np.asarray(half_width)
    axes.bar(x, pulls, width=1.8 * half, color=style.GRAY)
    for level in (-2, 0, 2):
        axes.axhline(level, color="black", linewidth=0.8 if level == 0 else 0.6, linestyle="-" if level == 0 else ":")
    top = max(3.5, 1.1 * float(np.nanmax(np.abs(pulls), initial=0)))
    axes.set(ylabel="pull", ylim=(-top, top))


class Scan(NamedTuple):
    """A profile scan of one parameter."""

    values: ArrayLike  # [point]
    delta_2nll: ArrayLike  # [point], twice the negative log-likelihood above its minimum
    lower: float  # ends of the 68.3 % interval
    upper: float


@style.context()
def scans(profiles: Mapping[str, Scan], errors: Mapping[str, tuple[float, float]]) -> Figure:
    """Profile likelihood of each parameter, 2 (L - L_min) with the others re-optimized, with the 68.3 % interval shaded.

    Args:
        profiles: by the label of the parameter, with its unit.
        errors: by the same labels, value and standard error, for the parabola the Hessian gives (dashed).
    """
    figure = style.figure(2.9)
    panels = figure.subplots(1, len(profiles), sharey=True, squeeze=False)[0]
    for axes, (label, scan) in zip(panels, profiles.items(), strict=True):
        values = np.asarray(scan.values, np.float64)
        axes.plot(values, scan.delta_2nll, color=style.color(0), label="profile")
        center, error = errors[label]
        axes.plot(values, ((values - center) / error) ** 2, "--", color=style.color(1), label="from the Hessian")
        axes.axvspan(scan.lower, scan.upper, color=style.color(0), alpha=0.15, linewidth=0)
        axes.axhline(1, color=style.GRAY, linewidth=0.6)
        axes.set(xlabel=label, ylim=(0, 9))
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set(ylabel=r"$2\,(L - L_{\min})$")
    style.legend_above(figure, panels[0])
    return figure


@style.context()
def pull_distributions(pulls: Mapping[str, ArrayLike]) -> Figure:
    """The pulls (fitted - true) / error of simulated fits against the unit normal, a panel a parameter, with mean and width.

    Args:
        pulls: by parameter, each [fit].
    """
    figure = style.figure(2.8)
    panels = figure.subplots(1, len(pulls), sharey=True, squeeze=False)[0]
    edges = np.linspace(-4, 4, 33)
    for axes, (name, values) in zip(panels, pulls.items(), strict=True):
        pull = np.asarray(values, np.float64)
        pull = pull[np.isfinite(pull)]
        axes.hist(np.clip(pull, -4, 4), edges, density=True, color=style.color(5), label="simulated fits")
        axes.plot(edges, np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi), color="black", linewidth=1, label="unit normal")
        mean, width, n = pull.mean(), pull.std(ddof=1), len(pull)
        words = f"mean {mean:.2f} ± {width / np.sqrt(n):.2f}\nwidth {width:.2f} ± {width / np.sqrt(2 * n):.2f}"
        axes.set_title(f"{style.literal(name)}\n{style.minus(words)}", fontsize=8.5)
        axes.set(xlabel="pull", xlim=(-4, 4))
    panels[0].set(ylabel="density")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure
