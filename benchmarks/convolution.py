"""Convolution and its derivatives under every transformation: ours against XLA's, plain columns, and PyTorch.

`python -m benchmarks.convolution --help` from the root of the repository, or `jaxsci bench convolution`; README.md beside this file says
how to read the results.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import convolution_report, machine, timing
from benchmarks.convolution_contestants import OPERATIONS, convolutions, jax_call
from benchmarks.convolution_shapes import LAYERS, SHAPES, Shape, smaller
from jaxsci.files import write_json, write_text

RESULTS = Path(__file__).parent / "results"
DTYPES = ("float32", "bfloat16", "float64")
EVERYWHERE = ("forward", "input gradient", "kernel gradient", "forward+backward")  # at the shapes that are no LAYERS
CHECKED = ("forward", "input gradient", "kernel gradient")  # whose error is measured
IM2COL = (*EVERYWHERE, "8 steps in a scan", "batch gradient", "per-example gradients")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure or compare as the arguments ask; 1 where a comparison finds something slower, else 0."""
    options = parse(arguments)
    if options.compare:
        text, slower = convolution_report.compare(*options.compare)
        print(text)
        return int(slower)
    machine.limit_cores(options.threads)
    results = run(options)
    text = convolution_report.markdown(results)
    print("\n" + text)
    if options.out is not None:
        write_json(options.out / f"{options.name}.json", results)
        write_text(options.out / f"{options.name}.md", text)
        convolution_report.draw(results, options.out, options.name)
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All measurements as a JSON object."""
    began = time.perf_counter()
    results: dict[str, Any] = {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "machine": _describe(options),
        "measurements": [],
    }
    with jax.enable_x64("float64" in options.dtypes):
        for dtype in options.dtypes:
            for name in options.only:
                print(f"{name}: {SHAPES[name]}, {dtype}", flush=True)
                results["measurements"] += measure_shape(name, dtype, options)
    results["minutes"] = round((time.perf_counter() - began) / 60, 1)
    return results


def _describe(options: argparse.Namespace) -> dict[str, Any]:
    """The machine, with the rates of a copy and of a matrix product in each dtype, large enough to reach the peak."""
    side = 256 if options.quick else 2048 if jax.default_backend() == "cpu" else 8192
    copied = 2**16 if options.quick else 2**26
    with jax.enable_x64("float64" in options.dtypes):
        others = {t: round(machine.product_gflops(side, t), 1) for t in options.dtypes if t != "float32"}
    rates = {"copy_gb_per_second": round(machine.copy_rate(copied), 1), "product_gflops": others}
    return machine.describe(side) | rates


def measure_shape(name: str, dtype: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One record an operation."""
    shape = smaller(SHAPES[name]) if options.quick else SHAPES[name]
    wanted = operations(name, options)
    records = []
    for copies in sorted({OPERATIONS[o].copies for o in wanted}):
        arrays = shape.arrays(copies, dtype)
        peers = _torch_calls(shape, arrays) if options.torch else {}
        for operation in (o for o in wanted if OPERATIONS[o].copies == copies):
            record = measure(shape, operation, arrays, peers.get(operation), options)
            records.append({"shape": name, "what": str(shape), "operation": operation, "dtype": dtype} | record)
    return records


def operations(name: str, options: argparse.Namespace) -> list[str]:
    """What to do at the shape of that name: what was asked for, or else everything at the LAYERS and less at the others."""
    return options.operations or list(OPERATIONS if name in LAYERS or options.quick else EVERYWHERE)


