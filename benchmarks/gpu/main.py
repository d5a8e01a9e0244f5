"""What a GPU or a TPU does: forms of a convolution, ensembles, per-example gradients, training and the sphere, within ten minutes.

`python -m benchmarks.gpu --help` from the root of the repository; README.md beside this folder says how to read the results.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine, sphere, timing
from benchmarks.arguments import Parser
from benchmarks.convolution.implementations import OPERATIONS, convolutions, jax_call
from benchmarks.convolution.shapes import smaller
from benchmarks.gpu import forms, report
from benchmarks.training import ours, problems
from jaxsci.errors import InputError
from jaxsci.files import write_json, write_text
from jaxsci.ops.sphere import alm_size

RESULTS = Path(__file__).parents[1] / "results"
SECTIONS = ("forms", "convolution", "training", "sphere")
DTYPES = ("float32", "bfloat16")
COMPARED = ("forward+backward", "ensemble of 8", "per-example gradients")
NSIDES = (128, 512, 1024)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the arguments ask for, print the page, and write it.

    Raises:
        InputError: there is neither a GPU nor a TPU, and `--quick` is not asked for.
    """
    options = parse(arguments)
    if jax.default_backend() == "cpu" and not options.quick:
        raise InputError("devices: expected a GPU or a TPU, got only a CPU; --quick shows on a CPU that all runs")
    run(options)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, section after section, as long as there is time; write `gpu.json`, `gpu.md` and `gpu.png` where a folder is given."""
    ends = time.perf_counter() + 60 * options.minutes
    side = 256 if options.quick else 8192
    results: dict[str, Any] = {
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "machine": machine.describe(side),
        "products_gflops": {dtype: machine.product_gflops(side, dtype) for dtype in DTYPES},
        "copy_gb_per_second": machine.copy_rate(2**16 if options.quick else 2**28),
        "left_out": [],
    }
    for section in options.only:
        results[section] = []
        for name, measure in WORK[section](options):
            if time.perf_counter() > ends:
                results["left_out"].append(f"{section}: {name}")
                continue
            print(f"{section}: {name}", flush=True)
            results[section].append(measure())
    if results.get("forms"):
        results["threshold"] = forms.threshold(results["forms"])
        results["form_error"] = {dtype: forms.error(dtype) for dtype in DTYPES}
    results["goals"] = report.goals(results)
    text = report.markdown(results)
    print("\n" + text)
    if options.out is not None:
        write_json(options.out / "gpu.json", results)
        report.draw(results, options.out / "gpu.png")
        write_text(options.out / "gpu.md", text)
    return results


Work = list[tuple[str, Callable[[], dict[str, Any]]]]


def _forms(options: argparse.Namespace) -> Work:
    return [
        (
            f"{name}, {case}, {role}, {dtype}",
            lambda args=(name, case, role, groups, shape, dtype): _form(*args, options),
        )
        for name, case, role, groups, shape in forms.cases(options)
        for dtype in DTYPES
    ]


def _form(name: str, case: str, role: str, groups: int, shape: Any, dtype: str, options: Any) -> dict[str, Any]:
    about = {"layer": name, "what": str(shape), "case": case, "role": role, "dtype": dtype, "groups": groups}
    return about | forms.measure(role, groups, shape, dtype, options)


def _convolutions(options: argparse.Namespace) -> Work:
    return [
        (f"{name}, {operation}, {dtype}", lambda args=(name, operation, dtype): _convolution(*args, options))
        for name in options.layers
        for operation in COMPARED
        for dtype in DTYPES
    ]


def _convolution(name: str, operation: str, dtype: str, options: argparse.Namespace) -> dict[str, Any]:
    shape = smaller(forms.SHAPES[name]) if options.quick else forms.SHAPES[name]
    what = OPERATIONS[operation]
    arrays = {key: jax.device_put(value) for key, value in shape.arrays(what.copies, dtype).items()}
    ways = {way: f for way, f in convolutions(shape).items() if way != "im2col"}
    calls = {way: jax_call(what, f, arrays)[0] for way, f in ways.items()}
    seconds = {way: float(np.median(s)) for way, s in timing.visits(calls, options.repeats, options.budget).items()}
    channels = min(shape.inputs, shape.outputs)
    return {
        "layer": name,
        "what": str(shape),
        "operation": operation,
        "dtype": dtype,
        "channels": channels,
        "gflop": what.work * shape.flops / 1e9,
        "seconds": seconds,
    }


def _training(options: argparse.Namespace) -> Work:
    return [(name, lambda name=name: _epoch(name, options)) for name in problems.PROBLEMS]


def _epoch(name: str, options: argparse.Namespace) -> dict[str, Any]:
    make, examples = problems.PROBLEMS[name]
    if options.quick:
        examples = 2 * make(problems.sample(2)).batch_size
    problem = make(problems.sample(examples))
    call = ours.training(problem, jax.random.key(0))
    seconds = timing.visits({"jaxsci": call}, options.repeats, options.budget)["jaxsci"]
    examples = len(problem.data.weight)
    gflop = 3e-9 * problems.forward_flops(problem) * examples
    return {"network": name, "examples": examples, "gflop": gflop, "seconds": float(np.median(seconds))}


def _sphere(options: argparse.Namespace) -> Work:
    return [
        (f"nside {nside}, {direction}", lambda args=(nside, direction): _transform(*args, options))
        for nside in ((4,) if options.quick else NSIDES)
        for direction in ("synthesis", "analysis")
    ]


def _transform(nside: int, direction: str, options: argparse.Namespace) -> dict[str, Any]:
    lmax, rng = 2 * nside, np.random.default_rng(0)
    size = alm_size(lmax) if direction == "synthesis" else 12 * nside**2
    data = rng.normal(size=(1, size)) + (1j * rng.normal(size=(1, size)) if direction == "synthesis" else 0)
    with jax.enable_x64(True):
        program, compilation, memory = sphere.compiled(direction, data, nside, lmax)
        held = jax.device_put(data)
        calls = {"jaxsci": lambda: jax.block_until_ready(program(held))}
        seconds = timing.visits(calls, options.repeats, options.budget)["jaxsci"]
    return {
        "nside": nside,
        "direction": direction,
        "seconds": float(np.median(seconds)),
        "compile_seconds": compilation,
        "peak_bytes": memory,
    }


WORK: dict[str, Callable[[argparse.Namespace], Work]] = {
    "forms": _forms,
    "convolution": _convolutions,
    "training": _training,
    "sphere": _sphere,
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = Parser("gpu", __doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections (default: all)")
    parser.add_argument(
        "--layers", nargs="+", choices=forms.SHAPES, default=None, help="of the convolutions (default: all; quick: two)"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="nothing new is begun after these (default: 9)")
    parser.add_argument("--budget", type=float, default=0.2, help="seconds for each thing that is timed (default: 0.2)")
    parser.add_argument("--repeats", type=int, default=None, help="rounds (default: 11, or 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes on any device; writes no results by itself")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    options.layers = options.layers or (["square", "volume-first"] if options.quick else list(forms.SHAPES))
    options.repeats = options.repeats or (1 if options.quick else 11)
    if options.out is None and not options.quick:
        options.out = RESULTS
    return options
