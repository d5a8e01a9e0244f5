"""The report of a network on images: figures and page from what was measured."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.images import LabeledImages
from jaxsci.plots import classification, gallery, reconstruction
from jaxsci.runs import figures, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.estimate import Estimate, Rounded
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.tasks import ensembles, parts
from jaxsci.tasks.ensembles import Answers
from jaxsci.tasks.images import metrics

MEMBERS = {  # of the table of members: metric -> title
    "accuracy": "accuracy",
    "f1_macro": "F1, mean of classes",
    "auc": "AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}
MISTAKEN = 12  # images that are told wrongly, to be shown


class Measured(NamedTuple):
    """Images with what the network makes of them."""

    sample: LabeledImages
    answers: Answers  # logits [image, class], or reconstructions [image, height, width, channel]
    codes: np.ndarray | None  # [image, latent] of an autoencoder; None for a classifier
    history: list[dict[str, Any]]  # of the training, a record per epoch


def write(folder: Path, result: dict[str, Any], measured: Measured) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`.

    Args:
        folder: of the run, or of its evaluation on another file.
        result: the content of evaluation.json.
        measured: the images that were evaluated.
    """
    sample, answers, codes, history = measured
    outputs = answers.outputs
    names = list(sample.names or map(str, range(sample.classes)))
    if codes is None:
        drawings = [
            Drawing(
                "confusion_matrix",
                "Confusion matrix: rows are the true class, columns the network's answer.",
                classification.confusion_matrix(result["metrics"]["confusion_matrix"], names, noun="images"),
                gallery.confusion_words(result["metrics"]["confusion_matrix"], names, "images"),
            ),
            *_mistaken(sample, outputs, names, result["threshold"]),
        ]
        if "auc" in result["metrics"]:
            drawings += _binary(outputs[:, 1] - outputs[:, 0], sample.y, names)
    else:
        drawings = [
            Drawing(
                "reconstructions",
                "Originals, reconstructions and their difference.",
                reconstruction.reconstructions(sample.x, outputs),
                "Eight images, under each its reconstruction and the difference; the mean squared error of all is "
                f"{result['metrics']['reconstruction_error']['value']:.3g} a pixel.",
            ),
            Drawing(
                "latent_space",
                "The codes of the test images, by class.",
                reconstruction.latent_space(codes, sample.y, names),
                f"A cloud of points in the plane of the two leading components, a color for each of {len(names)} classes.",
            ),
        ]
    claim = seen.claim(result["part"], result.get("known"), result["images"], "images")
    if result.get("balance"):
        claim += (
            " In the training each class had the same weight in all: the probabilities are those of a population with as many images of "
            "each, and not of this file."
        )
    sections = [
        Section("What was measured", claim, table=table(result)),
        Section("What it does", figures=drawings),
    ]
    if "of_members" in result:
        beside = [ensembles.drawing(answers, sample.y, "images")]
        sections.insert(1, ensembles.section(result, MEMBERS, beside))
    if history:
        curves = figures.learning(history)
        sections.append(Section("How it learned", figures=[curves]))
    data = runs.read_config(runs.run_of(folder))["data"]
    summary = {
        "Network": result["model"],
        "Images": f"{data['images']:,} of {data['classes']} classes, {' × '.join(map(str, data['shape']))}",
        **parts.words(data),
        "Evaluated on": f"{result['images']:,} images ({result['part']})",
        "File": Path(data["file"]).name,
        "Seed": str(data["split"]["seed"]),
    }
    figures.write_page(folder, f"Images with {result['model']}", summary, sections)


