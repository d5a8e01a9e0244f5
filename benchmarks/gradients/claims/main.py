"""Whether what gradients say is true: influence and suspect labels by trainings, eigenvalues, error bands and derivatives by exact numbers.

`python -m benchmarks.gradients.claims --help` from the root of the repository.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.arguments import Parser
from benchmarks.gradients.claims import influence, intervals, labels, spectra, training
from jaxsci.data import download
from jaxsci.errors import InputError
from jaxsci.files import write_json, write_text
from jaxsci.memory import keep_memory

RESULTS = Path(__file__).parents[2] / "results"


class Claim(NamedTuple):
    """One part of the page."""

    measure: Callable[[argparse.Namespace], dict[str, Any]]
    words: Callable[[dict[str, Any]], list[str]]


CLAIMS = {
    "influence": Claim(lambda options: influence.measure(options.quick), influence.words),
    "labels": Claim(lambda options: labels.measure(options.quick), labels.words),
    "eigenvalues": Claim(lambda options: spectra.eigenvalues(options.quick), spectra.words),
    "moments": Claim(lambda options: spectra.moments(options.quick), spectra.words),
    "intervals": Claim(lambda options: intervals.measure(options.quick, options.data), intervals.words),
    "derivatives": Claim(lambda options: training.hypergradient(options.quick), training.words_of_derivatives),
    "noise": Claim(lambda options: training.noise_cost(options.quick), training.words_of_noise),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the arguments ask for, print the page, and write it where a folder is given."""
    options = parse(arguments)
    machine.limit_cores(options.threads)
    if not options.quick:
        keep_memory()
    file = None if options.out is None else options.out / "gradient_claims.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else {"claims": {}}
    for name in options.only:
        print(name, flush=True)
        began = time.perf_counter()
        found = CLAIMS[name].measure(options)
        results["claims"][name] = {
            "found": found,
            "minutes": round((time.perf_counter() - began) / 60, 1),
            "threads": options.threads,
            "quick": options.quick,
            "machine": machine.describe(256),
        }
        print("\n\n".join(CLAIMS[name].words(found)), flush=True)
        if file is not None:
            write_json(file, results)
            write_text(file.with_suffix(".md"), markdown(results))


def markdown(results: dict[str, Any]) -> str:
    """The page of what `gradient_claims.json` holds."""
    found = results["claims"]
    lines = [
        "# What gradients say, and whether it is true",
        "Jets are the simulated ones of the package, at particle level: no number is to be compared with a published one."
        " `python -m benchmarks.gradients.claims` repeats it.",
    ]
    for name in CLAIMS:
        if name in found:
            entry = found[name]
            lines += CLAIMS[name].words(entry["found"])
            about = entry["machine"]
            cores = f"{entry['threads']} core{'s' * (entry['threads'] > 1)} of {about['cores']}"
            load = about["load_average"]
            lines.append(
                f"{'**Tiny sizes, to see that all runs.** ' * entry.get('quick', False)}{entry['minutes']} minutes on {cores}"
                f" ({about['processor']}, jax {about['versions']['jax']}, load average"
                f" {'not recorded' if load is None else f'{load[-1]} over the last 15 minutes'})."
            )
    return "\n\n".join(lines) + "\n"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = Parser("gradients.claims", __doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CLAIMS, default=list(CLAIMS), help="which (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="cores (default: 2)")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("JAXSCI_DATA", download.cache_folder())),
        help="folder of the published data sets, for the intervals",
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that all runs; written with --out alone"
    )
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    if options.out is None and not options.quick:
        options.out = RESULTS
    if "intervals" in options.only:  # the others take long
        try:
            intervals.find(options.data)
        except InputError as error:
            parser.error(str(error))
    return options
