"""The results of `fit_pulls` as a page of Markdown and as a figure."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from benchmarks.fit_pulls.study import LIMIT
from jaxsci.plots import style

MOST = 12  # parameters of a fitter that are listed one by one
KINDS = {"pulls": "errors of the fit", "roots": "signed root of the profile likelihood"}
LEVEL = float(2 * stats.norm.sf(LIMIT))  # the probability of three standard errors

HOW = f"""\
A pull is (fitted − true) / error. Where the errors are right, pulls have mean 0 and width 1, known from n fits to 1/√n and 1/√(2n).
With a penalty the truth of every data set is drawn from the prior and the pull is that of the posterior: a fixed truth is pulled
toward the prior, which is no fault. The **joint** columns are the probabilities of means and widths at least as far off, all
parameters of a fitter together with their correlations (Hotelling's T²; χ² of the widths); below {LEVEL:.4f}, three standard errors,
they are bold. Named are the parameters beyond {LIMIT:g} standard errors, of which one in {1 / LEVEL:.0f} is there by chance."""

ROOTS = """\
Likelihoods are not parabolas. The signed root, sign(â − a) √(2 (L(a) − L_min)) with L(a) minimized over all other parameters, is the
pull where L is quadratic and stays near a unit normal where it is not, however the parameters are written. Its size is below 1 where
the truth lies in the 68.3 % interval of `jaxsci.fitting.intervals`: the share inside is the coverage of these intervals. The bias of
maximum likelihood, of the order 1/√N in errors, stays; the first six fitters have so much data that it is a few hundredths. Smaller samples
were tried first and show it: the width of a peak of 361 counts has a root with mean -0.02 to -0.14 over five seeds, that of 400 normal
numbers -0.12."""

WHY = """\
Plain pulls of the Z peak are skew for three reasons, all of which die out as 1/√N.

- *The parametrization*: the slope of a background of 16 events has an error in proportion to itself, so that a fit that comes out flat
  claims a small error and one that comes out steep a large one; the fraction of signal likewise, 1.6 errors from its end at 1. The
  signed root does not know how a parameter is written and mends the widths of both.
- *The boundary*: where the best fraction would be 1 or the resolution 0, there is no minimum inside; such a fit is refused and counted as
  failed.
- *The bias of maximum likelihood*: width and resolution share one observable breadth, and the best fit makes the natural width too small
  by a part of its error, the resolution too large. No interval around the best value removes that: the root keeps a mean
  off 0, while its width is 1 and the interval holds the truth as often as it says.

So with 500 events the root's mean is **not** 0 within statistics for width, resolution and fraction of signal; its widths and coverages
are. The report of `jaxsci fit dimuon` gives these intervals, and with simulated samples (`--simulations`) the bias of the data at hand."""


def markdown(results: dict[str, Any]) -> str:
    """The page of `results/fit_pulls.md` from what `fit_pulls.json` holds."""
    about, options = results["machine"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    studies = list(results["studies"].values())
    parts = [
        "# Pulls of simulated fits",
        f"{options['fits']:,} simulated data sets a fitter, seed {options['seed']}; float64; {results['minutes']} minutes on "
        f"{options['threads']} core{'s' * (options['threads'] > 1)}, {about['system']}, Python {about['python']}, {versions}.",
        HOW,
        "![Mean and width of the pulls of every parameter](fit_pulls.png)",
        "## Errors of the fit",
        _summary(studies, "pulls"),
        _chi2(studies),
    ]
    if any("roots" in study for study in studies):
        parts += ["## Likelihoods: the signed root", ROOTS, _summary(studies, "roots"), _all_together(studies)]
    peaks = [study for study in studies if "Z peak" in study["fitter"]]
    if peaks:
        parts += ["## The Z peak with more and more events", WHY, _by_events(peaks)]
    parts += ["## Parameter by parameter", _listed(studies)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(studies: list[dict[str, Any]], kind: str) -> str:
    header = [
        "fitter",
        "simulated",
        "parameters",
        "failed",
        "inside ±1",
        "joint, means",
        "joint, widths",
        "mean off 0",
        "width off",
    ]
    rows = []
    for study in studies:
        if kind in study:
            one = study[kind]
            inside = np.mean([p["inside"] for p in one["parameters"].values()])
            joint = [_probability(one[name]["probability"]) for name in ("means", "widths")]
            first = [study["fitter"], study["what"], len(one["parameters"]), one["failed"], f"{inside:.1%}"]
            rows.append([*first, *joint, *_outside(one)])
    return _table(header, rows)


def _outside(one: dict[str, Any]) -> tuple[str, str]:
    """The parameters whose mean, and whose width, is beyond the limit."""
    parameters, limits = one["parameters"], (LIMIT * one["mean_error"], LIMIT * one["width_error"])
    means = [f"{name} {p['mean']:+.2f}" for name, p in parameters.items() if abs(p["mean"]) > limits[0]]
    expected = one["width_expected"]
    widths = [f"{name} {p['width']:.2f}" for name, p in parameters.items() if abs(p["width"] - expected) > limits[1]]
    return ", ".join(means), ", ".join(widths) + (f" (expected {expected:.3f})" if widths and expected != 1 else "")


def _chi2(studies: list[dict[str, Any]]) -> str:
    """The probabilities of chi^2, where they are claimed to be uniform."""
    found = [study for study in studies if "probability" in study]
    lines = [
        f"The χ² probabilities of {study['fitter']} have the mean {study['probability']['mean']:.3f}; that they are uniform has the "
        f"probability {study['probability']['uniform']:.2f} (Kolmogorov and Smirnov)."
        for study in found
    ]
    return " ".join(lines)


def _all_together(studies: list[dict[str, Any]]) -> str:
    """All fitters but the Z peak by Fisher's method, with the root where there is one."""
    chosen = [study.get("roots", study["pulls"]) for study in studies if "Z peak" not in study["fitter"]]
    if not chosen:
        return ""
    joint = [stats.combine_pvalues([one[name]["probability"] for one in chosen]).pvalue for name in ("means", "widths")]
    number = sum(len(one["parameters"]) for one in chosen)
    return (
        f"All fitters but the Z peak together, with the root where there is one ({number} parameters, Fisher's method): the probability of "
        f"the means is {_probability(float(joint[0]))}, of the widths {_probability(float(joint[1]))}."
    )


def _by_events(peaks: list[dict[str, Any]]) -> str:
    header = ["", *(f"{study['what']}: mean | width | inside ±1".replace("|", "·") for study in peaks)]
    rows = []
    for name in peaks[0]["pulls"]["parameters"]:
        for kind, label in KINDS.items():
            rows.append(
                [f"{name}, {label}", *(_cells(study[kind]["parameters"][name], study[kind]) for study in peaks)]
            )
    fits = peaks[0]["pulls"]
    errors = f"± {fits['mean_error']:.3f} · ± {fits['width_error']:.3f} · ± {np.sqrt(0.683 * 0.317 / fits['fits']):.3f}"
    return _table(header, rows) + f"\n\nStandard errors: {errors}; bold: beyond {LIMIT:g} of them."


def _cells(parameter: dict[str, Any], one: dict[str, Any]) -> str:
    marks = (
        abs(parameter["mean"]) > LIMIT * one["mean_error"],
        abs(parameter["width"] - one["width_expected"]) > LIMIT * one["width_error"],
        abs(parameter["inside"] - 0.683) > LIMIT * np.sqrt(0.683 * 0.317 / one["fits"]),
    )
    texts = (f"{parameter['mean']:+.3f}", f"{parameter['width']:.3f}", f"{parameter['inside']:.3f}")
    return " · ".join(f"**{text}**" if mark else text for text, mark in zip(texts, marks, strict=True))


def _listed(studies: list[dict[str, Any]]) -> str:
    header = ["fitter", "parameter", "mean", "width", "inside ±1", "root: mean", "width", "inside ±1"]
    rows = []
    for study in studies:
        parameters = study["pulls"]["parameters"]
        if len(parameters) > MOST or "Z peak" in study["fitter"]:
            continue
        for i, (name, p) in enumerate(parameters.items()):
            cells = _cells(p, study["pulls"]).split(" · ")
            cells += (
                _cells(study["roots"]["parameters"][name], study["roots"]).split(" · ")
                if "roots" in study
                else [""] * 3
            )
            rows.append([study["fitter"] if i == 0 else "", name, *cells])
    words = f"Fitters of more than {MOST} parameters are in `fit_pulls.json`."
    return words + ("\n\n" + _table(header, rows) if rows else "")


def _probability(value: float) -> str:
    text = f"{value:.3f}" if value >= 0.001 else f"{value:.0e}" if value > 0 else "< 1e-300"
    return f"**{text}**" if value < LEVEL else text


def _table(header: list[Any], rows: list[list[Any]]) -> str:
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, ["---"] * len(header), *rows])


