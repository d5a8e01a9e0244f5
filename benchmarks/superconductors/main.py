"""An ensemble of Deep Sets of the published size (npj Comput. Mater. 9, 71) against its members one after another.

`python -m benchmarks.superconductors --help` from the root of the repository. The data are simulated compositions of the size of SuperCon:
times depend on shapes alone.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from benchmarks.arguments import Parser
from jaxsci.core import Batch
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.files import write_json
from jaxsci.tasks.superconductors.inputs import over_devices
from jaxsci.tasks.superconductors.networks import make_recipe, network
from jaxsci.training import Settings, fit, fit_ensemble

FEATURES = 32  # of the published table
MATERIALS = 7960  # of the training part of SuperCon as cleaned by Stanev et al.
EPOCHS = 60  # of a whole training


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write."""
    parser = Parser("superconductors", __doc__)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument(
        "--alone", type=int, default=3, help="members that are trained one after another; the rest is computed"
    )
    parser.add_argument("--steps", type=int, default=16, help="steps of the epochs that are measured")
    parser.add_argument("--epochs", type=int, default=4, help="epochs that are measured, the first with compilation")
    parser.add_argument(
        "--vmap", action="store_true", help="all members of a device at once, in place of one after another"
    )
    parser.add_argument("--model", choices=("published", "best"), default="published")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    machine.limit_cores(options.threads)
    jax.config.update("jax_num_cpu_devices", options.threads)
    result = measure(options)
    for name, value in result["seconds"].items():
        print(f"{name:60} {value:10.2f} s")
    for name, value in result["together / one after another"].items():
        print(f"together / one after another, {name:29} {value:10.2f}")
    if options.out is not None:
        write_json(options.out, {"machine": machine.describe(), **result})


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of compilation and of an epoch, of one member alone and of all together; and of whole trainings, computed from them.

    One member alone as published, each composition padded to 12 elements, and packed as the ensemble has it.
    """
    rng = np.random.default_rng(0)
    net = network(options.model, "tc", rng.normal(size=(ELEMENTS, FEATURES)).astype(np.float32))
    size = net.settings.batch_size
    rows = size * options.steps
    train, validation = _simulated(rng, rows), _simulated(rng, size)
    settings = Settings(options.epochs, size)
    keys = jax.random.split(jax.random.key(0), options.members)
    whole = EPOCHS * MATERIALS / rows  # epochs that are measured in a training
    recipe = make_recipe(net, "tc", rows)
    kinds = {"padded": make_recipe(net._replace(batched=None), "tc", rows), "packed": recipe}
    seconds, ratios = {}, {}
    spread = over_devices(keys)
    first_all, epoch_all = _timed(
        lambda: fit_ensemble(
            lambda hyper: recipe, {}, train, validation, keys=spread, settings=settings, sequential=not options.vmap
        )
    )
    together = first_all + whole * epoch_all
    seconds["together: compilation"] = first_all
    seconds[f"together: {options.members} trainings of {EPOCHS} epochs"] = together
    for kind, alone in kinds.items():
        timed = [
            _timed(lambda key=key, alone=alone: fit(alone, train, validation, key=key, settings=settings))
            for key in keys[: options.alone]
        ]
        first, epoch = (float(np.median(values)) for values in zip(*timed, strict=True))
        seconds[f"{kind}, one member: compilation"] = first
        seconds[f"{kind}, one member: training of {EPOCHS} epochs"] = whole * epoch
        ratios[f"{kind}, compiled once"] = together / (first + options.members * whole * epoch)
        ratios[f"{kind}, compiled each time"] = together / (options.members * (first + whole * epoch))
    return {
        "options": {name: str(value) for name, value in vars(options).items()},
        "seconds": seconds,
        "together / one after another": ratios,
    }


def _simulated(rng: np.random.Generator, rows: int) -> Batch:
    """Compositions of 3.8 elements on average, as in SuperCon."""
    amounts = rng.uniform(0.1, 4, (rows, ELEMENTS)) * (rng.random((rows, ELEMENTS)) < 2.8 / ELEMENTS)
    amounts[:, 7] = 1
    return Batch(amounts.astype(np.float32), rng.uniform(0, 5, rows).astype(np.float32), np.ones(rows, np.float32))


def _timed(train: Any) -> tuple[float, float]:
    """Seconds of what is done once, and of an epoch, the fastest after the first."""
    began = time.perf_counter()
    history = train().history
    whole = time.perf_counter() - began
    epoch = min(record["seconds"] for record in history[1:])
    return whole - epoch * len(history), epoch
