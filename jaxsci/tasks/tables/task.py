"""Plain tables: one column predicted from the others, as classes or as a number, by an ensemble of dense networks."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsci.core import Array, Inputs, Model, Params
from jaxsci.data import columns
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen, weights
from jaxsci.runs.folder import Training
from jaxsci.runs.task import OnProgress, Session, Sweep, Task, Trained
from jaxsci.runs.training import refuse_devices
from jaxsci.tasks import ensembles, folds, parts, scores_file
from jaxsci.tasks.tables import cross_validation, encoding, networks, report, trials
from jaxsci.tasks.tables.encoding import Rows
from jaxsci.tasks.tables.options import Options
from jaxsci.tasks.tables.rows import (
    FRACTIONS,
    NAME,
    Data,
    Given,
    Meaning,
    as_batch,
    class_count,
    contents,
    digest,
    labeled,
    marks,
    meaning_of,
    read,
    read_options,
    take,
)
from jaxsci.tasks.tables.study import study
from jaxsci.tasks.tables.suspects import far
from jaxsci.training import Settings, fit
from jaxsci.training import predict as predict_all

CONTENT = 0.9  # of the interval of a regression
LINEAR = "linear.npz"
CALIBRATION = "calibration.json"


def train(options: Options, session: Session) -> Path:
    """Train in a new run folder, evaluate on the test part, and write the report.

    Returns:
        The run folder.

    Raises:
        InputError: the table or the options cannot be used; no run folder is left behind.
    """
    refuse_devices(session.execution)
    stem = str(options.target).replace("/", "_").strip(". ") or "run"
    if options.folds is not None:
        return cross_validation.train(options, session, stem, _answers)
    given = read(options, session.progress, None)
    meaning, data, splits = given
    compared = parts.compare(options, marks(options, data.rows), splits, "rows", session.progress)
    with runs.whole_folder(session, NAME, stem) as folder:
        described = {
            "file": str(options.data),
            "rows": len(data.target),
            "classes": meaning.classes,
            "mean": meaning.mean,
            "scale": meaning.scale,
            "constant": meaning.constant,
            "columns": [column._asdict() for column in meaning.columns],
            "digest": digest(data),
            "split": {
                "fractions": FRACTIONS,
                "seed": options.seed,
                "groups": options.groups,
                **compared,
            },
        }
        model = networks.network(meaning.columns, class_count(meaning))
        params = jax.eval_shape(model.init, jax.random.key(0))
        chosen = {"parameters": sum(leaf.size for leaf in jax.tree.leaves(params)), "members": options.members}
        runs.write_config(folder, NAME, options, described, chosen)
        seen.save(folder, contents(take(data, np.concatenate(splits[:2])).rows))
    return _train(folder, options, session, given, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    options = read_options(folder)
    if options.folds is not None:
        return cross_validation.resume(folder, session, _answers)
    meaning = meaning_of(runs.read_config(folder, NAME))
    given = read(options, session.progress, meaning)
    seen.require_same(folder, digest(given.data))
    return _train(folder, options, session, given, resume=True)


def _train(folder: Path, options: Options, session: Session, given: Given, *, resume: bool) -> Path:
    meaning, data, splits = given
    train, validation, test = (take(data, rows) for rows in splits)
    settings = Settings(options.epochs, min(options.batch_size, len(splits[0])), options.patience)
    pair = (as_batch(meaning, train), as_batch(meaning, validation))
    model = networks.network(meaning.columns, class_count(meaning))
    recipe = networks.recipe(options, model, class_count(meaning), len(splits[0]))
    result = runs.train(
        folder,
        Training(recipe, settings, networks.keys(options)),
        pair,
        resume=resume,
        progress=session.progress,
        execution=session.execution,
    )
    session.progress("linear model", 0.0, "")
    linear = networks.network(meaning.columns, class_count(meaning), hidden=())
    baseline = networks.recipe(options, linear, class_count(meaning), len(splits[0]))
    fitted = fit(baseline, *pair, key=jax.random.key(options.seed), settings=settings)
    weights.save(folder / LINEAR, fitted.params)
    session.progress("linear model", 1.0, "")
    if meaning.classes is None:
        answers = _answers(meaning, model, result.params, validation.rows)
        off = np.abs(answers["prediction"] - validation.target)[validation.weights > 0]
        runs.write_record(folder / CALIBRATION, {"half_width": _conformal(off), "content": CONTENT})
    known = parts.known(runs.read_config(folder))
    _evaluate(folder, folder, test, report.Measured("test", known, result.history), session.progress)
    return folder


def _conformal(distances: np.ndarray) -> float:
    """Half the width of an interval that holds a new target with probability `CONTENT`: the ceil((n + 1) CONTENT)-th smallest distance."""
    rank = min(len(distances), int(np.ceil((len(distances) + 1) * CONTENT)))
    return float(np.sort(distances)[rank - 1])


@lru_cache(maxsize=32)  # of one network one function, which is compiled once
def _members(apply: Callable[[Params, Inputs], Array]) -> Callable[[Params, Inputs], Array]:
    return jax.vmap(apply, in_axes=(0, None))


def _answers(meaning: Meaning, model: Model, params: Params, rows: Rows) -> dict[str, np.ndarray]:
    """The mean of the members, their spread and what each says, in the units of the target; for classes their probabilities too."""
    outputs = np.asarray(predict_all(_members(model.apply), params, rows), np.float64)  # [row, member(, class)]
    if meaning.classes is None:
        values = meaning.mean + meaning.scale * outputs
        return {"prediction": values.mean(1), "spread": values.std(1), "members": values}
    likely = ensembles.probabilities(outputs)
    probabilities = likely.mean(1)
    best = probabilities.argmax(1)
    spread = likely.std(1)[np.arange(len(best)), best]
    prediction = np.array(meaning.classes)[best]
    return {"prediction": prediction, "probabilities": probabilities, "spread": spread, "members": likely}


def load(folder: Path) -> Trained:
    """The ensemble of a run: `predict` takes a dict of columns, as `data.columns.read` gives it, and returns "prediction" [row],
    its "spread" over the members, and "probability_CLASS" for every class or the "lower" and "upper" end of the 90 % interval.
    """
    options, config = read_options(folder), runs.read_config(folder, NAME)
    folds.refuse(folder, options)
    meaning = meaning_of(config)
    model = networks.network(meaning.columns, class_count(meaning))
    params, _ = runs.trained(
        folder, model, lambda: networks.recipe(options, model, class_count(meaning), examples=1), networks.keys(options)
    )
    half = None if meaning.classes is not None else _half_width(folder)

    def prepare(table: Mapping[str, np.ndarray]) -> Rows:
        return encoding.encode("table", meaning.columns, table)

    def predict(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return _written(meaning, _answers(meaning, model, params, prepare(table)), half)

    example = {
        c.name: np.array([c.median if c.categories is None else (*c.categories, "")[0]]) for c in meaning.columns
    }
    return Trained(model, params, prepare, predict, config, example)


def _half_width(folder: Path) -> float:
    remedy = "go on with the training, which writes it at the end"
    return float(runs.read_json(folder / CALIBRATION, remedy)["half_width"])


def _written(meaning: Meaning, answers: Mapping[str, np.ndarray], half: float | None) -> dict[str, np.ndarray]:
    prediction, spread = answers["prediction"], answers["spread"]
    if meaning.classes is None:
        assert half is not None
        return {"prediction": prediction, "spread": spread, "lower": prediction - half, "upper": prediction + half}
    each = {f"probability_{name}": answers["probabilities"][:, k] for k, name in enumerate(meaning.classes)}
    return {"prediction": prediction, **each, "spread": spread}


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run on its test part, or on all rows of another table.

    Returns:
        The path of the report.
    """
    options, config = read_options(folder), runs.read_config(folder, NAME)
    folds.refuse(folder, options)
    meaning = meaning_of(config)
    if data is None:
        given = read(options, session.progress, meaning)
        seen.require_same(folder, digest(given.data))
        chosen, target, part, known = take(given.data, given.splits[2]), folder, "test", parts.known(config)
    else:
        table = columns.read(data)
        chosen = labeled(data, options, meaning, table)
        _warn_of_far(data, meaning, table, session)
        target, part = folder / "evaluations" / data.stem, data.name
        known = seen.overlap(folder, contents(chosen.rows))
        if known:
            session.progress("evaluating", 0.0, f"warning: {known:,} of these rows were used in training")
    _evaluate(folder, target, chosen, report.Measured(part, known, runs.read_metrics(folder)), session.progress)
    return target / "report.html"


