"""The report of an ensemble on superconductors: its figures and its page."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.data.materials.superconductors import FAMILIES, family
from jaxsci.plots import classification, gallery, materials, reconstruction
from jaxsci.runs import figures, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing, Section
from jaxsci.tasks.superconductors.ensemble.prediction import COVERAGE
from jaxsci.tasks.superconductors.influence import Influence
from jaxsci.tasks.superconductors.samples import Sample
from jaxsci.tasks.superconductors.tables import (
    class_table,
    cleaning_table,
    list_table,
    none_of,
    novelty_table,
    tc_list_table,
    tc_table,
    where,
    wrong_table,
)


class Shown(NamedTuple):
    """What the figures show."""

    predictions: dict[str, np.ndarray]  # on the test split
    on_list: dict[str, np.ndarray] | None  # on Hosono's list
    latent: np.ndarray  # [test material, latent]
    influence: Influence | None


def write(folder: Path, result: dict[str, Any], sample: Sample, shown: Shown) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`."""
    of_tc, own = result["target"] == "tc", result["part"] != "test"
    performance = _tc_figures(result, sample, shown) if of_tc else _class_figures(result, sample, shown)
    data = runs.read_config(runs.run_of(folder))["data"]
    if own:
        words = seen.claim(result["part"], result["known"], result["materials"], "compositions")
    else:
        words = "The test split was never used in training nor for any choice; Hosono's list is for testing only."
        words += _overlap(data)
    sections = [
        Section("What was measured", words, table=tc_table(result) if of_tc else class_table(result)),
    ]
    if "list" in result:
        table = tc_list_table(result) if of_tc else list_table(result)
        sections.append(Section("Hosono's list", _LIST, table=table))
    sections += [
        Section(
            "How well it predicts",
            figures=performance,
            table=novelty_table(result) if of_tc else None,
        ),
        Section("Where it is wrong", table=wrong_table(result, sample, shown.predictions)),
        Section("The latent space", figures=[_latent(result, sample, shown)]),
    ]
    if shown.influence is not None:
        drawing = _influence(shown.influence, of_tc)
        sections.append(Section("Which elements carry it", _INFLUENCE, figures=[drawing]))
    history = [] if own else runs.read_metrics(folder)
    if history:
        curves = figures.learning(history, "Loss per epoch, median and 68 % of the members.")
        sections.append(Section("How it learned", figures=[curves]))
    sections.append(Section("Cleaning", _CLEANING, table=cleaning_table(sample.cleaning if own else data["cleaning"])))
    figures.write_page(folder, _title(result), _summary(result, data), sections)


_LIST = (
    "Materials that were made and tested by Hosono et al. (Sci. Technol. Adv. Mater. 16, 033503, 2015,"
    " doi:10.1088/1468-6996/16/3/033503), as completed by Konno et al. (Phys. Rev. B 103, 014509, 2021,"
    " doi:10.1103/PhysRevB.103.014509). Their compositions are in no other split."
)
_INFLUENCE = (
    "A Deep Set whose latent space has one dimension, x = Σ f_i X_i with the atomic fractions f_i, was trained separately. X of each"
    " element is shifted to mean 0, scaled to spread 1 over the elements that occur, and signed so that a larger x goes with a larger"
    " target; the mean over the trainings is shown, with the spread where there are several."
)
_CLEANING = (
    "Rows of each table that a rule left out; what is left was used. T_c = 0 in SuperCon means that none was reported."
)


def _tc_figures(result: dict[str, Any], sample: Sample, shown: Shown) -> list[Drawing]:
    test = sample.splits[2]
    predictions, tc = shown.predictions, sample.tc[test]
    kinds = family(sample.compositions)[test]
    inside = (tc >= predictions["tc_lower"]) & (tc <= predictions["tc_upper"])
    drawings = [
        Drawing(
            "predicted_measured",
            f"Predicted against measured T_c on {where(result)}, by family.",
            materials.predicted_against_measured(tc, predictions["tc"], kinds, FAMILIES),
            f"{len(tc):,} points about the diagonal from 0 to {tc.max():.0f} K, a color for each family; correlation "
            f"{np.corrcoef(tc, predictions['tc'])[0, 1]:.3f}.",
        ),
        Drawing(
            "coverage",
            "How often the 90 % interval holds the measured T_c.",
            materials.coverage(predictions["tc"], inside, nominal=COVERAGE),
            f"Points for ten bins of the prediction about a line at 90 %; of all materials {100 * inside.mean():.1f} % are inside.",
        ),
    ]
    tested = sample.tested
    if tested is not None and shown.on_list is not None:
        rows = tested.tc > 0
        listed = {name: values[rows] for name, values in shown.on_list.items()}
        drawings.append(
            Drawing(
                "list",
                "Predicted against measured T_c of the superconductors of Hosono's list, with 90 % intervals.",
                materials.predicted_against_measured(
                    tested.tc[rows],
                    listed["tc"],
                    family(tested.compositions)[rows],
                    FAMILIES,
                    lower=listed["tc_lower"],
                    upper=listed["tc_upper"],
                ),
                f"{rows.sum()} points with error bars about the diagonal; of these intervals "
                f"{_inside(tested.tc[rows], listed)} hold the measured value.",
            )
        )
    return drawings


