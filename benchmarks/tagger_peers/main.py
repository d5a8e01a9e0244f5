"""Our Particle Flow Network against EnergyFlow's, and our ParticleNet against weaver's: the same jets and inputs, epochs in turn.

    jaxsci bench tagger-peers [--only pfn pfn-same-start particlenet particlenet-layer] [--seeds 1 2 3]

The packages' own code is run: pip install energyflow tensorflow tf_keras, pip install weaver-core torch; what is not installed is left out,
and said. Every training of a seed is of both sides, epoch by epoch, in the same batches. Results are added to those that the folder holds,
a seed at a time, and what it holds is not trained again: after an interruption the same command goes on, and one seed of one network is a
piece of a minute, for which a busy machine can be made quiet. The jets are simulated at particle level: compare the sides with each other,
not with published numbers.
"""

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.arguments import Parser
from benchmarks.tagger_peers import measure, problems, report
from benchmarks.tagger_peers.problems import PROBLEMS, Problem
from jaxsci.files import write_json, write_text
from jaxsci.memory import keep_memory

NAME = "tagger_peers"
PACKAGES = ("energyflow", "tensorflow", "tensorflow-cpu", "tf-keras", "weaver-core")
FLAGS = os.environ.get("XLA_FLAGS", "")
SETTINGS = ("epochs", "batch_size", "learning_rate")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both sides, and write tagger_peers.json and tagger_peers.md after every seed."""
    parser = Parser(NAME, __doc__)
    parser.add_argument("--only", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="of weights and order")
    parser.add_argument("--epochs", type=int, help="default: 8 of pfn, 6 of particlenet")
    parser.add_argument(
        "--jets", type=int, help="at most so many to train on, to validate and to test, for a quick look"
    )
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for either side (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    file = options.out / f"{NAME}.json"
    results = json.loads(file.read_text()) if file.is_file() else {"networks": {}}
    asked = {name: _problem(name, options.epochs) for name in options.only}
    for name, problem in asked.items():
        if options.jets is not None and options.jets < problem.batch_size:
            parser.error(f"--jets: expected at least {problem.batch_size} for {name}, one batch, got {options.jets}")
        settings = {**_settings(problem, options.jets), "threads": options.threads, "xla_flags": FLAGS}
        network = results["networks"].get(name)
        held = settings
        if network is not None:
            held = {**network["settings"], "threads": network["threads"], "xla_flags": network["xla_flags"]}
        if held != settings:
            parser.error(f"{file}: expected trainings of {name} with {settings}, got {held}; give another --out")
    machine.limit_cores(options.threads)
    kept = keep_memory()  # of either side, from call to call, as the command does
    for name, problem in asked.items():
        absent = missing(problem)
        if absent is not None:
            print(f"{name}: left out, for {absent} is not installed; see --help", flush=True)
            continue
        new = {
            "peer": problem.peer,
            "settings": _settings(problem, options.jets),
            "threads": options.threads,
            "xla_flags": FLAGS,
            "memory_kept": kept,
            "runs": [],
        }
        results["networks"].setdefault(name, new)
        _train(name, problem, options, results, file)


def missing(problem: Problem) -> str | None:
    """The first module that the peer needs and that is not installed."""
    return next((module for module in problem.needs if importlib.util.find_spec(module) is None), None)


def _problem(name: str, epochs: int | None) -> Problem:
    problem = PROBLEMS[name]
    return problem if epochs is None else problem._replace(epochs=epochs)


def _settings(problem: Problem, jets: int | None) -> dict[str, Any]:
    return {"jets": jets, **{name: getattr(problem, name) for name in SETTINGS}}


def _train(name: str, problem: Problem, options: Any, results: dict[str, Any], file: Path) -> None:
    """The seeds that are not held yet, written one by one."""
    found = results["networks"][name]
    data = None
    for seed in options.seeds:
        if seed in [run["seed"] for run in found["runs"]]:
            print(f"{name}, seed {seed}: kept", flush=True)
            continue
        data = problems.read(problem, options.jets) if data is None else data
        run = measure.measure(problem, data, seed, options.threads)
        found["runs"] = sorted([*found["runs"], run], key=lambda run: run["seed"])
        results["machine"] = machine.describe(packages=PACKAGES)
        print(f"{name}, seed {seed}: {report.difference_in_words([run])}", flush=True)
        write_json(file, results)
        write_text(file.with_suffix(".md"), report.as_markdown(results))
