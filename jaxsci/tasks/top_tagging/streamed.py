"""Training on jets that do not fit into memory: read once for what they are, then block by block in every epoch.

Training, validation and test part are those of a run in memory. The validation part is cut to what may stay in memory, a fair sample of it.
"""

import operator
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise, starmap
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci import core
from jaxsci.core import Batch, Inputs, Params
from jaxsci.data import jets
from jaxsci.data.reading import files
from jaxsci.data.sources import Checked, Source, source
from jaxsci.data.streaming import Stream, Workers
from jaxsci.errors import InputError
from jaxsci.memory import size_in_bytes
from jaxsci.models.heads import inference
from jaxsci.runs import seen, weights
from jaxsci.runs.task import OnProgress, silent
from jaxsci.runs.training import gathered
from jaxsci.tasks import ensembles, parts
from jaxsci.tasks.top_tagging import jobs, samples, taggers
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.samples import Tested
from jaxsci.tasks.top_tagging.taggers import Tagger, scaling
from jaxsci.tasks.top_tagging.taggers.scaling import Scaling

_PROGRAM = 10**9  # bytes for the libraries, the compiled programs and the state of the training
_BLOCK, _VALIDATION = 1 / 6, 1 / 8  # of the rest: one of three blocks in memory, and the validation part
_SHOWN = 10_000  # jets of the test part whose images are drawn
_AT_ONCE = 8192  # jets prepared together
_ANSWERED = 256  # jets given to the network together: no more memory than a step of the training takes


class View(NamedTuple):
    """What makes the inputs of a tagger of jets: little enough to be sent to other processes."""

    options: Options
    images: bool  # whether jets are images
    shape: tuple[int, ...]  # of one
    scaling: Scaling | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedJob(jobs.Job):
    """A tagger whose jets stay in their files; the sample has none. The validation part is what of it may stay in memory."""

    source: Source
    images: bool  # whether jets are images
    shape: tuple[int, ...]  # of one
    labels: np.ndarray  # uint8 [jet]
    marks: np.ndarray  # uint64 [jet], hashes of their content
    block: int  # jets of a block
    workers: Workers

    def hashes(self) -> np.ndarray:
        """Of the content of each jet, uint64 [jet]."""
        return self.marks

    def described(self) -> dict[str, Any]:
        """What the jets are: files, number, a digest by which runs on the same jets are known, and how they are read."""
        return {
            "file": str(self.options.data),
            "files": {path.name: str(path) for path in self.source.paths},
            "jets": len(self.labels),
            "pixels": list(self.shape) if self.images else None,
            "constituents": None if self.images else self.shape[0],
            "digest": weights.digest(self.marks, self.labels),
            "block": self.block,
            "validation": len(self.splits[1]),
        }

    def examples(self, progress: OnProgress) -> tuple[Batch | core.Stream, Batch]:
        """The jets that train, block by block, and those that choose the epoch."""
        prepared = partial(as_batch, self._view)
        seed, rows = self.options.seed, np.sort(self.splits[0])
        stream = Stream(self.source, prepared, self.block, rows, seed, self.workers)
        kept = np.sort(self.splits[1])
        return stream, replace(stream, chosen=kept).head(len(kept))

    def tested(self, params: Params, progress: OnProgress) -> Tested:
        """What the tagger with these parameters says of the test part, the jets that are shown first."""
        rows = np.sort(self.splits[2])
        answering = ensembles.answering(inference(self.tagger.model), params, self.options.members, _ANSWERED)
        answers, masses, done = [], [], 0
        for inputs, mass in _grouped(self._rows(partial(as_answered, self._view), rows)):
            answers.append(answering(inputs))
            masses.append(mass)
            done += len(mass)
            progress("evaluating", 0.5 * done / len(rows), f"{done:,} jets")
        shown = np.sort(self.splits[2][:_SHOWN])
        first = np.searchsorted(rows, shown)
        order = np.concatenate([first, np.delete(np.arange(len(rows)), first)])
        name = "images" if self.images else "constituents"
        sample = np.concatenate(list(self._rows(operator.itemgetter(name), shown)))
        labels = self.labels[rows][order]
        return Tested(
            jets.JetSample(None if self.images else sample, sample if self.images else None, labels[: len(shown)]),
            jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *answers),
            labels,
            None if self.images else np.concatenate(masses)[order],
        )

    def _rows(self, prepare: Callable[[dict[str, np.ndarray]], Any], rows: np.ndarray) -> Iterator[Any]:
        """What is made of these jets, once, in their order."""
        return Stream(self.source, prepare, 1, rows, workers=self.workers).in_order()

    @property
    def _view(self) -> View:
        return View(self.options, self.images, self.shape, self.scaling)


