"""The run folder: what a training leaves behind, and how it is found again.

runs/<task>/<name>/
    config.json       everything needed to repeat the run, with versions and device
    metrics.jsonl     a line per epoch
    checkpoints/      the state at the last two checkpoints, with which a training goes on
    weights.npz       the parameters of the best epoch
    evaluation.json   what was measured on the test part
    profile.json      of --profile: where the time went; trace.json.gz beside it
    figures/*.png
    report.html       one self-contained page
"""

import contextlib
import json
import math
import platform
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

import jaxsci
from jaxsci.core import Key, Model, Params, StatefulModel
from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.ops.convolution import choice as convolution
from jaxsci.runs import schema, weights
from jaxsci.runs.task import Session
from jaxsci.runs.training import Training, train, write_metrics
from jaxsci.training import Recipe, checkpoint

__all__ = [
    "Training",
    "new_folder",
    "of_any_version",
    "read_config",
    "read_json",
    "read_metrics",
    "read_options",
    "require_positive",
    "run_of",
    "train",
    "trained",
    "versions",
    "whole_folder",
    "write_config",
    "write_metrics",
    "write_record",
]

Options = TypeVar("Options")  # of a task


def new_folder(session: Session, task: str, stem: str) -> Path:
    """Create the folder of a new run of a task: of the name asked for, or the next free `stem-1`, `stem-2`, ....

    Raises:
        InputError: the name is taken, or is a path; or JAXSCI_CONVOLUTION is wrong.
    """
    convolution.costs()  # a wrong JAXSCI_CONVOLUTION is refused before anything is written
    parent, name = session.runs / task, session.name
    if name is not None and (name in ("", ".", "..") or Path(name).name != name):
        raise InputError(f"--name: expected the name of a folder, got {name!r}; choose where it lies with --runs")
    for candidate in [name] if name else (f"{stem}-{i}" for i in range(1, 10**6)):
        folder = parent / candidate
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise InputError(f"{parent / str(name)}: expected a new run, but it exists; choose another --name or use --resume")


@contextlib.contextmanager
def whole_folder(session: Session, task: str, stem: str) -> Iterator[Path]:
    """`new_folder`, which is removed again where the block fails: it writes all of a fit, or the first files of a training."""
    folder = new_folder(session, task, stem)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def require_positive(options: Any, *names: str, or_zero: Sequence[str] = ()) -> None:
    """Raise InputError unless each of these options is a positive number, or None for the default; those of `or_zero` may be 0."""
    for name in (*names, *or_zero):
        value = getattr(options, name)
        if value is not None and not (0 < value < math.inf or (name in or_zero and value == 0)):
            option, least = "--" + name.replace("_", "-"), " or 0" if name in or_zero else ""
            raise InputError(f"{option}: expected a positive number{least}, got {value}; leave it out for the default")


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = {name: metadata.version(name) for name in ("jax", "jaxlib", "numpy", "optax")}
    return {"jaxsci": jaxsci.__version__, "python": platform.python_version(), **packages}


def read_options(folder: Path, task: str, options: type[Options], paths: Sequence[str]) -> Options:
    """The options that a run of `task` was started with; `paths` names those that are files.

    Raises:
        InputError: no such run, or options that this version does not have.
    """
    return options_of(folder, read_config(folder, task)["options"], options, paths)


def options_of(folder: Path, values: dict[str, Any], options: type[Options], paths: Sequence[str]) -> Options:
    """`values` of the config.json of a run as options of this type.

    Raises:
        InputError: options that this version does not have, or of another type.
    """
    schema.require_options(folder / "config.json", values, options)
    files = {name: None if values.get(name) is None else Path(values[name]) for name in paths}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return options(**{**values, **files})
    except TypeError as error:
        raise InputError(f"{folder / 'config.json'}: {error}; use the version of jaxsci that wrote it") from error


def write_config(
    folder: Path, task: str, options: Any, data: dict[str, Any], training: Mapping[str, Any] | None = None
) -> None:
    """Write config.json: all that is needed to repeat the run.

    Args:
        folder: of the run.
        task: its name.
        options: a dataclass, as the user chose them; its `unused`, where it has them, are those that mean nothing beside the others.
        data: description of what was read.
        training: what was chosen for the user: number of parameters, learning rate and the like.
    """
    config = {
        "task": task,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "training": dict(training or {}),
        "commit": _commit(),
        "options": json.loads(json.dumps(asdict(options), default=str)),
        "unused": list(getattr(options, "unused", ())),
        "data": data,
        "versions": versions(),
        "device": {"kind": jax.devices()[0].device_kind, "count": jax.device_count(), "backend": jax.default_backend()},
        "convolution": convolution.named_choice(),
    }
    write_record(folder / "config.json", config)


