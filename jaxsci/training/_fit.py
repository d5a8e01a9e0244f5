"""What a training is asked for and what it gives: one, or an ensemble."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxsci.core import Array, Batch, Key, Params, Stream
from jaxsci.errors import InputError
from jaxsci.training._loop import EpochProgress, Job, OnEpochProgress, run
from jaxsci.training._programs import Always, Hyper, Plan
from jaxsci.training._step import Recipe
from jaxsci.training.checkpoint import Record
from jaxsci.training.profile import Profile


@dataclass(frozen=True)
class Settings:
    """How long and in what batches to train."""

    epochs: int = 20
    batch_size: int = 128
    patience: int | None = None  # stop after so many epochs without a better validation loss; None trains all epochs
    # Each device holds its share of the examples instead of a copy of all. Every batch is then made of one example of each of
    # `batch_size` equal parts of the data: the same batches on any number of devices, but others than without.
    split_data: bool = False
    checkpoint_minutes: float | None = None  # between checkpoints, also within an epoch; None: after epochs

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}: expected a number of at least 1, got {value}; give a larger one")
        if self.checkpoint_minutes is not None and not self.checkpoint_minutes >= 0:
            raise InputError(
                f"checkpoint_minutes: expected a number of minutes, got {self.checkpoint_minutes}; leave it out for one an epoch"
            )


class Fit(NamedTuple):
    """What a training gives. For an ensemble every array has a leading member axis."""

    params: Params  # of the epoch with the lowest validation loss
    best_epoch: Array  # counted from 1
    best_loss: Array  # validation loss there
    history: list[Record]
    last_params: Params  # after the last step
    opt_state: Any  # the optimizer's state, after the last step


def fit(
    recipe: Recipe,
    train: Batch | Stream,
    validation: Batch,
    *,
    key: Key,
    settings: Settings,
    mesh: Mesh | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: OnEpochProgress | None = None,
    profile: Profile | None = None,
) -> Fit:
    """Minimize the recipe's loss over the training part, epoch by epoch.

    Args:
        recipe: model, loss, optimizer. Its programs are kept: a second training with the same recipe (the same object, or
            one of the same functions) and data of the same shapes compiles nothing. Make it once, outside of a loop over folds.
        train: the training part, as arrays that fit on the device, or a `jaxsci.data.streaming.Stream` of any size. Of a stream the
            order is drawn within blocks, which follow each other in the order of the stream.
        validation: decides on early stopping and on the epoch that is kept, by its mean loss.
        key: source of the initial parameters, the order of the examples and the augmentation.
        settings: epochs, batch size, patience.
        mesh: devices over which every batch is split, from `device_mesh()`: the loss must then be a mean over the batch, with or
            without a penalty. The batches are the same for any number of devices, and the results equal up to rounding.
        checkpoints: folder for a checkpoint after every epoch (of short ones not after all: writing takes 2 % of the time at most), or
            every `settings.checkpoint_minutes`; None keeps none. A training that does not resume removes those of an earlier one.
        resume: go on from the newest checkpoint in `checkpoints`; the result equals that of an uninterrupted run bit for bit.
        progress: called about ten times per epoch, and every second of a long one. If it raises `StopTraining`, a checkpoint is
            written at the step reached, within an epoch too.
        profile: measures the training.

    Raises:
        StopTraining: `progress` raised it.
        TrainingDivergedError: a loss became NaN or infinite.
        InputError: `resume` without a usable checkpoint, data whose weights add up to nothing, data that are not finite, or a mesh
            that does not fit the batches or the loss.
    """
    plan = Plan(settings.batch_size, settings.patience, settings.split_data)
    minutes = settings.checkpoint_minutes
    job = Job(
        Always(recipe), plan, {}, key, train, validation, checkpoints, minutes, progress or _silent, profile=profile
    )
    return _run(job, mesh, settings.epochs, resume)


def fit_ensemble(
    recipe: Callable[[Hyper], Recipe],
    hyper: Hyper,
    train: Batch | Stream,
    validation: Batch,
    *,
    keys: Key,
    settings: Settings,
    mesh: Mesh | None = None,
    sequential: bool = False,
    only: np.ndarray | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: OnEpochProgress | None = None,
    profile: Profile | None = None,
) -> Fit:
    """Train many members as one compiled program under `vmap`; each equals its own `fit` up to rounding.

    Args:
        recipe: builds a member's recipe from its hyperparameters, scalars that may be traced (learning rate, weight decay, ...).
            The programs of the same function are kept, as in `fit`.
        hyper: a value per member: each array is [member]; an empty dict where only the seeds differ.
        train: the training part, shared by all members; each sees it, or each block of a stream, in its own order.
        validation: each member stops early and keeps its best epoch by its own loss on it.
        keys: [member] random keys. Without `mesh`, where they lie decides where the members train.
        settings: as for `fit`.
        mesh: from `device_mesh(member=...)`: over its axis `member` the members are split, over its axis `data` every batch, as in `fit`.
        sequential: run the members of a device one after another (`jax.lax.map`) instead of all at once (`jax.vmap`). Faster on a
            CPU, whose caches hold the state of one member; members that stopped early then cost nothing.
        only: [member] bool, the members to train; the others stay as they are. With `resume` and `settings` of more epochs than before, the
            best of a sweep go on where all were: successive halving.
        checkpoints: as for `fit`.
        resume: as for `fit`.
        progress: as for `fit`.
        profile: as for `fit`.

    Raises:
        TrainingDivergedError: every member diverged. A single one that does is stopped and keeps its best epoch.
        InputError: as for `fit`, or the leading axes of `hyper` and `keys` differ.
    """
    for name, value in hyper.items():
        if jnp.shape(value)[:1] != keys.shape:
            raise InputError(
                f"hyper[{name!r}]: expected [{keys.size}, ...], one value for each of {keys.size} keys, got the shape "
                f"{list(jnp.shape(value))}; give as many values as keys"
            )
    if only is not None and np.shape(only) != keys.shape:
        raise InputError(
            f"only: expected [{keys.size}], true or false for each key, got the shape {list(np.shape(only))}; name all"
        )
    plan = Plan(settings.batch_size, settings.patience, settings.split_data, ensemble=True, sequential=sequential)
    minutes = settings.checkpoint_minutes
    job = Job(recipe, plan, hyper, keys, train, validation, checkpoints, minutes, progress or _silent, only, profile)
    return _run(job, mesh, settings.epochs, resume)


def _silent(_: EpochProgress) -> None:
    """Progress that nobody watches."""


def _run(job: Job, mesh: Mesh | None, epochs: int, resume: bool) -> Fit:
    state, history = run(job, mesh, epochs, resume)
    return Fit(state.best_params, state.best_epoch, state.best_loss, history, state.train.params, state.train.opt_state)
