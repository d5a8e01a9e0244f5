"""The host loop: epochs with validation, early stopping, checkpoints and progress, for one training or an ensemble of them."""

import contextlib
import math
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxsci.core import Array, Batch, Key, Shares, Stream
from jaxsci.errors import InputError, StopTraining
from jaxsci.training import _mesh as meshes
from jaxsci.training import checkpoint
from jaxsci.training._checks import check_data, check_finite, check_parts, check_stream
from jaxsci.training._early_stopping import FitState
from jaxsci.training._epoch import ORDER, BatchIndices, steps_per_epoch
from jaxsci.training._programs import Hyper, Plan, Programs, programs
from jaxsci.training._step import Recipe, mean_metrics
from jaxsci.training.checkpoint import Begun, Record, Saver
from jaxsci.training.profile import Profile

SECONDS = 1.0  # between two looks at the clock, at the user's wishes, and at the metrics


class EpochProgress(NamedTuple):
    """What `fit` reports while it runs."""

    epoch: int  # the one under way, counted from 1
    fraction: float  # of its training steps done
    record: Record | None  # of the epoch, once it is complete


OnEpochProgress: TypeAlias = Callable[[EpochProgress], None]


class Job(NamedTuple):
    """One training, or one of an ensemble."""

    recipe: Callable[[Hyper], Recipe]
    plan: Plan
    hyper: Hyper
    key: Key
    train: Batch | Stream
    validation: Batch
    checkpoints: Path | None
    minutes: float | None  # between checkpoints; None: `Saver` chooses
    progress: OnEpochProgress
    only: np.ndarray | None = None  # [member] bool, those that train; None: all
    profile: Profile | None = None  # measures it

    @property
    def block(self) -> int | None:
        """Examples of a block; None where all of them are one, in memory."""
        return None if isinstance(self.train, Batch) else self.train.block

    @property
    def examples(self) -> int:
        """How many are trained on."""
        return self.train.weight.shape[0] if isinstance(self.train, Batch) else self.train.examples

    def blocks(self, epoch: int, first: int) -> Generator[Batch, None, None]:
        """The blocks of an epoch from the one numbered `first` on, on their devices."""
        if isinstance(self.train, Batch):
            yield self.train
        else:
            layout, size = self.plan.layout, self.plan.batch_size
            shares = Shares(1, (0,), size) if layout is None else Shares(layout.shards, layout.own, size)
            place = None if layout is None else NamedSharding(layout.mesh, self.plan.train)
            yield from self.train.blocks(epoch, first, lambda own: meshes.put_shares(own, shares.parts, place), shares)

    @property
    def sharding(self) -> NamedSharding | None:
        """Where examples lie; None: JAX's default device."""
        layout = self.plan.layout
        return None if layout is None else NamedSharding(layout.mesh, self.plan.data)

    def timed(self, stage: str) -> contextlib.AbstractContextManager[None]:
        """Adds the time within to that of a stage of the profile, where there is one."""
        return contextlib.nullcontext() if self.profile is None else self.profile.timed(stage)

    def check(self, metrics: Any, finite: Array, epoch: int, first_step: int, saver: Saver) -> None:
        """Raise when no member is left whose losses are finite."""
        finite = meshes.to_host(finite)
        if not finite.any() and saver.writer is not None:
            saver.writer.wait()  # the message names the last good checkpoint
        data = {"validation": self.validation}
        if isinstance(self.train, Batch):  # a stream looks at each example as it is read
            data = {"train": self.train, **data}
        where: dict[str, Any] = {"epoch": epoch, "first_step": first_step, "checkpoints": self.checkpoints}
        check_finite(metrics, finite, **where, data=data)

    def asked_to_stop(self, now: EpochProgress) -> bool:
        """Report progress; whether whoever listens wants the training to end."""
        try:
            self.progress(now)
        except StopTraining:
            return True
        return False


def run(job: Job, mesh: Mesh | None, epochs: int, resume: bool) -> tuple[FitState, list[Record]]:
    """Train; the state after the last step and the record of every epoch."""
    saver = Saver(job.checkpoints, job.minutes)
    with job.timed("all"), saver.writer or contextlib.nullcontext():
        return _run(job, mesh, epochs, resume, saver)


