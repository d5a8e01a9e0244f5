"""The host loop: epochs with validation, early stopping, checkpoints and progress, for one training or an ensemble of them."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from jaxsci.core import Array, Batch, Key, Params
from jaxsci.training._early_stopping import FitState, init, is_active, update_best
from jaxsci.training._epoch import BatchIndices, evaluate, shuffled, train_steps
from jaxsci.training._step import Recipe, mean_metrics
from jaxsci.training.checkpoint import latest, restore, save

Record = dict[str, Any]  # of one epoch, JSON-compatible; an ensemble's values are lists over its members
Hyper = Mapping[str, Array]  # what a sweep varies: each [member]


@dataclass(frozen=True)
class Settings:
    """How long and in what microbatches to train."""

    epochs: int = 20
    batch_size: int = 128
    patience: int | None = None  # stop after so many epochs without a better validation loss; None trains all epochs


class Fit(NamedTuple):
    """What a training gives. For an ensemble every array has a leading member axis."""

    params: Params  # of the epoch with the lowest validation loss
    best_epoch: Array  # counted from 1
    best_loss: Array  # validation loss there
    history: list[Record]


class EpochProgress(NamedTuple):
    """What `fit` reports while it runs."""

    epoch: int  # the one under way, counted from 1
    fraction: float  # of its training steps done
    record: Record | None  # of the epoch, once it is complete and saved


class TrainingDivergedError(ArithmeticError):
    """A loss became NaN or infinite; the message names the step, the metric and the last good checkpoint."""


class _Programs(NamedTuple):
    """The compiled functions of a training; under an ensemble each is one program for all members."""

    init: Callable[..., FitState]
    order: Callable[..., BatchIndices]
    train: Callable[..., tuple[FitState, Any, Array]]
    close: Callable[..., tuple[FitState, Any]]
    active: Callable[..., Array]


def fit(
    recipe: Recipe,
    train: Batch,
    validation: Batch,
    *,
    key: Key,
    settings: Settings,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: Callable[[EpochProgress], None] | None = None,
) -> Fit:
    """Minimize the recipe's loss over the training part, epoch by epoch.

    Args:
        recipe: model, loss, optimizer.
        train: the training part, as arrays that fit on the device.
        validation: decides on early stopping and on the epoch that is kept, by its mean loss.
        key: source of the initial parameters, the order of the examples and the augmentation.
        settings: epochs, batch size, patience.
        checkpoints: folder for a checkpoint after every epoch; None keeps none.
        resume: go on from the newest checkpoint in `checkpoints`; the result equals that of an uninterrupted run bit for bit.
        progress: called about ten times an epoch.

    Raises:
        TrainingDivergedError: a loss became NaN or infinite.
        InputError: `resume` without a usable checkpoint.
    """
    programs = _compile(lambda hyper: recipe, settings, None)
    return _run(programs, {}, train, validation, key, settings, checkpoints, resume, progress)


def fit_ensemble(
    recipe: Callable[[Hyper], Recipe],
    hyper: Hyper,
    train: Batch,
    validation: Batch,
    *,
    keys: Key,
    settings: Settings,
    sequential: bool = False,
    checkpoints: Path | None = None,
    resume: bool = False,
    progress: Callable[[EpochProgress], None] | None = None,
) -> Fit:
    """Train many members as one compiled program under `vmap`; each equals its own `fit` up to rounding.

    Args:
        recipe: builds a member's recipe from its hyperparameters, scalars that may be traced (learning rate, weight decay, ...).
        hyper: a value a member: each array is [member]; an empty dict where only the seeds differ.
        train: the training part, shared by all members; each sees it in its own order.
        validation: each member stops early and keeps its best epoch by its own loss on it.
        keys: [member] random keys. Where they lie decides where the members train: split over the devices of a mesh (by
            `jax.device_put(keys, NamedSharding(mesh, PartitionSpec("member")))`), each device trains its share on a copy of the data.
        settings: as for `fit`.
        sequential: whether a device takes its members one after another in the one program, in place of all at once: faster on a processor,
            whose caches hold the state of one, and a member that has stopped then costs nothing.
        checkpoints: as for `fit`.
        resume: as for `fit`.
        progress: as for `fit`.

    Raises:
        ValueError: the leading axes of `hyper` and `keys` differ.
        TrainingDivergedError: every member diverged. A single one that does is stopped and keeps its best epoch.
        InputError: `resume` without a usable checkpoint.
    """
    wrong = {name: jnp.shape(value) for name, value in hyper.items() if jnp.shape(value)[:1] != keys.shape}
    if wrong:
        raise ValueError(f"one value a member is expected, {keys.shape[0]} for that many keys, got the shapes {wrong}")
    programs = _compile(recipe, settings, keys.sharding, sequential)
    return _run(programs, hyper, train, validation, keys, settings, checkpoints, resume, progress)


def _compile(
    recipe: Callable[[Hyper], Recipe], settings: Settings, members: Sharding | None, sequential: bool = False
) -> _Programs:
    """The programs of one training, or of an ensemble whose members lie as `members` says."""

    def order(state: FitState, examples: int) -> BatchIndices:
        return shuffled(jax.random.fold_in(state.train.key, -1 - state.epoch), examples, settings.batch_size)

    def train(
        state: FitState, hyper: Hyper, active: Array, order: BatchIndices, data: Batch
    ) -> tuple[FitState, Any, Array]:
        inner, still, metrics = train_steps(recipe(hyper), state.train, active & state.finite, data, order)
        finite = state.finite & (still | ~active)
        return state._replace(train=inner, finite=finite), metrics, finite

    def close(state: FitState, hyper: Hyper, active: Array, data: Batch) -> tuple[FitState, Any]:
        metrics = evaluate(recipe(hyper).loss, state.train.params, data, settings.batch_size)
        return update_best(state, metrics["loss"], active), metrics

    def mapped(function: Callable[..., Any], *axes: int | None) -> Callable[..., Any]:
        if members is None:
            return function
        return _sequential(function, axes, members) if sequential else jax.vmap(function, in_axes=axes)

    # All results have a leading member axis, and stay where their member is.
    compiled = partial(jax.jit, out_shardings=members) if isinstance(members, NamedSharding) else jax.jit
    return _Programs(
        init=compiled(mapped(lambda key, hyper: init(recipe(hyper), key), 0, 0)),
        order=compiled(lambda state, examples: mapped(partial(order, examples=examples), 0)(state), static_argnums=1),
        train=compiled(mapped(train, 0, 0, 0, 0, None), donate_argnums=0),
        close=compiled(mapped(close, 0, 0, 0, None), donate_argnums=0),
        active=compiled(mapped(lambda state: is_active(state, settings.patience), 0)),
    )


def _sequential(function: Callable[..., Any], axes: tuple[int | None, ...], members: Sharding) -> Callable[..., Any]:
    """What `jax.vmap` gives, as a loop over the members of each device."""

    def loop(*arguments: Any) -> Any:
        each = [argument for argument, axis in zip(arguments, axes, strict=True) if axis == 0]

        def once(each: list[Any]) -> Any:
            rest = iter(each)
            return function(*(next(rest) if axis == 0 else a for a, axis in zip(arguments, axes, strict=True)))

        return jax.lax.map(once, each)

    if not isinstance(members, NamedSharding):
        return loop
    specs = tuple(members.spec if axis == 0 else PartitionSpec() for axis in axes)
    return jax.shard_map(loop, mesh=members.mesh, in_specs=specs, out_specs=members.spec, check_vma=False)


def _run(
    programs: _Programs,
    hyper: Hyper,
    train: Batch,
    validation: Batch,
    key: Key,
    settings: Settings,
    checkpoints: Path | None,
    resume: bool,
    progress: Callable[[EpochProgress], None] | None,
) -> Fit:
    train, validation = jax.device_put((train, validation), _beside(key))
    state = programs.init(key, hyper)
    history: list[Record] = []
    if resume and checkpoints is not None:
        restored, history = restore(checkpoints, state)
        state = jax.device_put(restored, jax.tree.map(lambda leaf: leaf.sharding, state))
    progress = progress or (lambda _: None)
    for epoch in range(len(history) + 1, settings.epochs + 1):
        active = programs.active(state)
        if not np.any(active):
            break
        began = time.perf_counter()
        state, train_metrics = _train_epoch(programs, state, hyper, active, train, epoch, checkpoints, progress)
        state, validation_metrics = programs.close(state, hyper, active, validation)
        last = {f"validation_{name}": value[..., None] for name, value in validation_metrics.items()}
        _check_finite(last, state.finite, epoch, train_metrics["weight"].shape[-1], checkpoints)
        record: Record = {"epoch": epoch, "seconds": round(time.perf_counter() - began, 3)}
        record |= {f"train_{name}": _plain(value) for name, value in mean_metrics(train_metrics).items()}
        record |= {f"validation_{name}": _plain(value) for name, value in validation_metrics.items()}
        history.append(record)
        if checkpoints is not None:
            save(checkpoints, epoch, state, history)
        progress(EpochProgress(epoch, 1.0, record))
    return Fit(state.best_params, state.best_epoch, state.best_loss, history)


def _beside(key: Key) -> Sharding | None:
    """Where the data belong: a copy on every device that the keys of an ensemble are split over; by default JAX's own choice."""
    if isinstance(key.sharding, NamedSharding):
        return NamedSharding(key.sharding.mesh, PartitionSpec())
    return None