@contextmanager
def opened(options: Options, progress: OnProgress, config: dict[str, Any] | None = None) -> Iterator[jobs.Job]:
    """The tagger and the jets of these options, in memory or streamed: of a new run, or of the run of this config."""
    jobs.check(options, new=config is None)
    if not options.stream:
        yield jobs.prepare(options, progress, config)
        return
    _tagger.cache_clear()  # the file of a network of the user's own may be another by now
    with Workers(_workers(options.workers)) as workers:
        yield prepare(options, workers, progress, config)


def prepare(
    options: Options, workers: Workers, progress: OnProgress, config: dict[str, Any] | None = None
) -> StreamedJob:
    """Look at all jets once, split them and build the tagger, as the run of this config where there is one."""
    if options.data is None or options.max_jets is not None:
        wrong = "--data" if options.data is None else "no --max-jets"
        raise InputError(f"--stream: expected {wrong}, as it is for files larger than the memory; leave --stream out")
    for option, given in (("--weights", options.weights), ("--class-names", options.class_names)):
        if given is not None:
            raise InputError(f"{option}: expected jets that are read whole, got --stream; leave out one of both")
    samples.say_unused_weights(options.data, options.weights, progress, stream=True)
    memory = size_in_bytes(options.memory, "--memory")
    own_files = {"data": options.data, **parts.files(options)}
    found = source([path for pattern in own_files.values() for path in files(pattern)], jets.rows)
    if "labels" not in found.columns:
        raise InputError(f"{options.data}: expected labels, 1 for top and 0 for background, got jets without")
    images, (_, *shape) = jets.form(options.data)
    found, labels, hashes = _looked_at(found, workers, progress)
    train, chosen, test = samples.split_parts(labels, samples.lengths(own_files, labels), options.seed)
    tagger = _tagger(View(options, images, tuple(shape)))
    if config is not None:
        scale = scaling.of_run(config)
    elif tagger.scaled and not images:
        rows = np.sort(train[: scaling.JETS])
        some = Stream(found, operator.itemgetter("constituents"), 1, rows, workers=workers)
        scale = scaling.measure(tagger, np.concatenate(list(some.in_order())))
    else:
        scale = None
    if config is not None:
        block, validation = config["data"]["block"], config["data"]["validation"]
    else:
        one = jobs.bytes_of(jobs.inputs_of_nothing(tagger, images, shape))
        batch = jobs.make_settings(options, tagger, len(train)).batch_size
        block = min(int(_BLOCK * (memory - _PROGRAM) / one), len(train) + batch - 1) // batch * batch
        validation = min(int(_VALIDATION * (memory - _PROGRAM) / one), len(chosen))
        if block < batch or validation < 1:
            least = _PROGRAM + int(batch * one / _BLOCK) + 10**8
            raise InputError(f"--memory: expected at least {least / 1e9:.1f}GB, got {options.memory}; allow more")
    words = f"{validation:,} of {len(chosen):,} jets for validation, blocks of {block:,}"
    progress("reading jets", 1.0, words)
    return StreamedJob(
        options,
        scaling.scaled(tagger, scale),
        jets.JetSample(None, None, None),
        (train, chosen[:validation], test),
        scale,
        source=found,
        images=images,
        shape=tuple(shape),
        labels=labels,
        marks=hashes,
        block=block,
        workers=workers,
    )


