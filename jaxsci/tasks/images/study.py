"""A trained network of images as the subject of a study."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jaxsci.losses import cross_entropy, squared_error
from jaxsci.models.heads import inference
from jaxsci.plots import gallery
from jaxsci.runs import folder as runs
from jaxsci.runs.figures import Drawing
from jaxsci.runs.task import Session
from jaxsci.tasks.images.networks import make_recipe, name, network
from jaxsci.tasks.images.rows import NAME, as_batch, read_again, read_options, take
from jaxsci.tasks.study import subject, write
from jaxsci.tasks.study.subject import Entry, Rows, Subject


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
    numbers = splits[0][chosen[0]]
    train = take(sample, numbers)
    # Of the whole parts, as in the training: the weights of --balance are by the classes of all images.
    studied, beside = (
        jax.tree.map(lambda leaf, of=of: leaf[of], as_batch(options, sample, part))
        for part, of in zip(splits[:2], chosen, strict=True)
    )
    names: Sequence[str | int] = train.names or range(train.classes)
    built = network(options, train.x.shape[1:], train.classes)
    subject.require(folder, built.model)
    recipe, key = make_recipe(options, built, examples=1), jax.random.key(options.seed)
    params, _ = runs.trained(folder, built.model, lambda: recipe, key)
    compresses = options.model == "autoencoder"

    def entries(rows: np.ndarray, outputs: np.ndarray) -> list[Entry]:
        if compresses:
            errors = np.square(outputs - train.x[rows]).reshape(len(rows), -1).mean(1)
            return [
                {"image": int(numbers[i]), "class": names[train.y[i]], "mean squared error": float(e)}
                for i, e in zip(rows, errors, strict=True)
            ]
        return [
            {
                "image": int(numbers[i]),
                "label": names[train.y[i]],
                "answer": names[int(p.argmax())],
                "probability of the label": float(p[train.y[i]]),
            }
            for i, p in zip(rows, _probabilities(outputs), strict=True)
        ]

    def draw(rows: Rows, outputs: np.ndarray) -> list[Drawing]:
        answers = None if compresses else _probabilities(outputs).argmax(1)

        def words(i: int) -> str:
            label = names[train.y[i]]
            return _class(label) if answers is None else f"{label}, answer {names[answers[i]]}"

        shown = {kind: gallery.Examples(train.x[of], [words(i) for i in of]) for kind, of in rows.items()}
        return [
            Drawing(
                "study_images",
                "The most harmful, the most helpful and the least expected training images, with their label and the answer of the network."
                if answers is not None
                else "The most harmful, the most helpful and the least expected training images, with their class.",
                gallery.gallery(shown, columns=4),
                "; ".join(f"{kind}: {', '.join(of.words)}" for kind, of in shown.items()) + ".",
            )
        ]

    return write.write(
        folder,
        Subject(
            NAME,
            name(options),
            "images",
            inference(built.model).apply,
            squared_error if compresses else cross_entropy,
            params,
            subject.other_weights(folder, recipe, key),
            studied,
            beside,
            {_class(label): train.y == k for k, label in enumerate(names)},
            entries,
            draw,
            options.seed,
            about="As in the training, the images of each class have the same weight in all."
            if options.balance
            else "",
        ),
        session,
    )


def _class(label: str | int) -> str:
    return label if isinstance(label, str) else f"class {label}"


def _probabilities(logits: np.ndarray) -> np.ndarray:
    likely = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return likely / likely.sum(1, keepdims=True)
