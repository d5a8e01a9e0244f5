"""What a checkpoint holds, and how it lies on the disk."""

import contextlib
import logging
import os
import re
import signal
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

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
    order: str | None = None  # the name of the order within such a block; None: that of an earlier version


class Restored(NamedTuple):
    """What a checkpoint holds."""

    state: Any
    history: list[Record]  # of the complete epochs
    begun: Begun | None  # the epoch after those, where the checkpoint is within one
    number: int  # of the checkpoint


def manager(folder: Path) -> Any:
    import orbax.checkpoint as ocp  # a second to import, and only runs that keep checkpoints need it

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # its errors are raised as well
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
def uninterrupted() -> Iterator[None]:
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


def without_keys(tree: Any) -> Any:
    """Random keys as their plain integers, which is what a file can hold."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def with_keys(tree: Any, like: Any) -> Any:
    """The arrays on the device, keys as keys of the implementation that `like` has."""

    def on_device(x: np.ndarray, implementation: str) -> jax.Array:
        array = jnp.array(x)  # a copy: what is donated must not be the memory of a numpy array
        return jax.random.wrap_key_data(array, impl=implementation) if implementation else array

    return jax.tree.map(on_device, tree, implementations(like))


def implementations(tree: Any) -> Any:
    """The name of the implementation of every random key, "" elsewhere."""
    found: list[str] = []

    def note(tree: Any) -> None:
        found.extend(str(jax.random.key_impl(x)) if _is_key(x) else "" for x in jax.tree.leaves(tree))

    jax.eval_shape(note, tree)
    return jax.tree.unflatten(jax.tree.structure(tree), found)


def _is_key(x: Any) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def files(checkpoint: Path) -> dict[str, list[int]]:
    """Size and checksum of every file but the one that holds them."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / FILES)
    contents = ((path, path.read_bytes()) for path in files)
    return {path.relative_to(checkpoint).as_posix(): [len(data), zlib.crc32(data)] for path, data in contents}


def sums(plain: Any) -> dict[str, int]:
    """A checksum of every array: a damaged file must not be read as numbers."""
    leaves = jax.tree_util.tree_leaves_with_path(plain)
    return {jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).tobytes()) for path, leaf in leaves}


def shapes(tree: Any) -> dict[str, str]:
    """Shape and dtype of every array by its place in the tree: what must agree before a checkpoint is read."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(without_keys, tree))
    shapes = {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
    for path, name in jax.tree_util.tree_leaves_with_path(implementations(tree)):
        if name not in ("", "threefry2x32"):  # the default, which records do not name
            shapes[jax.tree_util.keystr(path)] += f" {name}"
    return shapes


def words(error: Exception) -> str:
    """What went wrong, short: the reason of the system, where the storage library gives it somewhere in pages of words."""
    if number := re.search(r"os_error_code='(\d+)'", str(error)):
        return os.strerror(int(number[1]))
    return " ".join(str(error).split())[:320] or type(error).__name__
