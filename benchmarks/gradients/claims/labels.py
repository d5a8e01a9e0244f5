"""Which scores find training jets whose label was changed: the share of them among as many of the most suspicious."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gradients.claims.tagging import Problem, margins, problem, trajectory
from jaxsci import gradients
from jaxsci.core import Array, Batch, Params
from jaxsci.gradients._retraining import retrained
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.metrics import binomial_interval

SHARE = 0.05  # of the labels that are changed, and of the jets that are inspected
FOLDS = 5
DAMPING = 0.01  # in units of the largest eigenvalue


class Sizes(NamedTuple):
    """How much is trained."""

    problem: Callable[[], Problem]
    words: str
    seeds: int  # trainings of each fold
    draws: int = 2  # of the labels that are changed


FULL = {
    "topodnn": Sizes(lambda: problem("topodnn", 6000, 500), "6,000 jets, 20 epochs", seeds=3),
    "cnn": Sizes(
        lambda: problem("cnn", 12_000, 500, pixels=20), "12,000 jets as images of 20 x 20, 8 epochs", seeds=1, draws=1
    ),
}
QUICK = {"topodnn": Sizes(lambda: problem("topodnn", 100, 20, epochs=1), "100 jets, 1 epoch", seeds=1, draws=1)}


def measure(quick: bool) -> dict[str, Any]:
    """The share of changed labels that each score finds."""
    return {name: _of_tagger(sizes) for name, sizes in (QUICK if quick else FULL).items()}


def _of_tagger(sizes: Sizes) -> dict[str, Any]:
    clean = sizes.problem()
    number = len(clean.train.weight)
    count = round(SHARE * number)
    began = time.process_time()
    hits: dict[str, int] = {}
    for draw in range(sizes.draws):
        changed = np.random.default_rng(draw).permutation(number)[:count]
        train = clean.train._replace(y=clean.train.y.at[changed].set(1 - clean.train.y[changed]))
        for name, score in _scores(clean._replace(train=train), sizes, draw).items():
            suspects = np.argsort(-np.asarray(score), kind="stable")[:count]
            hits[name] = hits.get(name, 0) + len(np.intersect1d(suspects, changed))
    total = count * sizes.draws
    return {
        "words": sizes.words,
        "changed": count,
        "draws": sizes.draws,
        "seeds": sizes.seeds,
        "processor seconds": round(time.process_time() - began, 1),
        "scores": {
            name: {
                "value": found / total,
                **dict(zip(("lower", "upper"), map(float, binomial_interval(found, total, level=0.95)), strict=True)),
            }
            for name, found in hits.items()
        },
    }


def _scores(problem: Problem, sizes: Sizes, draw: int) -> dict[str, Array]:
    """How suspicious each training jet is, [jet], by every score."""
    keys = jax.random.split(jax.random.key(10 + draw), 3)
    epochs = jax.tree.map(lambda leaf: leaf[0], trajectory(problem, keys[:1]))
    last = jax.tree.map(lambda leaf: leaf[-1], epochs)
    of_epochs = jax.lax.map(lambda params: -margins(problem.apply, params, problem.train), epochs)
    number = len(problem.train.weight)
    fold = np.random.default_rng(100 + draw).permutation(number) % FOLDS
    kept = jnp.asarray(fold[None] != np.arange(FOLDS)[:, None], jnp.float32)
    apply, train = problem.apply, problem.train
    measured = retrained(
        problem.recipe,
        train,
        problem.asked,
        lambda params: -margins(apply, params, train),
        kept,
        key=keys[1],
        settings=problem.settings,
        seeds=sizes.seeds,
        sequential=True,
    )
    inside = jnp.sum(measured * kept[:, None], axis=(0, 1)) / (sizes.seeds * (FOLDS - 1))
    first = jnp.sum(measured[:, 0] * (1 - kept), axis=0)
    found = {
        **_by_factors(problem, last),
        "loss after the last epoch": of_epochs[-1],
        "loss, mean over the epochs": jnp.mean(of_epochs, axis=0),
        "loss, mean over the trainings with the jet": inside,
        "loss without the jet, one training": first,
    }
    if sizes.seeds > 1:
        outside = jnp.sum(measured * (1 - kept[:, None]), axis=(0, 1)) / sizes.seeds
        found["loss without the jet, mean over the trainings"] = outside
    return found


def _by_factors(problem: Problem, params: Params) -> dict[str, Array]:
    """What leaving a jet out does by the factors of EK-FAC: to the loss of others, to its own, and the loss that it would then have."""
    given: Any = (problem.apply, binary_cross_entropy, params, problem.train)
    factors = gradients.kfac(*given, corrected=True)
    largest, _ = gradients.top_eigenpairs(factors.power(1), 1, key=jax.random.key(0))
    damping = DAMPING * largest.value[0]
    loss, asked = objective(problem.apply, binary_cross_entropy), problem.asked
    helped = gradients.influence(*given, lambda params: loss(params, asked)[0], inverse=factors.power(-1, damping))

    @jax.jit
    def lengths(params: Params, root: gradients.Operator, train: Batch) -> Array:
        def one(x: Any, y: Array) -> tuple[Array, Array]:
            def negative_margin(params: Params) -> Array:
                return (1 - 2 * y) * problem.apply(params, x)

            value, slope = jax.value_and_grad(negative_margin)(params)
            return value, sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(root(slope)))

        value, length = jax.lax.map(lambda pair: one(*pair), (train.x, train.y), batch_size=64)
        rise = jax.nn.sigmoid(value) * length / len(train.weight)
        return jnp.stack([jax.nn.sigmoid(value) * rise, value + rise])

    own, without = lengths(params, factors.power(-0.5, damping), problem.train)
    return {
        "harm to other jets (influence on their mean loss)": -helped,
        "influence on its own loss": own,
        "loss without the jet, to first order": without,
    }


def words(found: dict[str, Any]) -> list[str]:
    """The part of the page."""
    lines = ["## Changed labels are found"]
    lines.append(
        f"{100 * SHARE:g} % of the training labels are changed at random, and of as many jets with the highest score the share that was"
        f" changed is counted: {SHARE:g} is chance. Losses rank as minus the log odds of the label that was given. Influences are by the"
        f" factors of EK-FAC. Trainings with and without a jet are {FOLDS} that leave out a part each, as often as is said. In brackets the"
        " 95 % binomial interval of the count, that of all draws together: what another training would change is not in it. A perfect"
        " network would not find all: some jets look like the other kind."
    )
    names = list(found)
    lines.append(
        "; ".join(
            f"**{name}**: {of['words']}, {of['changed']} labels changed, {of['draws']} draw{'s' * (of['draws'] > 1)}, {of['seeds']}"
            f" training{'s' * (of['seeds'] > 1)} a part, {of['processor seconds']:.0f} processor seconds"
            for name, of in found.items()
        )
        + "."
    )
    rows = [["score", *names], ["---"] * (1 + len(names))]
    for score in dict.fromkeys(score for of in found.values() for score in of["scores"]):
        cells = [of["scores"].get(score) for of in found.values()]
        rows.append([score, *(f"{c['value']:.2f} [{c['lower']:.2f}, {c['upper']:.2f}]" if c else "" for c in cells)])
    lines.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return lines
