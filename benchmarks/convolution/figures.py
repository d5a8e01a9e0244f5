"""The figures of the convolution benchmark, in float32: the times of all at each shape, and the rooflines."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.convolution.shapes import SHAPES, smaller
from jaxsci.plots import png, style

OURS = "jaxsci"
CONTESTANTS = (OURS, "lax", "im2col", "torch")
PARTS = ("forward", "input gradient", "kernel gradient")  # that have a roofline
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def figures(results: dict[str, Any]) -> list[str]:
    """Names of the figures for which there are measurements."""
    drawn = {"ratio": ("forward+backward",), "roofline": PARTS}
    return [name for name, operations in drawn.items() if any(_measured(results, o) for o in operations)]


def draw(results: dict[str, Any], folder: Path, name: str) -> None:
    """Write `NAME_FIGURE.png` for each of `figures`."""
    make = {"ratio": ratio, "roofline": roofline}
    for figure in figures(results):
        png.save(make[figure](results), folder / f"{name}_{figure}.png")


def peak(results: dict[str, Any], dtype: str) -> float:
    """The rate of a large matrix product in this dtype, in GFLOP/s."""
    machine = results["machine"]
    product = machine["matrix_product"]
    return product["gflops"] if dtype == product["dtype"] else machine["product_gflops"][dtype]


@style.context()
def ratio(results: dict[str, Any]) -> Figure:
    """How many times faster than the others we are at each shape, forward and backward pass together."""
    measured = _measured(results, "forward+backward")
    figure = style.figure(1.2 + 0.26 * len(measured))
    axes = figure.subplots()
    for peer in CONTESTANTS[1:]:
        points = [
            (entries[peer]["seconds"]["median"] / entries[OURS]["seconds"]["median"], row)
            for row, (_, entries) in enumerate(measured.values())
            if peer in entries
        ]
        _scatter(axes, points, peer)
    axes.axvline(1, color=style.GRAY, linewidth=1)
    axes.set_yticks(range(len(measured)), [f"{shape}  {what}" for shape, (what, _) in measured.items()])
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="jaxsci is faster by, forward and backward pass")
    low, high = axes.get_xlim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(True)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


@style.context()
def roofline(results: dict[str, Any]) -> Figure:
    """Rate against operations a byte, under the two measured limits, for the forward pass and both gradients."""
    product, copy = peak(results, "float32"), results["machine"]["copy_gb_per_second"]
    figure = style.figure(3.4)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    intensity = np.geomspace(0.5, 1000, 200)
    for axes, operation in zip(panels, PARTS, strict=True):
        axes.plot(intensity, np.minimum(product, copy * intensity), color=style.GRAY, label="product and copy")
        measured = _measured(results, operation)
        for name in (OURS, "lax", "torch"):
            points = [
                (_intensity(results, shape), entries[name]["gflops"])
                for shape, (_, entries) in measured.items()
                if name in entries
            ]
            _scatter(axes, points, name)
        axes.set(xscale="log", yscale="log", title=operation)
        axes.grid(True)
    panels[0].set_ylabel("GFLOP/s")
    panels[1].set_xlabel("operations a byte that must be read or written")
    found = (axes.get_legend_handles_labels() for axes in panels)
    labeled = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
    figure.legend(labeled.values(), labeled.keys(), loc="outside upper center", ncols=4)
    style.footnote(figure, "Operations of direct sums, float32; fewer products can lift a point above the line.")
    return figure


def _scatter(axes: Axes, points: list[tuple[float, float]], contestant: str) -> None:
    """Points in the same color and marker for a contestant in every figure."""
    if points:
        i = CONTESTANTS.index(contestant)
        look = {"color": style.color(i), "marker": "o^sD"[i], "linestyle": "", "alpha": 0.8}
        axes.plot(*zip(*points, strict=True), **look, label=contestant)


def _measured(results: dict[str, Any], operation: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Description and contestants of each shape."""
    found = (m for m in results["measurements"] if m["operation"] == operation and m["dtype"] == "float32")
    return {m["shape"]: (m["what"], m["contestants"]) for m in found}


def _intensity(results: dict[str, Any], name: str) -> float:
    """Operations of direct sums for each byte of the three arrays, which an application reads or writes at least once."""
    shape = smaller(SHAPES[name]) if results["options"]["quick"] else SHAPES[name]
    return shape.flops / (4 * shape.numbers)
