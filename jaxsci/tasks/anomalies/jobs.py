"""What every training of an anomaly detector begins with: the jets with their split, the inputs, the recipe, and the scores after it."""

from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import numpy as np

from jaxsci.core import Batch, Model, Params
from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.folder import Training
from jaxsci.runs.task import OnProgress
from jaxsci.tasks.anomalies.detectors import Detector, detector
from jaxsci.tasks.anomalies.options import CLASSES, Options, directions
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine
from jaxsci.training import predict as predict_all

FRACTIONS = (0.6, 0.15, 0.25)  # training, validation, test
Scores: TypeAlias = dict[str, np.ndarray]  # by the class that was learned, each [jet]
_CHUNK = 10_000  # jets at once


class Job(NamedTuple):
    """A detector with its jets."""

    options: Options
    detector: Detector
    constituents: np.ndarray
    labels: np.ndarray
    splits: tuple[np.ndarray, np.ndarray, np.ndarray]  # indices of training, validation, test


def prepare(options: Options, progress: OnProgress) -> Job:
    """Read and split the jets.

    Raises:
        InputError: the jets or the options cannot be used.
    """
    runs.require_positive(options, "epochs", "batch_size", "max_jets")
    if len(directions(options)) > 1 and jax.process_count() > 1:  # they part where the first training is over
        raise InputError(
            "--normal: expected one class in several processes, qcd or top, got both; give one, or leave out --distributed and --processes"
        )
    found = detector(options.detector)
    progress("reading jets", 0.0, "")
    source = options.data or jets.embedded()
    constituents, labels = labeled(source, options.max_jets)
    for name in jets.weight_names(source) if options.data is not None else ():
        progress("reading jets", 0.5, f"note: {source} has {name}, which is not used; each jet counts once")
    progress("reading jets", 1.0, f"{len(labels):,} jets")
    return Job(options, found, constituents, labels, split(labels, seed=options.seed, fractions=FRACTIONS))


def labeled(source: Path, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Constituents and labels of a file that has both classes."""
    sample = jets.read(source, limit=limit)
    if sample.constituents is None:
        raise InputError(
            f"{source}: expected constituents, got images; give four-momenta, of which observables are made"
        )
    assert sample.labels is not None
    jets.require_both_classes(sample.labels, source)
    return sample.constituents, sample.labels


def part(job: Job, index: int, normal: str) -> np.ndarray:
    """Indices of the jets of one class in a part of the split."""
    rows = job.splits[index]
    return rows[job.labels[rows] == CLASSES.index(normal)]


def make_training(job: Job, inputs: np.ndarray, normal: str) -> tuple[Training, tuple[Batch, Batch]]:
    """The training of the direction that learns `normal`, with its training and its validation jets."""
    train, validation = part(job, 0, normal), part(job, 1, normal)
    key = jax.random.fold_in(jax.random.key(job.options.seed), CLASSES.index(normal))
    batches = (_as_batch(inputs, train), _as_batch(inputs, validation))
    return Training(*make_recipe(job, inputs[train]), key), batches


def make_recipe(job: Job, examples: np.ndarray) -> tuple[Recipe, Settings]:
    """Adam with warm-up and a cosine decay, and clipped gradients."""
    found, settings = job.detector, make_settings(job, len(examples))
    steps = settings.epochs * steps_per_epoch(len(examples), settings.batch_size)
    model = found.make_model(examples)
    optimizer = adamw(found.learning_rate, weight_decay=0.0, schedule=warmup_cosine(steps), clip=1.0)
    return Recipe(model, found.make_loss(model), optimizer, found.augment), settings


def make_settings(job: Job, examples: int) -> Settings:
    """For how long a detector is trained on so many jets, and how many of them are a batch."""
    options, found = job.options, job.detector
    return Settings(options.epochs or found.epochs, min(options.batch_size or found.batch_size, examples))


def untrained(found: Detector) -> Model:
    """The network of a detector by its shapes alone: the scale of what was learned is among the parameters of a run."""
    # Not of a jet at hand, which may be one that the detector refuses.
    return found.make_model(np.zeros_like(found.inputs(np.zeros((1, 1, 4), np.float32))))


def make_inputs(found: Detector, constituents: np.ndarray, progress: OnProgress) -> np.ndarray:
    """Those of every jet, in blocks."""
    parts = []
    for first in range(0, len(constituents), _CHUNK):
        progress("preparing inputs", first / len(constituents), "")
        parts.append(found.inputs(constituents[first : first + _CHUNK]))
    progress("preparing inputs", 1.0, "")
    return np.concatenate(parts)


def _as_batch(inputs: np.ndarray, rows: np.ndarray) -> Batch:
    """The jets of these rows; there is no target."""
    return jax.device_put(Batch(inputs[rows], np.zeros(len(rows), np.float32), np.ones(len(rows), np.float32)))


def scores(found: Detector, trained: dict[str, Params], inputs: np.ndarray) -> Scores:
    """How anomalous each jet is to the detector of each direction."""
    score = partial(found.score, untrained(found))
    return {normal: predict_all(score, params, inputs) for normal, params in trained.items()}
