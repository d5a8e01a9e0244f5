"""The report of a fit of the Z peak: figures and page from what was measured."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.fitting import Profile
from jaxsci.plots import fit as fit_plots
from jaxsci.runs import figures
from jaxsci.runs.estimate import Estimate, Rounded, rounded
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Column, Table

# Particle Data Group: the mean of the four LEP experiments and SLD, Phys. Rept. 427 (2006) 257.
REFERENCE = {"mass": 91.1876, "width": 2.4952}  # GeV
LABELS = {
    "mass": "mass M (GeV)",
    "width": "width Γ (GeV)",
    "resolution": "resolution σ (GeV)",
    "signal": "fraction of signal",
    "slope": "slope of the background (1/GeV)",
}
_FEW, _PART = 5, 0.01  # pairs of the mass of another that need no word, or their part
SHAPES = {"radiation": "with photon radiation", "no_radiation": "without radiation"}


def write(
    folder: Path,
    result: dict[str, Any],
    mass: np.ndarray,
    curves: dict[str, np.ndarray],
    scans: dict[str, Profile],
    pulls: dict[str, np.ndarray],
) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`.

    Args:
        folder: of the run.
        result: the content of evaluation.json; the number of bins and their chi^2 are added to what the page says.
        mass: [event] in the window, GeV.
        curves: densities "fit", "other", "background" at "mass".
        scans: profile scans of mass and width.
        pulls: of simulated fits, by parameter; may be empty.
    """
    values = result["fits"][result["shape"]]["parameters"]
    main, words = _peak(result, mass, curves, values)
    scan = Drawing(
        "profiles",
        "Profile likelihood of the mass and of the width.",
        _scans(values, scans),
        f"Two parabola-like curves with their minima at M = {values['mass']['value']:.2f} GeV and Γ = {values['width']['value']:.2f} GeV.",
    )
    sections = [
        Section("The peak", words, figures=[main]),
        Section("Mass and width", f"{_physics(result)} {again(mass)}".strip(), table=table(result)),
        Section("Errors", "Shaded: 68.3 % intervals, where twice the rise is 1.", figures=[scan]),
    ]
    if result["simulations"]:
        count = len(next(iter(pulls.values())))
        drawing = Drawing(
            "pulls",
            f"Pulls of {count} simulated samples of {result['events']} events, drawn from the fitted shape and fitted like the data.",
            fit_plots.pull_distributions(pulls),
            "Histograms under the unit normal; widths "
            + ", ".join(f"{np.nanstd(pull, ddof=1):.2f} for {name}" for name, pull in pulls.items())
            + ".",
        )
        sections.append(Section("Are the errors right?", _PULLS, figures=[drawing]))
    summary = {
        "Z mass": f"{_rounded(values['mass'])} ± {values['mass']['scale_error']:.2f} GeV (statistical, momentum scale)",
        "Z width": f"{_rounded(values['width'])} GeV",
        "Events": f"{result['events']:,} of {result['rows']:,} rows",
        "Window": f"{result['window'][0]:g} to {result['window'][1]:g} GeV",
    }
    figures.write_page(folder, "The Z boson in muon pairs", summary, sections)


_PULLS = (
    "Then a pull, (fitted − true) / error, has mean 0 and width 1. A parameter that so few events hardly determine has a skewed"
    " distribution with the errors of the Hessian: the fraction of signal and the slope of a background of a few events above all, and"
    " the width against the resolution. The table therefore gives intervals of the profile likelihood, which hold the truth in 68 %."
)


def _peak(
    result: dict[str, Any], mass: np.ndarray, curves: dict[str, np.ndarray], values: dict[str, Any]
) -> tuple[Drawing, str]:
    """The histogram under the fitted curve, and its goodness of fit in words."""
    low, high = result["window"]
    bins = int(np.clip(round(high - low), 10, 80))
    edges = np.linspace(low, high, bins + 1)
    counts = np.histogram(mass, edges)[0]
    step = (high - low) / bins
    cumulative = np.concatenate(
        [[0], np.cumsum((curves["fit"][1:] + curves["fit"][:-1]) / 2 * np.diff(curves["mass"]))]
    )
    expected = len(mass) * np.diff(np.interp(edges, curves["mass"], cumulative / cumulative[-1]))
    pulls = (counts - expected) / np.sqrt(expected)
    centers = (edges[1:] + edges[:-1]) / 2
    factor = len(mass) * step
    names = {"fit": SHAPES[result["shape"]], "other": SHAPES[_other(result)], "background": "background"}
    figure = fit_plots.measured(
        fit_plots.Points(centers, counts, np.sqrt(counts), np.full(bins, step / 2), f"{len(mass):,} events"),
        {names[key]: fit_plots.Curve(curves["mass"], factor * curves[key]) for key in names},
        pulls=pulls,
        xlabel="mass of the muon pair (GeV)",
        ylabel=f"events per {step:g} GeV",
        words=f"M = {_rounded(values['mass'])} GeV\nΓ = {_rounded(values['width'])} GeV\nσ = {_rounded(values['resolution'])} GeV",
    )
    # In bins so thin of events a chi^2 of counts is no chi^2; the likelihood ratio of Baker and Cousins is nearer to one.
    ratio = float(
        2 * np.sum(expected - counts + np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / expected), 0))
    )
    words = (
        f"An unbinned likelihood fit; the bins are for the eye. Binned, χ² (Baker and Cousins) is {ratio:.0f} in {bins} bins for"
        f" {len(LABELS)} parameters."
    )
    alt = (
        f"A histogram of {len(mass):,} masses with one peak at {values['mass']['value']:.1f} GeV; the fitted curve runs through it, and"
        f" {100 * np.mean(np.abs(pulls) < 1):.0f} % of the pulls are below 1."
    )
    return Drawing("peak", "The mass of the muon pairs, the fit and its pulls (data − fit) / √fit.", figure, alt), words


