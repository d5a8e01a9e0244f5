"""Checkpoints after each epoch, whole or absent, by Orbax."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.errors import InputError

__all__ = ["clear", "latest", "restore", "save"]

KEEP = 2  # the newest, and one to fall back on while the newest is being written


def _manager(folder: Path) -> Any:
    import orbax.checkpoint as ocp  # a second to import, and only runs that keep checkpoints need it

    logging.getLogger("absl").setLevel(logging.ERROR)
    options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, enable_async_checkpointing=False)
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


def save(folder: Path, epoch: int, state: Any, history: list[dict[str, Any]]) -> None:
    """Write the state and the history after `epoch`; older checkpoints beyond the last two are removed.

    Args:
        folder: of all checkpoints of the run.
        epoch: number of completed epochs.
        state: any tree of arrays, random keys included.
        history: one JSON-compatible record per epoch.

    Raises:
        OSError: the folder cannot be written; earlier checkpoints stay.
    """
    import orbax.checkpoint as ocp

    plain = _without_keys(state)
    record = {"history": history, "arrays": _shapes(state)}
    with _uninterrupted(), _manager(folder) as manager:
        items = {"state": ocp.args.StandardSave(plain), "record": ocp.args.JsonSave(record)}
        if not manager.save(epoch, args=ocp.args.Composite(**items)) or manager.latest_step() != epoch:
            raise OSError(f"{folder}: the checkpoint of epoch {epoch} was not written; is there one of a later epoch?")


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
    if folder.is_dir():
        with _uninterrupted(), _manager(folder) as manager:
            for step in manager.all_steps():
                manager.delete(step)


def latest(folder: Path) -> int | None:
    """Completed epochs of the newest whole checkpoint; None where there is none."""
    if not folder.is_dir():
        return None
    with _manager(folder) as manager:
        return manager.latest_step()


def restore(folder: Path, like: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The newest whole checkpoint.

    Args:
        folder: as given to `save`.
        like: a state of the same shapes and dtypes; its values are not used.

    Raises:
        InputError: there is no whole checkpoint, or it was written by another model or optimizer.
    """
    import orbax.checkpoint as ocp

    epoch = latest(folder)
    if epoch is None:
        raise InputError(f"{folder}: expected a checkpoint, found none; train again without --resume")
    # Read as numpy arrays, which lie on no device: those that wrote the checkpoint may not be there.
    target = jax.tree.map(
        lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), jax.eval_shape(_without_keys, like)
    )
    with _manager(folder) as manager:
        record = manager.restore(epoch, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
        wrong = set(_shapes(like).items()) ^ set(record["arrays"].items())
        if wrong:
            raise InputError(
                f"{folder}: expected a checkpoint of the same model and optimizer, but {len(wrong)} arrays differ, such as "
                f"{' '.join(min(wrong))}; use the settings of the run's config.json, or another run name"
            )
        restored = manager.restore(epoch, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
    return _with_keys(restored["state"], like), record["history"]
