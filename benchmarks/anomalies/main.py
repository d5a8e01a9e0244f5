"""How well each anomaly detector finds jets that it has not learned, in both directions, over all jets and at equal mass.

    jaxsci bench anomalies [--only NAME ...] [--seeds 1 2 3] [--out benchmarks/results]

Each is trained and evaluated as `jaxsci train anomalies --detector NAME --seed N` does it, on the 30,000 simulated jets of the package; a
seed is that of the split, of the weights and of the order. Beside them stand what needs no network: an isolation forest, and how rare the
mass alone and the number of constituents alone are. Results are added to those that the folder holds, a training at a time, and what it
holds is not trained again: after an interruption the same command goes on. A training on another number of jets, or of other epochs, is
refused beside them.
"""

import json
import os
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.anomalies.page import as_markdown, draw
from benchmarks.arguments import Parser
from jaxsci.data.jets import mass
from jaxsci.files import replacing, write_json, write_text
from jaxsci.runs.task import silent
from jaxsci.runs.weights import number
from jaxsci.tasks.anomalies import Options, baselines, jobs
from jaxsci.tasks.anomalies.detectors import detector
from jaxsci.tasks.anomalies.evaluation import Direction
from jaxsci.tasks.anomalies.evaluation import measure as measure_direction
from jaxsci.tasks.anomalies.options import CLASSES, DETECTORS
from jaxsci.training import fit

NAME = "anomalies"
JETS = 30_000  # those of the package


def measure(name: str, seed: int, epochs: int | None = None, jets: int | None = None) -> dict[str, dict[str, Any]]:
    """The detector trained in both directions, by method: what it, and the baselines beside it, reach on the test part."""
    job = jobs.prepare(Options(detector=name, seed=seed, epochs=epochs, max_jets=jets), silent)
    inputs, (train, _, test) = _inputs(name, jets), job.splits
    of = {"seed": seed, "jets": len(job.labels), "training_jets": len(train), "test_jets": len(test)}
    found: dict[str, dict[str, Any]] = {}
    seconds, parameters = 0.0, 0
    for normal in CLASSES:
        training, batches = jobs.make_training(job, inputs, normal)
        began = time.process_time()
        result = fit(training.recipe, *batches, key=training.key, settings=training.settings)
        seconds += time.process_time() - began
        parameters = number(training.recipe.model)
        scores = jobs.scores(job.detector, {normal: result.params}, inputs[test])[normal]
        learned = baselines.learn(job.constituents[jobs.part(job, 0, normal)], seed)
        direction = Direction(normal, scores, baselines.scores(learned, job.constituents[test]))
        anomalous = job.labels[test] != CLASSES.index(normal)
        for method, areas in measure_direction(direction, anomalous, mass(job.constituents[test])).items():
            found.setdefault(name if method == "detector" else method, dict(of))[normal] = areas
    found[name] |= {
        "epochs": epochs or job.detector.epochs,
        "parameters": parameters,
        "processor_seconds": round(seconds, 1),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "machine": machine.describe(),
    }
    return found


@lru_cache(maxsize=1)
def _inputs(name: str, jets: int | None) -> np.ndarray:
    """Those of all jets, which do not depend on the seed."""
    job = jobs.prepare(Options(detector=name, max_jets=jets), silent)
    return jobs.make_inputs(job.detector, job.constituents, silent)


def _mixed(methods: dict[str, list[dict[str, Any]]], name: str, epochs: int, jets: int) -> str | None:
    """What was asked for and what there is, where a held training does not belong into one table with those of this detector."""
    for method, runs in methods.items():
        for run in runs:
            if run["jets"] != jets:  # the baselines beside all detectors are of the same test jets
                return f"trainings on {jets:,} jets, got one of {method} on {run['jets']:,}"
            if method == name and run["epochs"] != epochs:
                return f"trainings of {name} of {epochs} epochs, got one of {run['epochs']}"
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and write anomalies.json, .md and .png after every training."""
    parser = Parser("anomalies", __doc__)
    parser.add_argument("--only", nargs="+", default=list(DETECTORS), choices=list(DETECTORS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, help="default: each detector's own")
    parser.add_argument("--jets", type=int, help="so many jets alone, for a quick look")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    file = options.out / f"{NAME}.json"
    methods: dict[str, list[dict[str, Any]]] = json.loads(file.read_text())["methods"] if file.is_file() else {}
    for name in options.only:
        if wrong := _mixed(methods, name, options.epochs or detector(name).epochs, options.jets or JETS):
            parser.error(f"{file}: expected {wrong}; give another --out")
    for name in options.only:
        for seed in options.seeds:
            if seed in [run["seed"] for run in methods.get(name, [])]:
                print(f"{name}, seed {seed}: kept", flush=True)
                continue
            for method, run in measure(name, seed, options.epochs, options.jets).items():
                print(method, json.dumps({k: v for k, v in run.items() if k != "machine"}), flush=True)
                others = [other for other in methods.get(method, []) if other["seed"] != seed]
                methods[method] = sorted([*others, run], key=lambda run: run["seed"])
            results = {"methods": {method: methods[method] for method in sorted(methods, key=_place)}}
            write_json(file, results)
            write_text(options.out / f"{NAME}.md", as_markdown(results))
            with replacing(options.out / f"{NAME}.png") as picture:
                draw(results).savefig(picture, dpi=200)


def _place(method: str) -> tuple[int, str]:
    """Detectors in the order of the command, then the baselines."""
    return list(DETECTORS).index(method) if method in DETECTORS else len(DETECTORS), method


if __name__ == "__main__":
    main()
