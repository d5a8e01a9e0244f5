"""How often the 90 % interval of Tc holds for what is left out: materials, chemical systems, a family.

`python -m benchmarks.superconductors.coverage --data FOLDER`, FOLDER as for `benchmarks.superconductors.folds`. A part of SuperCon is left
out, an ensemble is trained and calibrated on the rest as `jaxsci train superconductors` does it, and asked for the part. Beside the
interval that grows with the distance stands the one with a single factor.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from benchmarks.arguments import Parser
from jaxsci.core import Batch
from jaxsci.data import download
from jaxsci.data.materials import elements
from jaxsci.data.materials import superconductors as sc
from jaxsci.data.materials.compositions import same_system
from jaxsci.files import write_json
from jaxsci.tasks.superconductors.ensemble.calibration import of_tc, processes
from jaxsci.tasks.superconductors.ensemble.prediction import (
    Ensemble,
    TcCalibration,
    known_pairs,
    outputs_of,
    predict,
    predictor,
)
from jaxsci.tasks.superconductors.gaussian_process import Config
from jaxsci.tasks.superconductors.networks import TABLES, make_recipe, network, to_units
from jaxsci.tasks.superconductors.samples import Sample, Sources, read_tc
from jaxsci.training import fit_ensemble

FRACTION = 0.2  # of the materials, or of the chemical systems, that is left out
VALIDATION = 0.2  # of the rest


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print, and write."""
    parser = Parser("superconductors.coverage", __doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("JAXSCI_DATA", download.cache_folder())))
    parser.add_argument("--left-out", nargs="+", default=["materials", "systems", "iron-based"])
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    files = {name: options.data / "superconductors" / file for name, file in sc.FILES.items()}
    sample = read_tc(Sources(files["stanev"], "stanev", tested=files["hosono"]), "random", 42)
    database = options.data / "elements" / "mendeleev_v0.6.0_elements.db"
    table = elements.standardized(elements.table(TABLES["best"], database))
    result = {}
    for kind in options.left_out:
        result[kind] = study(sample, left_out(sample, kind), table, options.members, options.epochs)
        print(kind, result[kind], flush=True)
    if options.out is not None:
        write_json(
            options.out, {"machine": machine.describe(), "settings": vars(options) | {"data": "", "out": ""}, **result}
        )


def left_out(sample: Sample, kind: str) -> np.ndarray:
    """Which materials are left out, bool [material]: at random, whole chemical systems, or a family by its name."""
    rng = np.random.default_rng(1)
    if kind == "materials":
        return rng.random(len(sample.tc)) < FRACTION
    if kind == "systems":
        systems = same_system(sample.compositions)
        return np.asarray((rng.random(systems.max() + 1) < FRACTION)[systems])
    return np.asarray(sc.family(sample.compositions) == sc.FAMILIES.index(kind))


def study(sample: Sample, out: np.ndarray, table: np.ndarray, members: int, epochs: int) -> dict[str, Any]:
    """Coverage and mean width in K of both kinds of interval, and the novelty of what was left out."""
    rest = np.random.default_rng(0).permutation(np.flatnonzero(~out))
    train, validation = np.split(rest, [round((1 - VALIDATION) * len(rest))])
    test = np.flatnonzero(out)
    sample = sample._replace(splits=(train, validation, test))
    net = network("best", "tc", table)
    net = net._replace(settings=replace(net.settings, epochs=epochs))
    target = to_units(sample.tc)
    batches = [
        Batch(
            jnp.asarray(sample.amounts[rows]), jnp.asarray(target[rows], jnp.float32), jnp.ones(len(rows), jnp.float32)
        )
        for rows in (train, validation)
    ]
    recipe = make_recipe(net, "tc", len(train))
    keys = jax.random.split(jax.random.key(42), members)
    params = fit_ensemble(lambda hyper: recipe, {}, *batches, keys=keys, settings=net.settings).params
    held_out, gp = processes(net.gp or Config(), sample, target, table, 42)
    outputs = outputs_of(net, params, sample.amounts[validation])
    measured = jnp.asarray(target[validation], jnp.float32)
    ours = of_tc(outputs, held_out, measured)
    plain = of_tc(outputs, (held_out[0], np.zeros(len(validation))), measured)
    known = known_pairs(sample.amounts[train])

    def answers(calibration: TcCalibration) -> dict[str, np.ndarray]:
        ensemble = Ensemble(net, params, table, known, gp, calibration)
        return predict(jax.jit(predictor(ensemble)), sample.amounts[test])

    found, before = answers(ours), answers(plain)
    tc = sample.tc[test]
    result: dict[str, Any] = {"materials": len(test), "median novelty": float(np.median(found["novelty"]))}
    for name, values in (("by distance", found), ("one factor", before)):
        inside = (tc >= values["tc_lower"]) & (tc <= values["tc_upper"])
        width = float(np.mean(values["tc_upper"] - values["tc_lower"]))
        result[name] = {"holds": float(inside.mean()), "width": width}
    return result | {"warned": float(found["out_of_distribution"].mean())}


if __name__ == "__main__":
    main()
