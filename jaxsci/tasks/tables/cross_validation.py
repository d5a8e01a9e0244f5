"""Cross-validation on a table: an ensemble trained for every fold of the rows, and the page."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np

from jaxsci.core import Model, Params
from jaxsci.plots import classification, gallery
from jaxsci.runs import binary_evaluation, figures, seen, weights
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing
from jaxsci.runs.task import Session
from jaxsci.tasks import folds
from jaxsci.tasks.folds import Fold
from jaxsci.tasks.tables import networks, report
from jaxsci.tasks.tables.encoding import Rows
from jaxsci.tasks.tables.options import Options
from jaxsci.tasks.tables.rows import (
    NAME,
    Data,
    Given,
    Meaning,
    as_batch,
    class_count,
    digest,
    read_folds,
    read_options,
    take,
)
from jaxsci.training import Settings

Answers: TypeAlias = Callable[[Meaning, Model, Params, Rows], Mapping[str, np.ndarray]]  # what an ensemble says of rows


def train(options: Options, session: Session, stem: str, answers: Answers) -> Path:
    """Train an ensemble for every fold, in a new run folder, and write the report; `stem` begins the folder's name.

    Raises:
        InputError: as in the training of one, or a number of folds that cannot be.
    """
    given = read_folds(options, session.progress)
    meaning, data, _ = given[0]
    with runs.whole_folder(session, NAME, stem) as folder:
        described = {
            "file": str(options.data),
            "rows": len(data.target),
            "classes": meaning.classes,
            "columns": [column._asdict() for column in meaning.columns],
            "digest": _digest(given),
            "split": {"folds": options.folds, "seed": options.seed, "groups": options.groups},
        }
        params = jax.eval_shape(networks.network(meaning.columns, class_count(meaning)).init, jax.random.key(0))
        chosen = {"parameters": sum(leaf.size for leaf in jax.tree.leaves(params)), "members": options.members}
        runs.write_config(folder, NAME, options, described, chosen)
    return _train(folder, given, session, answers, resume=False)


def resume(folder: Path, session: Session, answers: Answers) -> Path:
    """Go on with a cross-validation that was stopped; the folds that are finished are kept."""
    given = read_folds(read_options(folder), session.progress)
    seen.require_same(folder, _digest(given))
    return _train(folder, given, session, answers, resume=True)


def _digest(given: list[Given]) -> str:
    """Of the rows as all folds see them."""
    return weights.digest(np.array([digest(fold.data) for fold in given]))


def _train(folder: Path, given: list[Given], session: Session, answers: Answers, *, resume: bool) -> Path:
    options, meaning = read_options(folder), given[0].meaning
    room = max(len(fold.splits[0]) for fold in given)
    model = networks.network(meaning.columns, class_count(meaning))
    recipe = networks.recipe(options, model, class_count(meaning), room)
    settings = Settings(options.epochs, min(options.batch_size, room), options.patience)
    program = recipe, settings, networks.keys(options)
    each = _folds(given, model, answers)
    result = folds.run(folder, program, each, session, number=len(given), resume=resume)
    result = {"task": NAME, "part": "folds", "rows": len(given[0].data.target), **result}
    if meaning.classes is not None:
        result["confusion_matrix"] = np.sum([of["confusion_matrix"] for of in result["each"]], axis=0).tolist()
    runs.write_record(folder / "evaluation.json", result)
    _write(folder, result, meaning, [len(fold.splits[2]) for fold in given])
    session.progress("evaluating", 1.0, "")
    return folder


def _folds(given: list[Given], model: Model, answers: Answers) -> Iterator[Fold]:
    """The rows of each training, all of one shape, and what is measured of it."""
    room = [max(len(fold.splits[part]) for fold in given) for part in range(2)]
    for meaning, data, splits in given:
        train, validation, test = (take(data, rows) for rows in splits)

        def measure(params: Params, meaning: Meaning = meaning, test: Data = test) -> Mapping[str, Any]:
            found = answers(meaning, model, params, test.rows)
            if meaning.classes is None:
                return report.regressed(found["prediction"], test.target, test.weights, None)
            measured = report.classified(found["probabilities"], test.target, test.weights)
            return {**measured, "confusion_matrix": report.confusion(found["probabilities"], test.target)}

        own = folds.alike(as_batch(meaning, train), room[0])
        yield Fold(own, folds.alike(as_batch(meaning, validation), room[1]), measure)


def _write(folder: Path, result: Mapping[str, Any], meaning: Meaning, sizes: list[int]) -> None:
    drawings = []
    config = runs.read_config(folder)
    weighted = config["options"]["weights"] is not None
    if meaning.classes is not None and len(meaning.classes) <= 20:
        matrix = result["confusion_matrix"]
        drawings.append(
            Drawing(
                "confusion_matrix",
                "Confusion matrix of all folds together, each row of the table by the ensemble that left it out: rows are the true class, "
                "columns the answer." + binary_evaluation.uncounted("rows", weighted),
                classification.confusion_matrix(matrix, meaning.classes, noun="rows"),
                gallery.confusion_words(matrix, meaning.classes, "rows"),
            )
        )
    titles = {name: column.title for name, column in report.TITLES.items()}
    section = folds.section(result, titles, sizes, "rows")._replace(figures=drawings)
    target = config["options"]["target"]
    summary = {
        "Target": target,
        "Table": f"{result['rows']:,} rows, {Path(config['data']['file']).name}",
        "Folds": str(len(sizes)),
        "Seed": str(config["data"]["split"]["seed"]),
    }
    if weighted:
        summary["Weights"] = str(config["options"]["weights"])
    figures.write_page(folder, f"Cross-validation of {target} from a table", summary, [section])
