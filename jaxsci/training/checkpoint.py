"""Checkpoints after or within an epoch, whole or absent, by Orbax."""

import contextlib
import json
import logging
import shutil
import signal
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.training._mesh import to_host

__all__ = ["Begun", "Restored", "Writer", "clear", "latest", "restore", "save"]

Record: TypeAlias = dict[str, Any]  # of one epoch, JSON-compatible; an ensemble's values are lists over its members

FILES = "files.json"  # in every checkpoint, the checksums of its files
KEEP = 2  # the newest, and one to fall back on while the newest is being written


class Begun(NamedTuple):
    """An epoch that is not complete."""

    steps: int  # that are done
    metrics: dict[str, np.ndarray]  # of each of them, [..., step]
    active: Any  # bool, or a list of them over the members: whether it trains in this epoch
    seconds: float  # spent on it
    block: int | None = None  # examples of a block of the stream that the data come from; None: they are in memory


class Restored(NamedTuple):
    """What a checkpoint holds."""

    state: Any
    history: list[Record]  # of the complete epochs
    begun: Begun | None  # the epoch after those, where the checkpoint is within one
    number: int  # of the checkpoint


def _manager(folder: Path) -> Any:
    import orbax.checkpoint as ocp  # a second to import, and only runs that keep checkpoints need it

    logging.getLogger("absl").setLevel(logging.ERROR)
    processes = ocp.options.MultiprocessingOptions()
    several = jax.process_count() > 1
    if several:  # each reads for itself, and the first writes: what is written lies in its memory
        own = jax.process_index()
        folder.mkdir(parents=True, exist_ok=True)
        processes = ocp.options.MultiprocessingOptions(own, {own}, f"process{own}")
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEEP, enable_async_checkpointing=False, create=not several, multiprocessing_options=processes
    )
    return ocp.CheckpointManager(folder.absolute(), options=options)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C for a moment: Orbax writes in threads, which would end in tracebacks."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    pending: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: pending.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pending:
        raise KeyboardInterrupt


def _without_keys(tree: Any) -> Any:
    """Random keys as their plain integers, which is what a file can hold."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def _with_keys(tree: Any, like: Any) -> Any:
    """The arrays on the device, keys as keys of the implementation that `like` has."""

    def on_device(x: np.ndarray, implementation: str) -> jax.Array:
        array = jnp.array(x)  # a copy: what is donated must not be the memory of a numpy array
        return jax.random.wrap_key_data(array, impl=implementation) if implementation else array

    return jax.tree.map(on_device, tree, _implementations(like))


def _implementations(tree: Any) -> Any:
    """The name of the implementation of every random key, "" elsewhere."""
    found: list[str] = []

    def note(tree: Any) -> None:
        found.extend(str(jax.random.key_impl(x)) if _is_key(x) else "" for x in jax.tree.leaves(tree))

    jax.eval_shape(note, tree)
    return jax.tree.unflatten(jax.tree.structure(tree), found)


def _is_key(x: Any) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def save(folder: Path, number: int, state: Any, history: list[Record], begun: Begun | None = None) -> None:
    """Write the state and the history, and return when they are on the disk: see `Writer.save`, which does not wait."""
    with Writer(folder) as writer:
        writer.save(number, state, history, begun)


class Writer:
    """Writes checkpoints beside the training, in a thread of its own and one at a time.

    A training waits while its state is copied to the processor's memory, and where the checkpoint before is still being written. A
    checkpoint that could not be written raises OSError at the next call of `save` or `wait`, or at the end of the `with` block, which waits
    for the last.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # of all checkpoints of the run
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None

    def save(self, number: int, state: Any, history: list[Record], begun: Begun | None = None) -> None:
        """Begin to write state and history; older checkpoints beyond the last two are removed. Of several processes the first writes.

        Args:
            number: larger than that of any earlier one; after an epoch, where that leaves a choice, the number of complete epochs.
            state: any tree of arrays, random keys included. It may be donated or changed as soon as this returns.
            history: one JSON-compatible record per complete epoch.
            begun: the epoch that is not complete, if any.

        Raises:
            OSError: the folder cannot be written; earlier checkpoints stay.
        """
        self.wait()
        record = {"history": list(history), "arrays": _shapes(state), "begun": None}
        # A copy: what numpy sees of an array on a processor is the memory that the next step may overwrite.
        plain = jax.tree.map(np.array, to_host(_without_keys(state)))
        if jax.process_index() == 0:
            self._pending = self._thread.submit(_write, self.folder, number, plain, record, begun)

    def wait(self) -> None:
        """Return when the last checkpoint is on the disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with _uninterrupted():
                pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def _write(folder: Path, number: int, plain: Any, record: dict[str, Any], begun: Begun | None) -> None:
    import orbax.checkpoint as ocp

    record["sums"] = _sums(plain)
    if begun is not None:
        metrics = {name: [values.dtype.name, values.tolist()] for name, values in begun.metrics.items()}
        record["begun"] = {**begun._asdict(), "metrics": metrics}
    items = {"state": ocp.args.StandardSave(plain), "record": ocp.args.JsonSave(record)}
    try:
        with _manager(folder) as manager:
            if not manager.save(number, args=ocp.args.Composite(**items)) or manager.latest_step() != number:
                raise OSError(f"{folder}: the checkpoint {number} was not written; is there a later one?")
        write_json(folder / str(number) / FILES, _files(folder / str(number)))
    except OSError:
        raise
    except Exception as error:  # the storage library raises all kinds of errors where the disk is full
        for half in folder.glob(f"{number}.*tmp*"):
            shutil.rmtree(half, ignore_errors=True)
        raise OSError(
            f"{folder}: the checkpoint {number} could not be written ({_words(error)}); those before it are whole: free some disk space "
            "and go on with --resume"
        ) from error


def _files(checkpoint: Path) -> dict[str, list[int]]:
    """Size and checksum of every file but the one that holds them."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / FILES)
    contents = ((path, path.read_bytes()) for path in files)
    return {path.relative_to(checkpoint).as_posix(): [len(data), zlib.crc32(data)] for path, data in contents}