def _run(job: Job, mesh: Mesh | None, epochs: int, resume: bool, saver: Saver) -> tuple[FitState, list[Record]]:
    if resume and job.checkpoints is None:
        raise InputError("resume: expected a folder of checkpoints, got none; give checkpoints= or train anew")
    if isinstance(job.train, Batch):
        check_data("train", job.train)
    else:
        check_stream(job.train, job.plan)
    check_data("validation", job.validation)
    job = _placed(job, mesh)
    compiled = programs(job.recipe, job.plan)
    if job.profile is not None:
        compiled = job.profile.watched(compiled, job.recipe, job.hyper, job.key, job.plan)
    state = compiled.init(job.key, job.hyper)
    history: list[Record] = []
    begun: Begun | None = None
    if job.checkpoints is not None:
        if resume:
            restored = checkpoint.restore(job.checkpoints, state)
            state = jax.tree.map(lambda leaf, like: meshes.put(leaf, like.sharding), restored.state, state)
            history, begun, saver.number = restored.history, restored.begun, restored.number
            if begun is not None and begun.block != job.block:
                raise InputError(
                    f"{job.checkpoints}: expected to go on with an epoch of {_words(begun.block)}, got {_words(job.block)}, whose order "
                    "is another; give the data as before"
                )
            if begun is not None and begun.block is not None and begun.order != ORDER:
                raise InputError(
                    f"{job.checkpoints / str(saver.number)}: expected to go on within an epoch in the order of this version, got one that "
                    "an earlier version began in another order; remove this folder to go on from the checkpoint before it, or train anew"
                )
            saver.written = len(history), 0 if begun is None else begun.steps
            if job.profile is not None:
                job.profile.resumed = saver.written
        else:
            checkpoint.clear(job.checkpoints)
    for epoch in range(len(history) + 1, epochs + 1):
        if begun is not None:
            active = meshes.put(np.asarray(begun.active), state.finite.sharding)
        elif job.only is None:
            active = compiled.active(state)
        else:
            active = meshes.put(meshes.to_host(compiled.active(state)) & job.only, state.finite.sharding)
        if not np.any(meshes.to_host(active)):
            break
        began = time.perf_counter() - (0 if begun is None else begun.seconds)
        state, train_metrics = _train_epoch(job, compiled, state, active, history, began, begun, saver)
        begun = None
        state, closed = compiled.close(state, job.hyper, active, job.validation)
        validation_metrics = meshes.to_host(closed)
        last = {f"validation_{name}": value[..., None] for name, value in validation_metrics.items()}
        job.check(last, state.finite, epoch, train_metrics["weight"].shape[-1], saver)
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
    train, validation = job.train, job.validation
    layout = meshes.layout(mesh, job.key, train, job.plan.batch_size)
    plan = job.plan._replace(layout=layout, streamed=not isinstance(train, Batch))
    if layout is not None and layout.axis is not None:
        some = train if isinstance(train, Batch) else train.head(2 * layout.shards)
        with job.timed("compilation"):  # which takes longer than what it compares
            check_parts(programs(job.recipe, plan).in_parts, job.key, job.hyper, some, layout.shards)
    job = job._replace(plan=plan)
    if plan.split_data and isinstance(train, Batch):
        train = meshes.padded("train", train, plan.batch_size)
        validation = meshes.padded("validation", validation, plan.batch_size)
    with job.timed("input"):
        if isinstance(train, Batch):
            train = meshes.put(train, job.sharding)
        validation = meshes.put(validation, job.sharding)
    key, hyper = job.key, job.hyper
    if layout is not None:  # also where the keys lie on a mesh already: their hyperparameters may not
        key, hyper = meshes.put((key, hyper), NamedSharding(layout.mesh, plan.members))
    return job._replace(train=train, validation=validation, key=key, hyper=hyper)


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
    steps = steps_per_epoch(job.examples, job.plan.batch_size)
    a_block = steps if job.block is None else job.block // job.plan.batch_size
    done = 0 if begun is None else begun.steps
    parts = [] if begun is None else [begun.metrics]
    running: list[tuple[int, int, int, Any, Array]] = []  # number of the block; first step and the one after the last
    count, clock = 1, time.perf_counter()

    def finish() -> bool:
        """Wait for what was started first; whether the training is to end."""
        nonlocal count, clock
        index, first, end, metrics, finite = running.pop(0)
        own = slice(first - index * a_block, end - index * a_block)
        metrics = {name: value[..., own] for name, value in meshes.to_host(metrics).items()}
        job.check(metrics, finite, epoch, first, saver)
        parts.append(metrics)
        seconds, clock = time.perf_counter() - clock, time.perf_counter()
        pace = math.ceil(SECONDS * (end - first) / max(seconds, 1e-6))
        count = min(pace, 8 * count, -(-steps // 10))
        return job.asked_to_stop(EpochProgress(epoch, end / steps, None))

    def save() -> None:
        metrics = _joined(parts)
        held = np.asarray(meshes.to_host(active)).tolist()
        saver.save(state, history, Begun(done, metrics, held, time.perf_counter() - began, job.block, ORDER))

    stopped = f"stopped as asked, in epoch {epoch}"
    wanted = False
    with contextlib.closing(job.blocks(epoch, done // a_block)) as blocks:
        while done < steps:
            index = done // a_block
            with job.timed("input"):
                data = next(blocks)
            order = _order(job, compiled, state, index)
            while done < min((index + 1) * a_block, steps):
                end = min(done + count, (index + 1) * a_block, steps)
                span = np.int32(done - index * a_block), np.int32(end - index * a_block)
                state, metrics, finite = compiled.train(state, job.hyper, active, order, data, span)
                running.append((index, done, end, metrics, finite))
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


def _order(job: Job, compiled: Programs, state: FitState, index: int) -> BatchIndices:
    """The order of the examples within a block."""
    if job.block is None:
        return compiled.order(state, 0, job.examples, None)
    return compiled.order(state, index, min(job.block, job.examples - index * job.block), job.block)


def _words(block: int | None) -> str:
    return "data in memory" if block is None else f"blocks of {block:,} examples"


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def _plain(value: Array) -> float | list[Any] | None:
    """A JSON number, or a nested list of them; NaN and infinity, which JSON lacks, become null."""
    array = np.asarray(value)
    if array.ndim:
        return [_plain(item) for item in array]
    number = float(array)
    return number if math.isfinite(number) else None
