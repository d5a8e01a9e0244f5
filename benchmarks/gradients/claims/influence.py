"""The linear datamodeling score of every kind of influence: do its sums foretell trainings on random halves of the jets?"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gradients.claims.tagging import Problem, problem, trajectory
from jaxsci import gradients
from jaxsci.core import Array, Params
from jaxsci.gradients._influence import mean_correlation
from jaxsci.gradients._retraining import retrained
from jaxsci.losses import binary_cross_entropy
from jaxsci.training import warmup_cosine

DAMPINGS = (0.1, 0.01)  # in units of the largest eigenvalue
PAIRS = 20  # of Lanczos
SOLVED = "Gauss-Newton by conjugate gradients"


class Sizes(NamedTuple):
    """How much is trained."""

    problem: Callable[[], Problem]
    words: str
    seeds: int  # trainings of each half
    models: int  # trainings on all jets, over which influences are averaged
    subsets: int = 64


FULL = {
    "topodnn": Sizes(lambda: problem("topodnn", 1000, 48), "1,000 jets, 20 epochs", seeds=4, models=4),
    "cnn": Sizes(
        lambda: problem("cnn", 400, 16, pixels=20), "400 jets as images of 20 x 20, 8 epochs", seeds=2, models=2
    ),
}
QUICK = {
    "topodnn": Sizes(lambda: problem("topodnn", 64, 4, epochs=1), "64 jets, 1 epoch", seeds=1, models=1, subsets=4)
}


def measure(quick: bool) -> dict[str, Any]:
    """The score of each kind of influence, for a dense and a convolutional tagger."""
    return {name: _of_tagger(sizes) for name, sizes in (QUICK if quick else FULL).items()}


def _of_tagger(sizes: Sizes) -> dict[str, Any]:
    problem = sizes.problem()
    number = len(problem.train.weight)
    trained = trajectory(problem, jax.random.split(jax.random.key(0), sizes.models))
    scores: dict[str, list[Array]] = {}
    for model in range(sizes.models):
        for name, found in _influences(problem, jax.tree.map(lambda leaf, m=model: leaf[m], trained)):
            scores.setdefault(name, []).append(jax.block_until_ready(found))
    began = time.process_time()
    order = jax.vmap(lambda key: jax.random.permutation(key, number))(
        jax.random.split(jax.random.key(1), sizes.subsets)
    )
    kept = (order < number // 2).astype(jnp.float32)
    measured = retrained(
        problem.recipe,
        problem.train,
        problem.asked,
        problem.margins,
        kept,
        key=jax.random.key(2),
        settings=problem.settings,
        seeds=sizes.seeds,
        sequential=True,
    )
    return {
        "words": sizes.words,
        "parameters": problem.parameters,
        "jets asked about": len(problem.asked.weight),
        "subsets": sizes.subsets,
        "seeds": sizes.seeds,
        "models": sizes.models,
        "most that can be reached": _ceiling(np.asarray(measured)),
        "training processor seconds": round(time.process_time() - began, 1),
        "methods": {
            name: {
                "one model": _score(each[0], kept, jnp.mean(measured, axis=1)),
                "mean over models": _score(jnp.mean(jnp.stack(each), axis=0), kept, jnp.mean(measured, axis=1)),
            }
            for name, each in scores.items()
        },
    }


def _influences(problem: Problem, epochs: Params) -> Iterator[tuple[str, Array]]:
    """What leaving a jet out adds to the margins, [asked, jet], by every method; `epochs` are the parameters [epoch, ...]."""
    last = jax.tree.map(lambda leaf: leaf[-1], epochs)
    given: Any = (problem.apply, binary_cross_entropy, last, problem.train)
    curvature = gradients.gauss_newton(*given)
    pairs, vectors = gradients.top_eigenpairs(curvature, PAIRS, key=jax.random.key(3), steps=3 * PAIRS)
    largest = float(pairs.value[0])
    factors = gradients.kfac(*given, corrected=True)
    for share in DAMPINGS:
        damping = share * largest
        yield f"{SOLVED}, damping {share:g}", gradients.influence(*given, problem.margins, damping=damping)
        inverse = factors.power(-1, damping)
        yield f"EK-FAC, damping {share:g}", gradients.influence(*given, problem.margins, inverse=inverse)
        inverse = gradients.Operator(_of_low_rank, last, (pairs.value, vectors, jnp.asarray(damping)))
        yield (
            f"{PAIRS} eigenpairs by Lanczos, damping {share:g}",
            gradients.influence(*given, problem.margins, inverse=inverse),
        )
    yield "products of gradients", gradients.influence(*given, problem.margins, inverse=_same)
    yield "TracIn over the epochs", _tracin(problem, epochs)


def _of_low_rank(vector: Params, values: Array, vectors: Params, damping: Array) -> Params:
    """(sum_k u_k h_k u_k^T + damping)^-1 v, of eigenpairs h_k, u_k."""
    products = jax.tree.map(lambda u, v: u.reshape(len(u), -1) @ v.reshape(-1), vectors, vector)
    along = sum(jax.tree.leaves(products)) * (1 / (values + damping) - 1 / damping)
    return jax.tree.map(lambda u, v: v / damping + jnp.tensordot(along, u, 1), vectors, vector)


def _same(vector: Params) -> Params:
    return vector


def _tracin(problem: Problem, epochs: Params) -> Array:
    """The products of gradients at the end of every epoch, added up with the learning rate there."""
    number = problem.settings.epochs
    rates = np.asarray([float(warmup_cosine(number)(np.float32(epoch))) for epoch in range(1, number + 1)])
    found = [
        rate
        * gradients.influence(
            problem.apply,
            binary_cross_entropy,
            jax.tree.map(lambda leaf, e=epoch: leaf[e], epochs),
            problem.train,
            problem.margins,
            inverse=_same,
        )
        for epoch, rate in enumerate(rates)
        if rate > 0
    ]
    return jnp.sum(jnp.stack(found), axis=0)


def _score(scores: Array, kept: Array, measured: Array) -> dict[str, float]:
    """The mean of Spearman's correlations over the jets asked about, and its 95 % interval from both draws: of jets and of halves."""
    foretold = -kept @ scores.T
    halves = mean_correlation(foretold, measured)
    each = [float(mean_correlation(foretold[:, i : i + 1], measured[:, i : i + 1]).value) for i in range(len(scores))]
    drawn = np.random.default_rng(0).choice(each, (2000, len(each))).mean(axis=1)
    half = 1.96 * float(np.hypot(drawn.std(), halves.error))
    return {
        "value": float(halves.value),
        "lower": float(halves.value) - half,
        "upper": float(halves.value) + half,
        "error over jets": float(drawn.std()),
        "error over halves": float(halves.error),
    }


