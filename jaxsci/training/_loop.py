"""The host loop: epochs with validation, early stopping, checkpoints and progress, for one training or an ensemble of them."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxsci.core import Array, Batch, Key
from jaxsci.errors import InputError, StopTraining
from jaxsci.training import _mesh as meshes
from jaxsci.training import checkpoint
from jaxsci.training._checks import check_data, check_finite, check_parts
from jaxsci.training._early_stopping import FitState
from jaxsci.training._programs import Hyper, Plan, Programs, programs
from jaxsci.training._step import Recipe, mean_metrics
from jaxsci.training.checkpoint import Begun, Record

SECONDS = 1.0  # between two looks at the clock, at the user's wishes, and at the metrics


class EpochProgress(NamedTuple):
    """What `fit` reports while it runs."""

    epoch: int  # the one under way, counted from 1
    fraction: float  # of its training steps done
    record: Record | None  # of the epoch, once it is complete and saved


OnEpochProgress: TypeAlias = Callable[[EpochProgress], None]


class Job(NamedTuple):
    """One training, or one of an ensemble."""

    recipe: Callable[[Hyper], Recipe]
    plan: Plan
    hyper: Hyper
    key: Key
    train: Batch
    validation: Batch
    checkpoints: Path | None
    minutes: float | None  # between checkpoints; None: one after every epoch
    progress: OnEpochProgress

    def check(self, metrics: Any, finite: Array, epoch: int, first_step: int) -> None:
        """Raise when no member is left whose losses are finite."""
        data = {"train": self.train, "validation": self.validation}
        where: dict[str, Any] = {"epoch": epoch, "first_step": first_step, "checkpoints": self.checkpoints}
        check_finite(metrics, meshes.to_host(finite), **where, data=data)

    def asked_to_stop(self, now: EpochProgress) -> bool:
        """Report progress; whether whoever listens wants the training to end."""
        try:
            self.progress(now)
        except StopTraining:
            return True
        return False


class Saver:
    """When the state is written, and that it is written once."""

    def __init__(self, job: Job) -> None:
        self.folder, self.seconds = job.checkpoints, None if job.minutes is None else 60 * job.minutes
        self.last = time.monotonic()
        self.written: tuple[int, int] | None = None  # epochs and steps of the next one in the newest checkpoint
        self.number = 0  # of the newest checkpoint

    def due(self, *, epoch_ends: bool) -> bool:
        """Whether it is time for a checkpoint."""
        if self.seconds is None:
            return epoch_ends
        return time.monotonic() - self.last >= self.seconds

    def save(self, state: FitState, history: list[Record], begun: Begun | None = None) -> None:
        """Write a checkpoint, unless the newest is of the same step."""
        place = len(history), 0 if begun is None else begun.steps
        if self.folder is None or place == self.written:
            return
        self.number = max(self.number + 1, len(history))
        checkpoint.save(self.folder, self.number, state, history, begun)
        self.last, self.written = time.monotonic(), place


def run(job: Job, mesh: Mesh | None, epochs: int, resume: bool) -> tuple[FitState, list[Record]]:
    """Train; the state after the last step and the record of every epoch."""
    if resume and job.checkpoints is None:
        raise InputError("resume: expected a folder of checkpoints, got none; give checkpoints= or train anew")
    check_data("train", job.train)
    check_data("validation", job.validation)
    job = _placed(job, mesh)
    compiled = programs(job.recipe, job.plan)
    state = compiled.init(job.key, job.hyper)
    history: list[Record] = []
    begun: Begun | None = None
    saver = Saver(job)
    if job.checkpoints is not None:
        if resume:
            restored = checkpoint.restore(job.checkpoints, state)
            state = jax.tree.map(lambda leaf, like: meshes.put(leaf, like.sharding), restored.state, state)
            history, begun, saver.number = restored.history, restored.begun, restored.number
            saver.written = len(history), 0 if begun is None else begun.steps
        else:
            checkpoint.clear(job.checkpoints)
    for epoch in range(len(history) + 1, epochs + 1):
        active = (
            compiled.active(state) if begun is None else meshes.put(np.asarray(begun.active), state.finite.sharding)
        )
        if not np.any(meshes.to_host(active)):
            break
        began = time.perf_counter() - (0 if begun is None else begun.seconds)
        state, train_metrics = _train_epoch(job, compiled, state, active, history, began, begun, saver)
        begun = None
        state, closed = compiled.close(state, job.hyper, active, job.validation)
        validation_metrics = meshes.to_host(closed)
        last = {f"validation_{name}": value[..., None] for name, value in validation_metrics.items()}
        job.check(last, state.finite, epoch, train_metrics["weight"].shape[-1])
        record: Record = {"epoch": epoch, "seconds": round(time.perf_counter() - began, 3)}
        record |= {f"train_{name}": _plain(value) for name, value in mean_metrics(train_metrics).items()}
        record |= {f"validation_{name}": _plain(value) for name, value in validation_metrics.items()}
        history.append(record)
        if meshes.agreed(job.plan.layout, saver.due(epoch_ends=True))[0]:
            saver.save(state, history)
        if meshes.agreed(job.plan.layout, job.asked_to_stop(EpochProgress(epoch, 1.0, record)))[0]:
            saver.save(state, history)
            raise StopTraining(f"stopped as asked, after epoch {epoch}")
    saver.save(state, history)
    return state, history


def _placed(job: Job, mesh: Mesh | None) -> Job:
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


def _train_epoch(
    job: Job,
    compiled: Programs,
    state: FitState,
    active: Array,
    history: list[Record],
    began: float,
    begun: Begun | None,
    saver: Saver,
) -> tuple[FitState, Any]:
    """The steps of an epoch that are left, a second's worth at a time, so that progress shows and wishes are heard."""
    epoch, layout = len(history) + 1, job.plan.layout
    order = compiled.order(state, job.train.weight.shape[0])
    steps = order.indices.shape[-2]
    done = 0 if begun is None else begun.steps
    parts = [] if begun is None else [begun.metrics]
    running: list[tuple[int, int, Any, Array]] = []
    count, clock = 1, time.perf_counter()

    def finish() -> bool:
        """Wait for what was started first; whether the training is to end."""
        nonlocal count, clock
        first, end, metrics, finite = running.pop(0)
        metrics = {name: value[..., first:end] for name, value in meshes.to_host(metrics).items()}
        job.check(metrics, finite, epoch, first)
        parts.append(metrics)
        seconds, clock = time.perf_counter() - clock, time.perf_counter()
        pace = math.ceil(SECONDS * (end - first) / max(seconds, 1e-6))
        count = min(pace, 8 * count, -(-steps // 10))
        return job.asked_to_stop(EpochProgress(epoch, end / steps, None))

    def save() -> None:
        metrics = _joined(parts)
        held = np.asarray(meshes.to_host(active)).tolist()
        saver.save(state, history, Begun(done, metrics, held, time.perf_counter() - began))

    stopped = f"stopped as asked, in epoch {epoch}"
    wanted = False
    while done < steps:
        end = min(done + count, steps)
        span = np.int32(done), np.int32(end)
        state, metrics, finite = compiled.train(state, job.hyper, active, order, job.train, span)
        running.append((done, end, metrics, finite))
        done = end
        if (layout is not None and layout.waits) or len(running) > 1:  # else the device is never left waiting
            wanted |= finish()
        stop, due, count = meshes.agreed(layout, wanted, saver.due(epoch_ends=False), count)
        if stop or due:
            while running:
                wanted |= finish()
            save()
        if stop:
            raise StopTraining(stopped)
    while running:
        wanted |= finish()
    if meshes.agreed(layout, wanted)[0]:
        save()
        raise StopTraining(stopped)
    return state, _joined(parts)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def _plain(value: Array) -> float | list[Any] | None:
    """A JSON number, or a nested list of them; NaN and infinity, which JSON lacks, become null."""
    array = np.asarray(value)
    if array.ndim:
        return [_plain(item) for item in array]
    number = float(array)
    return number if math.isfinite(number) else None
