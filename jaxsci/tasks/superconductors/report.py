"""The report of an ensemble on superconductors: figures and page from what was measured."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.data.materials.superconductors import FAMILIES, family
from jaxsci.plots import classification, materials, reconstruction, training
from jaxsci.runs import figures
from jaxsci.runs import folder as runs
from jaxsci.runs.figures import Drawing
from jaxsci.runs.page import Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.tasks.superconductors.ensemble import COVERAGE
from jaxsci.tasks.superconductors.influence import Influence
from jaxsci.tasks.superconductors.samples import Sample

SOURCE = "npj Comput. Mater. 9, 71 (2023)"
PUBLISHED_TC = {  # K, K, 1; the mean over runs, and R2 of averaged predictions
    "one run, mean over runs": {"rmse": 9.52, "mae": 5.36, "r2": 0.918},
    "averaged predictions": {"r2": 0.926},
}
PUBLISHED_LIST = {  # accuracy, precision, recall, F1 on 207 materials of Hosono's list; the thresholds were picked on the list
    "mean over runs, threshold 0.5": (0.652, 0.341, 0.885, 0.491),
    "vote of 60, threshold 0.85": (0.860, 0.604, 0.744, 0.667),
    "vote of 60, threshold 0.9": (0.894, 0.730, 0.692, 0.711),
}
PUBLISHED_LIST_RMSE = (6.9, 1.3)  # K, on the superconductors of the list, with the spread over runs


class Shown(NamedTuple):
    """What the figures show."""

    answers: dict[str, np.ndarray]  # on the test part
    on_list: dict[str, np.ndarray] | None  # on Hosono's list
    latent: np.ndarray  # [test material, latent]
    influence: Influence | None


def write(folder: Path, result: dict[str, Any], sample: Sample, shown: Shown, history: list[dict[str, Any]]) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`."""
    of_tc = result["target"] == "tc"
    performance = _tc_figures(sample, shown) if of_tc else _class_figures(result, sample, shown)
    data = runs.read_config(folder)["data"]
    words = "The test part was never used in training nor for any choice; Hosono's list is for testing only." + _leak(
        data
    )
    sections = [
        Section("What was measured", words, table=tc_table(result) if of_tc else class_table(result)),
    ]
    if "list" in result:
        table = tc_list_table(result) if of_tc else list_table(result)
        sections.append(Section("Hosono's list", _LIST, table=table))
    sections += [
        Section("How well it predicts", figures=figures.pictures(folder, performance)),
        Section("The latent space", figures=figures.pictures(folder, [_latent(sample, shown)])),
    ]
    if shown.influence is not None:
        drawing = _influence(shown.influence, of_tc)
        sections.append(Section("Which elements carry it", _INFLUENCE, figures=figures.pictures(folder, [drawing])))
    if history:
        curves = Drawing(
            "learning_curves", "Loss an epoch, median and 68 % of the members.", training.learning_curves(history)
        )
        sections.append(Section("How it learned", figures=figures.pictures(folder, [curves])))
    sections += [Section("Cleaning", _CLEANING, table=cleaning_table(data)), figures.provenance(folder)]
    figures.write_page(folder, _title(result), _summary(result, data), sections)


_LIST = (
    "Materials that were made and tested by Hosono et al. (Sci. Technol. Adv. Mater. 16, 033503, 2015), as completed by Konno et al. (Phys."
    " Rev. B 103, 014509, 2021). Their compositions are in no other part."
)
_INFLUENCE = (
    "A Deep Set whose latent space has one dimension, x = Σ f_i X_i with the atomic fractions f_i, was trained several times. X of each"
    " element is shifted to mean 0, scaled to spread 1 over the elements that occur, and signed so that a larger x goes with a larger"
    " target; the mean and the spread over the trainings are shown."
)
_CLEANING = (
    "Rows of each table that a rule left out; what is left was used. Tc = 0 in SuperCon means that none was reported."
)


