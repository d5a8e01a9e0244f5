"""How well a classifier separates: ROC, confusion matrix, scores and calibration."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["RocCurve", "confusion_matrix", "reliability", "roc", "score_distributions"]

LEAST_PASSING = 5  # background examples beyond a cut, below which a rejection is noise: its error is 45 %


class RocCurve(NamedTuple):
    """A ROC as points [point] in order of rising signal efficiency, with what its statistical band needs."""

    signal_efficiency: ArrayLike  # eps_S
    background_efficiency: ArrayLike  # eps_B
    background_count: float  # background examples, or their effective number where they are weighted
    auc: float | None = None
    rejection_lower: ArrayLike | None = None  # ends of the 68 % interval of 1/eps_B; none: binomial, from the count
    rejection_upper: ArrayLike | None = None


@style.context()
def roc(
    curves: Mapping[str, RocCurve],
    *,
    baseline: str | None = "mass",
    efficiencies: Sequence[float] = (0.3,),
    noun: str = "examples",
) -> Figure:
    """Background rejection 1/ε_B (logarithmic) against signal efficiency ε_S, as drawn in arXiv:1902.09914.

    A curve is drawn only where at least `LEAST_PASSING` background examples pass the cut. Bands are 68 % intervals: those given,
    or Wilson's for the background that passes.

    Args:
        curves: by the name of the classifier; one with NaN efficiencies (a class is absent) or too little background is named, with
            the reason, and not drawn.
        baseline: the name among `curves` that is drawn in gray, dashed; it need not be there.
        efficiencies: signal efficiencies to mark by a thin line, where rejections are quoted.
        noun: what the examples are, in the plural.

    Raises:
        InputError: no curve, or arrays of a curve that differ in length.
    """
    if not curves:
        raise InputError("ROC: expected at least one curve, got none; give a mapping from names to curves")
    figure = style.figure(4.6)
    axes = figure.subplots()
    number = 0
    for name, curve in curves.items():
        if name == baseline:
            _draw_roc(axes, name, curve, style.GRAY, "--")
        else:
            _draw_roc(axes, name, curve, style.color(number), style.dash(number))
            number += 1
    chance = np.geomspace(1e-3, 1, 200)
    top = max(axes.dataLim.y1, 10.0)
    axes.plot(chance, 1 / chance, ":", color=style.GRAY, linewidth=1, label="random")
    for efficiency in efficiencies:
        axes.axvline(efficiency, color=style.GRAY, linewidth=0.6, zorder=0)
        text, place = rf" $\varepsilon_S = {efficiency:g}$", axes.get_xaxis_transform()
        axes.text(efficiency, 0.99, text, transform=place, va="top", color=style.GRAY, fontsize=8)
    axes.set(xlim=(0, 1), yscale="log", ylim=(1, 2 * top))
    axes.set(xlabel=r"Signal efficiency $\varepsilon_S$", ylabel=r"Background rejection $1/\varepsilon_B$")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(True)
    axes.legend(loc="upper right")
    style.footnote(
        figure, f"Bands: 68 % intervals. Curves are drawn where at least {LEAST_PASSING} background {noun} pass."
    )
    return figure


def _draw_roc(axes: Axes, name: str, curve: RocCurve, color: str, dash: str) -> None:
    points = [np.asarray(values, np.float64) for values in curve[:2]]
    passing = points[1] * curve.background_count
    if curve.rejection_lower is None or curve.rejection_upper is None:
        low, high = style.wilson(np.minimum(passing, curve.background_count), curve.background_count)
        points += [1 / high, 1 / np.where(low == 0, np.nan, low)]
    else:
        points += [np.asarray(values, np.float64) for values in (curve.rejection_lower, curve.rejection_upper)]
    if len({values.shape for values in points}) > 1 or points[0].ndim != 1:
        raise InputError(
            f"{name}: expected arrays [point] of one length, got shapes {[v.shape for v in points]}; give one grid"
        )
    enough = passing >= LEAST_PASSING * (1 - 1e-6)  # efficiencies are rounded: 5/7500 times 7500 may be 4.9999995
    signal, background, lower, upper = (values[enough] for values in points)
    area = "" if curve.auc is None or np.isnan(curve.auc) else f" (AUC {curve.auc:.4f})"
    if np.isnan(points[0] + points[1]).all():
        missing = ": undefined, one class only or NaN scores"
    else:
        missing = "" if len(signal) else f": fewer than {LEAST_PASSING} of the background"
    axes.plot(signal, 1 / background, dash, color=color, label=f"{style.literal(name)}{area}{missing}")
    axes.fill_between(signal, lower, upper, color=color, alpha=0.2, linewidth=0)


@style.context()
def confusion_matrix(counts: ArrayLike, names: Sequence[str] | None = None, *, noun: str = "examples") -> Figure:
    """Counts of examples by true class (rows) and predicted class (columns), with the percentage of each row.

    The color is the part of the row, on a square-root scale so that rare confusions are seen: the diagonal shows the recalls. Up to
    10 classes counts stand above the percentages, up to 40 percentages alone ("0": less than half a percent; empty: none), beyond
    that the color speaks. A class without examples has "–" in its row.

    Args:
        counts: [true, predicted], not negative.
        names: of the classes; numbers if none are given.
        noun: what the examples are, in the plural.

    Raises:
        InputError: counts that are not a square matrix or negative, or another number of names.
    """
    matrix = np.asarray(counts)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size or not (matrix >= 0).all():
        raise InputError(
            f"confusion matrix: expected counts [class, class], got shape {matrix.shape} or negative counts"
        )
    classes = len(matrix)
    names = [str(i) for i in range(classes)] if names is None else names
    if len(names) != classes:
        raise InputError(f"confusion matrix: expected {classes} class names, got {len(names)}; name every class once")
    totals = matrix.sum(axis=1, keepdims=True)
    parts = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    texts = [style.literal(name, longest=20) for name in names]
    side = float(np.clip(0.62 * classes if classes <= 10 else 0.32 * classes, 2.8, 10))
    figure = style.figure(side + 0.9, width=side + 1.6 + 0.06 * max(map(len, texts)))
    axes = figure.subplots()
    drawn = axes.imshow(np.ma.masked_invalid(parts), cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    bar = figure.colorbar(drawn, ax=axes, label="fraction of the true class", shrink=0.9, aspect=30)
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.2, 0.5, 1], labels=["0", "0.01", "0.05", "0.1", "0.2", "0.5", "1"])
    _name_classes(axes, texts)
    _write_cells(axes, matrix, parts)
    right, total = np.trace(matrix), matrix.sum()
    axes.set_title(f"accuracy {right / total:.4f}, {style.counted(int(total), noun)}" if total else f"no {noun}")
    return figure


def _name_classes(axes: Axes, names: list[str]) -> None:
    every = -(-len(names) // 40)  # more than 40 names would overlap
    shown = range(0, len(names), every)
    turned = 0 if max(map(len, names)) * len(names) <= 30 else 90
    axes.set_xticks(shown, names[::every], rotation=turned)
    axes.set_yticks(shown, names[::every])
    axes.set(xlabel="Predicted class", ylabel="True class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _write_cells(axes: Axes, matrix: np.ndarray, parts: np.ndarray) -> None:
    if len(matrix) > 40:
        return
    few = len(matrix) <= 10
    for (true, predicted), part in np.ndenumerate(parts):
        if np.isnan(part):
            text = "–"
        elif few:
            text = f"{matrix[true, predicted]:,.0f}\n{100 * part:.1f} %"
        else:
            text = f"{100 * part:.0f}" if matrix[true, predicted] else ""
        size = 10 if len(matrix) < 5 else 8 if few else 7
        dark = not np.isnan(part) and part > 0.35  # the background, where the text must be light
        tint = "white" if dark else style.GRAY if not few and part < 0.005 else "black"
        gid = None if np.isnan(part) else style.ON_COLOR
        axes.text(predicted, true, text, ha="center", va="center", fontsize=size, color=tint, gid=gid)


@style.context()
def score_distributions(
    scores_by_class: Mapping[str, ArrayLike],
    *,
    label: str = "Score",
    noun: str = "examples",
    bins: int = 40,
    log: bool = False,
) -> Figure:
    """Histograms of the score in every class: the fraction of the class in each bin, with its statistical error.

    The range is [0, 1] where all scores are probabilities, else that of the scores, so that no example is left out. Errors are 68 %
    Wilson intervals, drawn where a bin is not empty.

    Args:
        scores_by_class: for each class [example]; a class without examples is named and not drawn.
        label: of the horizontal axis.
        noun: what the examples are, in the plural.
        bins: number of equal bins.
        log: a logarithmic vertical axis.

    Raises:
        InputError: no class, or a score that is not finite.
    """
    if not scores_by_class:
        raise InputError(
            "score distributions: expected at least one class, got none; give a mapping from names to scores"
        )
    scores = {name: np.asarray(values, np.float64).ravel() for name, values in scores_by_class.items()}
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise InputError(f"{name}: expected finite scores, got {int((~np.isfinite(values)).sum())} that are not")
    together = np.concatenate(list(scores.values()))
    figure = style.figure(3.4)
    axes = figure.subplots()
    if not together.size:
        style.note(axes, f"no {noun}")
        return figure
    inside = together.min() >= 0 and together.max() <= 1
    edges = np.histogram_bin_edges(together, bins, (0.0, 1.0) if inside else None)
    for index, (name, values) in enumerate(scores.items()):
        words = f"{style.literal(name)}, {style.counted(len(values), noun)}"
        _draw_histogram(axes, np.histogram(values, edges)[0], edges, index, words)
    axes.set(xlabel=label, ylabel=f"Fraction of {noun} per bin", xlim=(edges[0], edges[-1]))
    if log:
        axes.set_yscale("log")
        smallest = min(1 / len(values) for values in scores.values() if len(values))
        axes.set_ylim(bottom=smallest / 2)
    else:
        axes.set_ylim(bottom=0)
    style.legend_above(figure, axes)
    return figure


def _draw_histogram(axes: Axes, counts: np.ndarray, edges: np.ndarray, index: int, label: str) -> None:
    total = counts.sum()
    fractions = counts / max(total, 1)
    color = style.color(index)
    axes.stairs(fractions, edges, color=color, linestyle=style.dash(index), linewidth=1.4, label=label)
    axes.stairs(fractions, edges, fill=True, color=color, alpha=0.12)
    filled = counts > 0
    low, high = style.wilson(counts[filled], total)
    middle, height = ((edges[1:] + edges[:-1]) / 2)[filled], fractions[filled]
    axes.errorbar(middle, height, [height - low, high - height], fmt="none", ecolor=color, elinewidth=1)


@style.context()
def reliability(
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = 15,
    noun: str = "examples",
) -> Figure:
    """Observed frequency against predicted probability in equal bins, with binomial errors, over the number of examples.

    Points on the diagonal mean that the probabilities are right. Each point stands at the mean probability of its bin
    ((i - 1)/m, i/m]; errors are 68 % Wilson intervals; empty bins have no point.

    Args:
        probabilities: [example], of the label 1, in [0, 1].
        labels: [example], 0 or 1.
        weights: [example], at least 0; errors then count effective numbers. None: all 1.
        bins: number of equal bins m.
        noun: what the examples are, in the plural.

    Raises:
        InputError: arrays of different length, probabilities outside [0, 1], or other labels.
    """
    p, y = np.asarray(probabilities, np.float64).ravel(), np.asarray(labels).ravel()
    if p.shape != y.shape:
        raise InputError(f"reliability: expected a label for each probability, got {len(y)} for {len(p)}")
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(y, (0, 1)).all():
        raise InputError(
            "reliability: expected probabilities in [0, 1] and labels 0 or 1, got others; give sigmoid outputs"
        )
    figure = style.figure(4.9, width=4.8)
    if not p.size:
        style.note(figure.subplots(), f"no {noun}")
        return figure
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, bins + 1)
    index = np.searchsorted(edges[1:-1], p, side="left")
    w = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    counts, mass, ones, total, squares = (np.bincount(index, v, bins) for v in (None, w, w * y, w * p, w * w))
    filled = mass > 0
    observed, predicted = ones[filled] / mass[filled], total[filled] / mass[filled]
    trials = mass[filled] ** 2 / squares[filled]
    low, high = style.wilson(observed * trials, trials)
    upper.plot([0, 1], [0, 1], ":", color=style.GRAY, linewidth=1, label="perfect calibration")
    errors = [observed - low, high - observed]
    upper.errorbar(
        predicted, observed, errors, fmt="o", color=style.color(0), elinewidth=1, label=style.counted(len(p), noun)
    )
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="Observed frequency")
    style.legend_above(figure, upper)
    lower.stairs(counts, edges, fill=True, color=style.color(0), alpha=0.4)
    lower.set(xlabel="Predicted probability", ylabel=f"{noun.capitalize()} per bin")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure
