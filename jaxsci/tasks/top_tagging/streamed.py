"""Training on jets that do not fit into memory: read once for what they are, then block by block in every epoch.

Training, validation and test part are those of a run in memory. The validation part is cut to what may stay in memory, a fair sample of it.
"""

import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.core import Batch, Inputs
from jaxsci.data import jets
from jaxsci.data.reading import files
from jaxsci.data.sources import Checked, Source, source
from jaxsci.data.streaming import Stream, Workers
from jaxsci.errors import InputError
from jaxsci.memory import size_in_bytes
from jaxsci.models.heads import inference
from jaxsci.runs import folder as runs
from jaxsci.runs import seen, weights
from jaxsci.runs.task import OnProgress, Session, silent
from jaxsci.runs.training import Training, gathered
from jaxsci.tasks import ensembles, parts
from jaxsci.tasks.top_tagging import jobs, own, report, samples, taggers
from jaxsci.tasks.top_tagging.evaluation import load, write_evaluation
from jaxsci.tasks.top_tagging.jobs import Job
from jaxsci.tasks.top_tagging.options import Options
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


class Run(NamedTuple):
    """Jets in files, and the tagger that is trained on them."""

    job: Job  # without the jets
    source: Source
    images: bool  # whether jets are images
    shape: tuple[int, ...]  # of one
    labels: np.ndarray  # uint8 [jet]
    hashes: np.ndarray  # uint64 [jet], of their content
    block: int  # jets of a block
    validation: int  # jets of the validation part that are used
    workers: Workers

    @property
    def view(self) -> View:
        """What the inputs of its tagger are made by."""
        return View(self.job.options, self.images, self.shape, self.job.scaling)

    @property
    def splits(self) -> parts.Splits:
        """Training, validation and test part as they are used."""
        train, validation, test = self.job.splits
        return train, validation[: self.validation], test


