"""The page of a study: figures and words from what was computed."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.files import write_text
from jaxsci.plots import curvature
from jaxsci.plots import jets as jet_plots
from jaxsci.runs import figures
from jaxsci.runs.estimate import Estimate
from jaxsci.runs.figures import Drawing
from jaxsci.runs.page import Section, page
from jaxsci.runs.tables import Cell, Column, Table

CLASSES = ("QCD", "top")


class Drawn(NamedTuple):
    """What is drawn and not in study.json."""

    norms: np.ndarray  # [jet], lengths of gradients
    labels: np.ndarray  # [jet]
    jets_of: dict[str, jets.JetSample]  # "harmful", "helpful"


def write(folder: Path, result: dict[str, Any], drawn: Drawn) -> Path:
    """Draw all figures into `folder/figures`, write `folder/study.html`, and return its path."""
    hessian, density = result["hessian"], result["hessian"]["density"]
    largest = [entry["value"] for entry in hessian["largest"]]
    spectrum = Drawing(
        "study_spectrum",
        f"Density of the eigenvalues, smoothed to {density['width']:.2g}, with the standard error of 4 random vectors; "
        f"ticks: the {len(largest)} largest.",
        curvature.spectrum(density["eigenvalue"], density["value"], density["error"], largest),
        f"A density that peaks near 0, with the largest eigenvalues from {largest[-1]:.3g} to {largest[0]:.3g} as ticks.",
    )
    norms = Drawing(
        "study_gradient_norms",
        "Lengths of the gradients of single training jets.",
        curvature.gradient_norms({name: drawn.norms[drawn.labels == label] for label, name in enumerate(CLASSES)}),
        f"Histograms of lengths on a logarithmic axis, the median {np.median(drawn.norms):.2g}, one for each class.",
    )
    sections = [
        Section(
            "The loss around the weights",
            _curvature_words(hessian),
            figures.pictures(folder, [spectrum]),
            _eigenvalues(hessian),
        ),
        Section("How single jets pull", _noise_words(result), figures.pictures(folder, [norms])),
        Section(
            "The jets that harm and help most",
            _INFLUENCE,
            figures.pictures(folder, [_images(drawn)]),
            _named(result["influence"]),
        ),
        figures.provenance(folder),
    ]
    summary = {
        "Tagger": result["tagger"],
        "Parameters": f"{hessian['parameters']:,}",
        "Jets": f"{result['training jets']:,} of the training, {result['validation jets']:,} of the validation part",
    }
    path = folder / "study.html"
    write_text(path, page(f"Study of {result['tagger']}", {**figures.facts(folder), **summary}, sections))
    return path


_INFLUENCE = (
    "By how much the mean validation loss would rise if a training jet were left out, to first order, with the damped Gauss-Newton matrix"
    " of the training jets as the curvature. A jet without which the loss falls is harmful: it may carry the wrong label, or look like"
    " the other class. Such jets are worth a look; that they are wrong is not proved by this."
)


def _curvature_words(hessian: dict[str, Any]) -> str:
    trace, smallest = hessian["trace"], hessian["smallest"]
    return (
        f"The trace of the Hessian of the training loss is {trace['value']:.4g} ± {trace['error']:.1g}, its smallest eigenvalue "
        f"{smallest['value']:.3g}. A gradient step diverges along an eigenvector where the learning rate exceeds 2 / eigenvalue: "
        f"plain gradient descent would need one below {2 / max(hessian['largest'][0]['value'], 1e-30):.2g}. Negative eigenvalues are"
        " directions in which the loss still falls."
    )


def _noise_words(result: dict[str, Any]) -> str:
    noise = result["noise scale"]
    words = "A jet that is told rightly and with certainty has a gradient near 0; those on the right change the network most. "
    if noise["value"] is None:
        return (
            words + "On these jets the noise of the gradient hides its mean: more would be needed for the noise scale."
        )
    upper = "∞" if noise["upper"] is None else f"{noise['upper']:,.0f}"
    lower = 0 if noise["lower"] is None else noise["lower"]
    return words + (
        f"The noise scale at the trained weights is {noise['value']:,.0f} jets (68 % interval {lower:,.0f} to {upper}): batches"
        " larger than that save few steps (arXiv:1812.06162)."
    )


def _eigenvalues(hessian: dict[str, Any]) -> Table:
    rows: list[list[Cell]] = [
        [str(i), Estimate(entry["value"], entry["value"] - entry["error"], entry["value"] + entry["error"])]
        for i, entry in enumerate(hessian["largest"], start=1)
    ]
    return Table(
        [Column("number"), Column("eigenvalue")],
        rows,
        "Largest eigenvalues of the Hessian.",
        ["The uncertainty is the residual of the eigenpair, a bound."],
    )


def _named(influence: dict[str, list[dict[str, Any]]]) -> Table:
    rows: list[list[Cell]] = [
        [
            f"jet {entry['jet']:,}",
            kind,
            CLASSES[entry["label"]],
            f"{entry['probability']:.3f}",
            f"{entry['influence']:+.2e}".replace("-", "−"),
        ]
        for kind, entries in influence.items()
        for entry in entries
    ]
    return Table(
        [
            Column("number in the file"),
            Column("kind"),
            Column("label"),
            Column("probability of top"),
            Column("influence"),
        ],
        rows,
        "Training jets by their influence on the mean validation loss.",
        ["Jets are counted from 0 in the order in which the file is read."],
    )


def _images(drawn: Drawn) -> Drawing:
    samples = drawn.jets_of
    known = next(iter(samples.values()))
    if known.images is not None:
        images = {name: np.asarray(sample.images) for name, sample in samples.items()}
        half_width = None
    else:
        images = {name: jet_images.images(np.asarray(sample.constituents)) for name, sample in samples.items()}
        half_width = jet_images.HALF_WIDTH
    return Drawing(
        "study_jets",
        "The most harmful and the most helpful training jets, the first of each in the table.",
        jet_plots.single_images(images, half_width=half_width),
        f"Jet images in rows: {' and '.join(images)} jets.",
    )
