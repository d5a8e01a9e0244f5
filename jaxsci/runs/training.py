"""A training in a run folder, by one job at a time, of one process or of several of which the first writes."""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxsci.core import Batch, Key, Model, StatefulModel, Stream
from jaxsci.errors import InputError
from jaxsci.files import write_json, write_text
from jaxsci.ops.convolution import choice as convolution
from jaxsci.runs import schema, weights
from jaxsci.runs.task import Execution, OnProgress
from jaxsci.training import (
    EpochProgress,
    Fit,
    Profile,
    Recipe,
    Settings,
    TrainingDivergedError,
    checkpoint,
    device_mesh,
    fit,
    fit_ensemble,
    microbatches_for,
)

__all__ = [
    "PROFILE",
    "TRACE",
    "OtherProcess",
    "Training",
    "gathered",
    "locked",
    "refuse_devices",
    "require_devices",
    "train",
    "write_metrics",
]


PROFILE, TRACE = "profile.json", "trace.json.gz"  # of a training that is measured


class OtherProcess(Exception):
    """Ends the work of every process but the first once the training is over; the rest of the run is for the first alone."""


class Training(NamedTuple):
    """What is trained, for how long, and from which random key."""

    recipe: Recipe
    settings: Settings
    key: Key  # [member] for an ensemble


def train(
    folder: Path,
    training: Training,
    splits: tuple[Batch | Stream, Batch],
    *,
    resume: bool,
    progress: OnProgress,
    execution: Execution | None = None,
) -> Fit:
    """Train in a run folder: checkpoints and metrics.jsonl after every epoch, weights.npz at the end.

    Args:
        folder: of the run.
        training: with keys [member] it is an ensemble.
        splits: the examples for training, all or as a stream, and for validation, the same in every process.
        resume: go on from the newest checkpoint, where there is one.
        progress: called after every epoch. If it raises `StopTraining`, a checkpoint is written first.
        execution: when checkpoints are written, on how many devices each batch is computed, and whether that is measured.

    Raises:
        InputError: another job writes the run, or its checkpoint cannot be used.
        TrainingDivergedError: a loss became NaN or infinite; of an ensemble that of a member in its first epoch, or those of all.
        OtherProcess: the training is over, and this process is not the first of several.
    """
    execution = execution or Execution()
    settings = replace(training.settings, checkpoint_minutes=execution.checkpoint_minutes)
    convolution.settle()
    with locked(folder) if jax.process_index() == 0 else nullcontext():
        if training.key.ndim:
            refuse_devices(execution)
        split = execution.devices is not None or jax.process_count() > 1
        mesh = device_mesh(data=execution.devices) if split else None
        training = training._replace(settings=settings)
        if execution.device_memory is not None:
            training = _within(execution.device_memory, training, splits, mesh, progress)
        profile = Profile(folder / TRACE if jax.process_index() == 0 else None) if execution.profile else None
        result = _train(folder, training, splits, resume, progress, mesh, profile)
        if profile is not None and profile.steps:  # a training that was over before has nothing to measure
            _measure(folder, profile, progress)
    if jax.process_count() > 1:
        first = jax.process_index() == 0
        result = jax.tree.map(np.asarray, result)  # what was trained lies whole on the devices of every process
        jax.distributed.shutdown()  # where all of them are at the same place; the first may take long over the rest
        if not first:
            raise OtherProcess
    return result


def _measure(folder: Path, profile: Profile, progress: OnProgress) -> None:
    """Write what a profile found. A step that cannot be measured must not cost the run what comes after."""
    progress("measuring", 0.0, "")
    try:
        summary = profile.summary()
    except Exception as error:  # the compiler raises all kinds of errors, as a device does whose memory is full
        why = " ".join(str(error).split())[:200] or type(error).__name__
        progress("measuring", 1.0, f"warning: no {PROFILE}, since the step could not be measured: {why}")
        return
    if jax.process_index() == 0:
        write_json(folder / PROFILE, schema.sealed(summary))
    why = summary["step"]["unknown"]
    progress("measuring", 1.0, f"note: the operations are not counted: {why}" if why else "")


def require_devices(model: Model | StatefulModel, execution: Execution) -> None:
    """Raise InputError, before a run folder is made, unless batches of this network can be split as the user asks."""
    if execution.devices is None and jax.process_count() == 1:
        return
    device_mesh(data=execution.devices)
    if isinstance(model, StatefulModel):
        raise InputError(
            "--devices: expected a network without state, got one with batch statistics or dropout, those of a whole batch; leave it out"
        )


def refuse_devices(execution: Execution) -> None:
    """Raise InputError, before the run folder of an ensemble is made, for what splits the batches of one network alone."""
    if execution.device_memory is not None:
        raise InputError("--device-memory: expected a task that trains one network, got an ensemble; leave it out")
    if execution.devices is not None or jax.process_count() > 1:
        raise InputError(
            "--devices: expected a task that trains one network, got an ensemble, whose members are split over the devices of one "
            "process without asking; leave it out"
        )