def measure(
    shape: Shape,
    operation: str,
    arrays: Mapping[str, np.ndarray],
    torch_call: Callable[[], Any] | None,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """The contestants of one operation at one shape, in turn."""
    device = jax.device_put(dict(arrays))
    exact = _exact(operation, shape, arrays) if operation in CHECKED else None
    contestants: dict[str, Callable[[], Any]] = {}
    record: dict[str, Any] = {"gflop": OPERATIONS[operation].work * shape.flops / 1e9, "contestants": {}}
    for name, f in convolutions(shape).items():
        if name == "im2col" and operation not in IM2COL:
            continue
        began = time.perf_counter()
        contestants[name], compiled = jax_call(OPERATIONS[operation], f, device)
        entry = {"compilation_seconds": time.perf_counter() - began, "memory_mib": _memory(compiled)}
        if exact is not None:
            entry["error"] = _error(contestants[name](), exact)
        record["contestants"][name] = entry
    if torch_call is not None:
        contestants["torch"] = torch_call
        record["contestants"]["torch"] = (
            {} if exact is None else {"error": _torch_error(operation, torch_call(), exact)}
        )
    for name, calls in timing.visits(contestants, options.repeats, options.budget).items():
        seconds = timing.quartiles(calls)
        record["contestants"][name] |= {
            "seconds": seconds,
            "calls": len(calls),
            "gflops": record["gflop"] / seconds["median"],
        }
    line = ", ".join(
        f"{name} {entry['seconds']['median'] * 1e3:.1f} ms" for name, entry in record["contestants"].items()
    )
    print(f"  {operation:28s} {line}", flush=True)
    return record


def _memory(compiled: Any) -> float | None:
    """MiB of arguments, results and intermediate arrays of a compiled program, as XLA has planned them."""
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    sizes = (plan.argument_size_in_bytes, plan.output_size_in_bytes, plan.temp_size_in_bytes)
    return round(sum(sizes) / 2**20, 1)


def _exact(operation: str, shape: Shape, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The result for the same numbers by our own float64, which the tests hold against plain loops."""
    with jax.enable_x64(True):
        wide = {name: jax.device_put(a.astype(np.float64)) for name, a in arrays.items()}
        call, _ = jax_call(OPERATIONS[operation], convolutions(shape)["jaxsci"], wide)
        return np.asarray(call())


def _error(result: Any, exact: np.ndarray) -> float:
    """The largest difference, in standard deviations of the exact result."""
    return float(np.max(np.abs(np.asarray(result, np.float64) - exact)) / np.std(exact))


def _torch_error(operation: str, result: Any, exact: np.ndarray) -> float:
    from benchmarks import convolution_torch

    return _error(convolution_torch.channels_last(operation, result), exact)


def _torch_calls(shape: Shape, arrays: Mapping[str, np.ndarray]) -> dict[str, Callable[[], Any]]:
    from benchmarks import convolution_torch

    return convolution_torch.calls(shape, arrays)


def _results(path: str) -> dict[str, Any]:
    """What an earlier run has written."""
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
        if "measurements" not in results:
            raise ValueError("it holds no measurements")
    except (OSError, ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"expected the JSON file of an earlier run, got {path} ({error})") from error
    return results


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with the defaults that depend on others filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convolution", description=__doc__.splitlines()[0])
    torch = importlib.util.find_spec("torch") is not None
    parser.add_argument("--only", nargs="+", choices=SHAPES, default=list(SHAPES), help="shapes (default: all)")
    parser.add_argument(
        "--operations",
        nargs="+",
        choices=OPERATIONS,
        help=f"what to do (default: everything at {', '.join(LAYERS)}; {', '.join(EVERYWHERE)} at the other shapes)",
    )
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32"], help="(default: float32)")
    parser.add_argument("--torch", action=argparse.BooleanOptionalAction, default=torch, help="compare with PyTorch")
    parser.add_argument("--repeats", type=int, default=None, help="rounds (default: 9, or 2 with --quick)")
    parser.add_argument(
        "--budget", type=float, default=2.0, help="seconds a contestant may take at one operation (default: 2)"
    )
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for every side (default: 2)")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to see that all runs; writes no results")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default: benchmarks/results)")
    parser.add_argument("--name", default="convolution", help="of the files there (default: convolution)")
    parser.add_argument(
        "--compare",
        nargs=2,
        type=_results,
        metavar="JSON",
        help="two results: what became slower from the first to the second",
    )
    options = parser.parse_args(arguments)
    if options.torch:
        if not torch:
            parser.error("--torch: PyTorch is not installed; pip install torch, or --no-torch")
        from benchmarks import convolution_torch

        convolution_torch.set_threads(options.threads)
    options.repeats = options.repeats or (2 if options.quick else 9)
    if options.out is None and not options.quick:
        options.out = RESULTS
    return options


if __name__ == "__main__":
    sys.exit(main())
