"""The library's own training as implementations to compare: an epoch as one compiled program that takes its state over."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.training.problems import Problem, recipe
from jaxsci.core import Batch
from jaxsci.training import TrainState, init_state
from jaxsci.training._epoch import shuffled, train_steps
from jaxsci.training._step import mean_metrics

Epoch = Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]


def epoch(state: TrainState, data: Batch, *, problem: Problem) -> tuple[TrainState, jax.Array]:
    """All steps of an epoch in a new order, and the mean loss: the library's own path, as one function to compile."""
    key = jax.random.fold_in(state.key, -1 - state.step)
    order = shuffled(key, data.weight.shape[0], problem.batch_size)
    state, _, metrics = train_steps(recipe(problem), state, jnp.ones((), bool), data, order)
    return state, mean_metrics(metrics)["loss"]


def trained(program: Epoch, state: TrainState, data: Batch) -> Callable[[], float]:
    """An implementation to time: `program` applied again and again to the state, which it takes over; the result is the mean loss."""
    held = [state]

    def call() -> float:
        held[0], loss = program(held[0], data)
        return float(np.mean(jax.block_until_ready((held[0], loss))[1]))

    return call


def program(problem: Problem) -> Epoch:
    """`epoch` of the problem, compiled."""
    return jax.jit(partial(epoch, problem=problem), donate_argnums=0)


def training(problem: Problem, key: jax.Array) -> Callable[[], float]:
    """An implementation that trains the problem for an epoch at every call."""
    return trained(program(problem), init_state(recipe(problem), key), jax.device_put(problem.data))
