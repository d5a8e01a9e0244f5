"""The report of a detector of anomalous jets: figures and page from what was measured."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.jets import images as jet_images
from jaxsci.plots import anomalies, classification
from jaxsci.plots import jets as jet_plots
from jaxsci.runs import figures, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.tasks.anomalies.baselines import NAMES
from jaxsci.tasks.anomalies.evaluation import Direction
from jaxsci.tasks.anomalies.options import CLASSES
from jaxsci.tasks.top_tagging.samples import origin

LABELS = {"qcd": "QCD", "top": "top"}
DRAWN = 4  # most anomalous jets of a direction


class Measured(NamedTuple):
    """Jets with what the detectors say of them."""

    constituents: np.ndarray
    labels: np.ndarray  # 1 top, 0 QCD
    mass: np.ndarray  # GeV
    directions: list[Direction]


def write(folder: Path, result: dict[str, Any], measured: Measured) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`.

    Args:
        folder: of the run, or of its evaluation on another file.
        result: the content of evaluation.json.
        measured: the jets that were evaluated.
    """
    classes = {LABELS[name]: measured.labels == label for label, name in enumerate(CLASSES)}
    titles = {d.normal: f"learned {LABELS[d.normal]} jets" for d in measured.directions}
    clipped = {titles[d.normal]: _without_tail(d.scores) for d in measured.directions}
    distributions = [
        Drawing(
            f"scores_{d.normal}",
            f"Anomaly score of the detector that {titles[d.normal]}; the largest 0.5 % stand in the last bin.",
            classification.score_distributions(
                {name: clipped[titles[d.normal]][members] for name, members in classes.items()},
                label="Anomaly score",
                noun="jets",
            ),
            "Histograms of the score: median "
            + " and ".join(f"{np.median(d.scores[members]):.3g} for {name}" for name, members in classes.items())
            + " jets.",
        )
        for d in measured.directions
    ]
    against_mass = Drawing(
        "score_against_mass",
        "The score against the jet mass. Where the band of the class that was learned is flat, the detector does not read the mass.",
        anomalies.score_against(measured.mass, clipped, classes, label="Jet mass (GeV)"),
        "The median score of both classes against the jet mass, with bands of 68 %.",
    )
    sections = [
        Section("How well the other class is found", _words(result), table=table(result)),
        Section("The scores", figures=[*distributions, against_mass]),
        Section("The most anomalous jets", _DRAWN, figures=[_most_anomalous(measured)]),
    ]
    curves = _learning_curves(runs.run_of(folder), result["directions"]) if result["part"] == "test" else []
    if curves:
        sections.append(Section("How it learned", figures=curves))
    figures.write_page(folder, f"Anomalous jets by {result['detector']}", _summary(folder, result), sections)


_DRAWN = "Of all jets that were evaluated, those with the largest scores, of either class."


def headline(directions: dict[str, Any]) -> str:
    """The area of each direction in a few words."""
    areas = ((values["detector"]["auc"]["value"], LABELS[name]) for name, values in directions.items())
    return ", ".join(f"AUC {area:.3f} from {name} jets" for area, name in areas)


def table(result: dict[str, Any]) -> Table:
    """The detector and the baselines in each direction."""
    cells: list[list[Cell]] = []
    unknown = False
    for normal, rows in result["directions"].items():
        for name, values in rows.items():
            title = result["detector"] if name == "detector" else f"{name} alone" if name in NAMES else name
            plain, equal = (figures.estimate(values[key]) for key in ("auc", "auc_at_equal_mass"))
            unknown |= equal.value is None
            cells.append([LABELS[normal], title, plain, equal])
    return Table(
        [Column("Learned"), Column("Score"), Column("AUC"), Column("AUC at equal mass")],
        cells,
        "Areas under the ROC, the class that was not learned as signal.",
        [
            "Intervals are 68 %, DeLong's. At equal mass: the mean of the areas in 16 bins of mass, weighted with their pairs of jets;"
            " 1/2 for a score that is the mass in disguise. Below 1/2, anomalies look more normal than normal jets."
            + " –: no bin of mass has enough jets of both classes."
            * unknown,
        ],
    )


def _words(result: dict[str, Any]) -> str:
    number = sum(result["jets"].values())
    words = "A detector learns the jets of one class alone, without labels within it, and is asked how unlike them each jet is. "
    return words + seen.claim(result["part"], result["known"], number, "jets")


def _without_tail(scores: np.ndarray) -> np.ndarray:
    return np.minimum(scores, np.quantile(scores, 0.995))


def _most_anomalous(measured: Measured) -> Drawing:
    drawn = {}
    for direction in measured.directions:
        rows = np.argsort(-direction.scores, kind="stable")[:DRAWN]
        kinds = ", ".join(LABELS[CLASSES[measured.labels[row]]] for row in rows)
        drawn[f"least like {LABELS[direction.normal]}: {kinds}"] = jet_images.images(measured.constituents[rows])
    figure = jet_plots.single_images(drawn, half_width=jet_images.HALF_WIDTH, jets=DRAWN)
    alt = f"Jet images in rows: {'; '.join(drawn)}."
    return Drawing("most_anomalous", "The most anomalous jets of each direction, with their true classes.", figure, alt)


def _learning_curves(run: Path, directions: dict[str, Any]) -> list[Drawing]:
    return [
        figures.learning(
            runs.read_metrics(run / normal),
            f"Loss per epoch of the detector that learned {LABELS[normal]} jets.",
            f"learning_curves_{normal}",
        )
        for normal in directions
    ]


def _summary(folder: Path, result: dict[str, Any]) -> dict[str, str]:
    data = runs.read_config(runs.run_of(folder))["data"]
    evaluated = " and ".join(f"{count:,} {LABELS[name]}" for name, count in result["jets"].items())
    return {
        "Detector": result["detector"],
        "Jets": f"{data['jets']:,}, {origin(data)}",
        "Evaluated on": f"{evaluated} jets ({result['part']})",
        "Seed": str(data["split"]["seed"]),
    }
