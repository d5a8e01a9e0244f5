"""Spherical harmonic transforms of HEALPix maps, ours against healpy, ducc0 and jaxht, in turn within one run.

`python -m benchmarks.sphere --help` from the root of the repository; README.md beside this file says how to read the results.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from benchmarks import machine, timing
from benchmarks.arguments import Parser
from jaxsci.files import write_json, write_text
from jaxsci.memory import keep_memory
from jaxsci.ops.sphere import Healpix, alm_degrees, alm_size, analysis, synthesis

RESULTS = Path(__file__).parent / "results"
CASES = ((64, 64), (128, 1), (256, 1), (512, 1))  # nside, maps together; lmax is 2 nside
OURS = "jaxsci"
BY_DUCC = 'jaxsci, backend="ducc0"'
JAX_LARGEST = 128  # nside up to which jaxht takes part; it compiles for minutes beyond


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the arguments ask for on so many cores, print the table, and write it."""
    options = parse(arguments)
    machine.limit_cores(options.threads)
    if options.keep_memory:
        keep_memory()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # healpy reads it when it is first imported
    jax.config.update("jax_enable_x64", True)
    run(options)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the table, and write `sphere.json` and `sphere.md` where a folder is given."""
    began = time.perf_counter()
    results: dict[str, Any] = {
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "machine": machine.describe(256 if options.quick else 2048),
        "cases": [],
    }
    for nside, maps in options.cases:
        print(f"nside {nside}, {maps} maps", flush=True)
        results["cases"].append(measure(nside, maps, options))
    results["minutes"] = round((time.perf_counter() - began) / 60, 1)
    text = markdown(results)
    print("\n" + text)
    if options.out is not None:
        write_json(options.out / "sphere.json", results)
        write_text(options.out / "sphere.md", text)
    return results


def measure(nside: int, maps: int, options: argparse.Namespace) -> dict[str, Any]:
    """Both directions of one size, without iterations."""
    lmax = 2 * nside
    rng = np.random.default_rng(options.seed)
    alm = rng.normal(size=(maps, alm_size(lmax))) + 1j * rng.normal(size=(maps, alm_size(lmax)))
    alm[:, alm_degrees(lmax)[1] == 0] = alm[:, alm_degrees(lmax)[1] == 0].real
    pixels = rng.normal(size=(maps, 12 * nside**2))
    return {
        "nside": nside,
        "maps": maps,
        "lmax": lmax,
        "synthesis": measure_direction("synthesis", alm, nside, options),
        "analysis": measure_direction("analysis", pixels, nside, options),
    }


def measure_direction(direction: str, data: np.ndarray, nside: int, options: argparse.Namespace) -> dict[str, Any]:
    """Time, error and memory of one direction."""
    lmax = 2 * nside
    transform, compile_seconds, memory = compiled(direction, data, nside, lmax, "jax")
    calls = {OURS: lambda: np.asarray(transform(data))} | peers(direction, data, nside, lmax, options.threads)
    if "ducc0" in calls:
        by_ducc, *_ = compiled(direction, data, nside, lmax, "ducc0")
        calls[BY_DUCC] = lambda: np.asarray(by_ducc(data))
    reference = calls["healpy"]()
    error = float(np.max(np.abs(calls[OURS]() - reference)) / np.std(reference))
    implementations = {name: (lambda call=call: float(np.abs(call()[0, -1]))) for name, call in calls.items()}
    timings = timing.alternate(implementations, options.repeats, lambda line: print(line, flush=True))
    ratios = {name: [1 / s for s in timing.speedups(timings, OURS, name)] for name in timings if name != OURS}
    if BY_DUCC in timings:
        ratios[BY_DUCC] = [1 / s for s in timing.speedups(timings, BY_DUCC, "ducc0")]
    return {
        "compile_seconds": compile_seconds,
        "peak_bytes": memory,
        "error": error,
        "timings": timing.as_json(timings, len(data)),
        "slower_than": {name: timing.quartiles(values) for name, values in ratios.items()},
    }


def compiled(
    direction: str, data: np.ndarray, nside: int, lmax: int, backend: Literal["jax", "ducc0"]
) -> tuple[Callable[..., Any], float, int]:
    """Our transform of all maps together, the seconds it took to compile, and the bytes that XLA plans."""
    grid = Healpix(nside)
    one = (
        (lambda a: synthesis(a, grid, backend=backend))
        if direction == "synthesis"
        else (lambda f: analysis(f, grid, lmax, iterations=0, backend=backend))
    )
    began = time.perf_counter()
    program = jax.jit(jax.vmap(one)).lower(data).compile()
    seconds = time.perf_counter() - began
    plan = program.memory_analysis()
    return program, seconds, plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes


def peers(direction: str, data: np.ndarray, nside: int, lmax: int, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """healpy in a loop over the maps, and ducc0 and jaxht where they are installed."""
    import healpy

    def by_healpy() -> np.ndarray:
        if direction == "synthesis":
            return np.stack([healpy.alm2map(a, nside, lmax=lmax) for a in data])
        return np.stack([healpy.map2alm(f, lmax=lmax, iter=0) for f in data])

    found: dict[str, Callable[[], np.ndarray]] = {"healpy": by_healpy}
    if nside <= JAX_LARGEST:
        found |= in_jax(direction, data, nside, lmax)
    try:
        import ducc0
    except ImportError:
        return found
    geometry = ducc0.healpix.Healpix_Base(nside, "RING").sht_info()
    common = geometry | {"spin": 0, "lmax": lmax, "nthreads": threads}
    area = 4 * np.pi / (12 * nside**2)

    def by_ducc() -> np.ndarray:
        if direction == "synthesis":
            return np.stack([ducc0.sht.synthesis(alm=a[None], **common)[0] for a in data])
        return area * np.stack([ducc0.sht.adjoint_synthesis(map=f[None], **common)[0] for f in data])

    return found | {"ducc0": by_ducc}


def in_jax(direction: str, data: np.ndarray, nside: int, lmax: int) -> dict[str, Callable[[], np.ndarray]]:
    """jaxht, compiled, in a loop over the maps."""
    try:
        import jht
    except ImportError:
        return {}
    if direction == "synthesis":
        one = jax.jit(lambda alm: jht.synthesis(alm, nside, lmax, spin=0))
    else:
        one = jax.jit(lambda pixels: jht.analysis(pixels, nside, lmax, spin=0, niter=0, use_weights=False))
    with warnings.catch_warnings():  # it is tested to lmax = 1.5 nside; its error shows here
        warnings.simplefilter("ignore")
        one(data[0])
    return {"jaxht": lambda: np.stack([np.asarray(one(x)) for x in data])}


def markdown(results: dict[str, Any]) -> str:
    """The page of `results/sphere.md` from what `sphere.json` holds."""
    about, options = results["machine"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    lines = [
        f"# Spherical harmonic transforms, measured on {options['threads']} core{'s' * (options['threads'] > 1)}",
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB; {about['system']}; "
        f"Python {about['python']}, {versions}.",
        f"float64, lmax = 2 nside, no iterations. Load average at the start: {(about['load_average'] or ['unknown'])[0]}. "
        f"{options['repeats']} rounds, seed {options['seed']}, {results['minutes']} minutes. Medians over the rounds; in brackets the "
        "range of their middle half. The error is the largest difference from healpy, in standard deviations.",
    ]
    header = [
        "nside",
        "maps",
        "",
        "ms a map",
        "healpy, ms",
        "times healpy's",
        "times ducc0's",
        "by ducc0, times its own",
        "times jaxht's",
        "compilation, s",
        "memory, MB",
        "error",
    ]
    rows = []
    for case in results["cases"]:
        for direction in ("synthesis", "analysis"):
            one = case[direction]
            ratios = [_ratio(one["slower_than"].get(peer)) for peer in ("healpy", "ducc0", BY_DUCC, "jaxht")]
            times = [_milliseconds(one["timings"][name]) for name in (OURS, "healpy")]
            last = [f"{one['compile_seconds']:.1f}", f"{one['peak_bytes'] / 1e6:.0f}", f"{one['error']:.0e}"]
            rows.append([case["nside"], case["maps"], direction, *times, *ratios, *last])
    table = [header, ["---"] * len(header), *rows]
    lines.append("\n".join("| " + " | ".join(map(str, row)) + " |" for row in table))
    return "\n\n".join(lines) + "\n"


def _milliseconds(timings: dict[str, Any]) -> str:
    return f"{1e3 / timings['rate']['median']:.2f}"


def _ratio(ratio: dict[str, float] | None) -> str:
    return "" if ratio is None else f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = Parser("sphere", __doc__.splitlines()[0])
    parser.add_argument("--nside", nargs="+", type=int, default=None, help="of the maps (default: 64, 128, 256, 512)")
    parser.add_argument("--repeats", type=int, default=None, help="rounds (default: 11, or 2 with --quick)")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for either side (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the data (default: 1)")
    parser.add_argument(
        "--quick", action="store_true", help="two maps of nside 4, to see that all runs; writes no results"
    )
    parser.add_argument(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep freed memory for the next call of any implementation, where the C library can (default: unless --quick)",
    )
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    if options.keep_memory is None:
        options.keep_memory = not options.quick
    options.cases = (
        ((4, 2),) if options.quick else tuple(c for c in CASES if options.nside is None or c[0] in options.nside)
    )
    if not options.cases:
        parser.error(f"--nside: choose among {', '.join(str(nside) for nside, _ in CASES)}")
    options.repeats = options.repeats or (2 if options.quick else 11)
    if options.out is None and not options.quick and options.nside is None:
        options.out = RESULTS
    return options


if __name__ == "__main__":
    main(sys.argv[1:])
