"""The trials of a sweep: trained together where their programs are one, stopped early where they fall behind, resumable anywhere.

Successive halving (Jamieson and Talwalkar, arXiv:1502.07943): at 1/2^k, ..., 1/4, 1/2 of its epochs the better half of the trials goes
on, by the lowest validation loss so far. The learning rate follows the schedule of the whole training, so that a trial that goes on to the
end is the training it would be alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.ops.convolution import choice as convolution
from jaxsci.runs import folder as runs
from jaxsci.runs import weights
from jaxsci.runs.task import OnProgress, Session, Sweep, Trial
from jaxsci.runs.training import locked
from jaxsci.tasks import own_network
from jaxsci.tasks.sweeps.space import Dimension, draw
from jaxsci.training import EpochProgress, TrainingDivergedError, checkpoint, fit_ensemble

__all__ = ["FILE", "FIRST_MEMBER", "FOLDER", "Request", "best", "fractions", "read", "resume", "start"]

FILE = "sweep.json"
FOLDER = "sweeps"  # beside the folders of the tasks
FIRST_MEMBER = "first member"  # whose random key a trial has; in sweeps of earlier versions that of the seed itself
MAPPED = ("learning_rate", "weight_decay")  # arrays of one program; other values are programs of their own
_SAME_DATA = (*MAPPED, "batch_size")


class Request(NamedTuple):
    """What a sweep is asked for."""

    name: str  # of the task
    sweep: Sweep
    options: Any  # of the task, where they are not swept
    space: Mapping[str, Dimension]
    trials: int
    halving: bool
    words: Sequence[str]  # by which the sweep can be asked for again


class _Group(NamedTuple):
    """Trials of one program."""

    numbers: list[int]  # of the trials, from 1
    options: Any  # of its first
    trial: Trial
    hyper: dict[str, list[float]]


def start(request: Request, session: Session) -> Path:
    """Train the trials in a new folder.

    Returns:
        The folder, with sweep.json.

    Raises:
        InputError: the data or the options of a trial cannot be used; no folder is left behind.
        TrainingDivergedError: no trial is left.
    """
    drawn = draw(request.space, request.trials, request.options.seed)
    data = _Data(request, session.progress)
    groups = _grouped(request, drawn, data)
    digest, networks = data.digest(groups[0].options), _own(request, drawn)
    with runs.whole_folder(session, FOLDER, request.name) as folder:
        for reference in networks:
            own_network.keep(folder, reference)
        trials = [
            {"trial": i, "values": values, "state": "running", "epochs": 0, "best_epoch": None, "validation_loss": None}
            for i, values in enumerate(drawn, start=1)
        ]
        record = {
            "task": request.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "words": list(request.words),
            "loss": groups[0].trial.loss,
            "programs": len(groups),
            "digest": digest,
            "networks": [own_network.describe(reference) for reference in networks],
            "versions": runs.versions(),
            "device": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
            "key": FIRST_MEMBER,
            "rungs": [],
            "trials": trials,
        }
        runs.write_record(folder / FILE, record)
    _run(folder, record, request, groups, data)
    return folder


def resume(request: Request, folder: Path, progress: OnProgress) -> Path:
    """Go on with a sweep that was stopped; it ends with the same numbers, bit for bit, as if it had not been."""
    record, data = read(folder), _Data(request, progress)
    drawn = [trial["values"] for trial in record["trials"]]
    for reference in _own(request, drawn):
        own_network.require_agreed(reference)
    for network in record.get("networks", ()):
        own_network.require_same(network)
    groups = _grouped(request, drawn, data)
    if record.get("key") != FIRST_MEMBER:
        groups = [of._replace(trial=of.trial._replace(key=jax.random.key(of.options.seed))) for of in groups]
    if data.digest(groups[0].options) != record["digest"]:
        raise InputError(
            f"{folder}: expected the data that the sweep began with, got others; put them back, or sweep anew"
        )
    _run(folder, record, request, groups, data)
    return folder


def read(folder: Path) -> dict[str, Any]:
    """The sweep.json of a folder."""
    found = runs.read_json(folder / FILE, "give the folder of a sweep, such as runs/sweeps/top-tagging-1")
    if not isinstance(found, dict) or not {"task", "words", "digest", "rungs", "trials"} <= set(found):
        raise InputError(f"{folder / FILE}: expected the record of a sweep, got another file; sweep anew")
    return found


def best(record: Mapping[str, Any]) -> dict[str, Any]:
    """The trial with the lowest validation loss of those that were trained to the end.

    Raises:
        TrainingDivergedError: there is none.
    """
    finished = [trial for trial in record["trials"] if trial["state"] == "finished"]
    if not finished:
        raise TrainingDivergedError("expected a trial with a finite loss, got none; lower the learning rates")
    found: dict[str, Any] = min(finished, key=lambda trial: trial["validation_loss"])
    return found


def fractions(trials: int, epochs: int, halving: bool) -> list[float]:
    """The parts of a training after which trials are judged; the last is 1."""
    halvings = int(math.log2(min(trials, epochs))) if halving else 0
    return [0.5**k for k in range(halvings, -1, -1)]


class _Data:
    """The parts that were prepared last: groups of the same data follow each other."""

    def __init__(self, request: Request, progress: OnProgress) -> None:
        self._request, self.progress = request, progress
        self._held: tuple[Any, Any] | None = None

    def key(self, options: Any) -> Any:
        """What the data depend on."""
        base = self._request.options
        return replace(options, **{name: getattr(base, name) for name in _SAME_DATA})

    def of(self, options: Any) -> tuple[Any, tuple[Batch, Batch]]:
        """What was prepared for these options, and the parts."""
        key = self.key(options)
        if self._held is None or self._held[0] != key:
            self._held = None  # its memory is free before the next is read
            self._held = key, self._request.sweep.parts(key, self.progress)
        found: tuple[Any, tuple[Batch, Batch]] = self._held[1]
        return found

    def digest(self, options: Any) -> str:
        """By which the data are known again."""
        return weights.digest(*(np.asarray(leaf) for leaf in jax.tree.leaves(self.of(options)[1])))


def _own(request: Request, drawn: Sequence[Mapping[str, Any]]) -> list[str]:
    """The networks of the user's own that the trials train."""
    found = (request.sweep.own(replace(request.options, **values)) for values in drawn)
    return sorted({reference for reference in found if reference is not None})


