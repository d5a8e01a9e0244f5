"""Writing checkpoints beside the training."""

import errno
import math
import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from jaxsci.files import NO_ROOM, write_json
from jaxsci.training._mesh import to_host
from jaxsci.training.checkpoint import _content as content
from jaxsci.training.checkpoint._content import FILES, Begun, Record


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
        self._pending: Future[float] | None = None
        self._seconds = 0.0

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
        record = {"history": list(history), "arrays": content.shapes(state), "begun": None}
        # A copy: what numpy sees of an array on a processor is the memory that the next step may overwrite.
        plain = jax.tree.map(np.array, to_host(content.without_keys(state)))
        if jax.process_index() == 0:
            self._pending = self._thread.submit(_write, self.folder, number, plain, record, begun)

    def wait(self) -> None:
        """Return when the last checkpoint is on the disk."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with content.uninterrupted():
                self._seconds = pending.result()

    @property
    def seconds(self) -> float:
        """What it took to write the last checkpoint; infinite while it is being written."""
        if self._pending is not None and not self._pending.done():
            return math.inf
        self.wait()
        return self._seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def _write(folder: Path, number: int, plain: Any, record: dict[str, Any], begun: Begun | None) -> float:
    import orbax.checkpoint as ocp

    started = time.perf_counter()
    record["sums"] = content.sums(plain)
    if begun is not None:
        metrics = {name: [values.dtype.name, values.tolist()] for name, values in begun.metrics.items()}
        record["begun"] = {**begun._asdict(), "metrics": metrics}
    items = {"state": ocp.args.StandardSave(plain), "record": ocp.args.JsonSave(record)}
    try:
        _require_room(folder, plain)
        with content.manager(folder) as manager:
            if not manager.save(number, args=ocp.args.Composite(**items)) or manager.latest_step() != number:
                raise OSError(f"{folder}: the checkpoint {number} was not written; is there a later one?")
        write_json(folder / str(number) / FILES, content.files(folder / str(number)))
        return time.perf_counter() - started
    except Exception as error:  # the storage library raises all kinds of errors where the disk is full
        for half in folder.glob(f"{number}.*tmp*"):
            shutil.rmtree(half, ignore_errors=True)
        if isinstance(error, OSError) and error.errno not in NO_ROOM:
            raise
        reason = getattr(error, "strerror", None) or content.words(error)
        remedy = "allow larger files (ulimit -f)" if reason == os.strerror(errno.EFBIG) else "free some disk space"
        raise OSError(
            f"{folder}: the checkpoint {number} could not be written ({reason}); those before it are whole: {remedy} and go on with "
            "--resume"
        ) from error


def _require_room(folder: Path, plain: Any) -> None:
    """Raise OSError where the arrays cannot fit: on a full disk the storage library's threads print tracebacks of their own.

    Compression is left out of account: of weights it saves 5 to 20 %, and what is written next needs that.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(plain))
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
