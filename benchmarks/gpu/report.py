"""The page and the figure of a run: what was reached, where the rule between the forms is wrong, and every number."""

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

ENOUGH_CHANNELS = 64  # from which a share of the peak is expected


def goals(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each with the value measured and whether it is reached; those without a measurement are left out."""
    found: list[dict[str, Any]] = []

    def add(text: str, values: list[float], least: float) -> None:
        if values:
            found.append({"goal": text, "worst": min(values), "reached": min(values) >= least})

    rows = results.get("convolution", [])

    def speedups(*operations: str) -> list[float]:
        return [r["seconds"]["lax"] / r["seconds"]["jaxsci"] for r in rows if r["operation"] in operations]

    add("forward and backward: lax's time over ours, at least 0.95", speedups("forward+backward"), 0.95)
    add("ensembles and per-example gradients: at least 3", speedups("ensemble of 8", "per-example gradients"), 3.0)
    peak = results["products_gflops"]["bfloat16"]
    shares = [
        r["gflop"] / r["seconds"]["jaxsci"] / peak
        for r in rows
        if r["operation"] == "forward+backward" and r["dtype"] == "bfloat16" and r["channels"] >= ENOUGH_CHANNELS
    ]
    add("bfloat16, 64 channels and more: at least 0.6 of a matrix product's rate", shares, 0.6)
    rule = [min(r["seconds"].values()) / r["seconds"].get(r["rule"], math.inf) for r in results.get("forms", [])]
    add("the form of the rule: the best form's time over its, at least 0.8", rule, 0.8)
    return found


def markdown(results: dict[str, Any]) -> str:
    """The page of `results/gpu.md` from what `gpu.json` holds."""
    about = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    products = ", ".join(f"{rate / 1e3:.2f} TFLOP/s in {dtype}" for dtype, rate in results["products_gflops"].items())
    lines = [
        "# Convolutions, training and the sphere on an accelerator",
        f"{', '.join(about['devices'])}; {about['processor']}; Python {about['python']}, {versions}.",
        f"A matrix product runs at {products} (float32 at the default precision, which is TF32 on NVIDIA GPUs), "
        f"a copy at {results['copy_gb_per_second']:.0f} GB/s. Medians; times include the start of a program.",
        _table(["goal", "worst", "reached"], [[g["goal"], _number(g["worst"]), _yes(g)] for g in results["goals"]]),
    ]
    if "threshold" in results:
        best = results["threshold"]
        errors = ", ".join(f"{value:.0e} in {dtype}" for dtype, value in results["form_error"].items())
        lines += [
            "## Forms of a contraction of several groups",
            f"Groups in turn from patches of {best['bytes'] / 2**20:.1f} MiB on would take {best['mean']:.2f} of the better "
            f"form's time, the rule takes {best['mean_of_rule']:.2f}. Forms differ by {errors} standard deviations. Predicted: "
            "from the published rates of an H100.",
            _table(["layer", "case", "of the", "dtype", "form", "ms", "predicted, ms", ""], list(_forms(results))),
        ]
    if results.get("convolution"):
        rows = [_layer(r, results) for r in results["convolution"]]
        header = ["layer", "operation", "dtype", "ms", "lax, ms", "lax / ours", "share of a product"]
        lines += ["## Layers", _table(header, rows)]
    if results.get("training"):
        rows = [
            [r["network"], r["examples"], _ms(r["seconds"]), f"{r['examples'] / r['seconds']:.0f}"]
            for r in results["training"]
        ]
        lines += ["## Training", _table(["network", "examples", "ms an epoch", "examples a second"], rows)]
    if results.get("sphere"):
        rows = [
            [r["nside"], r["direction"], _ms(r["seconds"]), f"{r['compile_seconds']:.1f}"] for r in results["sphere"]
        ]
        lines += ["## Sphere", "float64, lmax = 2 nside.", _table(["nside", "", "ms", "compilation, s"], rows)]
    if results["left_out"]:
        lines += [f"Not measured, for lack of time: {'; '.join(results['left_out'])}."]
    return "\n\n".join(lines) + "\n"


def draw(results: dict[str, Any], path: Path) -> None:
    """Times of the forms over the bytes of a group's patches, and ours against lax at every layer."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for form in ("grouped", "in turn", "patches"):
        points = [
            (r["patches_bytes"] / 2**20, 1e3 * r["seconds"][form] / r["groups"])
            for r in results.get("forms", [])
            if form in r["seconds"]
        ]
        if points:
            left.loglog(*np.transpose(points), "o", alpha=0.7, label=form)
            left.legend(frameon=False)
    left.set_xlabel("patches of a group, MiB")
    left.set_ylabel("ms a group")
    rows = results.get("convolution", [])
    names = list(dict.fromkeys(r["layer"] for r in rows))
    for operation in dict.fromkeys(r["operation"] for r in rows):
        for dtype, marker in (("float32", "o"), ("bfloat16", "s")):
            some = [r for r in rows if r["operation"] == operation and r["dtype"] == dtype]
            ratios = [r["seconds"]["lax"] / r["seconds"]["jaxsci"] for r in some]
            places = [names.index(r["layer"]) for r in some]
            right.semilogy(places, ratios, marker, alpha=0.7, label=f"{operation}, {dtype}")
    right.axhline(1, color="gray", linewidth=0.8)
    right.set_xticks(range(len(names)), names, rotation=30, ha="right")
    right.set_ylabel("lax's time over ours")
    if rows:
        right.legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _forms(results: dict[str, Any]) -> Any:
    for r in results["forms"]:
        best = min(r["seconds"], key=r["seconds"].get)
        for form, seconds in r["seconds"].items():
            notes = ", ".join(["best"] * (form == best) + ["the rule's"] * (form == r["rule"]))
            first = [r["what"], r["case"], r["role"], r["dtype"]]
            yield [*first, form, _ms(seconds), _ms(r["predicted"][form]), notes]


def _layer(record: dict[str, Any], results: dict[str, Any]) -> list[str]:
    ours, lax = (record["seconds"][way] for way in ("jaxsci", "lax"))
    share = record["gflop"] / ours / results["products_gflops"][record["dtype"]]
    first = [record["what"], record["operation"], record["dtype"]]
    return [*first, _ms(ours), _ms(lax), _number(lax / ours), _number(share)]


def _table(header: list[str], rows: list[list[Any]]) -> str:
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, ["---"] * len(header), *rows])


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def _number(value: float) -> str:
    return f"{value:.2f}"


def _yes(goal: dict[str, Any]) -> str:
    return "yes" if goal["reached"] else "no"
