"""Early stopping as pure arithmetic on the state, so that every member of an ensemble has its own under `vmap`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Key, Params
from jaxsci.training._step import Recipe, TrainState, init_state


class FitState(NamedTuple):
    """All that a training carries from epoch to epoch, and all that a checkpoint holds."""

    train: TrainState
    epoch: Array  # int32, epochs completed
    best_epoch: Array  # int32, the epoch (counted from 1) of the best validation loss; 0 before the first
    best_loss: Array  # validation loss there
    best_params: Params
    finite: Array  # bool, whether every loss so far was a finite number


def init(recipe: Recipe, key: Key) -> FitState:
    """The state before the first epoch."""
    train = init_state(recipe, key)
    zero = jnp.zeros((), jnp.int32)
    return FitState(
        train=train,
        epoch=zero,
        best_epoch=zero,
        best_loss=jnp.full((), jnp.inf, jnp.result_type(float)),
        # A copy: the state is donated, and no buffer may be donated twice
        best_params=jax.tree.map(jnp.copy, train.params),
        finite=jnp.ones((), bool),
    )


def is_active(state: FitState, patience: int | None) -> Array:
    """Whether another epoch is due: losses finite, and the best epoch less than `patience` epochs ago."""
    if patience is None:
        return state.finite
    return state.finite & (state.epoch - state.best_epoch < patience)


def update_best(state: FitState, params: Params, validation_loss: Array, active: Array) -> FitState:
    """Count the epoch and keep the parameters it was evaluated with if its loss is the lowest so far; a stopped state stays as it is."""
    finite = state.finite & (jnp.isfinite(validation_loss) | ~active)
    better = active & (validation_loss < state.best_loss)
    epoch = state.epoch + active.astype(jnp.int32)
    return state._replace(
        epoch=epoch,
        best_epoch=jnp.where(better, epoch, state.best_epoch),
        best_loss=jnp.where(better, validation_loss.astype(state.best_loss.dtype), state.best_loss),
        best_params=jax.tree.map(
            lambda new, old: jnp.where(better, new.astype(old.dtype), old), params, state.best_params
        ),
        finite=finite,
    )
