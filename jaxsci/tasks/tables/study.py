"""The first network of a trained table as the subject of a study."""

from pathlib import Path

import jax
import numpy as np

from jaxsci.losses import cross_entropy, squared_error
from jaxsci.runs import folder as runs
from jaxsci.runs import seen
from jaxsci.runs.task import Session
from jaxsci.tasks import folds
from jaxsci.tasks.study import subject, write
from jaxsci.tasks.study.subject import Entry, Subject
from jaxsci.tasks.tables import networks
from jaxsci.tasks.tables.rows import NAME, as_batch, class_count, digest, meaning_of, read, read_options, take


def study(folder: Path, max_examples: int, session: Session) -> Path:
    """Write study.json, its figures and study.html into the folder of a trained run.

    Args:
        folder: of the run.
        max_examples: training rows, and as many validation rows at most, that everything is computed on.
        session: for its progress.

    Returns:
        The path of the page.
    """
    options = read_options(folder)
    folds.refuse(folder, options)
    meaning = meaning_of(runs.read_config(folder, NAME))
    _, data, splits = read(options, session.progress, meaning)
    seen.require_same(folder, digest(data))
    numbers, others = (subject.some(part, max_examples, options.seed) for part in splits[:2])
    model = networks.network(meaning.columns, class_count(meaning))
    recipe = networks.recipe(options, model, class_count(meaning), examples=1)
    keys = jax.random.split(jax.random.key(options.seed), options.members)
    params, _ = runs.trained(folder, model, lambda: recipe, keys)
    train, validation = (as_batch(meaning, take(data, rows)) for rows in (numbers, others))
    target = data.target[numbers]
    classes = meaning.classes

    def entries(rows: np.ndarray, outputs: np.ndarray) -> list[Entry]:
        if classes is None:
            predicted = meaning.mean + meaning.scale * outputs.astype(np.float64)
            return [
                {"row": int(numbers[i]), str(options.target): float(target[i]), "predicted": float(p)}
                for i, p in zip(rows, predicted, strict=True)
            ]
        likely = np.asarray(jax.nn.softmax(outputs), np.float64)
        return [
            {
                "row": int(numbers[i]),
                str(options.target): classes[int(target[i])],
                "answer": classes[int(p.argmax())],
                "probability of the label": float(p[int(target[i])]),
            }
            for i, p in zip(rows, likely, strict=True)
        ]

    return write.write(
        folder,
        Subject(
            NAME,
            f"network for {options.target}",
            "rows",
            model.apply,
            squared_error if classes is None else cross_entropy,
            subject.first_member(params),
            subject.other_weights(folder, recipe, keys),
            train,
            validation,
            _kinds(classes, target),
            entries,
            lambda rows, outputs: [],  # the table says all
            options.seed,
            about=f"Studied is the first of the {options.members} networks of the ensemble."
            if options.members > 1
            else "",
        ),
        session,
    )


def _kinds(classes: tuple[str, ...] | None, target: np.ndarray) -> dict[str, np.ndarray]:
    """The classes, or the lower and the upper half of the numbers."""
    if classes is not None:
        return {name: target == k for k, name in enumerate(classes)}
    middle = float(np.median(target))
    return {f"up to {middle:.3g}": target <= middle, f"above {middle:.3g}": target > middle}
