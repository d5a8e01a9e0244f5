"""An ensemble of Deep Sets trained together, against the same members one after another."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.training.ours import Epoch, epoch, program, trained
from benchmarks.training.problems import Problem, recipe
from jaxsci.core import Batch
from jaxsci.training import Settings, TrainState, fit, fit_ensemble, init_state

# Portions of a batch whose activations fit the cache, for one member at a time and for sixteen at once (README.md).
MICROBATCHES = 8
MICROBATCHES_VMAPPED = 16


def epochs(problem: Problem, members: int, seed: int) -> dict[str, Callable[[], float]]:
    """An epoch of all members: as one program over them in several ways, and by the program of one again and again."""
    alone, together = problem._replace(microbatches=MICROBATCHES), problem._replace(microbatches=MICROBATCHES_VMAPPED)
    data = jax.device_put(problem.data)
    keys = jax.random.split(jax.random.key(seed), members)
    first = jax.jit(jax.vmap(partial(init_state, recipe(problem))))(keys)

    def states() -> TrainState:
        return jax.tree.map(jnp.copy, first)  # a program takes over the arrays that it is given

    one = program(alone)
    sequential = [trained(one, jax.tree.map(lambda leaf, i=i: leaf[i], states()), data) for i in range(members)]
    ways = {
        "one after another": lambda: float(np.mean([call() for call in sequential])),
        "vmap": trained(jax.jit(_vmapped(together), donate_argnums=0), states(), data),
        "vmap, the batch at once": trained(jax.jit(_vmapped(problem), donate_argnums=0), states(), data),
        "lax.map": trained(jax.jit(_mapped(alone), donate_argnums=0), states(), data),
    }
    devices = jax.devices()
    if len(devices) > 1 and members % len(devices) == 0:
        ways[f"vmap, over {len(devices)} devices"] = _split(_vmapped(together), states(), data, devices)
    return ways


def _vmapped(problem: Problem) -> Epoch:
    return jax.vmap(partial(epoch, problem=problem), in_axes=(0, None))


def _mapped(problem: Problem) -> Epoch:
    def mapped(states: TrainState, data: Batch) -> tuple[TrainState, jax.Array]:
        return jax.lax.map(lambda state: epoch(state, data, problem=problem), states)

    return mapped


def _split(function: Epoch, states: TrainState, data: Batch, devices: list[Any]) -> Callable[[], float]:
    """Equal shares of the members on each device, and all data on every one of them."""
    members = _members(devices)
    program = jax.jit(function, donate_argnums=0, out_shardings=members)
    everything = NamedSharding(members.mesh, PartitionSpec())
    return trained(program, jax.device_put(states, members), jax.device_put(data, everything))


def _members(devices: list[Any]) -> NamedSharding:
    return NamedSharding(Mesh(np.array(devices), ("member",)), PartitionSpec("member"))


def whole_trainings(problem: Problem, members: int, seed: int, settings: Settings) -> dict[str, Callable[[], float]]:
    """`fit_ensemble` against as many calls of `fit`, compilation, validation and history included."""
    keys = jax.random.split(jax.random.key(seed), members)
    validation = jax.tree.map(lambda leaf: leaf[: problem.batch_size], problem.data)
    alone, together = (
        recipe(problem._replace(microbatches=microbatches)) for microbatches in (MICROBATCHES, MICROBATCHES_VMAPPED)
    )

    def ensemble(keys: jax.Array) -> float:
        result = fit_ensemble(lambda hyper: together, {}, problem.data, validation, keys=keys, settings=settings)
        return float(np.mean(result.best_loss))

    def one_after_another() -> float:
        results = [fit(alone, problem.data, validation, key=key, settings=settings) for key in keys]
        return float(np.mean([result.best_loss for result in results]))

    ways = {"fit_ensemble": partial(ensemble, keys), "fit, one after another": one_after_another}
    devices = jax.devices()
    if len(devices) > 1 and members % len(devices) == 0:
        ways[f"fit_ensemble, over {len(devices)} devices"] = partial(ensemble, jax.device_put(keys, _members(devices)))
    return ways
