"""The results of the convolution benchmark: tables, figures, and what became slower."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.convolution_shapes import LAYERS, SHAPES, smaller

OURS = "jaxsci"
CONTESTANTS = (OURS, "lax", "im2col", "torch")
SLOWER = 1.1  # a ratio of medians that is more than noise, where the middle halves do not overlap either

# What the library is after, over the LAYERS in float32: (label, operation and contestant, against operation and contestant).
SUMMARY = (
    ("forward+backward, against PyTorch", ("forward+backward", OURS), ("forward+backward", "torch")),
    ("forward+backward, against lax", ("forward+backward", OURS), ("forward+backward", "lax")),
    ("8 steps in a scan, against 8 steps outside", ("8 steps in a scan", OURS), ("8 steps", OURS)),
    ("the same of lax", ("8 steps in a scan", "lax"), ("8 steps", "lax")),
    ("ensemble of 8, against 8 in a row", ("ensemble of 8", OURS), ("8 kernels in a row", OURS)),
    ("the same with shared data", ("ensemble of 8, shared data", OURS), ("8 kernels in a row", OURS)),
    ("the same of lax", ("ensemble of 8", "lax"), ("8 kernels in a row", "lax")),
    ("per-example gradients, against the batch gradient", ("per-example gradients", OURS), ("batch gradient", OURS)),
    ("the same of lax", ("per-example gradients", "lax"), ("batch gradient", "lax")),
    ("Gauss-Newton product, against lax", ("Gauss-Newton product", OURS), ("Gauss-Newton product", "lax")),
    ("Hessian-vector product, against lax", ("Hessian-vector product", OURS), ("Hessian-vector product", "lax")),
)


def markdown(results: dict[str, Any]) -> str:
    """The page beside the JSON."""
    dtypes = dict.fromkeys(m["dtype"] for m in results["measurements"])
    parts = [f"## Every shape, {dtype}\n\n{_everything(results, dtype)}" for dtype in dtypes]
    return "\n\n".join([_machine(results), _summary(results), *parts]) + "\n"


def _machine(results: dict[str, Any]) -> str:
    machine, options = results["machine"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    name = options["name"]
    products = [f"{dtype} {_peak(results, dtype):.0f}" for dtype in options["dtypes"]]
    lines = [
        f"# Convolution, measured on {', '.join(machine['devices'])}",
        f"{machine['processor']}, {options['threads']} cores used; {machine['system']}; Python {machine['python']}, {versions}.",
        f"A matrix product of side {machine['matrix_product']['size']}: {', '.join(products)} GFLOP/s; "
        f"a copy: {machine['copy_gb_per_second']:.0f} GB/s, read and written. "
        f"Up to {options['repeats']} rounds, {results['minutes']} minutes.",
        "Padding is SAME, the loss is the sum of squares. Times are medians; in brackets the range of their middle half. Operations "
        "are counted as those of direct sums, so that fewer of them show as a higher rate. Memory is what XLA plans for arguments, "
        "results and intermediate arrays. The error is the largest, in standard deviations of the exact result.",
        f"![ratio for each shape]({name}_ratio.png)",
        f"![roofline]({name}_roofline.png)",
    ]
    return "\n\n".join(lines)


def _peak(results: dict[str, Any], dtype: str) -> float:
    """The rate of a large matrix product in this dtype, in GFLOP/s."""
    machine = results["machine"]
    product = machine["matrix_product"]
    return product["gflops"] if dtype == product["dtype"] else machine["product_gflops"][dtype]


def ratios(results: dict[str, Any], ours: tuple[str, str], theirs: tuple[str, str]) -> dict[str, float]:
    """Ratio of the median times for each of the LAYERS that has both, in float32."""
    found = {(m["shape"], m["operation"]): m["contestants"] for m in results["measurements"] if m["dtype"] == "float32"}

    def seconds(shape: str, operation: str, contestant: str) -> float:
        entry = found.get((shape, operation), {}).get(contestant, {})
        return entry.get("seconds", {}).get("median", math.nan)

    pairs = {shape: seconds(shape, *ours) / seconds(shape, *theirs) for shape in LAYERS}
    return {shape: ratio for shape, ratio in pairs.items() if math.isfinite(ratio)}


def _summary(results: dict[str, Any]) -> str:
    rows = []
    for label, ours, theirs in SUMMARY:
        found = ratios(results, ours, theirs)
        if found:
            mean = math.exp(math.fsum(map(math.log, found.values())) / len(found))
            worst = max(found, key=lambda shape: found[shape])
            rows.append([label, f"{mean:.2f}", f"{found[worst]:.2f} ({worst})", str(len(found))])
    header = ["ratio of times, float32", "geometric mean", "worst", "shapes"]
    return "## The small networks' layers\n\n" + _table(header, rows)


def _everything(results: dict[str, Any], dtype: str) -> str:
    header = [
        "shape",
        "operation",
        "",
        "ms",
        "GFLOP/s",
        "of the product",
        "compilation, s",
        "MiB",
        "error",
        "jaxsci takes",
    ]
    peak = _peak(results, dtype)
    rows = []
    for m in (m for m in results["measurements"] if m["dtype"] == dtype):
        ours = m["contestants"][OURS]["seconds"]["median"]
        for name, entry in m["contestants"].items():
            first = [f"{m['shape']}: {m['what']}", m["operation"]] if name == OURS else ["", ""]
            low, median, high = (entry["seconds"][key] * 1e3 for key in ("low", "median", "high"))
            rows.append(
                [
                    *first,
                    name,
                    f"{median:.1f} [{low:.1f}, {high:.1f}]",
                    f"{entry['gflops']:.0f}",
                    f"{entry['gflops'] / peak:.0%}",
                    _optional(entry.get("compilation_seconds"), ".1f"),
                    _optional(entry.get("memory_mib"), ".0f"),
                    _optional(entry.get("error"), ".0e"),
                    "" if name == OURS else f"{ours / entry['seconds']['median']:.2f} of it",
                ]
            )
    return _table(header, rows)


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw(results: dict[str, Any], folder: Path, name: str) -> None:
    """The two figures of the page."""
    from jaxsci.plots import png

    png.save(_ratio_figure(results), folder / f"{name}_ratio.png")
    png.save(_roofline_figure(results), folder / f"{name}_roofline.png")


def _look(contestant: str) -> dict[str, Any]:
    """The same colour and marker for a contestant in every figure."""
    from jaxsci.plots import style

    i = CONTESTANTS.index(contestant)
    return {"color": style.colour(i), "marker": "o^sD"[i], "linestyle": "", "alpha": 0.8, "label": contestant}


def _points(results: dict[str, Any], operation: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for m in results["measurements"]:
        if m["operation"] == operation and m["dtype"] == "float32":
            yield m["shape"], m


def _ratio_figure(results: dict[str, Any]) -> Any:
    """Time of forward and backward pass over ours, for each shape."""
    from jaxsci.plots import style

    with style.context():
        figure = style.figure(5.5)
        axes = figure.subplots()
        measured = dict(_points(results, "forward+backward"))
        peers = dict.fromkeys(n for m in measured.values() for n in m["contestants"] if n != OURS)
        for peer in peers:
            pairs = [
                (m["contestants"][peer]["seconds"]["median"] / m["contestants"][OURS]["seconds"]["median"], row)
                for row, m in enumerate(measured.values())
                if peer in m["contestants"]
            ]
            axes.plot(*zip(*pairs, strict=True), **_look(peer))
        axes.axvline(1, color=style.GREY, linewidth=1)
        axes.set_yticks(range(len(measured)), [f"{shape}  {m['what']}" for shape, m in measured.items()])
        axes.invert_yaxis()
        axes.set(
            xscale="log",
            xlabel="jaxsci is faster by, forward and backward pass",
        )
        ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
        axes.grid(True)
        axes.legend(loc="best")
    return figure


def _roofline_figure(results: dict[str, Any]) -> Any:
    """Rate against operations a byte, under the two measured limits, for the forward pass and both gradients."""
    import numpy as np

    from jaxsci.plots import style

    product, copy = _peak(results, "float32"), results["machine"]["copy_gb_per_second"]
    with style.context():
        figure = style.figure(3.4)
        panels = figure.subplots(1, 3, sharex=True, sharey=True)
        intensity = np.geomspace(0.5, 1000, 200)
        for axes, operation in zip(panels, ("forward", "input gradient", "kernel gradient"), strict=True):
            axes.plot(intensity, np.minimum(product, copy * intensity), color=style.GREY, label="product and copy")
            for name in (OURS, "lax", "torch"):
                points = [
                    (_intensity(results, shape), m["contestants"][name]["gflops"])
                    for shape, m in _points(results, operation)
                    if name in m["contestants"]
                ]
                if points:
                    axes.plot(*zip(*points, strict=True), **_look(name))
            axes.set(xscale="log", yscale="log", title=operation)
            axes.grid(True)
        panels[0].set_ylabel("GFLOP/s")
        panels[1].set_xlabel("operations a byte that must be read or written")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        style.footnote(figure, "Operations of direct sums, float32; fewer products can lift a point above the line.")
    return figure


def _intensity(results: dict[str, Any], name: str) -> float:
    """Operations of direct sums for each byte of the three arrays, which an application reads or writes at least once."""
    shape = smaller(SHAPES[name]) if results["options"]["quick"] else SHAPES[name]
    return shape.flops / (4 * shape.numbers)


def compare(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, bool]:
    """A table of our times in both results, and whether any became slower beyond noise.

    Slower means: the medians differ by more than 10 %, and the ranges of the middle halves do not overlap. Where both results hold lax,
    the ratio to lax must have grown as well, since the whole machine may have been slower.
    """
    old = {(m["shape"], m["operation"], m["dtype"]): m["contestants"] for m in before["measurements"]}
    rows, slower = [], False
    for m in after["measurements"]:
        was = old.get((m["shape"], m["operation"], m["dtype"]))
        if was is None:
            continue
        a, b = was[OURS]["seconds"], m["contestants"][OURS]["seconds"]
        ratio = b["median"] / a["median"]
        lax = [entry["lax"]["seconds"]["median"] if "lax" in entry else 1.0 for entry in (was, m["contestants"])]
        flagged = ratio > SLOWER and b["low"] > a["high"] and ratio * lax[0] / lax[1] > SLOWER
        slower |= flagged
        times = [f"{t['median'] * 1e3:.1f}" for t in (a, b)]
        rows.append([m["shape"], m["operation"], m["dtype"], *times, f"{ratio:.2f}", "slower" if flagged else ""])
    table = _table(["shape", "operation", "dtype", "before, ms", "after, ms", "ratio", ""], rows)
    machines = [f"{r['machine']['processor']}, {', '.join(r['machine']['devices'])}" for r in (before, after)]
    if machines[0] != machines[1]:
        table = f"Two machines: {machines[0]}; {machines[1]}. Times on one say little about the other.\n\n{table}"
    return table, slower
