"""What brought how much: a Particle Flow Network on the embedded jets, one improvement added at a time.

    python -m benchmarks.top_tagging [--seeds 3] [--epochs 15] [--only NAME ...] [--out benchmarks/results]

Each variant is trained from several seeds on the same split. The choice of the epoch is made on the validation part, the numbers
come from the test part, which no choice was made on. The jets are simulated at particle level: figures are for comparison among the
variants, not with published ones.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from benchmarks import machine
from benchmarks.arguments import Parser
from jaxsci.core import WeightedSet
from jaxsci.data import jets
from jaxsci.data.jets import features as jet_features
from jaxsci.data.split import split
from jaxsci.files import write_json, write_text
from jaxsci.losses import binary_cross_entropy, correct, objective
from jaxsci.models import deep_sets, heads
from jaxsci.runs import binary_evaluation
from jaxsci.tasks.top_tagging import jobs, samples, taggers
from jaxsci.training import Recipe, Settings, adamw, fit, predict, steps_per_epoch, warmup_cosine


class Variant(NamedTuple):
    """A step of the ladder: everything up to it is in."""

    what: str
    inputs: Callable[[np.ndarray], Any]
    optimizer: Callable[[int], optax.GradientTransformation]  # from the number of steps
    augment: Callable[..., Any] | None = None


def plain(steps: int) -> optax.GradientTransformation:
    return optax.adam(1e-3)


def scheduled(steps: int) -> optax.GradientTransformation:
    return adamw(1e-3, weight_decay=1e-2, schedule=warmup_cosine(steps), clip=1.0)


VARIANTS = {
    "plain": Variant("(z, eta, phi), Adam 1e-3", jet_features.pfn_inputs, plain),
    "features": Variant("+ ln pT, ln E, their fractions, dR", jet_features.features, plain),
    "schedule": Variant("+ AdamW, warm-up, cosine decay, clipping", jet_features.features, scheduled),
    "augmentation": Variant("+ random rotation and reflection", jet_features.features, scheduled, taggers.turn),
}
BATCH, PORTIONS = 200, 10


def train(variant: Variant, sample: jets.JetSample, seed: int, epochs: int) -> dict[str, Any]:
    """One training of one variant: the test part's ranking metrics, and the time."""
    elements, weights = variant.inputs(sample.constituents)
    x = WeightedSet(elements, weights)
    parts = split(sample.labels, seed=1, fractions=samples.FRACTIONS)
    batch = partial(jobs.as_batch, x, sample.labels)
    model = heads.scalar(deep_sets.model(deep_sets.Config(elements.shape[-1], initializer="he_uniform")))
    loss = objective(model.apply, binary_cross_entropy, metrics={"accuracy": correct})
    steps = epochs * steps_per_epoch(len(parts[0]), BATCH)
    recipe = Recipe(model, loss, variant.optimizer(steps), variant.augment, PORTIONS)
    began = time.perf_counter()
    result = fit(recipe, batch(parts[0]), batch(parts[1]), key=jax.random.key(seed), settings=Settings(epochs, BATCH))
    seconds = time.perf_counter() - began
    logits = predict(model.apply, result.params, jax.tree.map(lambda leaf: leaf[parts[2]], x))
    metrics = binary_evaluation.ranking(logits, sample.labels[parts[2]])
    return {"seed": seed, "best_epoch": int(result.best_epoch), "seconds": round(seconds, 1), **metrics}


def as_markdown(results: dict[str, Any]) -> str:
    """Mean over seeds and standard deviation between them; the error of one test part of this size beside it."""
    lines = ["| PFN | AUC | 1/eps_B(0.3) |", "|---|---|---|"]
    for name, runs in results["variants"].items():
        cells = []
        for metric, digits in (("auc", 4), ("rejection_0.3", 0)):
            values = [run[metric]["value"] for run in runs]
            if None in values:
                cells.append("no background passes in a run")
                continue
            half = np.mean([run[metric]["upper"] - run[metric]["lower"] for run in runs]) / 2
            spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
            cells.append(f"{np.mean(values):.{digits}f} ± {spread:.{digits}f} (seeds) ± {half:.{digits}f} (test part)")
        lines.append(f"| {VARIANTS[name].what} | {' | '.join(cells)} |")
    mass = results["mass"]
    lines.append(f"| mass alone | {mass['auc']['value']:.4f} | {mass['rejection_0.3']['value']:.0f} |")
    seeds = len(next(iter(results["variants"].values())))
    lines += [
        "",
        f"{seeds} seeds, {results['epochs']} epochs at most, simulated jets at particle level, 68 % intervals.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the ladder and write top_tagging.json and top_tagging.md after every training."""
    parser = Parser("top_tagging", __doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    sample = jets.read(jets.embedded())
    test = split(sample.labels, seed=1, fractions=samples.FRACTIONS)[2]
    mass = binary_evaluation.ranking(taggers.mass_score(sample.constituents[test]), sample.labels[test])
    results: dict[str, Any] = {"machine": machine.describe(), "epochs": options.epochs, "mass": mass, "variants": {}}
    for seed in range(1, options.seeds + 1):
        for name in options.only:
            run = train(VARIANTS[name], sample, seed, options.epochs)
            print(name, json.dumps(run), flush=True)
            results["variants"].setdefault(name, []).append(run)
            write_json(options.out / "top_tagging.json", results)
            write_text(options.out / "top_tagging.md", as_markdown(results))


if __name__ == "__main__":
    main()
