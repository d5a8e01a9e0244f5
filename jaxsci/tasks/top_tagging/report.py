"""The report of a top tagger: figures and page from what was measured."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.errors import InputError
from jaxsci.plots import classification, gallery
from jaxsci.plots import jets as jet_plots
from jaxsci.runs import binary_evaluation, comparison, figures, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.estimate import rounded
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.tasks import ensembles, parts
from jaxsci.tasks.top_tagging.options import CLASSES, Options
from jaxsci.tasks.top_tagging.samples import Tested, origin, weight_words
from jaxsci.tasks.top_tagging.taggers import Tagger

MISTAKEN = 6  # jets of a class that are told wrongly, to be shown
AVERAGED = 10_000  # jets of a class in the average image
COLUMNS = {  # of the table of taggers: metric -> title
    "auc": "AUC",
    "accuracy": "accuracy",
    "rejection_0.3": "1/ε_B at ε_S = 0.3",
    "rejection_0.5": "1/ε_B at ε_S = 0.5",
}


class Measured(NamedTuple):
    """What an evaluation is of."""

    options: Options  # of the run
    tagger: Tagger
    tested: Tested
    part: str  # "test", or the name of another file
    known: int | None  # of these jets those on which the run was trained; None: not known
    history: list[dict[str, Any]]  # of the training, a record per epoch


def write(folder: Path, result: dict[str, Any], measured: Measured) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`.

    Args:
        folder: of the run, or of its evaluation on another file.
        result: the content of evaluation.json.
        measured: the jets that were evaluated.
    """
    sample, answers, labels, masses = measured.tested
    logits = answers.outputs
    tagger, values = result["tagger"], result["metrics"]
    weights = sample.weights
    curves = {tagger: curve(logits, labels, values, weights)}
    if masses is not None and tagger != "mass":
        curves["mass"] = curve(masses, labels, result["baseline"]["metrics"], weights)
    names = list(result["jets"])
    by_class = {name: np.asarray(labels == label) for label, name in enumerate(names)}
    probabilities = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    uncounted = binary_evaluation.uncounted("jets", weights is not None)
    performance = [
        Drawing(
            "roc",
            "Background rejection 1/ε_B against signal efficiency ε_S on the test part.",
            classification.roc(curves, noun="jets"),
            _roc_words(tagger, values),
        ),
        Drawing(
            "confusion_matrix",
            "Confusion matrix at probability 1/2: rows are the true class, columns the tagger's answer." + uncounted,
            classification.confusion_matrix(values["confusion_matrix"], names, noun="jets"),
            gallery.confusion_words(values["confusion_matrix"], names, "jets"),
        ),
        Drawing(
            "scores",
            f"Distribution of the probability of {names[1]} in both classes.{uncounted}",
            classification.score_distributions(
                {name: probabilities[rows] for name, rows in by_class.items()},
                label=f"probability of {names[1]}",
                noun="jets",
                log=True,
            ),
            f"Histograms of the probability of {names[1]}: median "
            + " and ".join(f"{np.median(probabilities[rows]):.3f} for {name}" for name, rows in by_class.items())
            + " jets.",
        ),
        Drawing(
            "calibration",
            f"Observed fraction of {names[1]} jets against the predicted probability.",
            classification.reliability(probabilities, labels, weights, noun="jets"),
            f"Points near or off the diagonal: the expected calibration error is {values['calibration_error']['value']:.3f}.",
        ),
    ]
    usual = tuple(names) == CLASSES
    words = f"{_IMAGES} {_PRONGS}" if usual else _IMAGES
    title = "What it sees"
    if measured.tagger.from_images is None:
        title, words = "What the jets look like", f"{words} {_NOT_SEEN}"
    sections = [
        Section("The taggers", _words(result), table=table(folder, result)),
        Section("How well it separates", figures=performance),
        Section(title, words, figures=[average_images(sample, names)]),
    ]
    if "of_members" in result:
        titles = {**COLUMNS, "log_loss": "log loss", "calibration_error": "calibration error"}
        beside = [ensembles.drawing(answers, labels, "jets")]
        sections.insert(2, ensembles.section(result, titles, beside))
    wrong = _mistaken(sample, probabilities[: len(np.asarray(sample.labels))], names)
    if wrong is not None:
        sections.insert(2, Section("Where it is wrong", figures=[wrong]))
    if measured.history:
        curves_drawing = figures.learning(measured.history)
        sections.append(Section("How it learned", figures=[curves_drawing]))
    what = "Top tagging" if usual else f"Tagging {names[1]} against {names[0]}"
    figures.write_page(folder, f"{what} with {tagger}", summary(folder, result), sections)


_IMAGES = "Average jet images after the preprocessing of arXiv:1902.09914: centered, rotated to the principal axis, reflected, normalized."
_PRONGS = "A top quark decays to three partons, a QCD jet begins with one: the average top jet is wider and has several prongs."

_NOT_SEEN = "This tagger is given the constituents, not these images."


def _roc_words(tagger: str, values: dict[str, Any]) -> str:
    at = figures.estimate(values["rejection_0.3"])
    area = values["auc"]["value"]
    return (
        f"Rejection falls as the signal efficiency rises; {tagger} has AUC {area:.4f} and rejects {rounded(at)} at 0.3."
    )


def curve(
    scores: np.ndarray, labels: np.ndarray, values: dict[str, Any], weights: np.ndarray | None
) -> classification.RocCurve:
    """The ROC of scores [jet] with its band and the AUC among `values`."""
    efficiencies, backgrounds, band = binary_evaluation.roc(scores, labels, weights)
    own, background = binary_evaluation.relative(weights), labels == 0
    number = binary_evaluation.effective(None if own is None else own[background], int(background.sum()))
    return classification.RocCurve(
        efficiencies,
        backgrounds,
        background_count=number,
        auc=values["auc"]["value"],
        rejection_lower=band.lower,
        rejection_upper=band.upper,
    )


