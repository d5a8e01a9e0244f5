"""What quantities of per-example gradients cost, in multiples of one loss and gradient of the same batch.

`python -m benchmarks.gradients --help` from the root of the repository; README.md beside this file says how to read the results.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine, timing
from benchmarks.arguments import Parser
from benchmarks.gradients.peers import PYTORCH, peers
from jaxsci.core import Array, Batch, LossFn, Params, WeightedSet
from jaxsci.files import write_json, write_text
from jaxsci.gradients import (
    clipped_sum,
    gauss_newton,
    hessian,
    inner_products,
    kfac,
    moments,
    noise_scale,
    per_example_gradients,
    squared_norms,
)
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.memory import keep_memory
from jaxsci.models import convolutional, deep_sets, dense, heads
from jaxsci.ops import conv

RESULTS = Path(__file__).parents[1] / "results"
PLAIN, STORED, HESSIAN = "loss and gradient", "squared norms, by vmap(grad)", "Hessian product"
GAUSS_NEWTON = "Gauss-Newton product"


class Problem(NamedTuple):
    """A network, its loss and a batch."""

    apply: Callable[[Params, Any], Array]
    params: Params
    batch: Batch

    @property
    def loss(self) -> LossFn:
        """The mean cross entropy of a yes/no answer."""
        return objective(self.apply, binary_cross_entropy)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the arguments ask for, print the table, and write it."""
    options = parse(arguments)
    machine.limit_cores(options.threads)
    if not options.quick:
        keep_memory()
    run(options)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the table, and write `gradients.json` and `gradients.md` where a folder is given."""
    began = time.perf_counter()
    before = {} if options.out is None else _networks(options.out / "gradients.json")
    results: dict[str, Any] = {
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "machine": machine.describe(256 if options.quick else 2048),
        "networks": before,
    }
    for name, make in NETWORKS.items():
        if name in options.networks:
            print(name, flush=True)
            results["networks"][name] = measure(name, make(options), options)
    results["minutes"] = round((time.perf_counter() - began) / 60, 1)
    text = markdown(results)
    print("\n" + text)
    if options.out is not None:
        write_json(options.out / "gradients.json", results)
        write_text(options.out / "gradients.md", text)
    return results


def _networks(path: Path) -> dict[str, Any]:
    """What an earlier run found: networks that this one leaves out stay as they were."""
    return json.loads(path.read_text(encoding="utf-8"))["networks"] if path.exists() else {}


def measure(name: str, problem: Problem, options: argparse.Namespace) -> dict[str, Any]:
    """Times and planned memory of every quantity, and the largest difference of the norms from those of stored gradients."""
    programs = {}
    for quantity, function in quantities(problem).items():
        programs[quantity] = jax.jit(function).lower(problem.params, problem.batch).compile()
    bytes_ = {quantity: _planned(program) for quantity, program in programs.items()}
    calls: dict[str, Callable[[], Any]] = {
        quantity: lambda program=program: jax.block_until_ready(program(problem.params, problem.batch))
        for quantity, program in programs.items()
    }
    norms, stored = (np.asarray(calls[quantity]()) for quantity in ("squared norms", STORED))
    error = float(np.max(np.abs(norms / stored - 1)))
    if name == "dense":
        products = {quantity: calls[quantity]() for quantity in (HESSIAN, GAUSS_NEWTON)}
        calls |= peers(problem.params, problem.batch, stored, products)
    seconds = timing.visits(calls, options.repeats, options.budget)
    plain = np.median(seconds[PLAIN])
    theirs = set(calls) - {*programs, PYTORCH}  # in multiples of PyTorch's gradient
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(problem.params)),
        "batch": options.batch_size,
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "plain_milliseconds": 1e3 * plain,
        "plain_bytes": bytes_[PLAIN],
        "norms_relative_error": error,
        "quantities": {
            quantity: {
                "seconds": seconds[quantity],
                "times": timing.quartiles(
                    [
                        value / np.median(seconds[PYTORCH]) if quantity in theirs else value / plain
                        for value in seconds[quantity]
                    ]
                ),
                "memory": bytes_[quantity] / bytes_[PLAIN] if quantity in bytes_ else None,
            }
            for quantity in calls
        },
    }


def quantities(problem: Problem) -> dict[str, Callable[[Params, Batch], Any]]:
    """What is measured, each a function of (params, batch)."""
    loss = problem.loss

    def norms_of_stored(params: Params, batch: Batch) -> Array:
        leaves = jax.tree.leaves(per_example_gradients(loss, params, batch))
        return jnp.asarray(sum(jnp.sum(g.reshape(g.shape[0], -1) ** 2, axis=1) for g in leaves))

    return {
        PLAIN: lambda params, batch: jax.value_and_grad(loss, has_aux=True)(params, batch),
        STORED: norms_of_stored,
        "squared norms": lambda params, batch: squared_norms(loss, params, batch),
        "products with a direction": lambda params, batch: inner_products(loss, params, batch, params),
        "Gram matrix": lambda params, batch: inner_products(loss, params, batch, batch),
        "clipped sum": lambda params, batch: clipped_sum(loss, params, batch, 1.0),
        "moments": lambda params, batch: moments(loss, params, batch),
        "noise scale": lambda params, batch: noise_scale(loss, params, batch),
        HESSIAN: lambda params, batch: hessian(loss, params, batch)(params),
        GAUSS_NEWTON: lambda params, batch: gauss_newton(problem.apply, binary_cross_entropy, params, batch)(params),
        "KFAC factors": lambda params, batch: kfac(
            problem.apply, binary_cross_entropy, params, batch, kind="empirical"
        ),
    }


def _planned(program: Any) -> int:
    """Bytes that XLA plans for intermediate arrays and results."""
    plan = program.memory_analysis()
    return int(plan.output_size_in_bytes + plan.temp_size_in_bytes)


def _batch(x: Any, options: argparse.Namespace) -> Batch:
    rng = np.random.default_rng(options.seed)
    y = rng.integers(0, 2, options.batch_size).astype(np.float32)
    return jax.tree.map(jnp.asarray, Batch(x, y, np.ones(options.batch_size, np.float32)))


def _normal(options: argparse.Namespace, *shape: int) -> np.ndarray:
    return np.random.default_rng(options.seed).normal(size=(options.batch_size, *shape)).astype(np.float32)


def dense_network(options: argparse.Namespace) -> Problem:
    """Four affine layers, 512 wide."""
    width = 16 if options.quick else 512
    model = heads.scalar(dense.model(dense.Config(width, hidden=(width,) * 3)))
    return Problem(model.apply, model.init(jax.random.key(0)), _batch(_normal(options, width), options))


def image_network(options: argparse.Namespace) -> Problem:
    """Two convolutions of 16 and 32 channels on images of 40 x 40, with pooling."""
    side = 8 if options.quick else 40
    blocks = (convolutional.Block(16, pool=2), convolutional.Block(32, pool=2))
    model = heads.scalar(convolutional.model(convolutional.Config((side, side, 1), blocks=blocks)))
    return Problem(model.apply, model.init(jax.random.key(0)), _batch(_normal(options, side, side, 1), options))


def set_network(options: argparse.Namespace) -> Problem:
    """A Particle Flow Network on up to 60 elements, a fifth of them padding."""
    number = 6 if options.quick else 60
    model = heads.scalar(deep_sets.model(deep_sets.Config(features=4)))
    weights = (np.abs(_normal(options, number)) > 0.25).astype(np.float32)
    x = WeightedSet(_normal(options, number, 4), weights)
    return Problem(model.apply, model.init(jax.random.key(0)), _batch(x, options))


def series_network(options: argparse.Namespace) -> Problem:
    """Three convolutions of one dimension and 32 channels on 256 points, and a mean over what comes out."""
    points = 16 if options.quick else 256
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = {"first": (5, 1, 32), "second": (5, 32, 32), "third": (5, 32, 32), "head": (32,)}
    params = {
        name: jax.random.normal(key, shape) / np.sqrt(np.prod(shape[:2])).astype(np.float32)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }

    def apply(params: Params, x: Array) -> Array:
        for name in ("first", "second", "third"):
            x = jax.nn.relu(conv(x[None], params[name])[0])
        return x.mean(axis=0) @ params["head"]

    return Problem(apply, params, _batch(_normal(options, points, 1), options))


NETWORKS = {"dense": dense_network, "cnn": image_network, "pfn": set_network, "series": series_network}


def markdown(results: dict[str, Any]) -> str:
    """The page of `results/gradients.md` from what `gradients.json` holds."""
    about, options = results["machine"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    lines = [
        f"# Per-example gradients, measured on {options['threads']} core{'s' * (options['threads'] > 1)}",
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB; {about['system']}; "
        f"Python {about['python']}, {versions}.",
        f"float32. {options['repeats']} rounds at most, seed {options['seed']}. Times are multiples of one loss and gradient of the same "
        "batch in the same run: medians over the rounds, in brackets the range of their middle half. Memory is what XLA plans for "
        "intermediate arrays and results, as a multiple too. Times of BackPACK, Opacus and curvlinops are multiples of "
        "PyTorch's own gradient, whose row is a multiple of ours. Where the load average exceeds the cores, other programs ran meanwhile.",
    ]
    for name, one in results["networks"].items():
        lines.append(f"## {name}")
        lines.append(
            f"{one['parameters']:,} parameters, {one['batch']} examples. One loss and gradient: {one['plain_milliseconds']:.1f} ms, "
            f"{one['plain_bytes'] / 1e6:.1f} MB. Largest relative difference of the squared norms from those of stored gradients: "
            f"{one['norms_relative_error']:.0e}. Load average: {one['load_average']}."
        )
        rows = [["", "times", "memory"], ["---"] * 3]
        for quantity, found in one["quantities"].items():
            memory = "" if found["memory"] is None else f"{found['memory']:.2f}"
            times = found["times"]
            rows.append([quantity, f"{times['median']:.2f} [{times['low']:.2f}, {times['high']:.2f}]", memory])
        lines.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return "\n\n".join(lines) + "\n"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = Parser("gradients", __doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which (default: all)")
    parser.add_argument("--batch-size", type=int, default=None, help="examples (default: 128)")
    parser.add_argument("--repeats", type=int, default=None, help="rounds (default: 21, or 2 with --quick)")
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for each quantity (default: 2)")
    parser.add_argument("--threads", type=int, default=2, help="cores (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the data (default: 1)")
    parser.add_argument("--quick", action="store_true", help="tiny networks, to see that all runs; writes no results")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    options.batch_size = options.batch_size or (4 if options.quick else 128)
    options.repeats = options.repeats or (2 if options.quick else 21)
    if options.out is None and not options.quick:
        options.out = RESULTS
    return options


if __name__ == "__main__":
    main()