def train(options: Options, session: Session) -> Path:
    """Train a tagger in a new run folder on jets that are streamed, evaluate it on the test part, and write the report."""
    with Workers(_workers(options.workers)) as workers:
        run = prepare(options, workers, session.progress)
        shared = parts.compare(options, lambda: run.hashes, run.splits, "jets", session.progress)
        used = run.hashes[np.concatenate(run.splits[:2])]
        return _train(jobs.new_run(run.job, describe(run, shared), session, used), run, session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    options = jobs.read_options(folder)
    with Workers(_workers(options.workers)) as workers:
        run = prepare(options, workers, session.progress, runs.read_config(folder))
        seen.require_same(folder, describe(run)["digest"])
        return _train(folder, run, session, resume=True)


def evaluate(folder: Path, session: Session) -> Path:
    """Evaluate a run on its test part; returns the path of the report."""
    options = jobs.read_options(folder)
    with Workers(_workers(options.workers)) as workers:
        run = prepare(options, workers, session.progress, runs.read_config(folder))
        seen.require_same(folder, describe(run)["digest"])
        measured = _measured(folder, run, load(folder).params, runs.read_metrics(folder), session.progress)
        write_evaluation(folder, measured, session.progress)
    return folder / "report.html"


def prepare(options: Options, workers: Workers, progress: OnProgress, config: dict[str, Any] | None = None) -> Run:
    """Look at all jets once, split them and build the tagger, as the run of this config where there is one."""
    runs.require_positive(options, "epochs", "batch_size", "patience", "learning_rate", or_zero=("weight_decay",))
    if config is None:
        own.require_heeded(options)
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
    splits = samples.split_parts(labels, samples.lengths(own_files, labels), options.seed)
    tagger = _tagger(View(options, images, tuple(shape)))
    if config is not None:
        scale = scaling.of_run(config)
    elif tagger.scaled and not images:
        some = Stream(
            found, operator.itemgetter("constituents"), 1, np.sort(splits[0][: scaling.JETS]), workers=workers
        )
        scale = scaling.measure(tagger, np.concatenate(list(some.in_order())))
    else:
        scale = None
    job = Job(options, scaling.scaled(tagger, scale), jets.JetSample(None, None, None), splits, scale)
    if config is not None:
        block, validation = config["data"]["block"], config["data"]["validation"]
    else:
        one = jobs.bytes_of(jobs.inputs_of_nothing(tagger, images, shape))
        batch = jobs.make_recipe(job)[1].batch_size
        block = min(int(_BLOCK * (memory - _PROGRAM) / one), len(splits[0]) + batch - 1) // batch * batch
        validation = min(int(_VALIDATION * (memory - _PROGRAM) / one), len(splits[1]))
        if block < batch or validation < 1:
            least = _PROGRAM + int(batch * one / _BLOCK) + 10**8
            raise InputError(f"--memory: expected at least {least / 1e9:.1f}GB, got {options.memory}; allow more")
    return Run(job, found, images, tuple(shape), labels, hashes, block, validation, workers)


def describe(run: Run, shared: Mapping[str, int] | None = None) -> dict[str, Any]:
    """What the jets of a run are: files, number, and a digest by which runs on the same jets are known; `shared` as in `jobs.describe`."""
    options, scale = run.job.options, run.job.scaling
    return {
        "file": str(options.data),
        "files": {path.name: str(path) for path in run.source.paths},
        "jets": len(run.labels),
        "pixels": list(run.shape) if run.images else None,
        "constituents": None if run.images else run.shape[0],
        "digest": weights.digest(run.hashes, run.labels),
        "split": {
            "fractions": samples.FRACTIONS,
            "seed": options.seed,
            **parts.describe(options, run.splits, shared or {}),
        },
        "scaling": None if scale is None else scale._asdict(),
        "block": run.block,
        "validation": run.validation,
        **own.describe(options.model),
    }


def _train(folder: Path, run: Run, session: Session, *, resume: bool) -> Path:
    job, progress = run.job, session.progress
    recipe, settings = jobs.make_recipe(job)
    prepared = partial(as_batch, run.view)
    stream = Stream(run.source, prepared, run.block, np.sort(job.splits[0]), job.options.seed, run.workers)
    kept = np.sort(run.splits[1])
    progress(
        "reading jets", 1.0, f"{len(kept):,} of {len(job.splits[1]):,} jets for validation, blocks of {run.block:,}"
    )
    validation = replace(stream, chosen=kept).head(len(kept))
    result = runs.train(
        folder,
        Training(recipe, settings, ensembles.keys(job.options.seed, job.options.members)),
        (stream, validation),
        resume=resume,
        progress=progress,
        execution=session.execution,
    )
    write_evaluation(folder, _measured(folder, run, result.params, result.history, progress), progress)
    return folder


def _measured(
    folder: Path, run: Run, params: Any, history: list[dict[str, Any]], progress: OnProgress
) -> report.Measured:
    """The tagger on the test part, the jets that are shown first."""
    job, images = run.job, run.images
    rows = np.sort(job.splits[2])
    answering = ensembles.answering(inference(job.tagger.model), params, job.options.members, _ANSWERED)
    asked = Stream(run.source, partial(as_answered, run.view), 1, rows, workers=run.workers)
    answers, masses, done = [], [], 0
    for inputs, mass in _grouped(asked.in_order()):
        answers.append(answering(inputs))
        masses.append(mass)
        done += len(mass)
        progress("evaluating", 0.5 * done / len(rows), f"{done:,} jets")
    shown = np.sort(job.splits[2][:_SHOWN])
    first = np.searchsorted(rows, shown)
    order = np.concatenate([first, np.delete(np.arange(len(rows)), first)])
    name = "images" if images else "constituents"
    pictures = Stream(run.source, operator.itemgetter(name), 1, shown, workers=run.workers)
    sample = np.concatenate(list(pictures.in_order()))
    labels = run.labels[rows][order]
    return report.Measured(
        job.options,
        job.tagger,
        jets.JetSample(None if images else sample, sample if images else None, labels[: len(shown)]),
        jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *answers),
        "test",
        parts.known(runs.read_config(folder)),
        history,
        labels,
        None if images else np.concatenate(masses)[order],
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