def _ceiling(measured: np.ndarray) -> float | None:
    """The correlation with the numbers measured that their own means over all seeds would have, by Spearman and Brown."""
    if measured.shape[1] < 2:
        return None
    one, other = (jnp.asarray(measured[:, start::2].mean(1)) for start in (0, 1))
    between = float(mean_correlation(one, other).value)
    return float(np.sqrt(max(2 * between / (1 + between), 0.0)))


def words(found: dict[str, Any]) -> list[str]:
    """The part of the page."""
    lines = ["## Influence foretells trainings on halves of the jets"]
    lines.append(
        "The linear datamodeling score: Spearman's correlation over random halves of the training jets between the sum of influences and"
        " the log odds of the right label that a training on the half gives to a jet of the test part, the mean over these jets; 1"
        " foretells the order of all halves, 0 is chance. In brackets the 95 % interval, from a bootstrap over the jets asked about and"
        " the jackknife over the halves, added in quadrature. Damping is in units of the largest eigenvalue of the Gauss-Newton matrix."
        " Training is with AdamW and a falling learning rate; TracIn takes the checkpoint after each epoch with the learning rate there."
    )
    for name, of in found.items():
        ceiling = of["most that can be reached"]
        reached = (
            "What an exact method would have, with the chance of one training in every number, is not known: it takes two a half."
            if ceiling is None
            else f"With so few seeds an exact method would have about {ceiling:.2f} (Spearman-Brown)."
        )
        lines.append(
            f"**{name}**, {of['parameters']:,} parameters, {of['words']}; {of['jets asked about']} jets asked about, {of['subsets']} halves"
            f" of {of['seeds']} training{'s' * (of['seeds'] > 1)} each, {of['training processor seconds']:.0f} processor seconds. {reached}"
            + ("" if any(method.startswith(SOLVED) for method in of["methods"]) else f" {SOLVED} was not run.")
        )
        rows = [["", "score, one network", f"score, mean over {of['models']} networks"], ["---"] * 3]
        for method, entry in of["methods"].items():
            cells = [
                f"{entry[key]['value']:.2f} [{entry[key]['lower']:.2f}, {entry[key]['upper']:.2f}]"
                for key in ("one model", "mean over models")
            ]
            rows.append([method, *cells])
        lines.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return lines