def again(mass: np.ndarray) -> str:
    """A sentence on pairs that have the mass of another, where more than five and 1 % do; else "".

    A mass alone does not tell rounding from a pair that is in the file again.
    """
    number = len(mass) - len(np.unique(mass))
    if number <= max(_FEW, _PART * len(mass)):
        return ""
    return (
        f"{number:,} of {len(mass):,} pairs have the mass of another: by rounding, or because they are in the file again, which would make "
        "the errors too small."
    )


def _physics(result: dict[str, Any]) -> str:
    selection = f" Kept of {result['rows']:,} rows: {'; '.join(result['selection'])}." if result["selection"] else ""
    fits = result["fits"]
    gain = fits["no_radiation"]["negative_log_likelihood"] - fits["radiation"]["negative_log_likelihood"]
    better = "higher" if gain > 0 else "lower"
    return (
        "The signal is a Breit-Wigner convolved with a Gaussian resolution, the background an exponential. Muons also radiate photons,"
        " which the pair then lacks: the shape with radiation has the loss that quantum electrodynamics predicts (Kuraev and Fadin 1985),"
        f" with no further parameter; its log-likelihood is {better} by {abs(gain):.1f}."
        f" The second error of the mass is that of the detector's momentum scale.{selection}"
    )


def table(result: dict[str, Any]) -> Table:
    """The parameters of both shapes, the momentum scale's share of the mass error, and the reference."""
    order = [result["shape"], _other(result)]
    rows: list[list[Any]] = []
    for name, label in LABELS.items():
        cells = [_estimate(result["fits"][shape]["parameters"][name]) for shape in order]
        rows.append([label, *cells, REFERENCE.get(name)])
    scale = [Rounded(f"{result['fits'][shape]['parameters']['mass']['scale_error']:.2f}", "", "") for shape in order]
    rows.insert(1, ["error of M from the momentum scale (GeV)", *scale, None])
    distance = [_distance(result["fits"][shape]["parameters"]["mass"]) for shape in order]
    rows.insert(2, ["(M − reference) / standard error", *distance, None])
    titles = [SHAPES[shape] for shape in order]
    return Table(
        [Column("parameter"), *(Column(title) for title in titles), Column("reference")],
        rows,
        "The fitted parameters with statistical errors.",
        [
            "First column: 68.3 % intervals of the profile likelihood, which need not be symmetric,"
            " none where one is open; second: errors from the Hessian."
            " The standard error in the third row has both parts. Reference: Particle Data Group (Phys. Rept. 427, 257,"
            " doi:10.1016/j.physrep.2005.12.006)."
        ],
    )


def _other(result: dict[str, Any]) -> str:
    return next(shape for shape in SHAPES if shape != result["shape"])


def _distance(mass: dict[str, float]) -> Rounded:
    distance = (mass["value"] - REFERENCE["mass"]) / float(np.hypot(mass["error"], mass["scale_error"]))
    return Rounded(f"{distance:z.2f}".replace("-", "−"), "", "")


def _estimate(entry: dict[str, float]) -> Estimate:
    value, error = entry["value"], entry["error"]
    return Estimate(value, entry.get("lower", value - error), entry.get("upper", value + error))


def _rounded(entry: dict[str, float]) -> str:
    return str(rounded(_estimate(entry)))


def _scans(values: dict[str, Any], scans: dict[str, Profile]) -> Any:
    profiles = {
        LABELS[name]: fit_plots.Scan(scan.values, scan.rise, float(scan.lower), float(scan.upper))
        for name, scan in scans.items()
    }
    return fit_plots.scans(profiles, {LABELS[name]: (values[name]["value"], values[name]["error"]) for name in scans})
