"""What is measured of a table's predictions, and the page that shows it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.plots import classification, gallery
from jaxsci.runs import binary_evaluation, figures, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.tasks import ensembles, parts

TITLES = {
    "accuracy": Column("accuracy", best="largest"),
    "log_loss": Column("log loss", best="smallest"),
    "auc": Column("AUC", best="largest"),
    "calibration_error": Column("calibration error", best="smallest"),
    "rmse": Column("root mean squared error", best="smallest"),
    "mae": Column("mean absolute error", best="smallest"),
    "r2": Column("R²", best="largest"),
    "coverage": Column("coverage of the 90 % interval"),
}
_WORDS = {
    "network": "mean of the ensemble",
    "linear": "linear model, trained alike",
    "constant": "constant: what the training part has on average",
}

_MEAN = (
    "Networks that differ by their initial weights and by the order of what they are trained on. The answer is the mean of theirs, whose "
    "squared error is at most the mean of theirs."
)


class Measured(NamedTuple):
    """Rows with their answers."""

    part: str  # "test", or the name of another file
    known: int | None  # rows of another file on which the run was trained; None: not known
    history: list[dict[str, Any]]  # of the training, a record per epoch


# Each as one program: some thirty operations, which one by one took a second.
_interval = jax.jit(partial(metrics.binomial_interval, level=binary_evaluation.LEVEL))
_calibration_error = jax.jit(metrics.expected_calibration_error)


def classified(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Weighted accuracy and log loss with 68 % intervals, calibration error of the answers, and for two classes with weight the AUC.

    Args:
        probabilities: [row, class].
        target: [row], whole numbers.
        weights: [row].
    """
    right = (probabilities.argmax(1) == target).astype(np.float64)
    effective = weights.sum() ** 2 / np.square(weights).sum()
    part = float(np.average(right, weights=weights))
    interval = _interval(part * effective, effective)
    found: dict[str, Any] = {"accuracy": binary_evaluation.estimate(part, interval)}  # type: ignore[arg-type]
    chosen = np.maximum(probabilities[np.arange(len(target)), target], np.finfo(np.float32).tiny)
    found["log_loss"] = _mean(-np.log(chosen), weights)
    stated = probabilities.max(1).astype(np.float32)
    calibration = _calibration_error(jnp.asarray(stated), jnp.asarray(right), jnp.asarray(weights))
    found["calibration_error"] = {"value": binary_evaluation.number(calibration)}
    if probabilities.shape[1] == 2 and len(set(target[weights > 0].tolist())) == 2:
        found["auc"] = binary_evaluation.ranking(probabilities[:, 1], target, weights)["auc"]
    return found


def regressed(values: np.ndarray, target: np.ndarray, weights: np.ndarray, half_width: float | None) -> dict[str, Any]:
    """Weighted errors with 68 % intervals, R^2, and the part of the targets within `half_width`, all in the units of the target."""
    residual = values - target
    squared = _mean(np.square(residual), weights)
    found: dict[str, Any] = {
        "rmse": {name: float(np.sqrt(max(value, 0.0))) for name, value in squared.items()},
        "mae": _mean(np.abs(residual), weights),
    }
    variance = np.average(np.square(target - np.average(target, weights=weights)), weights=weights)
    found["r2"] = {"value": float(1 - squared["value"] / variance) if variance > 0 else None}
    if half_width is not None:
        effective = weights.sum() ** 2 / np.square(weights).sum()
        part = float(np.average(np.abs(residual) <= half_width, weights=weights))
        interval = _interval(part * effective, effective)
        found["coverage"] = binary_evaluation.estimate(part, interval)  # type: ignore[arg-type]
    return found


def _mean(values: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """A weighted mean and its standard error, sqrt(sum w^2 (v - mean)^2) / sum w, as an interval."""
    mean = float(np.average(values, weights=weights))
    error = float(np.sqrt(np.square(weights * (values - mean)).sum()) / weights.sum())
    return {"value": mean, "lower": mean - error, "upper": mean + error}


def confusion(probabilities: np.ndarray, target: np.ndarray) -> list[list[int]]:
    """How often each class (row) is answered by each (column)."""
    classes = probabilities.shape[1]
    counts = np.bincount(target * classes + probabilities.argmax(1), minlength=classes**2)
    found: list[list[int]] = counts.reshape(classes, classes).tolist()
    return found


def write(folder: Path, result: Mapping[str, Any], measured: Measured) -> None:
    """Draw the figures and write the report.

    Args:
        folder: of the run, or of its evaluation on another file.
        result: the content of evaluation.json.
        measured: what the page says of the rows and the training.
    """
    config = runs.read_config(runs.run_of(folder))
    data, options = config["data"], config["options"]
    drawings = []
    if data["classes"] is not None and len(data["classes"]) <= 20:
        drawings.append(
            Drawing(
                "confusion_matrix",
                "Confusion matrix: rows are the true class, columns the network's answer."
                + binary_evaluation.uncounted("rows", options.get("weights") is not None),
                classification.confusion_matrix(result["confusion_matrix"], data["classes"], noun="rows"),
                gallery.confusion_words(result["confusion_matrix"], data["classes"], "rows"),
            )
        )
    claim = seen.claim(measured.part, measured.known, result["rows"], "rows")
    kind = "regression" if data["classes"] is None else f"classification, {len(data['classes'])} classes"
    sections = [
        Section("What was measured", claim, table=table(result)),
        Section("The columns", _columns(data), figures=drawings),
    ]
    if result["members"] > 1:
        titles = {name: column.title for name, column in TITLES.items()}
        words = _MEAN if data["classes"] is None else ensembles.WORDS
        sections.insert(1, ensembles.section(result, titles, words=words))
    if measured.history:
        curves = figures.learning(measured.history)
        sections.append(Section("How it learned", figures=[curves]))
    summary = {
        "Target": f"{options['target']} ({kind})",
        "Table": f"{data['rows']:,} rows, {Path(data['file']).name}",
        **parts.words(data),
        "Evaluated on": f"{result['rows']:,} rows ({measured.part})",
        "Seed": str(data["split"]["seed"]),
    }
    if options.get("weights") is not None:
        summary["Weights"] = str(options["weights"])
    figures.write_page(folder, f"{options['target']} from a table", summary, sections)


def table(result: Mapping[str, Any]) -> Table:
    """The ensemble beside the baselines."""
    rows = {"network": result["metrics"], **result["baselines"]}
    names = [name for name in TITLES if name in result["metrics"]]
    cells: list[list[Cell]] = [
        [_WORDS[row], *(figures.estimate(values.get(name)) for name in names)] for row, values in rows.items()
    ]
    interval = (
        "The 90 % interval of a prediction is as wide for every row: 90 % of the validation rows lie inside. They also chose the "
        "epoch, so that it is a little narrow; its coverage here is measured."
    )
    return Table(
        [Column("model"), *(TITLES[name] for name in names)],
        cells,
        "The same rows by all models.",
        [
            *([interval] if "coverage" in names else []),
            "Intervals are 68 %: Wilson's for parts of the rows, DeLong's for the AUC, standard errors of the mean for the rest; "
            "weighted rows count as many as their effective number.",
        ],
    )


def _columns(data: Mapping[str, Any]) -> str:
    words = []
    for column in data["columns"]:
        missing = ", some missing" if column["missing"] else ""
        if column["categories"] is None:
            words.append(f"{column['name']} (numbers{missing})")
        else:
            words.append(f"{column['name']} ({len(column['categories'])} categories{missing})")
    return f"{len(words)} columns are the input: {'; '.join(words)}."