def _train_epoch(
    programs: _Programs,
    state: FitState,
    hyper: Hyper,
    active: Array,
    data: Batch,
    epoch: int,
    checkpoints: Path | None,
    progress: Callable[[EpochProgress], None],
) -> tuple[FitState, Any]:
    """All steps of an epoch, as a few equal scans, so that progress shows and Ctrl-C is heard."""
    order = programs.order(state, data.weight.shape[0])
    steps = order.indices.shape[-2]
    chunk = steps // _chunks(steps)
    done: list[tuple[int, Any, Array]] = []

    def check_last() -> None:
        first, metrics, finite = done[-1]
        _check_finite(metrics, finite, epoch, first, checkpoints)
        progress(EpochProgress(epoch, (first + chunk) / steps, None))

    for first in range(0, steps, chunk):
        indices = BatchIndices(*(a[..., first : first + chunk, :] for a in order))
        state, metrics, finite = programs.train(state, hyper, active, indices, data)
        if done:
            check_last()  # one chunk late, so that the device is never left waiting
        done.append((first, metrics, finite))
    check_last()
    return state, jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *(metrics for _, metrics, _ in done))


def _chunks(steps: int) -> int:
    """The largest number up to ten that divides `steps`: equal microbatches need one compiled program."""
    return max(n for n in range(1, 11) if steps % n == 0)


def _check_finite(metrics: Any, finite: Array, epoch: int, first_step: int, checkpoints: Path | None) -> None:
    """Raise when no member is left whose losses are finite; `metrics` are [..., step] from `first_step` of the epoch on."""
    if np.any(finite):
        return
    name, values = next((name, np.asarray(value)) for name, value in metrics.items() if name.endswith("loss"))
    bad = ~np.isfinite(values).reshape(-1, values.shape[-1])
    step = int(np.argmax(bad.any(axis=0)))
    value = values.reshape(bad.shape)[np.argmax(bad[:, step]), step]
    saved = None if checkpoints is None else latest(checkpoints)
    good = "no checkpoint was written" if saved is None else f"the last good checkpoint is {checkpoints}/{saved}"
    raise TrainingDivergedError(
        f"{name} became {value} in epoch {epoch}, step {first_step + step}; {good}; "
        "lower the learning rate or clip the gradient"
    )


def _plain(value: Array) -> float | list[Any] | None:
    """A JSON number, or a nested list of them; NaN and infinity, which JSON lacks, become null."""
    array = np.asarray(value)
    if array.ndim:
        return [_plain(item) for item in array]
    number = float(array)
    return number if math.isfinite(number) else None
