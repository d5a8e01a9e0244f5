"""A trained tagger as the subject of a study."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from jaxsci.core import Batch
from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.errors import InputError
from jaxsci.losses import binary_cross_entropy
from jaxsci.plots import jets as jet_plots
from jaxsci.runs import seen
from jaxsci.runs.page import Drawing
from jaxsci.runs.task import Session
from jaxsci.tasks.study import subject, write
from jaxsci.tasks.study.subject import Entry, Rows, Subject
from jaxsci.tasks.top_tagging.evaluation import load
from jaxsci.tasks.top_tagging.jobs import NAME, Job, as_batch, make_inputs, make_recipe, prepare, read_options
from jaxsci.tasks.top_tagging.samples import class_names, labels_of, take


def study(folder: Path, max_examples: int, session: Session) -> Path:
    """Write study.json, its figures and study.html into the folder of a trained run.

    Args:
        folder: of the run.
        max_examples: training jets, and as many validation jets at most, that everything is computed on: drawn from each part at random.
        session: for its progress.

    Returns:
        The path of the page.

    Raises:
        InputError: not a trained run, its jets cannot be read any more, or fewer than two jets are asked for.
    """
    options = replace(read_options(folder), remat=False)
    subject.require_one(folder, options.members)
    if len(names := class_names(options.class_names, options.signal_class)) > 2:
        raise InputError(f"{folder}: expected a tagger of two classes, got more; study one of two")
    trained = load(folder)
    job = prepare(options, session.progress, trained.config)
    subject.require(folder, job.tagger.model)
    if not options.stream:
        seen.require_same(folder, job.described()["digest"])
    numbers, others = (subject.some(part, max_examples, job.options.seed) for part in job.splits[:2])
    sample = take(job.sample, numbers)
    labels = labels_of(sample)

    def entries(rows: np.ndarray, logits: np.ndarray) -> list[Entry]:
        probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return [
            {"jet": int(numbers[i]), "label": names[int(labels[i])], f"probability of {names[1]}": float(p)}
            for i, p in zip(rows, probabilities, strict=True)
        ]

    return write.write(
        folder,
        Subject(
            NAME,
            job.tagger.name,
            "jets",
            trained.model.apply,
            binary_cross_entropy,
            trained.params,
            subject.other_weights(folder, make_recipe(job)[0], jax.random.key(job.options.seed)),
            _batch(job, numbers, session),
            _batch(job, others, session),
            {name: labels == label for label, name in enumerate(names)},
            entries,
            lambda rows, _: [_images(sample, rows)],
            job.options.seed,
        ),
        session,
    )


def _batch(job: Job, numbers: np.ndarray, session: Session) -> Batch:
    sample = take(job.sample, numbers)
    inputs = make_inputs(job.tagger, sample, session.progress)
    own = None if sample.weights is None else (sample.weights / sample.weights.mean()).astype(np.float32)
    return as_batch(inputs, labels_of(sample), np.arange(len(numbers)), own)


def _images(sample: jets.JetSample, rows: Rows) -> Drawing:
    chosen = {name: take(sample, numbers) for name, numbers in rows.items()}
    if sample.images is not None:
        images = {name: np.asarray(of.images) for name, of in chosen.items()}
        half_width = None
    else:
        images = {name: jet_images.images(np.asarray(of.constituents)) for name, of in chosen.items()}
        half_width = jet_images.HALF_WIDTH
    return Drawing(
        "study_jets",
        "The most harmful, the most helpful and the least expected training jets, the first of each in the tables.",
        jet_plots.single_images(images, half_width=half_width),
        f"Jet images in rows: {' and '.join(images)} jets.",
    )
