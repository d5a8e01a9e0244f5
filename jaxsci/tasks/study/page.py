"""The page of a study: figures and words from what was computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.plots import curvature
from jaxsci.runs import figures
from jaxsci.runs.estimate import Estimate
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.tasks.study.subject import Subject


def write(folder: Path, result: dict[str, Any], subject: Subject, norms: np.ndarray, drawn: Sequence[Drawing]) -> Path:
    """Draw all figures into `folder/figures`, write `folder/study.html`, and return its path.

    Args:
        folder: of the run.
        result: what study.json holds.
        subject: what was studied.
        norms: lengths of the gradients [training example].
        drawn: pictures of the examples that harm and help.
    """
    noun, one = subject.noun, subject.noun.removesuffix("s")
    by_class = {name: norms[of] for name, of in subject.classes.items() if of.any()}
    lengths = Drawing(
        "study_gradient_norms",
        f"Lengths of the gradients of single training {noun}.",
        curvature.gradient_norms(by_class),
        f"Histograms of lengths on a logarithmic axis, the median {np.median(norms):.2g}, one for each class.",
    )
    sections = [
        Section(
            "The loss around the weights",
            _curvature_words(result["hessian"]),
            [_spectrum(result["hessian"])],
            _eigenvalues(result["hessian"]),
        ),
        Section("Sharpness over the training", _SHARPNESS, table=_sharpness(result["sharpness"])),
        Section(
            f"How single {noun} pull",
            _noise_words(result["noise scale"], noun),
            [lengths],
            _layers(result["gradient norms by layer"], noun),
        ),
        Section(
            f"The {noun} that harm and help most",
            _influence_words(subject),
            drawn,
            _named(result["influence"], one),
        ),
        Section(f"The {noun} that are expected least", _suspects_words(noun), table=_suspects(result["suspects"], one)),
    ]
    if "intervals" in result:
        sections.append(_intervals(result["intervals"], noun))
    summary = {
        "Network": subject.name,
        "Parameters": f"{result['hessian']['parameters']:,}",
        noun.capitalize(): f"{result['training examples']:,} of the training, {result['validation examples']:,} of the validation part",
    }
    path = folder / "study.html"
    facts = {**figures.facts(folder), **summary}
    figures.write(path, f"Study of {subject.name}", facts, [*sections, figures.provenance(folder)])
    return path


def _spectrum(hessian: dict[str, Any]) -> Drawing:
    density, largest = hessian["density"], [entry["value"] for entry in hessian["largest"]]
    return Drawing(
        "study_spectrum",
        f"Density of the eigenvalues, smoothed to {density['width']:.2g}, with the standard error of 4 random vectors (of so few, twice "
        "the error holds in 95 % of cases where many eigenvalues count, and in 89 % where one alone does); "
        f"ticks: the {len(largest)} largest.",
        curvature.spectrum(density["eigenvalue"], density["value"], density["error"], largest),
        f"A density that peaks near 0, with the largest eigenvalues from {largest[-1]:.3g} to {largest[0]:.3g} as ticks.",
    )


def _curvature_words(hessian: dict[str, Any]) -> str:
    trace, smallest = hessian["trace"], hessian["smallest"]
    return (
        f"The trace of the Hessian of the training loss is {_signed(trace['value'])} ± {trace['error']:.2g}, its smallest eigenvalue "
        f"{_signed(smallest['value'])}. A gradient step diverges along an eigenvector where the learning rate exceeds 2 / eigenvalue: "
        f"plain gradient descent would need one below {2 / max(hessian['largest'][0]['value'], 1e-30):.2g}. Negative eigenvalues are"
        " directions in which the slope falls as one goes on."
    )


def _eigenvalues(hessian: dict[str, Any]) -> Table:
    rows: list[list[Cell]] = [[str(i), _estimate(entry)] for i, entry in enumerate(hessian["largest"], start=1)]
    return Table(
        [Column("number"), Column("eigenvalue")],
        rows,
        "Largest eigenvalues of the Hessian.",
        [
            "The uncertainty is the residual |A u - value u|, or rounding where that is more: some eigenvalue of the Hessian A is so near."
        ],
    )


_SHARPNESS = (
    "The largest eigenvalue of the Hessian, called sharpness, at the weights that a run keeps. With plain gradient descent it would rise"
    " towards 2 / learning rate (arXiv:2103.00065); AdamW and small batches end elsewhere."
)


def _sharpness(moments: list[dict[str, Any]]) -> Table:
    rows: list[list[Cell]] = [[entry["moment"], _estimate(entry), f"{entry['loss']:.4g}"] for entry in moments]
    return Table(
        [Column("weights"), Column("largest eigenvalue"), Column("training loss")],
        rows,
        "Sharpness and loss on the training examples studied.",
    )


def _noise_words(noise: dict[str, Any], noun: str) -> str:
    words = f"Of the {noun} that are answered rightly and with certainty the gradient is near 0; the others change the network most. "
    if noise["value"] is None:
        return f"{words}On these {noun} the noise of the gradient hides its mean: more would be needed for the noise scale."
    upper = "∞" if noise["upper"] is None else f"{noise['upper']:,.0f}"
    lower = 0 if noise["lower"] is None else noise["lower"]
    return words + (
        f"The noise scale, or critical batch size, at the trained weights is {noise['value']:,.0f} {noun} (68 % interval {lower:,.0f} to"
        f" {upper}): batches larger than that save few steps (arXiv:1812.06162)."
    )


def _layers(layers: dict[str, dict[str, float]], noun: str) -> Table:
    names = list(next(iter(layers.values())))
    rows: list[list[Cell]] = [[layer, *(f"{of[name]:.2g}" for name in names)] for layer, of in layers.items()]
    return Table(
        [Column("layer"), *(Column(name) for name in names)],
        rows,
        f"Median length of the gradients of single {noun}, by layer and class.",
    )


def _influence_words(subject: Subject) -> str:
    kind = "damped Gauss-Newton matrix" if subject.convex else "damped empirical Fisher matrix"
    words = (
        f"By how much the mean validation loss would rise if one of the training {subject.noun} were left out, to first order, with the"
        f" {kind} of the training {subject.noun} as the curvature. One without which the loss falls is harmful: it looks like"
        " something else, or its label may be wrong. Such are worth a look; that they are wrong is not proved by this."
    )
    return f"{words}\n\n{subject.about}" if subject.about else words


def _named(influence: dict[str, list[dict[str, Any]]], one: str) -> Table:
    entries = [(kind, entry) for kind, of in influence.items() for entry in of]
    keys = [key for key in entries[0][1] if key not in ("influence", "gradient norm")]
    rows: list[list[Cell]] = [
        [
            *(_words(entry[key]) for key in keys),
            kind,
            _signed(entry["influence"], "+.2e"),
            f"{entry['gradient norm']:.2g}",
        ]
        for kind, entry in entries
    ]
    return Table(
        [*(Column(key) for key in keys), Column("kind"), Column("influence"), Column("length of the gradient")],
        rows,
        f"Training {one}s by their influence on the mean validation loss.",
        ["Numbers count from 0 in the order in which the file is read."]
        if isinstance(entries[0][1][keys[0]], int)
        else [],
    )


def _suspects_words(noun: str) -> str:
    return (
        f"The training {noun} with the largest loss: what was given as their answer is what the network believes least, though it was"
        " trained on it. A large loss is the better hint of a wrong label than harm (measured with labels that were changed on purpose:"
        " `jaxsci bench gradient-claims`). What looks like something else is among them too."
    )


def _suspects(entries: list[dict[str, Any]], one: str) -> Table:
    keys = [key for key in entries[0] if key not in ("loss", "gradient norm")]
    rows: list[list[Cell]] = [
        [*(_words(entry[key]) for key in keys), f"{entry['loss']:.3g}", f"{entry['gradient norm']:.2g}"]
        for entry in entries
    ]
    columns = [Column(name) for name in (*keys, "loss", "length of the gradient")]
    return Table(columns, rows, f"Training {one}s by their loss.")


def _intervals(found: dict[str, Any], noun: str) -> Section:
    rows: list[list[Cell]] = [
        [
            name,
            _interval(of["coverage"]),
            f"{of['width']:.1f} {found['unit']}",
            f"{of['rmse']:.1f} {found['unit']}",
        ]
        for name, of in found["methods"].items()
    ]
    table = Table(
        [Column("method"), Column("inside the 90 % interval"), Column("mean width"), Column("root mean square error")],
        rows,
        f"Intervals of three methods on {found['number']:,} {noun} of the test part.",
        ["The uncertainty of the coverage is its 68 % binomial interval."],
    )
    return Section("How sure the predictions are", found["about"], table=table)


def _interval(entry: dict[str, Any]) -> Estimate:
    return Estimate(entry["value"], entry["lower"], entry["upper"])


def _estimate(entry: dict[str, Any]) -> Estimate:
    return Estimate(entry["value"], entry["value"] - entry["error"], entry["value"] + entry["error"])


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else _signed(value, ".3g")


def _signed(value: float, form: str = ".4g") -> str:
    return f"{value:{form}}".replace("-", "−")