def _grouped(request: Request, drawn: Sequence[Mapping[str, Any]], data: _Data) -> list[_Group]:
    """The trials by their programs, each checked."""
    found: dict[Any, list[int]] = {}
    for number, values in enumerate(drawn, start=1):
        options = replace(request.options, **{name: value for name, value in values.items() if name not in MAPPED})
        found.setdefault(options, []).append(number)
    of_data: dict[Any, list[Any]] = {}
    for options in found:
        of_data.setdefault(data.key(options), []).append(options)
    groups = []
    for options in (options for alike in of_data.values() for options in alike):
        numbers = found[options]
        trial = request.sweep.trial(options, data.of(options)[0])
        hyper = {name: [drawn[n - 1][name] for n in numbers] for name in MAPPED if name in drawn[0]}
        groups.append(_Group(numbers, options, trial, hyper))
    losses = sorted({group.trial.loss for group in groups})
    if len(losses) > 1:
        raise InputError(
            f"sweep: expected trials of one loss, by which they are compared, got {' and '.join(losses)}; leave one out"
        )
    return groups


def _run(folder: Path, record: dict[str, Any], request: Request, groups: list[_Group], data: _Data) -> None:
    """Train the trials from rung to rung; sweep.json is written after each."""
    convolution.settle()
    least = min(group.trial.settings.epochs for group in groups)
    rungs = fractions(len(record["trials"]), least, request.halving)
    with locked(folder):
        for number, fraction in enumerate(rungs[len(record["rungs"]) :], start=len(record["rungs"]) + 1):
            running = [trial["trial"] for trial in record["trials"] if trial["state"] == "running"]
            stage = f"rung {number} of {len(rungs)}"
            for group, progress in _shown([g for g in groups if set(g.numbers) & set(running)], stage, data):
                checkpoints = folder / "checkpoints" / str(groups.index(group))
                for trial, found in _advance(group, data, fraction, running, checkpoints, progress).items():
                    record["trials"][trial - 1] |= found
            _judge(record, last=fraction == 1)
            record["rungs"].append(fraction)
            runs.write_record(folder / FILE, record)
            left = sum(trial["state"] in ("running", "finished") for trial in record["trials"])
            data.progress(stage, 1.0, f"{left} of {len(running)} trials go on" if fraction < 1 else f"{left} trials")


def _shown(groups: list[_Group], stage: str, data: _Data) -> Iterator[tuple[_Group, Any]]:
    """Each group with the function that its training calls."""

    def progress(place: int, epochs: int, now: EpochProgress) -> None:
        part = (now.epoch - 1 + now.fraction) / epochs
        number = sum(len(group.numbers) for group in groups)
        data.progress(stage, 0.999 * (place + part) / len(groups), f"epoch {now.epoch} of {epochs}, {number} trials")

    for place, group in enumerate(groups):
        yield group, partial(progress, place)


def _advance(
    group: _Group, data: _Data, fraction: float, running: Sequence[int], checkpoints: Path, progress: Any
) -> dict[int, dict[str, Any]]:
    """Train those trials of a group that run up to this part of their epochs; what became of each."""
    settings = group.trial.settings
    epochs = math.ceil(fraction * settings.epochs)
    only = np.isin(group.numbers, running)
    hyper = {name: jnp.asarray(values, jnp.float32) for name, values in group.hyper.items()}
    train, validation = data.of(group.options)[1]
    try:
        found = fit_ensemble(
            group.trial.recipe,
            hyper,
            train,
            validation,
            keys=jnp.broadcast_to(group.trial.key, (len(group.numbers),)),
            settings=replace(settings, epochs=epochs),
            sequential=jax.default_backend() == "cpu",
            only=only,
            checkpoints=checkpoints,
            resume=checkpoint.latest(checkpoints) is not None,
            progress=partial(progress, epochs),
        )
    except TrainingDivergedError:  # all of them: the other groups go on
        return {trial: {"state": "diverged"} for trial in np.asarray(group.numbers)[only].tolist()}
    result: dict[int, dict[str, Any]] = {}
    for i in np.flatnonzero(only).tolist():
        lost = found.history[-1]["validation_loss"][i] is None
        result[group.numbers[i]] = {
            "state": "diverged" if lost else "running",
            "epochs": sum(record["train_loss"][i] is not None for record in found.history),
            "best_epoch": int(found.best_epoch[i]) or None,
            "validation_loss": float(found.best_loss[i]) if found.best_epoch[i] else None,
        }
    return result


def _judge(record: dict[str, Any], *, last: bool) -> None:
    """The better half goes on; at the end all that are left have finished."""
    running = [trial for trial in record["trials"] if trial["state"] == "running"]
    running.sort(key=lambda trial: (trial["validation_loss"], trial["trial"]))
    keep = len(running) if last else math.ceil(len(running) / 2)
    for place, trial in enumerate(running):
        trial["state"] = "stopped" if place >= keep else "finished" if last else "running"