def average_images(sample: jets.JetSample, names: Sequence[str]) -> Drawing:
    """The average image of the jets of each class."""
    labels = np.asarray(sample.labels)
    by_class = {name: labels == label for label, name in enumerate(names)}
    if sample.images is not None:
        images = {name: sample.images[rows][:AVERAGED] for name, rows in by_class.items()}
        half_width = None
    else:
        assert sample.constituents is not None
        images = {name: jet_images.images(sample.constituents[rows][:AVERAGED]) for name, rows in by_class.items()}
        half_width = jet_images.HALF_WIDTH
    return Drawing(
        "average_images",
        "Average jet images.",
        jet_plots.average_images(images, half_width=half_width),
        f"Square maps of mean pT fractions, brightest in the middle: the average jet of {' and of '.join(names)}.",
    )


def _mistaken(sample: jets.JetSample, probabilities: np.ndarray, names: Sequence[str]) -> Drawing | None:
    """The jets of each class that the tagger mistakes most surely for the other; None where it is always right."""
    labels, rows, words = np.asarray(sample.labels), {}, []
    for name, label, other in ((names[0], 0, names[1]), (names[1], 1, names[0])):
        doubt = np.where(labels == label, np.abs(probabilities - label), 0)
        chosen = np.argsort(-doubt, kind="stable")[:MISTAKEN]
        chosen = chosen[doubt[chosen] > 0.5]
        if chosen.size:
            images = sample.images if sample.images is not None else None
            shown = images[chosen] if images is not None else jet_images.images(np.asarray(sample.constituents)[chosen])
            texts = [
                f"{p:.4f}" if 5e-5 <= p < 0.99995 else "> 0.9999" if p > 0.5 else "< 0.0001"
                for p in probabilities[chosen]
            ]
            rows[f"{name} jets taken for {other}, with the probability of {names[1]}"] = gallery.Examples(shown, texts)
            words.append(
                f"{len(chosen)} {name} jets with probabilities of {names[1]} from {min(texts)} to {max(texts)}"
            )
    if not rows:
        return None
    return Drawing(
        "mistaken",
        "The jets that are told wrongly with the greatest certainty, as images.",
        gallery.gallery(rows, colors="magma_r", logarithmic=True),
        f"Single jet images: {'; '.join(words)}.",
    )


def table(folder: Path, result: dict[str, Any]) -> Table:
    """This run, the mass baseline, and the runs beside it that were evaluated on the same jets."""
    rows = {f"{comparison.named(result['tagger'], result)} (this run)": result["metrics"]}
    if "baseline" in result and result["tagger"] != "mass":
        rows["mass (baseline)"] = result["baseline"]["metrics"]
    rows |= _siblings(folder)
    cells: list[list[Cell]] = [
        [name, *(figures.estimate(values.get(key)) for key in COLUMNS)] for name, values in rows.items()
    ]
    return Table(
        [Column("tagger"), *(Column(title, best="largest") for title in COLUMNS.values())],
        cells,
        "Taggers on the same test jets.",
        [
            "Intervals are 68 %: DeLong's for the AUC, Wilson's for the rest; a rejection counts the error of the cut too."
        ],
    )


def _siblings(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").exists():
        return {}
    data = runs.read_config(folder)["data"]
    found = {}
    for other in sorted(folder.parent.iterdir()):
        if other == folder or not (other / "evaluation.json").exists():
            continue
        try:
            other_data = runs.read_config(other)["data"]
            if (other_data["digest"], other_data["split"]) == (data["digest"], data["split"]):
                evaluation = runs.read_json(other / "evaluation.json", "remove the run")
                found[comparison.named(other.name, evaluation)] = dict(evaluation["metrics"])
        except (InputError, KeyError, TypeError, ValueError) as error:  # one that is damaged does not stop this one
            logging.getLogger("jaxsci").warning("%s is left out of the page: %s", other, error)
    return found


def _words(result: dict[str, Any]) -> str:
    words = seen.claim(result["part"], result.get("known"), sum(result["jets"].values()), "jets")
    if "gain" in result:
        gain = result["gain"]
        difference = gain["auc_difference"]
        ratio = gain["rejection_ratio_0.3"]
        words += (
            " Against the jet mass alone, |m − m_top|, on the same jets: AUC "
            f"{'higher' if difference['value'] >= 0 else 'lower'} by {abs(difference['value']):.4f}"
            f" ± {difference['error']:.4f} (DeLong)"
        )
        if None not in ratio.values():
            words += (
                f", rejection at ε_S = 0.3 is {ratio['value']:.2f} times that of the mass"
                f" (68 % interval {ratio['lower']:.2f} to {ratio['upper']:.2f}, paired bootstrap)"
            )
        words += "."
    return words


def summary(folder: Path, result: dict[str, Any]) -> dict[str, str]:
    """What the head of a page says of the run."""
    data = runs.read_config(runs.run_of(folder))["data"]
    evaluated = " and ".join(f"{count:,} {name}" for name, count in result["jets"].items())
    return {
        "Tagger": result["tagger"],
        "Jets": f"{data['jets']:,}, {origin(data)}",
        **parts.words(data),
        **weight_words(data, result),
        "Evaluated on": f"{evaluated} jets ({result['part']})",
        "Seed": str(data["split"]["seed"]),
    }