def _commit() -> str | None:
    """The commit of the checkout that runs; None where the package is not in one."""
    root = Path(jaxsci.__file__).parents[1] / ".git"
    try:
        head = (root / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        if (root / reference).exists():
            return (root / reference).read_text(encoding="utf-8").strip()
        packed = (root / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)
    except OSError:
        return None


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file of a run folder with its checksum, which `read_json` compares."""
    write_json(path, schema.sealed(content))


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file of a run folder, without its checksum.

    Raises:
        InputError: it is missing, damaged, or no longer what `write_record` wrote; the message ends with the remedy.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        return schema.unsealed(path, content, remedy)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a file of a run folder, found none; {remedy}") from error
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path}: expected a readable JSON file, but {error}; {remedy}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def read_config(folder: Path, task: str | None = None) -> dict[str, Any]:
    """The config.json of a run.

    Raises:
        InputError: not a run folder, or a run of another task.
    """
    known = (folder / "config.json").exists()
    remedy = "copy the run again" if known else "give the folder of a run, such as runs/top-tagging/cnn-1"
    config = read_json(folder / "config.json", remedy)
    if not isinstance(config, dict) or "task" not in config or "options" not in config:
        raise InputError(
            f"{folder / 'config.json'}: expected the keys task and options of a run; give the folder of a run"
        )
    if not isinstance(config["task"], str) or not isinstance(config.get("data", {}), dict):
        raise InputError(
            f"{folder / 'config.json'}: expected a task by its name and data as an object, got others; copy the run again"
        )
    if task is not None and config["task"] != task:
        raise InputError(f"{folder}: expected a run of {task}, got one of {config['task']}; give another folder")
    return config


@contextlib.contextmanager
def of_any_version(folder: Path) -> Iterator[None]:
    """Within the block, an error of a run whose config.json has no checksum is said in one line; also a decorator.

    Such a run is of an earlier version, or was edited, and may lack what the block needs. Of one whose config.json is as it was written
    every error is left as it is, and so are those of a training under way, for which all was read.

    Programs are those of today's JAXSCI_CONVOLUTION, also in a process that used another before.

    Raises:
        InputError: instead of the errors that an entry of config.json makes which is missing or has another form; or JAXSCI_CONVOLUTION is
            wrong.
    """
    convolution.settle()
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        trains = any(frame.f_code is train.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))
        if trains or isinstance(error, InputError) or schema.is_sealed(folder / "config.json"):
            raise
        raise InputError(
            f"{folder}: expected a run that this version can use, but {type(error).__name__}: {error}; its config.json has no checksum: "
            "see where with --debug, and if an entry of it is missing or another, use the version of jaxsci that wrote it"
        ) from error


def trained(
    folder: Path, model: Model | StatefulModel, recipe: Callable[[], Recipe], key: Key
) -> tuple[Params, list[dict[str, Any]]]:
    """The parameters of the best epoch and the history of a trained run, on the default device.

    Args:
        folder: of the run.
        model: of the run; for an ensemble, of one member.
        recipe: makes the recipe of the training; called for a run that was stopped or has no file of weights, whose newest checkpoint
            is read instead.
        key: of the run; for an ensemble [member].

    Raises:
        InputError: the run has neither weights nor a whole checkpoint, or those of another model.
    """
    if (folder / weights.FILE).exists():
        init = jax.vmap(model.init) if key.ndim else model.init
        return weights.read(folder / weights.FILE, jax.eval_shape(init, key)), read_metrics(folder)
    checkpoints = folder / "checkpoints"
    if checkpoint.latest(checkpoints) is None:
        task = read_config(folder)["task"]
        raise InputError(
            f"{folder}: expected a run with weights or a checkpoint, got neither; go on with jaxsci train {task} --resume {folder}"
        )
    restored = checkpoint.restore(checkpoints, checkpoint.abstract_state(recipe(), key))
    return jax.device_put(jax.tree.map(np.asarray, restored.state.best_params)), restored.history


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The history of a run, a record per epoch, from metrics.jsonl.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = folder / "metrics.jsonl"
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not all(isinstance(record, dict) and {"validation_loss", "seconds"} <= set(record) for record in records):
            raise ValueError("another")
        return records
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON record per epoch, got {error}; copy the run again") from error


def run_of(folder: Path) -> Path:
    """The run that a folder with an evaluation belongs to: the run itself, or that of RUN/evaluations/NAME."""
    return folder if (folder / "config.json").exists() else folder.parent.parent