def tc_table(result: dict[str, Any]) -> Table:
    """Errors of Tc on the test part, beside the published ones."""
    values = result["metrics"]
    rows: list[list[Cell]] = [
        ["ensemble, median", *_estimates(values, "rmse", "mae", "r2")],
        ["ensemble, mean", *_estimates(values, "rmse_of_mean", "mae_of_mean", "r2_of_mean")],
        ["one member", *_estimates(values, "rmse_of_a_member", "mae_of_a_member"), None],
    ]
    rows += [
        [f"published, {name}", *(row.get(key) for key in ("rmse", "mae", "r2"))] for name, row in PUBLISHED_TC.items()
    ]
    covered = figures.estimate(values["coverage"])
    width = values["interval_width"]["value"]
    return Table(
        [Column("prediction"), Column("RMSE (K)"), Column("MAE (K)"), Column("R²")],
        rows,
        "Predicted against measured Tc on the test part.",
        [
            f"Published: {SOURCE}, another version of SuperCon, a random split of the same proportions.",
            f"Intervals: 68 %, bootstrap over materials; of one member the spread over {result['members']} members.",
            f"The {100 * COVERAGE:.0f} % interval of Tc holds {100 * (covered.value or 0):.1f} % of the measured values "
            f"(68 % interval {100 * (covered.lower or 0):.1f} to {100 * (covered.upper or 0):.1f} %); its mean width is {width:.1f} K.",
        ],
    )


def tc_list_table(result: dict[str, Any]) -> Table:
    """Errors of Tc on the superconductors of the list, beside the published one."""
    values = result["list"]
    value, error = PUBLISHED_LIST_RMSE
    rows: list[list[Cell]] = [
        ["ensemble, median", *_estimates(values, "rmse", "mae")],
        ["one member", *_estimates(values, "rmse_of_a_member", "mae_of_a_member")],
        ["published", figures.estimate({"value": value, "lower": value - error, "upper": value + error}), None],
    ]
    return Table(
        [Column("prediction"), Column("RMSE (K)"), Column("MAE (K)")],
        rows,
        "Tc of the superconductors of the list.",
        [f"Published: {SOURCE}, the spread over runs."],
    )


_DECISIONS = ("accuracy", "precision", "recall", "f1")


def class_table(result: dict[str, Any]) -> Table:
    """Decisions on the test part."""
    values = result["metrics"]
    rows: list[list[Cell]] = [
        ["ensemble", *_estimates(values, *_DECISIONS)],
        ["vote of the members", *_estimates(values, *(f"vote_{name}" for name in _DECISIONS))],
    ]
    auc = figures.estimate(values["auc"])
    return Table(
        [Column("answer"), Column("accuracy"), Column("precision"), Column("recall"), Column("F1")],
        rows,
        "Superconductors among presumed non-superconductors, on the test part.",
        [
            f"Threshold {values['threshold']['value']:.3f} on the probability: that of the largest expected F1 on the validation part "
            "among materials that were studied as superconductors, weighted to the share of superconductors there.",
            f"AUC {auc.value or 0:.4f}, average precision {values['average_precision']['value']:.4f}, "
            f"calibration error {values['calibration_error']['value']:.4f}. Intervals: 68 %, bootstrap over materials.",
            "Nobody has tested most of the presumed non-superconductors.",
        ],
    )


def list_table(result: dict[str, Any]) -> Table:
    """Decisions on the list, beside the published ones."""
    values = result["list"]
    rows: list[list[Cell]] = [
        ["ensemble", *_estimates(values, *_DECISIONS)],
        ["vote of the members", *_estimates(values, *(f"vote_{name}" for name in _DECISIONS))],
    ]
    rows += [[f"published, {name}", *numbers] for name, numbers in PUBLISHED_LIST.items()]
    return Table(
        [Column("answer"), Column("accuracy"), Column("precision"), Column("recall"), Column("F1")],
        rows,
        "Superconductors among the tested materials of the list.",
        [
            f"Ours: threshold {values['threshold']['value']:.3f}, chosen on the validation part, never on the list.",
            f"Published: {SOURCE}; its thresholds above 0.5 were picked on the list.",
        ],
    )


def cleaning_table(data: dict[str, Any]) -> Table:
    """What each rule left out of each table."""
    rows: list[list[Cell]] = [
        [table, rule, count] for table, rules in data["cleaning"].items() for rule, count in rules.items()
    ]
    return Table([Column("table"), Column("rule"), Column("rows")], rows, "Rules of cleaning in their order.")


def _estimates(values: dict[str, Any], *names: str) -> list[Cell]:
    return [figures.estimate(values[name]) for name in names]