def _within(
    memory: int, training: Training, splits: tuple[Batch | Stream, Batch], mesh: Mesh | None, progress: OnProgress
) -> Training:
    """The training in as many microbatches as a device with this memory asks for."""
    recipe, settings, key = training
    train, validation = splits
    if not isinstance(train, Batch):
        raise InputError("--device-memory: expected data in memory, got a stream; leave it out")
    number = microbatches_for(memory, recipe, train, validation, key=key, settings=settings, mesh=mesh)
    progress("training", 0.0, f"note: microbatches of a batch, to fit into {memory / 1e9:g} GB: {number}")
    return training._replace(recipe=recipe._replace(microbatches=number))


@lru_cache(maxsize=32)  # of one recipe one function, whose programs are compiled once
def _of_any(recipe: Recipe) -> Callable[[Any], Recipe]:
    return lambda hyper: recipe


def _train(
    folder: Path,
    training: Training,
    splits: tuple[Batch | Stream, Batch],
    resume: bool,
    progress: OnProgress,
    mesh: Mesh | None,
    profile: Profile | None,
) -> Fit:
    recipe, settings, key = training
    writes = jax.process_index() == 0
    checkpoints = folder / "checkpoints"
    history: list[dict[str, Any]] = []
    if resume and checkpoint.latest(checkpoints) is None:
        resume = False  # killed before its first checkpoint: the same run from its beginning
    if resume:
        history = checkpoint.restore(checkpoints, checkpoint.abstract_state(recipe, key)).history
    interrupted = resume

    def on_progress(now: EpochProgress) -> None:
        nonlocal interrupted
        if interrupted and writes:  # only where it goes on: what was over, such as another fold, was not interrupted
            _note_interruption(folder, len(history))
        interrupted = False
        stage = f"epoch {now.epoch} of {settings.epochs}"
        if now.record is None:
            progress("training", (now.epoch - 1 + now.fraction) / settings.epochs, stage)
            return
        history.append(now.record)
        if writes:
            write_metrics(folder, history)
        loss = np.median(np.array(now.record["validation_loss"], np.float64))  # over the members
        words = f"{stage}, validation loss {loss:.4f}"
        logging.getLogger("jaxsci").info("%s, %.1f s", words, now.record["seconds"])
        progress("training", now.epoch / settings.epochs, words)

    sequential = jax.default_backend() == "cpu"
    ensemble = partial(fit_ensemble, _of_any(recipe), {}, keys=key, sequential=sequential)
    run = ensemble if key.ndim else partial(fit, recipe, key=key, mesh=mesh)
    result = run(
        *splits, settings=settings, checkpoints=checkpoints, resume=resume, progress=on_progress, profile=profile
    )
    if key.ndim and (lost := np.flatnonzero(np.asarray(result.best_epoch) == 0)).size:
        raise TrainingDivergedError(
            f"expected a finite validation loss of each of {key.size} members, got none of member "
            f"{', '.join(str(number + 1) for number in lost)}, which would spoil the mean; lower the learning rate"
        )
    if writes:
        write_metrics(folder, result.history)
        weights.save(folder / weights.FILE, result.params)
    progress("training", 1.0, f"best epoch {int(np.median(result.best_epoch))} of {len(result.history)}")
    return result


def _note_interruption(folder: Path, epochs: int) -> None:
    """Add to config.json, of this folder or, for one of several trainings of a run, the folder above, that the training was resumed."""
    path = next((path for path in (folder / "config.json", folder.parent / "config.json") if path.exists()), None)
    if path is not None:
        of = {} if path.parent == folder else {"training": folder.name}
        remedy = "copy the run again"
        seal = schema.sealed if schema.is_sealed(path) else dict[str, Any]  # what was not as written stays so
        config = schema.unsealed(path, json.loads(path.read_text(encoding="utf-8")), remedy)
        device = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        how = {"device": device, "convolution": convolution.named_choice()}
        config.setdefault("resumed", []).append({**of, "date": now, "epochs": epochs, **how})
        write_json(path, seal(config))


def gathered(own: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """The whole array [row], of which the processes hold parts of these lengths in turn."""
    if jax.process_count() == 1:
        return own
    from jax.experimental import multihost_utils

    padded = np.zeros((max(lengths), own.itemsize), np.uint8)  # as bytes: of 64 bits JAX would keep 32
    padded[: len(own)] = own.view(np.uint8).reshape(len(own), own.itemsize)
    parts = np.asarray(multihost_utils.process_allgather(padded))
    whole = np.concatenate([part[:length] for part, length in zip(parts, lengths, strict=True)])
    return whole.view(own.dtype)[:, 0]


def write_metrics(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write metrics.jsonl, a line per epoch, whole."""
    write_text(folder / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in history))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which the system releases when the process ends, however it ends.

    Raises:
        InputError: another job holds it.
    """
    import fcntl  # which Windows lacks

    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "another job"
            raise InputError(
                f"{folder}: expected a run that no other job writes, but {owner} does; wait until it ends, or stop it"
            ) from error
        except OSError as error:  # some network file systems have no locks
            words = "%s: no lock on this file system (%s); make sure that no other job writes this run"
            logging.getLogger("jaxsci").warning(words, folder, error.strerror)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
