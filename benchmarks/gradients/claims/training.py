"""What recording the noise of the gradients costs, and how exact the derivatives of a training are."""

import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.gradients.claims.tagging import Problem, problem
from benchmarks.timing import quartiles
from jaxsci.core import Array, Batch
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import dense, heads
from jaxsci.tasks.study import noise
from jaxsci.training import Recipe, Settings, fit, init_state, unroll

STEPS = 200
NAMES = ("learning rate", "weight decay", "scale of the initial weights")


def noise_cost(quick: bool) -> dict[str, Any]:
    """Processor seconds of an epoch with and without the noise of the gradients, in turn, for two taggers."""
    train, others, rounds = (128, 32, 1) if quick else (18_000, 4_500, 2)  # as many as the command trains on
    return {name: _cost(problem(name, train, others), rounds) for name in ("cnn", "pfn")}


def _cost(problem: Problem, rounds: int) -> dict[str, Any]:
    """An epoch of each kind in turn, after one that compiles; and the recording alone, whose share is the more exact number."""
    settings = Settings(epochs=1, batch_size=problem.settings.batch_size)
    recording = noise.recorded(problem.recipe)
    assert recording.measure is not None
    alone = jax.jit(recording.measure)

    def seconds(recipe: Recipe) -> float:
        began = time.process_time()
        fit(recipe, problem.train, problem.asked, key=jax.random.key(0), settings=settings)
        return time.process_time() - began

    plain, recorded = [], []
    for _ in range(rounds + 1):
        plain.append(seconds(problem.recipe))
        recorded.append(seconds(recording))
    params = problem.recipe.model.init(jax.random.key(0))
    measured = []
    for _ in range(2 * rounds + 1):
        began = time.process_time()
        jax.block_until_ready(alone(params, problem.asked))
        measured.append(time.process_time() - began)
    return {
        "jets": len(problem.train.weight),
        "processor seconds of an epoch": quartiles(plain[1:]),
        "with the noise": quartiles(recorded[1:]),
        "of the recording alone": quartiles(measured[1:]),
        "difference": float(np.median(recorded[1:]) / np.median(plain[1:]) - 1),
        "share": float(np.median(measured[1:]) / np.median(plain[1:])),
    }


def hypergradient(quick: bool) -> dict[str, Any]:
    """Derivatives of the loss on other jets after a training of a tagger, against central differences, in float64."""
    net = problem("topodnn", 64 if quick else 500, 40)
    model = heads.scalar(
        dense.model(dense.Config(90, hidden=(100, 30), activation="tanh"))
    )  # smooth, as differences need it
    steps = 5 if quick else STEPS
    with jax.enable_x64(True):
        train, asked = (jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), float), of) for of in net[2:4])
        start = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), float), model.init(jax.random.key(0)))
        loss = objective(model.apply, binary_cross_entropy)

        def trained(hyper: Array, train: Batch, asked: Batch) -> Array:
            """The loss on other jets after the training."""
            rate, decay, scale = hyper
            optimizer = optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, momentum=0.9))
            recipe = Recipe(model, loss, optimizer)
            params = jax.tree.map(lambda leaf: scale * leaf, start)
            state = init_state(recipe, jax.random.key(0))._replace(params=params, opt_state=optimizer.init(params))
            return loss(unroll(recipe, state, train, steps=steps, batch_size=50).params, asked)[0]

        hyper = jnp.asarray([0.005, 0.01, 1.1])
        step = 1e-5 * jnp.diag(hyper)
        run = jax.jit(trained)
        ends = [[float(run(hyper + sign * row, train, asked)) for sign in (1, -1)] for row in step]
        exact = np.array([(up - down) / (2e-5 * float(h)) for (up, down), h in zip(ends, hyper, strict=True)])
        found = {
            "forward": jax.jit(jax.jacfwd(trained))(hyper, train, asked),
            "reverse": jax.jit(jax.grad(trained))(hyper, train, asked),
        }
        return {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(start)),
            "steps": steps,
            "derivatives": exact.tolist(),
            "relative differences": {name: np.abs(np.asarray(of) / exact - 1).tolist() for name, of in found.items()},
        }


def words_of_noise(found: dict[str, Any]) -> list[str]:
    """The part of the page."""
    rows = [
        ["", "an epoch", "with the noise", "more", "recording alone", "share"],
        ["---"] * 6,
    ]
    for name, of in found.items():
        epoch, noisy, alone = (
            _seconds(of[key]) for key in ("processor seconds of an epoch", "with the noise", "of the recording alone")
        )
        rows.append([name, epoch, noisy, f"{of['difference']:+.1%}", alone, f"{of['share']:.1%}"])
    jets = next(iter(found.values()))["jets"]
    return [
        "## Noise of the gradients recorded every epoch",
        f"Processor seconds of epochs on {jets:,} jets, with and without `--gradient-noise` in turn, medians with the middle half of the"
        " rounds, or without brackets one round; the recording alone, called by itself, tells its share better than a difference of two"
        " long times.",
        "\n".join("| " + " | ".join(row) + " |" for row in rows),
    ]


def _seconds(of: dict[str, float]) -> str:
    middle = f" [{of['low']:.3g}, {of['high']:.3g}]" if of["low"] < of["high"] else ""  # one round has none
    return f"{of['median']:.3g} s{middle}"


def words_of_derivatives(found: dict[str, Any]) -> list[str]:
    """The part of the page."""
    worst = max(max(each) for each in found["relative differences"].values())
    derivatives: Sequence[float] = found["derivatives"]
    return [
        "## Derivatives of a training",
        f"A dense tagger of {found['parameters']:,} parameters, {found['steps']} steps of stochastic gradient descent with momentum,"
        " float64: the loss on other jets differentiated with respect to "
        + ", ".join(f"{name} ({value:.4g})" for name, value in zip(NAMES, derivatives, strict=True))
        + f". Forward and reverse mode differ from central differences by {worst:.1e} at most, relatively.",
    ]
