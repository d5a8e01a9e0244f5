"""Examples a second of a training epoch, ours against PyTorch, and an ensemble against its members one after another.

`python -m benchmarks.training --help` from the root of the repository; README.md beside this file says how to read the results.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import machine, timing
from benchmarks.arguments import Parser
from benchmarks.training import ensemble, ours, problems, report
from benchmarks.training.problems import Problem
from jaxsci.files import write_json, write_text
from jaxsci.training import Settings, init_state

ENSEMBLE = "ensemble"
RESULTS = Path(__file__).parents[1] / "results"
QUICK_BATCHES = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the arguments ask for on so many cores, print the tables, and write them."""
    options = parse(arguments)
    machine.limit_cores(options.threads)
    jax.config.update(
        "jax_num_cpu_devices", options.threads
    )  # over which an ensemble may be split; one trains the rest
    run(options)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the tables, and write `training.json` and `training.md` where a folder is given."""
    began = time.perf_counter()
    results: dict[str, Any] = {
        "options": {name: value for name, value in vars(options).items() if name not in ("out", "compare")},
        "machine": machine.describe(256 if options.quick else 2048),
        "networks": {},
    }
    load, cores = results["machine"]["load_average"], results["machine"]["usable_cores"]
    if load is not None and load[0] > 0.5:
        _say(
            f"other programs keep {load[0]} of {cores} cores busy: rates will be low and ratios unsure, PyTorch's most of all"
        )
    for name in options.only:
        _say(name)
        if name == ENSEMBLE:
            results[ENSEMBLE] = measure_ensemble(options)
        else:
            results["networks"][name] = measure_network(name, options)
    results["minutes"] = round((time.perf_counter() - began) / 60, 1)
    text = report.markdown(results)
    print("\n" + text)
    if options.out is not None:
        write_json(options.out / "training.json", results)
        write_text(options.out / "training.md", text)
    return results


def measure_network(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Epochs of one network, ours and PyTorch's in turn."""
    make, examples = problems.PROBLEMS[name]
    problem = _problem(make, examples, options)
    examples = len(problem.data.weight)
    key = jax.random.key(options.seed)
    implementations = {"jaxsci": ours.training(problem, key)}
    if "none" not in options.peers:
        implementations |= _peers(name, problem, key, options)
    timings = timing.alternate(implementations, options.repeats, _say)
    return {
        "examples": examples,
        "batch_size": problem.batch_size,
        "microbatches": problem.microbatches,
        "gflop_an_example": 3 * problems.forward_flops(problem) / 1e9,
        "timings": timing.as_json(timings, examples),
        "speedup": {
            peer: timing.quartiles(timing.speedups(timings, "jaxsci", peer)) for peer in timings if peer != "jaxsci"
        },
    }


def _peers(name: str, problem: Problem, key: jax.Array, options: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """PyTorch from the same parameters, eager and compiled, and in our microbatches where there are several."""
    import torch

    from benchmarks.training import peers

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    params = jax.device_get(init_state(problems.recipe(problem), key).params)
    implementations = {}
    for mode in options.peers:
        if mode == "compiled" and not peers.can_compile():
            _say("  torch.compile is left out: it needs a C++ compiler")
            continue
        for microbatches in sorted({1, problem.microbatches}):
            label = f"torch {mode}" if microbatches == 1 else f"torch {mode}, microbatches"
            implementations[label] = peers.make_epoch(
                peers.twin(name, params), problem, microbatches=microbatches, compiled=mode == "compiled"
            )
    return implementations


def measure_ensemble(options: argparse.Namespace) -> dict[str, Any]:
    """An epoch of all members in three ways, and whole trainings, compilation included, in two."""
    problem = _problem(problems.small_set, problems.SMALL_EXAMPLES, options)
    member_examples = options.members * len(problem.data.weight)
    timings = timing.alternate(ensemble.epochs(problem, options.members, options.seed), options.repeats, _say)
    settings = Settings(epochs=2 if options.quick else 10, batch_size=problem.batch_size)
    whole = timing.alternate(
        ensemble.whole_trainings(problem, options.members, options.seed, settings),
        1 if options.quick else 3,
        _say,
        warm_up=False,
    )
    sequential, fits = "one after another", "fit, one after another"
    return {
        "members": options.members,
        "examples": len(problem.data.weight),
        "batch_size": problem.batch_size,
        "epochs": timing.as_json(timings, member_examples),
        "speedup": {
            name: timing.quartiles(timing.speedups(timings, name, sequential)) for name in timings if name != sequential
        },
        "whole": timing.as_json(whole, member_examples * settings.epochs),
        "whole_epochs": settings.epochs,
        "whole_speedup": timing.quartiles(timing.speedups(whole, "fit_ensemble", fits)),
    }


def _problem(make: Callable[[Any], Problem], examples: int, options: argparse.Namespace) -> Problem:
    if options.quick:
        examples = QUICK_BATCHES * make(problems.sample(2)).batch_size
    return make(problems.sample(examples))


def _say(line: str) -> None:
    print(line, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with the defaults that depend on others filled in."""
    parser = Parser("training", __doc__.splitlines()[0])
    names = [*problems.PROBLEMS, ENSEMBLE]
    torch = importlib.util.find_spec("torch") is not None
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="what to measure (default: everything)")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=("eager", "compiled", "none"),
        default=["eager", "compiled"] if torch else ["none"],
        help="PyTorch's ways to compare with (default: both where torch is installed)",
    )
    parser.add_argument("--members", type=int, default=None, help="of the ensemble (default: 16, or 2 with --quick)")
    parser.add_argument("--repeats", type=int, default=None, help="rounds (default: 21, or 3 with --quick)")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for either side (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of parameters and shuffling (default: 1)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_BATCHES} batches an epoch, to see that all runs; writes no results",
    )
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    if not torch and options.peers != ["none"]:
        parser.error("--peers: PyTorch is not installed; pip install torch, or --peers none")
    options.repeats = options.repeats or (3 if options.quick else 21)
    options.members = options.members or (2 if options.quick else 16)
    if options.out is None and not options.quick:
        options.out = RESULTS
    return options
