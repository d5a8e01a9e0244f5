"""Are the error bars right? Pulls (fitted - true) / error of simulated data sets, for every fitter of the library.

`python -m benchmarks.fit_pulls --help` from the root of the repository; README.md beside this file says how to read the results.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import machine
from benchmarks.arguments import Parser
from benchmarks.fit_pulls import fitters as fit_pulls_fitters
from benchmarks.fit_pulls import tasks as fit_pulls_tasks
from benchmarks.fit_pulls.page import draw, markdown
from benchmarks.fit_pulls.study import judged
from jaxsci.files import write_json, write_text
from jaxsci.plots import png

RESULTS = Path(__file__).parents[1] / "results"
MAKERS = fit_pulls_fitters.MAKERS | fit_pulls_tasks.MAKERS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the arguments ask for, print the page, and write it."""
    options = parse(arguments)
    machine.limit_cores(options.threads)
    jax.config.update("jax_enable_x64", True)
    run(options)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Simulate, print the page, and write `fit_pulls.json`, `.md` and `.png` where a folder is given."""
    began = time.perf_counter()
    studies = {}
    for name in options.only:
        start = time.perf_counter()
        studies[name] = judged(MAKERS[name](options.fits, 100 * options.seed + list(MAKERS).index(name)))
        studies[name]["seconds"] = round(time.perf_counter() - start, 1)
        print(f"{name}, {studies[name]['seconds']} s", flush=True)
    results: dict[str, Any] = {
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "machine": machine.describe(256),
        "studies": studies,
        "minutes": round((time.perf_counter() - began) / 60, 1),
    }
    text = markdown(results)
    print("\n" + text)
    if options.out is not None:
        write_json(options.out / "fit_pulls.json", results)
        write_text(options.out / "fit_pulls.md", text)
        png.save(draw(results), options.out / "fit_pulls.png")
    return results


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = Parser("fit_pulls", __doc__.splitlines()[0])
    parser.add_argument(
        "--fits", type=int, default=None, help="simulated data sets a fitter (default: 1000, or 50 with --quick)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the data (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="cores (default: 1)")
    parser.add_argument("--only", nargs="+", default=list(MAKERS), choices=list(MAKERS), metavar="NAME", help="fitters")
    parser.add_argument("--quick", action="store_true", help="50 fits, to see that all runs; writes no results")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    options.fits = options.fits or (50 if options.quick else 1000)
    if options.out is None and not options.quick and len(options.only) == len(MAKERS):
        options.out = RESULTS
    return options
