"""How trainings went: learning curves, the members of an ensemble beside their mean, the trials of a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["learning_curves", "members_calibration", "sweep"]

_PARTS = ("train", "validation")
_COLUMNS = 2
_QUANTILES = (0.16, 0.5, 0.84)
LEAST = 20  # examples of a bin whose frequency is shown: its error is 11 % at most


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


@style.context()
def members_calibration(
    mean: tuple[ArrayLike, ArrayLike],
    members: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    bins: int = 12,
    noun: str = "examples",
) -> Figure:
    """Observed frequency minus predicted probability, against the latter: of an ensemble's mean with errors, of each member as a line.

    Above zero the probabilities are too low, below too high. Points stand at the mean probability of equal bins; bins of fewer than
    `LEAST` are left out, since they would show noise; errors are 68 % Wilson intervals.

    Args:
        mean: probabilities [example] in [0, 1], and 1 where what they are of came true, else 0.
        members: the same of each member.
        bins: number of equal bins.
        noun: what the examples are, in the plural.

    Raises:
        InputError: probabilities outside [0, 1], other outcomes, or arrays of different length.
    """
    figure = style.figure(3.2)
    axes = figure.subplots()
    axes.axhline(0, color=style.GRAY, linewidth=1, linestyle=":", label="perfect calibration")
    for number, member in enumerate(members):
        predicted, observed, _ = _binned(*member, bins)
        label = "_" if number else "members"  # one entry of the legend for all
        axes.plot(predicted, observed - predicted, color=style.color(5), linewidth=1, alpha=0.8, label=label)
    predicted, observed, (low, high) = _binned(*mean, bins)
    errors = [observed - low, high - observed]
    axes.errorbar(
        predicted,
        observed - predicted,
        errors,
        fmt="o",
        color=style.color(0),
        elinewidth=1,
        label="mean of the members",
    )
    if not len(predicted):
        style.note(axes, f"no bin of {LEAST} {noun}")
    axes.set(xlim=(-0.02, 1.02), xlabel="Predicted probability", ylabel="Observed − predicted")
    axes.grid(True)
    style.legend_above(figure, axes)
    style.footnote(figure, f"Errors: 68 % intervals, in bins of at least {LEAST} {noun}.")
    return figure


def _binned(
    probabilities: ArrayLike, outcomes: ArrayLike, bins: int
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Mean probability, observed frequency and its interval in the bins ((i - 1)/m, i/m] that have enough examples."""
    p, y = np.asarray(probabilities, np.float64).ravel(), np.asarray(outcomes).ravel()
    if p.shape != y.shape or not ((p >= 0) & (p <= 1)).all() or not np.isin(y, (0, 1)).all():
        raise InputError(
            "members: expected as many outcomes 0 or 1 as probabilities in [0, 1], got others; give sigmoid outputs"
        )
    index = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p, side="left")
    counts, ones, total = (np.bincount(index, weights, bins) for weights in (None, y, p))
    enough = counts >= LEAST
    counts, ones, total = (values[enough] for values in (counts, ones, total))
    return total / counts, ones / counts, style.wilson(ones, counts)


@style.context()
def sweep(
    values: Mapping[str, Sequence[Any]],
    losses: Sequence[float | None],
    finished: Sequence[bool],
    *,
    logarithmic: Sequence[str] = (),
) -> Figure:
    """The validation loss of each trial against each hyperparameter that was varied, the best of those trained to the end marked.

    A panel a hyperparameter; numbers on an axis, text in places of its own. The losses are on a logarithmic axis where they are positive
    and span more than a decade. Trials without a loss are counted below.

    Args:
        values: of each hyperparameter [trial], by its name.
        losses: [trial], the lowest of each; None where there is none.
        finished: [trial], whether it was trained to the end.
        logarithmic: the hyperparameters whose axis is logarithmic.

    Raises:
        InputError: no hyperparameter, or not as many losses as trials.
    """
    lengths = {len(losses), len(finished), *(len(of) for of in values.values())}
    if not values or len(lengths) > 1:
        raise InputError(
            f"sweep: expected a value and a loss for each trial, got {sorted(lengths)} of them; give one each"
        )
    loss = np.array([np.nan if value is None else value for value in losses], np.float64)
    whole, known = np.asarray(finished, bool), np.isfinite(loss)
    rows, columns = -(-len(values) // _COLUMNS), min(len(values), _COLUMNS)
    figure = style.figure(2.9 * rows, width=style.WIDTH if columns > 1 else 4.8)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(values) :]:
        axes.set_visible(False)
    for number, (axes, (name, of)) in enumerate(zip(panels, values.items(), strict=False)):
        texts = sorted({str(value) for value in of}) if isinstance(of[0], str) else []
        x = np.array([texts.index(value) for value in of] if texts else of, np.float64)
        kinds = (("trained to the end", known & whole, style.color(0)), ("stopped early", known & ~whole, "none"))
        for label, chosen, fill in kinds:
            if chosen.any():
                ink = {"color": style.color(0), "markerfacecolor": fill}
                axes.plot(x[chosen], loss[chosen], "o", markersize=5, label=label, **ink)
        if (known & whole).any():
            best = int(np.nanargmin(np.where(whole, loss, np.nan)))
            axes.plot(x[best], loss[best], "*", markersize=13, color=style.color(1), label="best")
        if texts:
            axes.set_xticks(range(len(texts)), [style.literal(text, longest=16) for text in texts])
            axes.set_xlim(-0.5, len(texts) - 0.5)
        elif name in logarithmic:
            axes.set_xscale("log")
        if known.any() and loss[known].min() > 0 and loss[known].max() > 10 * loss[known].min():
            axes.set_yscale("log")
        axes.set(xlabel=style.literal(name.capitalize()), ylabel="" if number % columns else "Lowest validation loss")
        axes.grid(True)
    style.legend_above(figure, panels[0])
    if not known.all():
        style.footnote(figure, f"Not drawn: {style.counted(int((~known).sum()), 'trials')} without a finite loss.")
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