def _tc_figures(sample: Sample, shown: Shown) -> list[Drawing]:
    test = sample.parts[2]
    answers, tc = shown.answers, sample.tc[test]
    kinds = family(sample.compositions)[test]
    inside = (tc >= answers["tc_lower"]) & (tc <= answers["tc_upper"])
    drawings = [
        Drawing(
            "predicted_measured",
            "Predicted against measured Tc on the test part, by family.",
            materials.predicted_against_measured(tc, answers["tc"], kinds, FAMILIES),
        ),
        Drawing(
            "coverage",
            "How often the 90 % interval holds the measured Tc.",
            materials.coverage(answers["tc"], inside, nominal=COVERAGE),
        ),
    ]
    tested = sample.tested
    if tested is not None and shown.on_list is not None:
        rows = tested.tc > 0
        found = {name: values[rows] for name, values in shown.on_list.items()}
        drawings.append(
            Drawing(
                "list",
                "Predicted against measured Tc of the superconductors of Hosono's list, with 90 % intervals.",
                materials.predicted_against_measured(
                    tested.tc[rows],
                    found["tc"],
                    family(tested.compositions)[rows],
                    FAMILIES,
                    lower=found["tc_lower"],
                    upper=found["tc_upper"],
                ),
            )
        )
    return drawings


def _class_figures(result: dict[str, Any], sample: Sample, shown: Shown) -> list[Drawing]:
    truth = sample.superconducting[sample.parts[2]]
    probability = shown.answers["probability"]
    curves = {"test part": (probability, truth)}
    tested = sample.tested
    if tested is not None and shown.on_list is not None:
        curves["Hosono's list"] = (shown.on_list["probability"], tested.tc > 0)
    threshold = result["metrics"]["threshold"]["value"]
    rocs = {name: _roc(p, y) for name, (p, y) in curves.items()}
    return [
        Drawing(
            "precision_recall",
            "Precision against recall, and both with F1 over all thresholds; dots and the dashed line: the chosen threshold.",
            materials.precision_recall(curves, threshold),
        ),
        Drawing(
            "roc",
            "Rejection of non-superconductors against the efficiency for superconductors.",
            classification.roc(rocs, noun="materials"),
        ),
        Drawing(
            "calibration",
            "Observed share of superconductors against the predicted probability on the test part.",
            classification.reliability(probability, truth.astype(int), noun="materials"),
        ),
        Drawing(
            "confusion_matrix",
            "Confusion matrix at the chosen threshold on the test part.",
            classification.confusion_matrix(
                result["metrics"]["confusion_matrix"], ["presumed none", "superconductor"], noun="materials"
            ),
        ),
    ]


def _roc(probability: np.ndarray, truth: np.ndarray) -> classification.RocCurve:
    order = np.argsort(-probability)
    signal, background = np.cumsum(truth[order]), np.cumsum(~truth[order])
    keep = background > 0
    return classification.RocCurve(
        (signal / signal[-1])[keep], (background / background[-1])[keep], background_count=int(background[-1])
    )


def _influence(influence: Influence, of_tc: bool) -> Drawing:
    what = "Tc" if of_tc else "superconductivity"
    mean, spread = influence
    return Drawing(
        "influence",
        f"Influence X of the elements on {what}: mean ± spread over the trainings; gray: not in the training part.",
        materials.periodic_table(
            SYMBOLS[: len(mean)], mean, spread, label="influence X (spread over the elements = 1)"
        ),
    )


def _latent(sample: Sample, shown: Shown) -> Drawing:
    test = sample.parts[2]
    kinds = family(sample.compositions)[test]
    names = list(FAMILIES)
    if not sample.superconducting.all():
        kinds = np.where(sample.superconducting[test], kinds, len(FAMILIES))
        names.append("presumed none")
    latent = shown.latent / np.maximum(shown.latent.std(axis=0), 1e-6)
    return Drawing(
        "latent_space",
        "Latent space of one member (scaled to spread 1) by family, the two leading principal components.",
        reconstruction.latent_space(latent, kinds, names),
    )


def _leak(data: dict[str, Any]) -> str:
    leak = data["leak"]
    words = (
        f" Of the test materials {100 * leak['composition']:.1f} % have a composition, and {100 * leak['system']:.1f} % a chemical system"
        " (the same elements), that is in the training part too."
    )
    scatter = data["scatter_of_repeated_measurements"]
    if scatter is not None:
        words += f" Repeated measurements of one composition scatter by {scatter:.2f} K, which bounds what any model can reach on them."
    return words


def _title(result: dict[str, Any]) -> str:
    return "Critical temperatures" if result["target"] == "tc" else "Superconductors or not"


def _summary(result: dict[str, Any], data: dict[str, Any]) -> dict[str, str]:
    return {
        "Model": f"{result['model']}, {result['members']} members",
        "Materials": f"{data['materials']:,}, of which {data['superconductors']:,} superconductors",
        "Evaluated on": f"{result['materials']:,} materials (test)",
        "Split": f"{data['split']['name']}, seed {data['split']['seed']}",
        "Table": Path(data["files"]["measured"]).name,
    }