def as_batch(view: View, rows: dict[str, np.ndarray]) -> Batch:
    """Jets as a tagger is trained on them; for other processes."""
    labels = rows["labels"].astype(np.float32)
    return Batch(_inputs(view, rows), labels, np.ones(len(labels), np.float32))


def as_answered(view: View, rows: dict[str, np.ndarray]) -> tuple[Inputs, np.ndarray]:
    """The inputs of jets, and the score of their mass."""
    constituents = rows.get("constituents")
    mass = np.zeros(len(rows["labels"]), np.float32) if constituents is None else taggers.mass_score(constituents)
    return _inputs(view, rows), mass


def _inputs(view: View, rows: dict[str, np.ndarray]) -> Inputs:
    sample = jets.JetSample(rows.get("constituents"), rows.get("images"), None)
    return jobs.make_inputs(_tagger(view), sample, silent)


@lru_cache(maxsize=4)
def _tagger(view: View) -> Tagger:
    options, images, shape, scale = view
    found = jobs.make_tagger(options, shape if images else None, None if images else shape[0])
    if images:
        jobs.check_inputs(found, jets.JetSample(None, np.zeros((1, *shape), np.float32), None))
    return scaling.scaled(found, scale)


def _noted(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    sample = jets.JetSample(rows.get("constituents"), rows.get("images"), None)
    return {"labels": rows["labels"], "hashes": seen.hashes(samples.contents(sample))}


def _looked_at(found: Source, workers: Workers, progress: OnProgress) -> tuple[Source, np.ndarray, np.ndarray]:
    """The source with all jets checked, their labels and hashes; of several processes each looks at its share."""
    files = found.states()
    found = found.with_checked(Checked(files))
    ends = np.linspace(0, len(found.chunks) - 1, jax.process_count() + 1).astype(int)
    chunks = found.chunks[ends[jax.process_index()] : ends[jax.process_index() + 1] + 1]
    number, done = chunks[-1] - chunks[0], 0
    labels, hashes = np.empty(number, np.uint8), np.empty(number, np.uint64)
    for part in Stream(found, _noted, 1, workers=workers).in_order(starmap(np.arange, pairwise(chunks))):
        rows = slice(done, done + len(part["labels"]))
        labels[rows], hashes[rows], done = part["labels"], part["hashes"], rows.stop
        progress("reading jets", done / number, f"{done:,} jets")
    lengths = np.diff(found.chunks[ends])
    # What another process checked holds here if both see the same files, and not copies of another time.
    times = np.array([[each.size, each.modified] for each in files]).ravel()
    every = gathered(times, [len(times)] * jax.process_count()).reshape(-1, len(times))
    first, last = (0, len(found)) if (every == times).all() else (int(chunks[0]), int(chunks[-1]))
    return found.with_checked(Checked(files, first, last)), gathered(labels, lengths), gathered(hashes, lengths)


def _grouped(parts: Iterable[tuple[Inputs, np.ndarray]]) -> Iterator[tuple[Inputs, np.ndarray]]:
    """The parts put together to thousands of jets each."""
    held: list[tuple[Inputs, np.ndarray]] = []
    for part in parts:
        held.append(part)
        if sum(len(mass) for _, mass in held) >= _AT_ONCE:
            yield jax.tree.map(lambda *leaves: np.concatenate(leaves), *held)
            held = []
    if held:
        yield jax.tree.map(lambda *leaves: np.concatenate(leaves), *held)


def _workers(number: int | None) -> int:
    if number is not None and number < 0:
        raise InputError(f"--workers: expected a number of processes, 0 or more, got {number}; leave it out")
    return max(1, min(8, (os.cpu_count() or 1) // 2)) if number is None else number