def _evaluate(run: Path, folder: Path, data: Data, measured: report.Measured, progress: OnProgress) -> None:
    progress("evaluating", 0.0, "")
    trained, meaning = load(run), meaning_of(runs.read_config(run, NAME))
    linear = networks.network(meaning.columns, class_count(meaning), hidden=())
    single = weights.read(run / LINEAR, jax.eval_shape(linear.init, jax.random.key(0)))
    answers = {
        "network": _answers(meaning, trained.model, trained.params, data.rows),
        "linear": _answers(meaning, linear, jax.tree.map(lambda leaf: leaf[None], single), data.rows),
    }
    rows = len(data.target)
    result: dict[str, Any] = {"task": NAME, "part": measured.part, "rows": rows, "known": measured.known}
    found = {}
    if meaning.classes is None:
        half = _half_width(run)
        for name, of in answers.items():
            inside = half if name == "network" else None
            found[name] = report.regressed(of["prediction"], data.target, data.weights, inside)
        found["constant"] = report.regressed(np.full(rows, meaning.constant[0]), data.target, data.weights, None)
        measure = partial(report.regressed, target=data.target, weights=data.weights, half_width=None)
    else:
        likely = {name: of["probabilities"] for name, of in answers.items()}
        likely["constant"] = np.tile(meaning.constant, (rows, 1))
        found = {name: report.classified(p, data.target, data.weights) for name, p in likely.items()}
        measure = partial(report.classified, target=data.target, weights=data.weights)
        result["confusion_matrix"] = report.confusion(likely["network"], data.target)
    result["metrics"] = found.pop("network")
    result["baselines"] = found
    result |= ensembles.measured(measure, answers["network"]["members"], answers["network"]["spread"])
    runs.write_record(folder / "evaluation.json", result)
    report.write(folder, result, measured)
    progress("evaluating", 1.0, "")


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the prediction of every row of `source`, with its spread and its probabilities or interval."""
    scores_file.check(out, source)
    trained = load(folder)
    needed = [column["name"] for column in trained.config["data"]["columns"]]
    table = columns.read(source)
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise InputError(f"{source}: expected the columns of the run, but {', '.join(lacking)} is missing; add it")
    _warn_of_far(source, meaning_of(trained.config), table, session)
    answers = trained.predict({name: table[name] for name in needed})
    session.progress("predicting", 1.0, f"{len(answers['prediction']):,} rows")
    scores_file.write(out, [answers])


def _warn_of_far(path: Path, meaning: Meaning, table: Mapping[str, np.ndarray], session: Session) -> None:
    for words in far(path, meaning.columns, table).values():
        session.progress("reading the table", 0.5, f"warning: {words}")


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=evaluate,
    load=load,
    predict=predict,
    study=study,
    sweep=Sweep(trials.parts, trials.trial, lambda options: None),
    lower_is_better=("log_loss", "calibration_error", "rmse", "mae"),
    headline=("members", "metrics/accuracy", "metrics/log_loss", "metrics/rmse", "metrics/r2"),
)
