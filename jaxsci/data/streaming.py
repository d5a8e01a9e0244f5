"""Examples from files larger than the memory: read in blocks of shuffled chunks, prepared by other processes, one block ahead.

    with Workers(4) as workers:
        stream = Stream(source("train_*.h5"), as_batch, block=50_000, workers=workers)
        fit(recipe, stream, validation, key=key, settings=settings)

The chunks of the files, some megabytes each, are put into an order drawn anew for every epoch; the rows in this order are cut into blocks,
and the training draws the order within each block. Both orders are functions of seeds and of the numbers of epoch and block alone, so
that a training that was stopped goes on with the same examples.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from jaxsci.data import sources
from jaxsci.data.sources import Known, Opener, Source
from jaxsci.errors import InputError

__all__ = ["Prepare", "Stream", "Workers", "prepared"]

Prepare = Callable[[dict[str, np.ndarray]], Any]  # rows of a source -> arrays [row, ...], or tuples or dicts of such


class Workers:
    """Processes that read and prepare; used as a context, at the end of which they end. With 0 of them the caller does it itself.

    They end too when the process that started them is killed. As always with processes in Python, a script that starts them must do so
    under `if __name__ == "__main__":`.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self.number:
            spawn = multiprocessing.get_context("spawn")  # forks of a process with threads, such as JAX's, may hang
            self._pool = ProcessPoolExecutor(self.number, mp_context=spawn, initializer=_start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """`function(item)` of every item in turn, a few of them ahead; function and items must be such as can be pickled."""
        if self._pool is None:
            yield from map(function, items)
            return
        ahead: deque[Future[Any]] = deque()
        try:
            for item in items:
                ahead.append(self._pool.submit(function, item))
                if len(ahead) > 2 * self.number:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BrokenProcessPool as error:
            raise InputError(
                "workers: expected processes that go on, but one was ended from outside, as the system does when memory runs out; allow "
                "less memory, or fewer workers"
            ) from error
        finally:
            for future in ahead:
                future.cancel()


def _start() -> None:
    """What a new process does first: it leaves signals to the one that started it, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ["JAX_PLATFORMS"] = "cpu"  # should what it prepares import JAX: accelerators belong to the training
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


HERE = Workers()  # the process itself


@dataclass(frozen=True)
class Stream:
    """Examples made of the rows of a source, as `training.fit` takes them."""

    source: Source
    prepare: Prepare  # gives a `jaxsci.Batch`; where there are workers, such as can be pickled
    block: int  # examples; three blocks are in memory at a time. A multiple of the size of the batches
    chosen: np.ndarray | None = None  # rows of the source, rising; None: all
    seed: int = 0  # of the order of the chunks
    workers: Workers = HERE

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self.source) if self.chosen is None else len(self.chosen)

    @cached_property
    def _bounds(self) -> np.ndarray:
        """[chunk + 1] where the examples of each chunk begin, counted along `chosen`."""
        chunks = self.source.chunks
        return chunks if self.chosen is None else np.searchsorted(self.chosen, chunks)

    @cached_property
    def _one(self) -> Any:
        return self.head(1)

    def head(self, examples: int) -> Any:
        """The first few, in the order they are stored in."""
        some = np.arange(min(examples, self.examples))
        return _assembled(self._prepared(p for p in self._cut(some)), len(some))

    def pieces(self, epoch: int, index: int) -> list[np.ndarray]:
        """The rows of one block of an epoch, each piece from one chunk: a function of `seed`, `epoch` and `index` alone."""
        return self._between(epoch, index * self.block, min((index + 1) * self.block, self.examples))

    def _between(self, epoch: int, first: int, last: int) -> list[np.ndarray]:
        """The rows at the places from `first` up to `last` in the order of an epoch."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._bounds) - 1)
        ends = np.cumsum(np.diff(self._bounds)[order])
        found = []
        for place in range(int(np.searchsorted(ends, first, side="right")), len(order)):
            begin, end = self._bounds[order[place]], self._bounds[order[place] + 1]
            start = ends[place] - (end - begin)  # in the order of this epoch
            if start >= last:
                break
            found.append(self._rows(begin + max(first - start, 0), min(end, begin + last - start)))
        return [rows for rows in found if len(rows)]

    def blocks(
        self,
        epoch: int,
        first: int = 0,
        place: Callable[[Any], Any] = lambda block: block,
        shares: Any = None,  # a `jaxsci.core.Shares`, which imports JAX; None: whole blocks
    ) -> Generator[Any, None, None]:
        """The blocks of an epoch from the one numbered `first` on, each given to `place`; the next is made while one is used.

        Of `shares` of a block, {part: rows}, no other rows are read.
        """
        stopped = threading.Event()

        def filled(pieces: list[np.ndarray], size: int) -> Any:
            if not pieces:  # of a share of the last block
                return _mapped(lambda leaf: np.zeros((size, *leaf.shape[1:]), leaf.dtype), self._one)
            return _assembled(self._prepared(piece for piece in pieces if not stopped.is_set()), size)

        def part(index: int, shares: Any, number: int) -> Any:
            start = index * self.block
            low, high = shares.rows(number, min(self.block, self.examples - start))
            return filled(self._between(epoch, start + low, start + high), self.block // shares.parts)

        def made(index: int) -> Any:
            if shares is None:
                block = filled(self.pieces(epoch, index), self.block)
            else:
                block = {number: part(index, shares, number) for number in shares.own}
            return None if stopped.is_set() else place(block)

        with ThreadPoolExecutor(1) as thread:
            try:
                coming = thread.submit(made, first)
                for index in range(first, -(-self.examples // self.block)):
                    block = coming.result()
                    if (index + 1) * self.block < self.examples:
                        coming = thread.submit(made, index + 1)
                    yield block
                    del block
            finally:
                stopped.set()

    def in_order(self, pieces: Iterable[np.ndarray] | None = None) -> Iterator[Any]:
        """What `prepare` gives for all examples, chunk by chunk in the order they are stored in."""
        return self._prepared(self._cut(np.arange(self.examples)) if pieces is None else pieces)

    def _rows(self, begin: int, end: int) -> np.ndarray:
        return np.arange(begin, end) if self.chosen is None else self.chosen[begin:end]

    def _cut(self, some: np.ndarray) -> Iterator[np.ndarray]:
        """The rows of the examples numbered `some`, rising, by chunks."""
        for begin, end in zip(self._bounds[:-1], self._bounds[1:], strict=True):
            own = some[(some >= begin) & (some < end)] if len(some) < self.examples else np.arange(begin, end)
            if len(own):
                yield own if self.chosen is None else self.chosen[own]

    def _prepared(self, pieces: Iterable[np.ndarray]) -> Iterator[Any]:
        return prepared(self.source, self.prepare, pieces, self.workers)


def prepared(source: Source, prepare: Prepare, pieces: Iterable[np.ndarray], workers: Workers) -> Iterator[Any]:
    """What `prepare` makes of the rows of each piece, which lie in one file and rise."""

    def places() -> Iterator[tuple[Path, np.ndarray, Known | None]]:
        for rows in pieces:
            path, start = source.place(int(rows[0]))
            yield path, rows - start, source.known(int(rows[0]), int(rows[-1]) + 1)

    return workers.map(partial(_read, source.opener, prepare), places())


def _read(opener: Opener, prepare: Prepare, piece: tuple[Path, np.ndarray, Known | None]) -> Any:
    path, rows, known = piece
    first, last = int(rows[0]), int(rows[-1]) + 1
    values = sources.read(opener, path, first, last, known)
    if len(rows) < last - first:
        values = {name: value[rows - first] for name, value in values.items()}
    result = prepare(values)
    _require_finite(path, rows, result)
    return result


def _require_finite(path: Path, rows: np.ndarray, result: Any) -> None:
    for leaf in _leaves(result):
        if leaf.dtype.kind in "fc" and not np.isfinite(leaf).all():
            row = int(np.argmin(np.isfinite(leaf.reshape(len(leaf), -1)).all(axis=1)))
            raise InputError(
                f"{path}: expected examples of finite numbers, got NaN or infinity in row {rows[row]}; repair it, or leave it out"
            )


def _leaves(tree: Any) -> Iterator[np.ndarray]:
    if isinstance(tree, tuple | dict):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(item)
    else:
        yield np.asarray(tree)


def _assembled(parts: Iterable[Any], size: int) -> Any:
    """The parts one after the other, filled up with zeros to `size` rows."""
    whole, done = None, 0
    for part in parts:
        if whole is None:
            whole = _mapped(lambda leaf: np.zeros((size, *leaf.shape[1:]), leaf.dtype), part)
        for into, leaf in zip(_leaves(whole), _leaves(part), strict=True):
            into[done : done + len(leaf)] = leaf
        done += len(next(_leaves(part)))
    return whole


def _mapped(function: Callable[[np.ndarray], np.ndarray], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _mapped(function, item) for name, item in tree.items()}
    if isinstance(tree, tuple):
        items = [_mapped(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    return function(np.asarray(tree))
