"""Jet images: what a tagger sees, on average and one by one; and the graphs of energy-flow polynomials with their coefficients."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["average_images", "flow_coefficients", "single_images"]

DECADES = 5  # of the color scale below the brightest pixel
_AXES = (
    "Δη′ and Δφ′: pseudorapidity and azimuth from the jet's $p_T$-weighted center,\n"
    "after the rotation of the principal axis to the vertical and both reflections"
)


@style.context()
def average_images(
    images_by_class: Mapping[str, ArrayLike], *, half_width: float | None, limit: int = 10_000, noun: str = "jets"
) -> Figure:
    """The average jet image of every class, side by side, with one logarithmic color scale.

    Pixels more than five decades below the brightest, and those no jet reaches, are white.

    Args:
        images_by_class: for each class [jet, row, column], the fraction of the jet's pT in each pixel; columns run along Δη′ from
            left to right, rows along Δφ′ from the top down. A class without jets gets an empty panel.
        half_width: half the side of the image in Δη′ (no unit) and Δφ′ (radians); None where it is unknown: axes in pixels.
        limit: most jets to average in a class, the first ones.
        noun: what the examples are, in the plural.

    Raises:
        InputError: no class, an array that is not [jet, row, column], or pixels that are negative or not finite.
    """
    stacks = _stacks(images_by_class, limit)
    means = {name: stack.mean(axis=0, dtype=np.float64) if len(stack) else None for name, stack in stacks.items()}
    norm = _shared_scale([mean for mean in means.values() if mean is not None])
    figure = style.figure(3.7, width=2.85 * len(means) + 1.3)
    panels = figure.subplots(1, len(means), sharex=True, sharey=True, squeeze=False)
    drawn = None
    for axes, (name, mean) in zip(panels[0], means.items(), strict=True):
        drawn = _show(axes, mean, half_width, norm) or drawn
        axes.set_title(f"{style.literal(name)}, {style.counted(len(stacks[name]), noun)}")
    _label(figure, panels, drawn, r"mean $p_T$ fraction per pixel", half_width)
    return figure


@style.context()
def single_images(images_by_class: Mapping[str, ArrayLike], *, half_width: float | None, jets: int = 4) -> Figure:
    """The first few jet images of every class, a row a class, with one logarithmic color scale.

    Args:
        images_by_class: as for `average_images`.
        half_width: as for `average_images`.
        jets: most jets to show of a class.

    Raises:
        InputError: as for `average_images`.
    """
    stacks = _stacks(images_by_class, jets)
    norm = _shared_scale([image for stack in stacks.values() for image in stack])
    figure = style.figure(1.5 * len(stacks) + 0.95)
    panels = figure.subplots(len(stacks), jets, sharex=True, sharey=True, squeeze=False)
    drawn = None
    for row, (name, stack) in zip(panels, stacks.items(), strict=True):
        for column, axes in enumerate(row):
            drawn = _show(axes, stack[column] if column < len(stack) else None, half_width, norm) or drawn
        row[0].set_title(style.literal(name), loc="left")
    _label(figure, panels, drawn, r"$p_T$ fraction per pixel", half_width)
    return figure


def _stacks(images_by_class: Mapping[str, ArrayLike], limit: int) -> dict[str, np.ndarray]:
    if not images_by_class:
        raise InputError("jet images: expected at least one class, got none; give a mapping from names to arrays")
    return {name: _images(name, images, limit) for name, images in images_by_class.items()}


def _images(name: str, images: ArrayLike, limit: int) -> np.ndarray:
    stack = np.asarray(images)
    if stack.ndim != 3:
        raise InputError(f"{name}: expected images [jet, row, column], got shape {stack.shape}; drop the channel axis")
    stack = stack[:limit]
    if stack.size and not (np.isfinite(stack).all() and stack.min() >= 0):
        raise InputError(f"{name}: expected pT fractions, got negative or non-finite pixels; drop the jets without pT")
    return stack


def _shared_scale(images: list[np.ndarray]) -> LogNorm:
    positive = np.concatenate([image[image > 0] for image in images] or [np.empty(0)])
    if not positive.size:
        return LogNorm(10.0**-DECADES, 1.0)
    low, high = float(positive.min()), float(positive.max())
    return LogNorm(max(low, high / 10**DECADES) if low < high else high / 10, high)


def _show(axes: Axes, image: np.ndarray | None, half_width: float | None, norm: LogNorm) -> AxesImage | None:
    axes.spines[:].set_visible(True)
    if image is None:
        axes.text(0.5, 0.5, "no jets", transform=axes.transAxes, ha="center", va="center", color=style.GRAY)
        axes.set_box_aspect(1)
        return None
    extent = None if half_width is None else (-half_width, half_width, -half_width, half_width)
    visible = np.ma.masked_less(image, float(norm.vmin or 0))
    return axes.imshow(visible, norm=norm, extent=extent, origin="upper", cmap="magma_r")


def _label(
    figure: Figure, panels: np.ndarray, drawn: AxesImage | None, quantity: str, half_width: float | None
) -> None:
    across, down = ("column (pixel)", "row (pixel)") if half_width is None else ("Δη′", "Δφ′ (rad)")
    for axes in panels[:, 0]:
        axes.set_ylabel(down)
    for axes in panels[-1]:
        axes.set_xlabel(across)
    if drawn is not None:
        figure.colorbar(drawn, ax=panels, label=quantity, shrink=0.9, pad=0.02)
    if half_width is not None:
        ticks = np.linspace(-half_width, half_width, 5 if panels.shape[1] < 3 else 3)
        panels[0, 0].set(xticks=ticks, yticks=ticks)  # the others share them
        style.footnote(figure, _AXES)


@style.context()
def flow_coefficients(
    graphs: Sequence[Sequence[tuple[int, int]]], values: ArrayLike, errors: ArrayLike, *, label: str
) -> Figure:
    """Coefficients of energy-flow polynomials with their errors, a row each, beside the graph of each polynomial.

    A vertex is a sum over particles with their shares of the momentum, an edge a distance between two of them.

    Args:
        graphs: edges (i, j) between vertices, as from `jaxsci.ops.flow_graphs`; the first is on top.
        values: [graph].
        errors: [graph], standard errors.
        label: what the coefficients are.

    Raises:
        InputError: no graphs, or not as many values or errors.
    """
    values, errors = np.asarray(values, np.float64), np.asarray(errors, np.float64)
    if not (len(graphs) and values.shape == errors.shape == (len(graphs),)):
        raise InputError(
            f"graphs: expected one or more, with a value and an error each, got {len(graphs)} graphs, values of shape {values.shape} and"
            f" errors of shape {errors.shape}"
        )
    figure = style.figure(0.7 + 0.42 * len(graphs))
    drawings, axes = figure.subplots(1, 2, sharey=True, width_ratios=(1, 3))
    rows = np.arange(len(graphs))
    for row, graph in enumerate(graphs):
        _draw_graph(drawings, graph, row)
    drawings.set(ylim=(len(graphs) - 0.5, -0.5), aspect="equal", adjustable="box")
    drawings.autoscale(axis="x")
    drawings.axis("off")
    axes.axvline(0, color=style.GRAY, linewidth=0.8)
    axes.errorbar(values, rows, xerr=errors, fmt="o", color=style.color(0), capsize=2)
    axes.set_xlabel(label)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False, labelleft=False)
    axes.grid(True, axis="x")
    return figure


def _draw_graph(axes: Axes, graph: Sequence[tuple[int, int]], row: int) -> None:
    """One graph around the height `row`, its connected parts from left to right; edges between the same vertices are arcs."""
    places: dict[int, np.ndarray] = {}
    across = 0.0
    for part in _parts(graph):
        angles = np.pi * (0.5 + 2 * np.arange(len(part)) / len(part)) if len(part) > 2 else np.array([np.pi, 0.0])
        center = across + 0.35
        places |= {
            v: np.array([center + 0.3 * np.cos(a), row - 0.3 * np.sin(a)]) for v, a in zip(part, angles, strict=True)
        }
        across += 0.95
    ink = style.PALETTE[6]
    for (i, j), number in Counter(tuple(edge) for edge in graph).items():
        start, end = places[i], places[j]
        normal = np.array([start[1] - end[1], end[0] - start[0]])
        for bend in np.linspace(-0.3, 0.3, number) if number > 1 else (0.0,):
            middle = (start + end) / 2 + bend * 1.6 * normal
            curve = Curve([start, middle, end], [Curve.MOVETO, Curve.CURVE3, Curve.CURVE3])
            axes.add_patch(PathPatch(curve, fill=False, edgecolor=ink, linewidth=1.0))
    axes.plot(*np.array(list(places.values())).T, "o", color=ink, markersize=3.5)


def _parts(graph: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The vertices of each connected part."""
    parts: list[set[int]] = []
    for edge in graph:
        touched = [part for part in parts if part & set(edge)]
        parts = [part for part in parts if not part & set(edge)] + [set(edge).union(*touched)]
    return sorted((sorted(part) for part in parts), key=lambda part: part[0])
