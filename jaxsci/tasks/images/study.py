"""A trained network of images as the subject of a study."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxsci.core import Batch
from jaxsci.data.images import LabeledImages
from jaxsci.losses import cross_entropy, squared_error
from jaxsci.models.heads import inference
from jaxsci.plots import gallery
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing
from jaxsci.runs.task import Session
from jaxsci.tasks.ensembles import probabilities
from jaxsci.tasks.images.networks import make_recipe, name, network
from jaxsci.tasks.images.options import Options
from jaxsci.tasks.images.rows import NAME, as_batch, read_again, read_options, take
from jaxsci.tasks.study import subject, write
from jaxsci.tasks.study.subject import Entry, Rows, Subject


class _Shown(NamedTuple):
    """The training images of a study, and what they are called."""

    sample: LabeledImages
    numbers: np.ndarray  # of each in the file
    names: Sequence[str | int]  # of the classes


def study(folder: Path, max_examples: int, session: Session) -> Path:
    """Write study.json, its figures and study.html into the folder of a trained run.

    Args:
        folder: of the run.
        max_examples: training images, and as many validation images at most, that everything is computed on.
        session: for its progress.

    Returns:
        The path of the page.
    """
    options = read_options(folder)
    subject.require_one(folder, options.members)
    sample, splits = read_again(folder, options, session.progress)
    chosen = [subject.some(np.arange(len(part)), max_examples, options.seed) for part in splits[:2]]
    train, validation = (_batch(options, sample, part, of) for part, of in zip(splits[:2], chosen, strict=True))
    numbers = splits[0][chosen[0]]
    shown = _Shown(take(sample, numbers), numbers, sample.names or range(sample.classes))
    built = network(options, sample.x.shape[1:], sample.classes)
    subject.require(folder, built.model)
    recipe, key = make_recipe(options, built, examples=1), jax.random.key(options.seed)
    params, _ = runs.trained(folder, built.model, lambda: recipe, key)
    compresses = options.model == "autoencoder"
    studied = Subject(
        NAME,
        name(options),
        "images",
        inference(built.model).apply,
        squared_error if compresses else cross_entropy,
        params,
        subject.other_weights(folder, recipe, key),
        train,
        validation,
        {_class(label): shown.sample.y == k for k, label in enumerate(shown.names)},
        partial(_compressed if compresses else _answered, shown),
        partial(_draw, shown, not compresses),
        options.seed,
        about="As in the training, the images of each class have the same weight in all." if options.balance else "",
    )
    return write.write(folder, studied, session)


def _batch(options: Options, sample: LabeledImages, part: np.ndarray, chosen: np.ndarray) -> Batch:
    """Some images of a part, weighted as in the training: the weights of --balance are by the classes of the whole part."""
    batch: Batch = jax.tree.map(lambda leaf: leaf[chosen], as_batch(options, sample, part))
    return batch


def _answered(shown: _Shown, rows: np.ndarray, logits: np.ndarray) -> list[Entry]:
    """What is said of images that were classified."""
    names, labels = shown.names, shown.sample.y
    return [
        {
            "image": int(shown.numbers[i]),
            "label": names[labels[i]],
            "answer": names[int(p.argmax())],
            "probability of the label": float(p[labels[i]]),
        }
        for i, p in zip(rows, probabilities(logits), strict=True)
    ]


def _compressed(shown: _Shown, rows: np.ndarray, outputs: np.ndarray) -> list[Entry]:
    """What is said of images that were compressed."""
    errors = np.square(outputs - shown.sample.x[rows]).reshape(len(rows), -1).mean(1)
    return [
        {"image": int(shown.numbers[i]), "class": shown.names[shown.sample.y[i]], "mean squared error": float(error)}
        for i, error in zip(rows, errors, strict=True)
    ]


def _draw(shown: _Shown, answered: bool, rows: Rows, outputs: np.ndarray) -> list[Drawing]:
    """The images of these rows, with their classes, and with the answers where there are some."""
    labels = [shown.names[k] for k in shown.sample.y]
    words = [_class(label) for label in labels]
    if answered:
        answers = probabilities(outputs).argmax(1)
        words = [f"{label}, answer {shown.names[k]}" for label, k in zip(labels, answers, strict=True)]
    pictures = {kind: gallery.Examples(shown.sample.x[of], [words[i] for i in of]) for kind, of in rows.items()}
    beside = "label and the answer of the network" if answered else "class"
    return [
        Drawing(
            "study_images",
            f"The most harmful, the most helpful and the least expected training images, with their {beside}.",
            gallery.gallery(pictures, columns=4),
            "; ".join(f"{kind}: {', '.join(of.words)}" for kind, of in pictures.items()) + ".",
        )
    ]


def _class(label: str | int) -> str:
    return label if isinstance(label, str) else f"class {label}"