def _check_files(checkpoint: Path) -> None:
    """Raise ValueError where a file is not as it was written. The storage library would find out late, with files half read."""
    if not (checkpoint / FILES).exists():  # of an earlier version, or the process was killed before it was written
        return
    wanted = json.loads((checkpoint / FILES).read_text(encoding="utf-8"))
    found = _files(checkpoint)
    for name, file in wanted.items():
        if found.get(name) != file:
            raise ValueError(f"{name} is not as it was written" if name in found else f"{name} is missing")


def _sums(plain: Any) -> dict[str, int]:
    """A checksum of every array: a damaged file must not be read as numbers."""
    leaves = jax.tree_util.tree_leaves_with_path(plain)
    return {jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).tobytes()) for path, leaf in leaves}


def _shapes(tree: Any) -> dict[str, str]:
    """Shape and dtype of every array by its place in the tree: what must agree before a checkpoint is read."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(_without_keys, tree))
    shapes = {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
    for path, name in jax.tree_util.tree_leaves_with_path(_implementations(tree)):
        if name not in ("", "threefry2x32"):  # the default, which records do not name
            shapes[jax.tree_util.keystr(path)] += f" {name}"
    return shapes


def clear(folder: Path) -> None:
    """Remove all checkpoints in the folder, of which a new training is not the continuation."""
    if folder.is_dir() and jax.process_index() == 0:
        with _uninterrupted(), _manager(folder) as manager:
            for step in manager.all_steps():
                manager.delete(step)


def latest(folder: Path) -> int | None:
    """The number of the newest checkpoint; None where there is none."""
    if not folder.is_dir():
        return None
    with _manager(folder) as manager:
        return manager.latest_step()


def restore(folder: Path, like: Any) -> Restored:
    """The newest checkpoint.

    Args:
        folder: as given to `save`.
        like: a state of the same shapes and dtypes; its values are not used.

    Raises:
        InputError: there is no checkpoint, it is damaged, or it was written by another model or optimizer.
    """
    import orbax.checkpoint as ocp

    number = latest(folder)
    if number is None:
        raise InputError(f"{folder}: expected a checkpoint, found none; train again without --resume")
    # Read as numpy arrays, which lie on no device: those that wrote the checkpoint may not be there.
    target = jax.tree.map(
        lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), jax.eval_shape(_without_keys, like)
    )
    with _whole(folder / str(number)):
        _check_files(folder / str(number))
    with _whole(folder / str(number)), _manager(folder) as manager:
        record = manager.restore(number, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
        history, arrays = list(record["history"]), dict(record["arrays"])
        begun = record.get("begun")  # which those of earlier versions lack
        if begun is not None:
            metrics = {name: np.array(values, dtype) for name, (dtype, values) in begun["metrics"].items()}
            begun = Begun(**{**begun, "metrics": metrics})
    wrong = set(_shapes(like).items()) ^ set(arrays.items())
    if wrong:
        raise InputError(
            f"{folder}: expected a checkpoint of the same model and optimizer, but {len(wrong)} arrays differ, such as "
            f"{' '.join(min(wrong))}; use the settings of the run's config.json, or another run name"
        )
    with _whole(folder / str(number)), _manager(folder) as manager:
        state = manager.restore(number, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))["state"]
        if record.get("sums") not in (None, _sums(state)):
            raise ValueError("its arrays are not those that were written")
    return Restored(_with_keys(state, like), history, begun, number)


@contextlib.contextmanager
def _whole(checkpoint: Path) -> Iterator[None]:
    """Say of a checkpoint that cannot be read which it is, and what to do; the storage library raises all kinds of errors."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{checkpoint}: expected a whole checkpoint, got a damaged one ({_words(error)}); remove this folder to go on from "
            "the one before it, or train anew where there is none"
        ) from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:320] or type(error).__name__
