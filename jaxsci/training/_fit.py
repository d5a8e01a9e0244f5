"""The host loop: epochs with validation, early stopping, checkpoints and progress, for one training or an ensemble of them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxsci.core import Array, Batch, Key, Params
from jaxsci.errors import InputError
from jaxsci.training import _mesh as meshes
from jaxsci.training import checkpoint
from jaxsci.training._checks import check_data, check_finite, check_parts
from jaxsci.training._early_stopping import FitState
from jaxsci.training._epoch import BatchIndices
from jaxsci.training._programs import Always, Hyper, Plan, Programs, programs
from jaxsci.training._step import Recipe, mean_metrics

Record: TypeAlias = dict[str, Any]  # of one epoch, JSON-compatible; an ensemble's values are lists over its members


@dataclass(frozen=True)
class Settings:
    """How long and in what batches to train."""

    epochs: int = 20
    batch_size: int = 128
    patience: int | None = None  # stop after so many epochs without a better validation loss; None trains all epochs
    # Each device holds its share of the examples instead of a copy of all. Every batch is then made of one example of each of
    # `batch_size` equal parts of the data: the same batches on any number of devices, but others than without.
    split_data: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}: expected a number of at least 1, got {value}; give a larger one")


class Fit(NamedTuple):
    """What a training gives. For an ensemble every array has a leading member axis."""

    params: Params  # of the epoch with the lowest validation loss
    best_epoch: Array  # counted from 1
    best_loss: Array  # validation loss there
    history: list[Record]
    last_params: Params  # after the last step
    opt_state: Any  # the optimizer's state, after the last step


class EpochProgress(NamedTuple):
    """What `fit` reports while it runs."""

    epoch: int  # the one under way, counted from 1
    fraction: float  # of its training steps done
    record: Record | None  # of the epoch, once it is complete and saved


OnEpochProgress: TypeAlias = Callable[[EpochProgress], None]


def fit(
    recipe: Recipe,
    train: Batch,
    validation: Batch,
    *,
    key: Key,
    settings: Settings,
    mesh: Mesh | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: OnEpochProgress | None = None,
) -> Fit:
    """Minimize the recipe's loss over the training part, epoch by epoch.

    Args:
        recipe: model, loss, optimizer. Its programs are kept: a second training with the same recipe (the same object, or
            one of the same functions) and data of the same shapes compiles nothing. Make it once, outside of a loop over folds.
        train: the training part, as arrays that fit on the device.
        validation: decides on early stopping and on the epoch that is kept, by its mean loss.
        key: source of the initial parameters, the order of the examples and the augmentation.
        settings: epochs, batch size, patience.
        mesh: devices over which every batch is split, from `device_mesh()`: the loss must then be a mean over the batch, with or
            without a penalty. The batches are the same for any number of devices, and the results equal up to rounding.
        checkpoints: folder for a checkpoint after every epoch; None keeps none. A training that does not resume removes the
            checkpoints of an earlier one.
        resume: go on from the newest checkpoint in `checkpoints`; the result equals that of an uninterrupted run bit for bit.
        progress: called about ten times per epoch.

    Raises:
        TrainingDivergedError: a loss became NaN or infinite.
        InputError: `resume` without a usable checkpoint, data whose weights add up to nothing, data that are not finite, or a mesh
            that does not fit the batches or the loss.
    """
    plan = Plan(settings.batch_size, settings.patience, settings.split_data)
    job = _Job(Always(recipe), plan, {}, key, train, validation, checkpoints, progress or _silent)
    return _run(job, mesh, settings.epochs, resume)


def fit_ensemble(
    recipe: Callable[[Hyper], Recipe],
    hyper: Hyper,
    train: Batch,
    validation: Batch,
    *,
    keys: Key,
    settings: Settings,
    mesh: Mesh | None = None,
    sequential: bool = False,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: OnEpochProgress | None = None,
) -> Fit:
    """Train many members as one compiled program under `vmap`; each equals its own `fit` up to rounding.

    Args:
        recipe: builds a member's recipe from its hyperparameters, scalars that may be traced (learning rate, weight decay, ...).
            The programs of the same function are kept, as in `fit`.
        hyper: a value per member: each array is [member]; an empty dict where only the seeds differ.
        train: the training part, shared by all members; each sees it in its own order.
        validation: each member stops early and keeps its best epoch by its own loss on it.
        keys: [member] random keys. Without `mesh`, where they lie decides where the members train.
        settings: as for `fit`.
        mesh: from `device_mesh(member=...)`: over its axis `member` the members are split, over its axis `data` every batch, as in `fit`.
        sequential: run the members of a device one after another (`jax.lax.map`) instead of all at once (`jax.vmap`). Faster on a
            CPU, whose caches hold the state of one member; members that stopped early then cost nothing.
        checkpoints: as for `fit`.
        resume: as for `fit`.
        progress: as for `fit`.

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
    plan = Plan(settings.batch_size, settings.patience, settings.split_data, ensemble=True, sequential=sequential)
    job = _Job(recipe, plan, hyper, keys, train, validation, checkpoints, progress or _silent)
    return _run(job, mesh, settings.epochs, resume)


