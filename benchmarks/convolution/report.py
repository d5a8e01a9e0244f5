"""The results of the convolution benchmark: tables, and what became slower."""

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.convolution import figures as convolution_figures
from benchmarks.convolution.shapes import LAYERS

OURS = convolution_figures.OURS
KEPT = " Memory that is freed is kept for the next call, of all contestants alike."
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
    products = [f"{dtype} {convolution_figures.peak(results, dtype):.0f}" for dtype in options["dtypes"]]
    lines = [
        f"# Convolution, measured on {', '.join(machine['devices'])}",
        f"{machine['processor']}, {options['threads']} cores used; {machine['system']}; Python {machine['python']}, {versions}.",
        f"A matrix product of side {machine['matrix_product']['size']}: {', '.join(products)} GFLOP/s; "
        f"a copy: {machine['copy_gb_per_second']:.0f} GB/s, read and written. "
        f"Up to {options['repeats']} rounds, {results['minutes']} minutes.{KEPT if options.get('keep_memory') else ''}",
        "Padding is SAME, the loss is the sum of squares. Times are medians; in brackets the range of their middle half. Operations "
        "are counted as those of direct sums, so that fewer of them show as a higher rate. Memory is what XLA plans for arguments, "
        "results and intermediate arrays. The error is the largest, in standard deviations of the exact result.",
        *(f"![{figure}]({name}_{figure}.png)" for figure in convolution_figures.figures(results)),
    ]
    return "\n\n".join(lines)


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
    peak = convolution_figures.peak(results, dtype)
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
