"""Jets of more than two classes: what is measured, and the page that shows it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.plots import classification, gallery
from jaxsci.runs import binary_evaluation, figures, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Rounded, Table
from jaxsci.runs.task import OnProgress
from jaxsci.tasks import ensembles
from jaxsci.tasks.top_tagging import class_evaluation, report
from jaxsci.tasks.top_tagging.jobs import NAME
from jaxsci.tasks.top_tagging.samples import effective

MEMBERS = {"accuracy": "accuracy", "auc_macro": "AUC, mean of classes", "log_loss": "log loss"}  # metric -> title
DRAWN = 6  # classes whose average images are drawn


def write_evaluation(folder: Path, measured: report.Measured, progress: OnProgress) -> None:
    """Write evaluation.json, the figures and the report of these logits [jet, class]."""
    progress("evaluating", 0.0, "")
    options, (sample, answers, labels, _) = measured.options, measured.tested
    weights = sample.weights
    tagger, names = measured.tagger.name, measured.tagger.classes
    signal = names.index(options.signal_class) if options.signal_class else len(names) - 1
    result: dict[str, Any] = {
        "task": NAME,
        "tagger": tagger,
        "part": measured.part,
        "jets": {name: int(np.sum(labels == k)) for k, name in enumerate(names)},
        "known": measured.known,
        "signal": names[signal],
    }
    measure = partial(class_evaluation.classification, labels=labels, weights=weights)
    result["metrics"] = measure(answers.outputs)
    result["rejections"] = class_evaluation.rejections(answers.outputs, labels, signal, names, weights)
    if answers.members is not None and answers.spread is not None:
        result |= ensembles.measured(measure, answers.members, answers.spread)
    if weights is not None:
        result["weights"] = {"array": options.weights, "effective": effective(labels, weights, names)}
    runs.write_record(folder / "evaluation.json", result)
    progress("evaluating", 0.5, "figures")
    write(folder, result, measured)
    progress("evaluating", 1.0, f"accuracy {result['metrics']['accuracy']['value']:.4f}")


def write(folder: Path, result: dict[str, Any], measured: report.Measured) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`; arguments as in `report.write`."""
    names, values, (sample, answers, labels, _) = list(result["jets"]), result["metrics"], measured.tested
    signal, weights = names.index(result["signal"]), sample.weights
    uncounted = binary_evaluation.uncounted("jets", weights is not None)
    logits, curves = answers.outputs, {}
    for name, of in result["rejections"].items():
        k = names.index(name)
        pair = (labels == signal) | (labels == k)
        scores = logits[pair, signal] - logits[pair, k]
        curves[name] = report.curve(scores, labels[pair] == signal, of, None if weights is None else weights[pair])
    drawings = [
        Drawing(
            "confusion_matrix",
            f"Confusion matrix: rows are the true class, columns the tagger's answer.{uncounted}",
            classification.confusion_matrix(values["confusion_matrix"], names, noun="jets"),
            gallery.confusion_words(values["confusion_matrix"], names, "jets"),
        ),
        Drawing(
            "roc",
            f"Rejection of each class against the efficiency for {result['signal']}, by the ratio of their two probabilities.",
            classification.roc(curves, baseline=None, efficiencies=(0.5,), noun="jets"),
            "A curve for each class: "
            + "; ".join(f"{name} has AUC {of['auc']['value']:.4f}" for name, of in result["rejections"].items())
            + ".",
        ),
    ]
    claim = seen.claim(result["part"], result["known"], sum(result["jets"].values()), "jets")
    sections = [
        Section("The classes", claim, table=classes_table(result)),
        Section(f"{result['signal']} against each other class", table=rejection_table(result)),
        Section("How well it separates", figures=drawings),
    ]
    if "of_members" in result:
        beside = [ensembles.drawing(answers, labels, "jets")]
        sections.append(ensembles.section(result, MEMBERS, beside))
    if len(names) <= DRAWN:
        words = "Average jet images after the preprocessing of arXiv:1902.09914."
        average = report.average_images(sample, names)
        sections.append(Section("What the jets look like", words, figures=[average]))
    if measured.history:
        curves_drawing = figures.learning(measured.history)
        sections.append(Section("How it learned", figures=[curves_drawing]))
    title = f"Tagging {len(names)} classes of jets with {result['tagger']}"
    figures.write_page(folder, title, report.summary(folder, result), sections)


def classes_table(result: dict[str, Any]) -> Table:
    """What is measured of each class, and of all."""
    values = result["metrics"]
    each = values["per_class"]
    kinds = ("recall", "precision", "f1")
    rows: list[list[Cell]] = [
        [name, jets, figures.estimate(each["auc"][k]), *(_three(each[kind][k]) for kind in kinds)]
        for k, (name, jets) in enumerate(result["jets"].items())
    ]
    means = [_three(values[f"{kind}_macro"]["value"]) for kind in ("auc", *kinds)]
    rows.append(["mean of classes", sum(result["jets"].values()), *means])
    accuracy = figures.estimate(values["accuracy"])
    return Table(
        [
            Column("class"),
            Column("jets"),
            Column("AUC against all others"),
            *map(Column, ("recall", "precision", "F1")),
        ],
        rows,
        "A class's recall is the part of it that is found, its precision the part of the answers that are right.",
        [
            f"Accuracy over all jets {accuracy.value:.4f}, 68 % interval {accuracy.lower:.4f} to {accuracy.upper:.4f}; log loss "
            f"{values['log_loss']['value']:.4f}, {np.log(len(result['jets'])):.4f} for a guess of equal probabilities.",
            "Intervals are 68 %: DeLong's for the AUC, Wilson's for the accuracy.",
        ],
    )


def rejection_table(result: dict[str, Any]) -> Table:
    """How well the signal is told from each other class alone."""
    keys = ["auc", *(f"rejection_{efficiency}" for efficiency in binary_evaluation.EFFICIENCIES)]
    rows: list[list[Cell]] = [
        [name, *(figures.estimate(of[key]) for key in keys)] for name, of in result["rejections"].items()
    ]
    titles = ["AUC", *(f"1/ε_B at ε_S = {efficiency}" for efficiency in binary_evaluation.EFFICIENCIES)]
    caption = f"{result['signal']} against each other class, by the ratio of the probabilities of the two."
    note = "Intervals are 68 %: DeLong's for the AUC; a rejection counts the error of the cut too."
    return Table([Column("class"), *map(Column, titles)], rows, caption, [note])


def _three(value: float | None) -> Rounded | None:
    return None if value is None else Rounded(f"{value:.3f}", "", "")


def answers(logits: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What `predict` says of each jet: the class, and the probability of every one."""
    likely = ensembles.probabilities(logits)
    return {
        "class": np.array(names)[logits.argmax(axis=1)],
        **{f"probability_{name}": likely[:, k] for k, name in enumerate(names)},
    }