class _Job(NamedTuple):
    """One training, or one of an ensemble."""

    recipe: Callable[[Hyper], Recipe]
    plan: Plan
    hyper: Hyper
    key: Key
    train: Batch
    validation: Batch
    checkpoints: Path | None
    progress: OnEpochProgress

    def check(self, metrics: Any, finite: Array, epoch: int, first_step: int) -> None:
        data = {"train": self.train, "validation": self.validation}
        where: dict[str, Any] = {"epoch": epoch, "first_step": first_step, "checkpoints": self.checkpoints}
        check_finite(metrics, meshes.to_host(finite), **where, data=data)


def _silent(_: EpochProgress) -> None:
    """Progress that nobody watches."""


def _placed(job: _Job, mesh: Mesh | None) -> _Job:
    """The job with its data, keys and hyperparameters on the devices."""
    layout = meshes.layout(mesh, job.key, job.train, job.plan.batch_size)
    plan = job.plan._replace(layout=layout)
    if layout is not None and layout.axis is not None:
        check_parts(programs(job.recipe, plan).in_parts, job.key, job.hyper, job.train, layout.shards)
    if plan.split_data:
        train = meshes.padded("train", job.train, plan.batch_size)
        validation = meshes.padded("validation", job.validation, plan.batch_size)
        job = job._replace(train=train, validation=validation)
    data, members = (None if layout is None else NamedSharding(layout.mesh, s) for s in (plan.data, plan.members))
    train, validation = meshes.put((job.train, job.validation), data)
    key, hyper = meshes.put((job.key, job.hyper), members) if mesh is not None else (job.key, job.hyper)
    return job._replace(plan=plan, train=train, validation=validation, key=key, hyper=hyper)


def _run(job: _Job, mesh: Mesh | None, epochs: int, resume: bool) -> Fit:
    if resume and job.checkpoints is None:
        raise InputError("resume: expected a folder of checkpoints, got none; give checkpoints= or train anew")
    check_data("train", job.train)
    check_data("validation", job.validation)
    job = _placed(job, mesh)
    compiled = programs(job.recipe, job.plan)
    state = compiled.init(job.key, job.hyper)
    history: list[Record] = []
    if job.checkpoints is not None:
        if resume:
            restored, history = checkpoint.restore(job.checkpoints, state)
            state = jax.tree.map(lambda leaf, like: meshes.put(leaf, like.sharding), restored, state)
        else:
            checkpoint.clear(job.checkpoints)
    for epoch in range(len(history) + 1, epochs + 1):
        active = compiled.active(state)
        if not np.any(meshes.to_host(active)):
            break
        began = time.perf_counter()
        state, train_metrics = _train_epoch(job, compiled, state, active, epoch)
        state, closed = compiled.close(state, job.hyper, active, job.validation)
        validation_metrics = meshes.to_host(closed)
        last = {f"validation_{name}": value[..., None] for name, value in validation_metrics.items()}
        job.check(last, state.finite, epoch, train_metrics["weight"].shape[-1])
        record: Record = {"epoch": epoch, "seconds": round(time.perf_counter() - began, 3)}
        record |= {f"train_{name}": _plain(value) for name, value in mean_metrics(train_metrics).items()}
        record |= {f"validation_{name}": _plain(value) for name, value in validation_metrics.items()}
        history.append(record)
        if job.checkpoints is not None:
            checkpoint.save(job.checkpoints, epoch, state, history)
        job.progress(EpochProgress(epoch, 1.0, record))
    return Fit(state.best_params, state.best_epoch, state.best_loss, history, state.train.params, state.train.opt_state)


def _train_epoch(job: _Job, compiled: Programs, state: FitState, active: Array, epoch: int) -> tuple[FitState, Any]:
    """All steps of an epoch, as a few equal scans, so that progress shows and Ctrl-C is heard."""
    order = compiled.order(state, job.train.weight.shape[0])
    steps = order.indices.shape[-2]
    chunk = steps // _chunks(steps)
    done: list[tuple[int, Any, Array]] = []

    def check_last() -> None:
        first, metrics, finite = done[-1]
        metrics = meshes.to_host(metrics)
        done[-1] = first, metrics, finite
        job.check(metrics, finite, epoch, first)
        job.progress(EpochProgress(epoch, (first + chunk) / steps, None))

    for first in range(0, steps, chunk):
        indices = BatchIndices(*(a[..., first : first + chunk, :] for a in order))
        state, metrics, finite = compiled.train(state, job.hyper, active, indices, job.train)
        if job.plan.layout is not None and job.plan.layout.waits:
            jax.block_until_ready(state)
        if done:
            check_last()  # one chunk late, so that the device is never left waiting
        done.append((first, metrics, finite))
    check_last()
    return state, jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *(metrics for _, metrics, _ in done))


def _chunks(steps: int) -> int:
    """The largest number up to ten that divides `steps`: equal chunks need one compiled program."""
    return max(n for n in range(1, 11) if steps % n == 0)


def _plain(value: Array) -> float | list[Any] | None:
    """A JSON number, or a nested list of them; NaN and infinity, which JSON lacks, become null."""
    array = np.asarray(value)
    if array.ndim:
        return [_plain(item) for item in array]
    number = float(array)
    return number if math.isfinite(number) else None
