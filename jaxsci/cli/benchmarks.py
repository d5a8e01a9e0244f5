"""The table of benchmarks: one line makes a module of the folder `benchmarks` an argument of `jaxsci bench`.

The benchmarks come with the source, not with the installed package; each reads its own options.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jaxsci
from jaxsci.cli.mistakes import perhaps
from jaxsci.errors import InputError


class Benchmark(NamedTuple):
    """A benchmark that the command knows."""

    name: str
    module: str  # with `main(arguments)`, which returns the exit code; None is 0
    summary: str


TABLE = [
    Benchmark(
        "convolution", "benchmarks.convolution.main", "A convolution and its derivatives, against XLA and PyTorch."
    ),
    Benchmark("training", "benchmarks.training.main", "Epochs of five networks against PyTorch; an ensemble."),
    Benchmark("sphere", "benchmarks.sphere", "Spherical harmonic transforms, against healpy and ducc0."),
    Benchmark("gpu", "benchmarks.gpu.main", "Convolutions, training and the sphere on a GPU or TPU."),
    Benchmark(
        "gradients", "benchmarks.gradients.main", "Norms and sums of per-example gradients, against storing them."
    ),
    Benchmark(
        "gradient-claims", "benchmarks.gradients.claims.main", "Whether what gradients say is true, by trainings."
    ),
    Benchmark("scaling", "benchmarks.scaling.main", "What it costs to split a training over devices and processes."),
    Benchmark("fit-pulls", "benchmarks.fit_pulls.main", "Whether the error bars of every fitter are right."),
    Benchmark("taggers", "benchmarks.taggers", "Accuracy, size, work and rate of every tagger on the same jets."),
    Benchmark("fresh-jets", "benchmarks.fresh_jets", "Trained taggers on jets of another seed, with ratios."),
    Benchmark("tagger-peers", "benchmarks.tagger_peers.main", "Our networks against EnergyFlow's and weaver's."),
    Benchmark(
        "learning-curves", "benchmarks.learning_curves", "Taggers against the number of jets they are trained on."
    ),
    Benchmark("anomalies", "benchmarks.anomalies.main", "Anomaly detectors in both directions, with mass and without."),
    Benchmark("polynomials", "benchmarks.polynomials", "A linear tagger of energy-flow polynomials, with errors."),
    Benchmark("superconductors", "benchmarks.superconductors.main", "An ensemble against its members one by one."),
]


def run(name: str, arguments: Sequence[str]) -> int | None:
    """Run a benchmark with its own arguments; returns its exit code.

    Raises:
        InputError: no such benchmark, or no checkout of the source around the package.
    """
    known = {entry.name: entry.module for entry in TABLE}
    if name not in known:
        raise InputError(
            f"bench: expected one of {', '.join(known)}, got {name}; {perhaps(name, known, '')}see jaxsci bench --help"
        )
    root = Path(jaxsci.__file__).resolve().parents[1]
    if not (root / "benchmarks" / "machine.py").is_file():
        raise InputError(
            f"{root}: expected the folder benchmarks beside the package, as in a checkout of the source; "
            "install from one with pip install -e ."
        )
    import jax

    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured
    sys.path.insert(0, str(root))
    code: int | None = importlib.import_module(known[name]).main(arguments)
    return code
