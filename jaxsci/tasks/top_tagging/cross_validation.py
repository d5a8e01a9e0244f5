"""Cross-validation of a tagger: a training for every fold of the jets, and the page."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.core import Inputs, Params
from jaxsci.errors import InputError
from jaxsci.models.heads import inference
from jaxsci.plots import classification, gallery
from jaxsci.runs import binary_evaluation, figures
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing
from jaxsci.runs.task import Session
from jaxsci.tasks import folds
from jaxsci.tasks.folds import Fold
from jaxsci.tasks.parts import Splits
from jaxsci.tasks.top_tagging import class_evaluation, report
from jaxsci.tasks.top_tagging.jobs import (
    NAME,
    Job,
    as_batch,
    make_inputs,
    make_recipe,
    make_tagger,
    new_run,
)
from jaxsci.tasks.top_tagging.samples import FRACTIONS, labels_of, origin, shapes
from jaxsci.tasks.top_tagging.taggers import scaling
from jaxsci.training import predict

TITLES = {**report.COLUMNS, "auc_macro": "AUC, mean of classes", "log_loss": "log loss"}


class _Given(NamedTuple):
    """Jets, the tagger without a scaling, and the parts of each fold."""

    job: Job  # with the parts of the first fold
    splits: list[Splits]


def train(job: Job, session: Session) -> Path:
    """Train a tagger for every fold of its jets, in a new run folder, and write the report.

    Raises:
        InputError: there are fewer jets of a class than folds, or none with weight in a fold.
    """
    given = _dealt(job)
    split = {"folds": job.options.folds, "seed": job.options.seed}
    return _train(new_run(given.job, split, session), given, session, resume=False)


def resume(folder: Path, job: Job, session: Session) -> Path:
    """Go on with a cross-validation that was stopped; the folds that are finished are kept."""
    return _train(folder, _dealt(job), session, resume=True)


def _dealt(job: Job) -> _Given:
    options, labels = job.options, labels_of(job.sample)
    assert options.folds is not None
    share = FRACTIONS[1] / (FRACTIONS[0] + FRACTIONS[1])
    found = folds.splits(labels, options.folds, seed=options.seed, share=share)
    if (weights := job.sample.weights) is not None:
        for k, rows in enumerate((rows for split in found for rows in split), 3):
            if not np.bincount(labels[rows], weights[rows], len(job.names)).all():
                raise InputError(
                    f"--folds: expected jets with weight of every class in fold {k // 3}, got none; take fewer"
                )
    # Each training measures the scaling of its inputs on its own jets.
    bare = replace(job, tagger=make_tagger(options, *shapes(job.sample)), splits=_longest(found), scaling=None)
    return _Given(bare, found)


def _longest(found: list[Splits]) -> Splits:
    return max(found, key=lambda split: len(split[0]))


def _train(folder: Path, given: _Given, session: Session, *, resume: bool) -> Path:
    options, labels = given.job.options, labels_of(given.job.sample)
    recipe, settings = make_recipe(given.job)
    program = recipe, settings, jax.random.key(options.seed)
    assert options.folds is not None
    result = folds.run(folder, program, _folds(given, session), session, number=options.folds, resume=resume)
    names, sizes = given.job.names, [len(split[2]) for split in given.splits]
    result = {"task": NAME, "tagger": given.job.tagger.name, "part": "folds", **result}
    result["jets"] = {name: int(np.sum(labels == k)) for k, name in enumerate(names)}
    result["confusion_matrix"] = np.sum([of["confusion_matrix"] for of in result["each"]], axis=0).tolist()
    runs.write_record(folder / "evaluation.json", result)
    _write(folder, result, sizes)
    session.progress("evaluating", 1.0, f"accuracy {result['metrics']['accuracy']['value']:.4f}")
    return folder


def _folds(given: _Given, session: Session) -> Iterator[Fold]:
    """The inputs of each training, all of one shape, and what is measured of it."""
    job, splits = given
    labels, weights, tagger = labels_of(job.sample), job.sample.weights, job.tagger
    classes, answering = len(job.names), inference(job.tagger.model).apply
    plain = make_inputs(tagger, job.sample, session.progress)
    room = [max(len(split[part]) for split in splits) for part in range(2)]
    for split in splits:
        inputs = plain
        if tagger.scaled and job.sample.constituents is not None:
            inputs = scaling.measure(tagger, job.sample.constituents[split[0]])(plain)
        own_weights = binary_evaluation.relative(weights, split[0])
        train, validation, test = (as_batch(inputs, labels, rows, own_weights, classes=classes) for rows in split)
        rows = split[2]

        def measure(params: Params, x: Inputs = test.x, rows: np.ndarray = rows) -> Mapping[str, Any]:
            measured = binary_evaluation if classes == 2 else class_evaluation
            return measured.classification(
                predict(answering, params, x), labels[rows], None if weights is None else weights[rows]
            )

        yield Fold(folds.alike(train, room[0]), folds.alike(validation, room[1]), measure)


def _write(folder: Path, result: Mapping[str, Any], sizes: list[int]) -> None:
    names = list(result["jets"])
    matrix = Drawing(
        "confusion_matrix",
        "Confusion matrix of all folds together, each jet by the training that left it out: rows are the true class, columns the answer."
        + binary_evaluation.uncounted("jets", runs.read_config(folder)["options"].get("weights") is not None),
        classification.confusion_matrix(result["confusion_matrix"], names, noun="jets"),
        gallery.confusion_words(result["confusion_matrix"], names, "jets"),
    )
    section = folds.section(result, TITLES, sizes, "jets")
    data = runs.read_config(folder)["data"]
    summary = {
        "Tagger": str(result["tagger"]),
        "Jets": f"{data['jets']:,}, {origin(data)}",
        "Folds": str(result["folds"]),
        "Seed": str(data["split"]["seed"]),
    }
    sections = [section._replace(figures=[matrix])]
    figures.write_page(folder, f"Cross-validation of {result['tagger']}", summary, sections)