def _class_figures(result: dict[str, Any], sample: Sample, shown: Shown) -> list[Drawing]:
    truth = sample.superconducting[sample.splits[2]]
    probability = shown.predictions["probability"]
    curves = {"test split" if result["part"] == "test" else result["part"]: (probability, truth)}
    tested = sample.tested
    if tested is not None and shown.on_list is not None:
        curves["Hosono's list"] = (shown.on_list["probability"], tested.tc > 0)
    values, kinds = result["metrics"], [none_of(result), "superconductor"]
    threshold = values["threshold"]["value"]
    rocs = {name: _roc(p, y) for name, (p, y) in curves.items()}
    return [
        Drawing(
            "precision_recall",
            "Precision against recall, and both with F1 over all thresholds; dots and the dashed line: the chosen threshold.",
            materials.precision_recall(curves, threshold),
            f"Precision falls as recall rises; on {where(result)} the average precision is {values['average_precision']['value']:.3f}.",
        ),
        Drawing(
            "roc",
            "Rejection of non-superconductors against the efficiency for superconductors.",
            classification.roc(rocs, noun="materials"),
            f"Rejection falls as the efficiency rises; AUC {values['auc']['value']:.4f} on {where(result)}.",
        ),
        Drawing(
            "calibration",
            f"Observed fraction of superconductors against the predicted probability on {where(result)}.",
            classification.reliability(probability, truth.astype(int), noun="materials"),
            f"Points near or off the diagonal: the calibration error is {values['calibration_error']['value']:.3f}.",
        ),
        Drawing(
            "confusion_matrix",
            f"Confusion matrix at the chosen threshold on {where(result)}.",
            classification.confusion_matrix(values["confusion_matrix"], kinds, noun="materials"),
            gallery.confusion_words(values["confusion_matrix"], kinds, "materials"),
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
    what = "T_c" if of_tc else "superconductivity"
    mean, spread = influence
    shown = "mean ± spread over the trainings" if np.isfinite(spread).any() else "of one training"
    return Drawing(
        "influence",
        f"Influence X of the elements on {what}: {shown}; gray: not in the training split.",
        materials.periodic_table(
            SYMBOLS[: len(mean)], mean, spread, label="influence X (spread over the elements = 1)"
        ),
        f"The periodic table in colors; largest: {_first(-mean)}; smallest: {_first(mean)}.",
    )


def _latent(result: dict[str, Any], sample: Sample, shown: Shown) -> Drawing:
    test = sample.splits[2]
    kinds = family(sample.compositions)[test]
    names = list(FAMILIES)
    if not sample.superconducting.all():
        kinds = np.where(sample.superconducting[test], kinds, len(FAMILIES))
        names.append(none_of(result))
    latent = shown.latent / np.maximum(shown.latent.std(axis=0), 1e-6)
    return Drawing(
        "latent_space",
        "Latent space of one member (scaled to spread 1) by family, the two leading principal components.",
        reconstruction.latent_space(latent, kinds, names),
        f"A cloud of {len(latent):,} points, a color for each of {len(names)} kinds of material.",
    )


def _first(values: np.ndarray, number: int = 3) -> str:
    order = np.argsort(np.where(np.isfinite(values), values, np.inf))[:number]
    return ", ".join(SYMBOLS[i] for i in order)


def _inside(tc: np.ndarray, predictions: dict[str, np.ndarray]) -> int:
    return int(((tc >= predictions["tc_lower"]) & (tc <= predictions["tc_upper"])).sum())


def _overlap(data: dict[str, Any]) -> str:
    overlap = data["overlap"] if "overlap" in data else data["leak"]  # as older runs have it
    repeatability = data.get("repeatability", data.get("scatter_of_repeated_measurements"))
    words = (
        f" Of the test materials {100 * overlap['composition']:.1f} % have a composition, and {100 * overlap['system']:.1f} % a chemical"
        " system (the same elements), that is in the training split too."
    )
    if repeatability is not None:
        words += f" Repeated measurements of one composition scatter by {repeatability:.2f} K, which bounds what any model can reach."
    return words


def _title(result: dict[str, Any]) -> str:
    return "Critical temperatures" if result["target"] == "tc" else "Superconductors or not"


def _counted(data: dict[str, Any]) -> str:
    every, known = data["materials"], data["superconductors"]
    return f"{every:,} superconductors" if every == known else f"{every:,}, of which {known:,} superconductors"


def _summary(result: dict[str, Any], data: dict[str, Any]) -> dict[str, str]:
    covered = {}
    if "coverage" in result["metrics"]:
        shares = {result["part"]: result["metrics"]["coverage"]["value"]}
        if "list" in result:
            shares["Hosono's list"] = result["list"]["coverage"]["value"]
        covered["90 % interval holds"] = ", ".join(f"{100 * share:.0f} % ({name})" for name, share in shares.items())
    return {
        **covered,
        "Model": f"{result['model']}, {result['members']} members",
        "Materials": _counted(data),
        "Evaluated on": f"{result['materials']:,} materials ({result['part']})",
        "Split": f"{data['split']['name']}, seed {data['split']['seed']}",
        "Table": Path(data["files"]["measured"]).name,
    }
