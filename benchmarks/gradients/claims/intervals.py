"""How often the 90 % intervals of Tc hold, of Laplace's posterior, an ensemble and a Gaussian process on the same test materials."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsci.data.materials.compositions import same_system
from jaxsci.errors import InputError
from jaxsci.runs.task import silent
from jaxsci.tasks.superconductors import inputs
from jaxsci.tasks.superconductors.ensemble import prediction
from jaxsci.tasks.superconductors.ensemble.calibration import calibrated
from jaxsci.tasks.superconductors.networks import make_recipe
from jaxsci.tasks.superconductors.options import Options
from jaxsci.tasks.superconductors.study import intervals
from jaxsci.training import fit_ensemble

OPTIONS = Options(members=3, epochs=6, influence=0, more=False, seed=42)


def measure(quick: bool, data: Path) -> dict[str, Any]:
    """Coverage with its intervals, width and error of every method, with the random split and that by chemical systems."""
    options = replace(OPTIONS, members=2, epochs=1) if quick else OPTIONS
    return {
        "members": options.members,
        "epochs": options.epochs,
        "splits": {
            "random": _of_split(replace(options, split="random"), data),
            "system": _of_split(replace(options, split="system"), data),
        },
    }


def find(data: Path, options: Options = OPTIONS) -> inputs.Files:
    """The files that are read, or InputError where one is not there."""

    def one(data_set: str, file: str) -> Path:
        path = data / data_set / file
        if not path.is_file():
            raise InputError(
                f"{path}: expected a file of the published data sets, got none; give --data, or leave out intervals"
            )
        return path

    return inputs.find_files(options, one)


def _of_split(options: Options, data: Path) -> dict[str, Any]:
    began = time.process_time()
    job = inputs.prepare(options, find(data, options), silent)
    train, validation, test = job.sample.splits
    recipe = make_recipe(job.network, "tc", len(train))
    fitted = fit_ensemble(
        lambda hyper: recipe,
        {},
        inputs.batch(job, train),
        inputs.batch(job, validation),
        keys=job.keys,
        settings=job.network.settings,
        sequential=True,
    )
    ensemble = prediction.predictor(calibrated(job.network, fitted.params, job.sample, job.table, options))
    first = jax.tree.map(lambda leaf: leaf[0], fitted.params)
    found = intervals.side_by_side(
        job, first, lambda amounts: prediction.predict(jax.jit(ensemble), amounts), test, silent
    )
    tc = job.sample.tc[test]
    systems = same_system(job.sample.compositions)[test]
    return {
        "training materials": len(train),
        "test materials": len(test),
        "chemical systems": len(np.unique(systems)),
        "processor seconds": round(time.process_time() - began, 1),
        "methods": {
            name: {**intervals.measured(of, tc), "by systems": _by_systems(of.holds(tc), systems)}
            for name, of in found.items()
        },
    }


def _by_systems(holds: np.ndarray, systems: np.ndarray, draws: int = 2000) -> list[float]:
    """The 68 % interval of the coverage by a bootstrap over chemical systems: materials of one are right or wrong together."""
    _, place = np.unique(systems, return_inverse=True)
    inside, number = (np.bincount(place, weight) for weight in (holds.astype(float), np.ones(len(holds))))
    drawn = np.random.default_rng(0).multinomial(len(number), np.full(len(number), 1 / len(number)), draws)
    return [float(end) for end in np.quantile(drawn @ inside / (drawn @ number), (0.16, 0.84))]


def words(found: dict[str, Any]) -> list[str]:
    """The part of the page."""
    lines = ["## 90 % intervals of critical temperatures"]
    lines.append(
        f"SuperCon as cleaned by Stanev et al.; {found['members']} networks of {found['epochs']} epochs (the command trains 20 of 40)."
        " Laplace is the posterior of the last layer of the first network with prior and noise of the largest marginal likelihood, the"
        " process is conditioned on 5,000 training materials; the ensemble is blended with a process and calibrated on the validation"
        " part, and it alone was adjusted to hold 90 %. In brackets the 68 % binomial interval, then that of a bootstrap over chemical"
        " systems, whose materials are right or wrong together."
    )
    rows = [["split", "method", "inside", "mean width", "RMSE"], ["---"] * 5]
    for split, of in found["splits"].items():
        for method, entry in of["methods"].items():
            coverage, (low, high) = entry["coverage"], entry["by systems"]
            share = (
                f"{coverage['value']:.3f} [{coverage['lower']:.3f}, {coverage['upper']:.3f}], [{low:.3f}, {high:.3f}]"
            )
            rows.append([split, method, share, f"{entry['width']:.1f} K", f"{entry['rmse']:.1f} K"])
    lines.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    lines.append(
        "; ".join(
            f"{split}: {of['training materials']:,} training and {of['test materials']:,} test materials of {of['chemical systems']:,}"
            f" systems, {of['processor seconds']:.0f} processor seconds"
            for split, of in found["splits"].items()
        )
        + "."
    )
    return lines