def _mistaken(sample: LabeledImages, outputs: np.ndarray, names: list[str], threshold: float | None) -> list[Drawing]:
    """The images that the network tells wrongly with the greatest certainty, if there are any."""
    likely = ensembles.probabilities(outputs)
    answers = metrics.decided(outputs.astype(np.float64), threshold)
    certainty = likely[np.arange(len(answers)), answers]
    wrong = np.flatnonzero(answers != sample.y)
    chosen = wrong[np.argsort(-certainty[wrong], kind="stable")][:MISTAKEN]
    if not chosen.size:
        return []
    texts = [f"{names[sample.y[i]]} taken for {names[answers[i]]}: {certainty[i]:.3f}" for i in chosen]
    return [
        Drawing(
            "mistaken",
            "The images that are told wrongly with the greatest certainty: true class, answer and its probability.",
            gallery.gallery({"": gallery.Examples(sample.x[chosen], texts)}),
            f"{len(chosen)} of the {len(wrong):,} images that are told wrongly: {'; '.join(texts[:4])}.",
        )
    ]


def _binary(logits: np.ndarray, labels: np.ndarray, names: list[str]) -> list[Drawing]:
    """What the probability of the second class is worth, where there are two."""
    first, second = (f"class {name}" if name.isdigit() else name for name in names)
    probabilities = np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))
    by_class = {name: probabilities[labels == k] for k, name in enumerate((first, second))}
    return [
        Drawing(
            "scores",
            f"Distribution of the probability of {second} in both classes.",
            classification.score_distributions(by_class, label=f"probability of {second}", noun="images"),
            f"Histograms of the probability of {second}: median "
            + " and ".join(f"{np.median(values):.3f} for {name}" for name, values in by_class.items() if len(values))
            + ".",
        ),
        Drawing(
            "calibration",
            f"Observed frequency of {second} against its predicted probability.",
            classification.reliability(probabilities, labels, noun="images"),
            "Points near or off the diagonal, with the number of images in each bin below.",
        ),
    ]


def table(result: dict[str, Any]) -> Table:
    """Metrics of all images, and of each class for a classifier; the baseline for an autoencoder."""
    values = result["metrics"]
    if "reconstruction_error" in values:
        rows: list[list[Cell]] = [["autoencoder", figures.estimate(values["reconstruction_error"])]]
        if "baseline" in result:
            baseline = result["baseline"]
            rows.append([baseline["name"], figures.estimate(baseline["metrics"]["reconstruction_error"])])
        return Table(
            [Column("model"), Column("mean squared error a pixel", best="smallest")],
            rows,
            "Reconstruction of the test images.",
            ["The interval is the standard error of the mean over images."],
        )
    per_class = values["per_class"]
    names = ("recall", "precision", "f1")
    classes = result.get("names") or [str(k) for k in range(len(per_class["recall"]))]
    rows = [[of, *(_three(per_class[name][k]) for name in names)] for k, of in enumerate(classes)]
    rows.append(["mean of classes", *(_three(values[f"{name}_macro"]["value"]) for name in names)])
    accuracy = figures.estimate(values["accuracy"])
    notes = [
        f"Accuracy over all images {_with_interval(accuracy)}.",
        f"Log loss {values['log_loss']['value']:.4f}, expected calibration error {values['calibration_error']['value']:.4f}.",
    ]
    if result.get("threshold") is not None:
        notes.append(f"{classes[1]} is the answer from a probability of {result['threshold']:g} on.")
    if "auc" in values:
        notes.append(f"AUC {_with_interval(figures.estimate(values['auc']))}.")
    return Table(
        [Column("class"), Column("recall"), Column("precision"), Column("F1")],
        rows,
        "A class's recall is the part of it that is found, its precision the part of the answers that are right.",
        notes,
    )


def _three(value: float | None) -> Rounded | None:
    """Three decimals: more would be noise with a few hundred images a class."""
    return None if value is None else Rounded(f"{value:.3f}", "", "")


def _with_interval(value: Estimate) -> str:
    """A value with its interval, where it has one: an AUC of exactly 1 has none."""
    if value.lower is None or value.upper is None:
        return f"{value.value:.4f}"
    return f"{value.value:.4f}, 68 % interval {value.lower:.4f} to {value.upper:.4f}"
