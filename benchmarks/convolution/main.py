"""Convolution and its derivatives under every transformation: ours against XLA's, plain columns, and PyTorch.

`python -m benchmarks.convolution --help` from the root of the repository, or `jaxsci bench convolution`; README.md beside this file says
how to read the results.
"""

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine, timing
from benchmarks.arguments import Parser
from benchmarks.convolution import figures as convolution_figures
from benchmarks.convolution import report as convolution_report
from benchmarks.convolution.calibrate import calibrate
from benchmarks.convolution.implementations import OPERATIONS, convolutions, jax_call, together
from benchmarks.convolution.shapes import LAYERS, SHAPES, Shape, smaller
from jaxsci.files import write_json, write_text
from jaxsci.memory import keep_memory

RESULTS = Path(__file__).parents[1] / "results"
DTYPES = ("float32", "bfloat16", "float64")
EVERYWHERE = ("forward", "input gradient", "kernel gradient", "forward+backward")  # at the shapes that are no LAYERS
LONGEST_LOOP = 2e11  # operations of XLA's convolution
CHECKED = ("forward", "input gradient", "kernel gradient")  # whose error is measured
IM2COL = (*EVERYWHERE, "8 steps in a scan", "batch gradient", "per-example gradients")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare or calibrate as the arguments ask; 1 where a comparison finds something slower, else 0."""
    options = parse(arguments)
    if options.compare:
        text, slower = convolution_report.compare(*options.compare)
        print(text)
        return int(slower)
    machine.limit_cores(options.threads)
    if options.keep_memory:
        keep_memory()
    if options.calibrate:
        print(f"JAXSCI_CONVOLUTION={calibrate(options.quick)}")
        return 0

    def save(results: dict[str, Any]) -> None:
        if options.out is not None:
            write_json(options.out / f"{options.name}.json", results)
            write_text(options.out / f"{options.name}.md", convolution_report.markdown(results))

    results = run(options, save)
    print("\n" + convolution_report.markdown(results))
    if options.out is not None:
        convolution_figures.draw(results, options.out, options.name)
    return 0


def run(options: argparse.Namespace, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """All measurements as a JSON object; `save` gets what there is after every shape, since the whole takes a while."""
    began = time.perf_counter()
    results: dict[str, Any] = {
        "options": {
            name: value for name, value in vars(options).items() if name not in ("out", "compare", "calibrate")
        },
        "machine": _describe(options),
        "measurements": [],
    }
    with jax.enable_x64("float64" in options.dtypes):
        for dtype in options.dtypes:
            for name in options.only:
                print(f"{name}: {SHAPES[name]}, {dtype}", flush=True)
                results["measurements"] += measure_shape(name, dtype, options)
                results["minutes"] = round((time.perf_counter() - began) / 60, 1)
                save(results)
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
        for group in together(o for o in wanted if OPERATIONS[o].copies == copies):
            measured = measure(shape, group, arrays, peers, options)
            records += [{"shape": name, "what": str(shape), "dtype": dtype} | record for record in measured]
    return records


def operations(name: str, options: argparse.Namespace) -> list[str]:
    """What to do at the shape of that name: what was asked for, or else everything at the LAYERS and less at the others."""
    return options.operations or list(OPERATIONS if name in LAYERS or options.quick else EVERYWHERE)


def measure(
    shape: Shape,
    group: Sequence[str],
    arrays: Mapping[str, np.ndarray],
    peers: Mapping[str, Callable[[], Any]],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """The contestants of some operations at one shape, all in turn; a contestant's operations follow each other."""
    records = {}
    calls: dict[tuple[str, str], Callable[[], Any]] = {}
    for operation in group:
        found, entries = contestants(shape, operation, arrays, peers.get(operation))
        calls |= {(name, operation): call for name, call in found.items()}
        gflop = OPERATIONS[operation].work * shape.flops / 1e9
        records[operation] = {"operation": operation, "gflop": gflop, "contestants": entries}
    names = list(dict.fromkeys(name for name, _ in calls))
    in_turn = dict(sorted(calls.items(), key=lambda item: names.index(item[0][0])))
    for (name, operation), visits in timing.visits(in_turn, options.repeats, options.budget).items():
        seconds = timing.quartiles(visits)
        rate = records[operation]["gflop"] / seconds["median"]
        records[operation]["contestants"][name] |= {"seconds": seconds, "calls": len(visits), "gflops": rate}
    for operation, record in records.items():
        medians = {name: entry["seconds"]["median"] for name, entry in record["contestants"].items()}
        line = ", ".join(f"{name} {median * 1e3:.1f} ms" for name, median in medians.items())
        print(f"  {operation:28s} {line}", flush=True)
    return list(records.values())


def contestants(
    shape: Shape, operation: str, arrays: Mapping[str, np.ndarray], torch_call: Callable[[], Any] | None
) -> tuple[dict[str, Callable[[], Any]], dict[str, dict[str, Any]]]:
    """Who takes part in one operation: the calls to time, and what is known about each before."""
    device = jax.device_put(dict(arrays))
    checked = operation in CHECKED and arrays["x"].dtype != np.float64  # which is what the others are held against
    exact = _exact(operation, shape, arrays) if checked else None
    calls: dict[str, Callable[[], Any]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for name, f in convolutions(shape).items():
        if (name == "im2col" and operation not in IM2COL) or (name == "lax" and _takes_minutes(operation, shape)):
            continue
        began = time.perf_counter()
        calls[name], compiled = jax_call(OPERATIONS[operation], f, device)
        entries[name] = {"compilation_seconds": time.perf_counter() - began, "memory_mib": _memory(compiled)}
        if exact is not None:
            entries[name]["error"] = _error(calls[name](), exact)
    if torch_call is not None:
        calls["torch"] = torch_call
        entries["torch"] = {} if exact is None else {"error": _torch_error(operation, torch_call(), exact)}
    return calls, entries


def _takes_minutes(operation: str, shape: Shape) -> bool:
    """Whether a single call of XLA's convolution would: in a loop on a CPU."""
    looped = operation == "8 steps in a scan" and jax.default_backend() == "cpu"
    return looped and OPERATIONS[operation].work * shape.flops > LONGEST_LOOP


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
    from benchmarks.convolution import torch_layers as convolution_torch

    return _error(convolution_torch.channels_last(operation, result), exact)


def _torch_calls(shape: Shape, arrays: Mapping[str, np.ndarray]) -> dict[str, Callable[[], Any]]:
    from benchmarks.convolution import torch_layers as convolution_torch

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
    parser = Parser("convolution", __doc__.splitlines()[0])
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
        "--budget", type=float, default=1.0, help="seconds a contestant may take at one operation (default: 1)"
    )
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for every side (default: 2)")
    parser.add_argument(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep freed memory for the next call of any contestant, where the C library can (default: unless --quick)",
    )
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to see that all runs; writes no results")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="measure nothing but what decides between the forms here, in ten seconds; prints it for the environment",
    )
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
        from benchmarks.convolution import torch_layers as convolution_torch

        convolution_torch.set_threads(options.threads)
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)  # of PyTorch itself
    if options.keep_memory is None:
        options.keep_memory = not options.quick
    options.repeats = options.repeats or (2 if options.quick else 9)
    if options.out is None and not options.quick:
        options.out = RESULTS
    return options
