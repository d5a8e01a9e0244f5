"""An ensemble of Deep Sets trained together, against the same members one after another."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.ours import epoch, program, trained
from benchmarks.problems import Problem, recipe
from jaxsci.core import Batch
from jaxsci.training import Settings, TrainState, fit, fit_ensemble, init_state


def epochs(problem: Problem, members: int, seed: int) -> dict[str, Callable[[], float]]:
    """An epoch of all members, by one program over them all and by the program of one, again and again."""
    one = partial(epoch, problem=problem)
    data = jax.device_put(problem.data)
    keys = jax.random.split(jax.random.key(seed), members)
    first = jax.jit(jax.vmap(partial(init_state, recipe(problem))))(keys)

    def states() -> TrainState:
        return jax.tree.map(jnp.copy, first)  # a program takes over the arrays that it is given

    def mapped(state: TrainState, data: Batch) -> tuple[TrainState, jax.Array]:
        return jax.lax.map(lambda member: one(member, data), state)

    alone = program(problem)
    in_turn = [trained(alone, jax.tree.map(lambda leaf, i=i: leaf[i], states()), data) for i in range(members)]
    return {
        "vmap": trained(jax.jit(jax.vmap(one, in_axes=(0, None)), donate_argnums=0), states(), data),
        "one after another": lambda: float(np.mean([call() for call in in_turn])),
        "lax.map": trained(jax.jit(mapped, donate_argnums=0), states(), data),
    }


def whole_trainings(problem: Problem, members: int, seed: int, settings: Settings) -> dict[str, Callable[[], float]]:
    """`fit_ensemble` against as many calls of `fit`, compilation, validation and history included."""
    keys = jax.random.split(jax.random.key(seed), members)
    validation = jax.tree.map(lambda leaf: leaf[: problem.batch_size], problem.data)
    parts: tuple[Any, Any] = (problem.data, validation)

    def together() -> float:
        result = fit_ensemble(lambda hyper: recipe(problem), {}, *parts, keys=keys, settings=settings)
        return float(np.mean(result.best_loss))

    def apart() -> float:
        results = [fit(recipe(problem), *parts, key=key, settings=settings) for key in keys]
        return float(np.mean([result.best_loss for result in results]))

    return {"fit_ensemble": together, "fit, one after another": apart}