@style.context()
def draw(results: dict[str, Any]) -> Figure:
    """Mean and width of the pulls of every parameter, a row a fitter, over bands of three standard errors."""
    studies = list(results["studies"].values())
    figure = style.figure(1.3 + 0.27 * len(studies))
    panels = figure.subplots(1, 2, sharey=True)
    for row, study in enumerate(studies):
        _band(panels[0], row, 0.0, study["pulls"]["mean_error"])
        _band(panels[1], row, study["pulls"]["width_expected"], study["pulls"]["width_error"])
        for i, kind in enumerate(KINDS):
            parameters = study.get(kind, {"parameters": {}})["parameters"].values()
            shift = 0.15 * (2 * i - 1) if "roots" in study else 0.0
            look = {
                "color": style.color(i),
                "marker": "o^"[i],
                "linestyle": "",
                "markersize": 3.5,
                "alpha": 0.7,
            }
            for axes, quantity in zip(panels, ("mean", "width"), strict=True):
                axes.plot([p[quantity] for p in parameters], [row + shift] * len(parameters), **look)
    for i, label in enumerate(KINDS.values()):
        panels[0].plot([], [], color=style.color(i), marker="o^"[i], linestyle="", label=label)
    panels[0].fill_betweenx([], [], [], color="#d9d9d9", label=f"{LIMIT:g} standard errors")
    panels[0].set_yticks(range(len(studies)), [study["fitter"] for study in studies])
    panels[0].set_ylim(len(studies) - 0.4, -0.6)
    panels[0].set(xlabel="mean of the pull")
    panels[1].set(xlabel="width of the pull")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def _band(axes: Axes, row: int, center: float, error: float) -> None:
    axes.fill_betweenx(
        [row - 0.38, row + 0.38], center - LIMIT * error, center + LIMIT * error, color="#d9d9d9", linewidth=0
    )
    axes.plot([center, center], [row - 0.38, row + 0.38], color=style.GRAY, linewidth=0.8)
