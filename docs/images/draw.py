"""Draws the diagrams of the pages beside itself: `python docs/images/draw.py`."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from jaxsci.plots import style

FOLDER = Path(__file__).parent
BLUE, ORANGE, GREEN = style.PALETTE[:3]
INK = "#222222"


def blank(axes: Axes, width: float, height: float) -> None:
    """Axes without ticks in which a unit is the same both ways, y downwards."""
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.axis("off")


def box(
    axes: Axes, x: float, y: float, text: str, *, color: str = INK, width: float = 2.4, height: float = 0.8
) -> None:
    """A rounded box with its text, centered at (x, y)."""
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle="round,pad=0.05", facecolor="white", edgecolor=color, linewidth=1.4
        )
    )
    axes.text(x, y, text, ha="center", va="center", color=INK)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], *, color: str = INK, bend: float = 0.0
) -> None:
    """An arrow from one point to another."""
    connection = f"arc3,rad={bend}"
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=color, connectionstyle=connection)
    )


@style.context()
def one_step() -> Figure:
    """From one step everything else by transformations."""
    figure = style.figure(3.1)
    axes = figure.subplots()
    blank(axes, 14.0, 6.2)
    box(axes, 2.2, 1.0, "model: (init, apply)\nof one example", width=3.7, height=1.1)
    box(axes, 2.2, 3.1, "loss(params, batch)", width=3.7)
    box(axes, 2.2, 5.1, "step(state, batch)\n→ (state, metrics)", color=BLUE, width=3.7, height=1.1)
    arrow(axes, (2.2, 1.65), (2.2, 2.6))
    arrow(axes, (2.2, 3.6), (2.2, 4.45))
    axes.text(2.4, 2.1, "vmap", va="center")
    axes.text(2.4, 4.0, "grad, optax", va="center")
    results = (
        ("vmap(grad)", "a gradient for every example"),
        ("jvp of grad", "curvature: Hessian times vector"),
        ("scan", "an epoch, compiled once"),
        ("vmap", "an ensemble, a sweep"),
        ("sharding", "members over several devices"),
    )
    for row, (transformation, what) in enumerate(results):
        y = 0.8 + 1.15 * row
        color = ORANGE if row < 2 else BLUE
        start = (4.2, 3.1 if row < 2 else 5.1)
        arrow(axes, start, (6.6, y), color=color)
        axes.text(6.8, y, transformation, va="center", family="monospace", color=color, weight="bold")
        axes.text(9.3, y, what, va="center")
    return figure


@style.context()
def sliding_window() -> Figure:
    """A 3 x 3 window at stride 2 over a padded 5 x 5 image."""
    figure = style.figure(2.7)
    axes = figure.subplots()
    blank(axes, 15.5, 7.6)
    for row in range(7):
        for column in range(7):
            inside = 1 <= row <= 5 and 1 <= column <= 5
            look = {"facecolor": "#dcebf5" if inside else "white", "linestyle": "-" if inside else ":"}
            axes.add_patch(Rectangle((0.3 + column, 0.3 + row), 1, 1, edgecolor=style.GRAY, linewidth=0.8, **look))
    axes.add_patch(Rectangle((2.3, 0.3), 3, 3, facecolor=ORANGE, alpha=0.35, edgecolor=ORANGE, linewidth=2))
    for row in range(3):
        for column in range(3):
            color = ORANGE if (row, column) == (0, 1) else "#d5efe6"
            corner = (11.3 + column, 2.3 + row)
            axes.add_patch(Rectangle(corner, 1, 1, edgecolor=style.GRAY, linewidth=0.8, facecolor=color, alpha=0.8))
    arrow(axes, (5.4, 1.8), (12.2, 2.8), color=ORANGE, bend=-0.15)
    axes.text(7.7, 1.0, "sum of window × kernel", color=INK)
    axes.text(12.8, 5.9, "output: 3 × 3", ha="center", color=INK)
    axes.text(8.0, 6.4, "input: 5 × 5,\npadded by 1", color=INK)
    return figure


@style.context()
def triangle() -> Figure:
    """Input, kernel and output with the axis that each pair shares."""
    figure = style.figure(3.2)
    axes = figure.subplots()
    blank(axes, 14.0, 6.6)
    corners = {"input": (2.3, 5.4), "kernel": (7.0, 1.0), "output": (11.7, 5.4)}
    texts = {
        "input": "input\n$x\\,[b, n, i]$",
        "kernel": "kernel\n$k\\,[w, i, o]$",
        "output": "output\n$y\\,[b, t, o]$",
    }
    sides = (
        ("input", "output", "batch $b$", BLUE, (7.0, 5.75)),
        ("input", "kernel", "channels in $i$", ORANGE, (2.9, 2.9)),
        ("kernel", "output", "channels out $o$", GREEN, (11.1, 2.9)),
    )
    for first, second, name, color, at in sides:
        (x0, y0), (x1, y1) = corners[first], corners[second]
        axes.plot([x0, x1], [y0, y1], color=color, linewidth=2.5, zorder=0)
        axes.text(*at, name, color=color, ha="center", va="center", weight="bold")
    for name, (x, y) in corners.items():
        box(axes, x, y, texts[name], width=3.0, height=1.2)
    axes.text(
        7.0,
        3.9,
        "any two give the third:\nconv, conv_transpose and the\ngradient by the kernel",
        ha="center",
        va="center",
    )
    return figure


@style.context()
def folding() -> Figure:
    """What vmap does: the mapped axis becomes part of the axis that the operand shares with the result."""
    figure = style.figure(2.6)
    axes = figure.subplots()
    blank(axes, 16.0, 5.9)
    rows = (
        ("images mapped", ("x[m, b, n, i]", "k[w, i, o]"), "batch of m·b images", BLUE),
        ("kernels mapped", ("x[b, n, i]", "k[m, w, i, o]"), "m·o output channels", GREEN),
        ("both mapped", ("x[m, b, n, i]", "k[m, w, i, o]"), "m groups", ORANGE),
    )
    for row, (title, operands, result, color) in enumerate(rows):
        y = 0.9 + 2.0 * row
        axes.text(0.1, y, title, va="center", weight="bold", color=color)
        box(axes, 5.3, y, operands[0], width=3.0)
        box(axes, 9.0, y, operands[1], width=3.0)
        arrow(axes, (10.8, y), (11.9, y), color=color)
        axes.text(12.1, y, result, va="center")
    return figure


@style.context()
def intervals() -> Figure:
    """Coverage of two intervals of a probability: the nominal 68 % is kept on average by Wilson's, not by the normal one."""
    trials, z = 20, 1.0
    counts = np.arange(trials + 1)
    truth = np.linspace(0.01, 0.99, 393)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    choose = np.exp(log_factorial[trials] - log_factorial - log_factorial[::-1])
    chance = choose * truth[:, None] ** counts * (1 - truth[:, None]) ** (trials - counts)
    seen = counts / trials
    normal = z * np.sqrt(seen * (1 - seen) / trials)
    figure = style.figure(2.6)
    axes = figure.subplots()
    for name, (lower, upper), color, line in (
        ("Wilson", style.wilson(counts, np.full_like(counts, trials)), BLUE, "-"),
        ("value ± standard error", (seen - normal, seen + normal), ORANGE, "--"),
    ):
        inside = (lower <= truth[:, None]) & (truth[:, None] <= upper)
        axes.plot(truth, (chance * inside).sum(1), line, color=color, label=name, linewidth=1.2)
    axes.axhline(0.683, color=style.GRAY, linewidth=1)
    axes.set(xlabel="true probability", ylabel=f"coverage, {trials} examples", xlim=(0, 1), ylim=(0, 1))
    style.legend_above(figure, axes)
    return figure


FIGURES = {
    "one_step": one_step,
    "sliding_window": sliding_window,
    "triangle": triangle,
    "folding": folding,
    "intervals": intervals,
}


def main(folder: Path = FOLDER) -> None:
    """Write every figure to `folder`, the same bytes each time."""
    matplotlib.rcParams["svg.hashsalt"] = "jaxsci"
    for name, draw in FIGURES.items():
        draw().savefig(folder / f"{name}.svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
