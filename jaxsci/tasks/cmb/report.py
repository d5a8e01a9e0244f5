"""The report of a fit of the cosmic microwave background: figures and page from what was measured."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci import healpix
from jaxsci.plots import fit as fit_plots
from jaxsci.plots import sphere
from jaxsci.runs import figures
from jaxsci.runs import folder as runs
from jaxsci.runs.estimate import Estimate
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Column, Table
from jaxsci.tasks.cmb import sky_fit, words
from jaxsci.tasks.cmb.misfit import misfit_words

UNIT = "temperature (μK)"
LIMIT = 200.0  # μK, of the colors
TABLED = 3  # the highest degree in the table of coefficients


class Rival(NamedTuple):
    """A model on pixels that it was not fitted to."""

    parameters: int
    test_error: float  # root of the mean squared error on the test pixels, microkelvin
    test_error_error: float
    map: np.ndarray  # on all pixels of the sphere


class Pictures(NamedTuple):
    """What the figures show."""

    seen: sky_fit.Sky
    observed: np.ndarray  # [pixel of the whole sphere], NaN where masked
    fitted: np.ndarray  # [pixel]
    powers: sky_fit.Spectrum
    crossed: dict[str, sky_fit.Spectrum]  # TE, EE and BB, empty without polarization
    planck: np.ndarray | None  # rows l, D_l, errors; None where the prior is the spectrum of the map
    theory: np.ndarray  # rows l, D_l of TT, and of Planck TE, EE, BB
    rivals: dict[str, Rival]


def write(folder: Path, result: dict[str, Any], pictures: Pictures) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`."""
    seen = pictures.seen
    fit_words = (
        f"{(result['lmax'] + 1) ** 2:,} coefficients a_lm to degree {result['lmax']} by least squares on {result['pixels']:,} pixels;"
        " the monopole and the dipole are fitted without a prior and left out of the pictures, which removes them. Degrees to"
        f" {result['free']} are free; those above have the variance C_l of {words.PRIOR[result['theory']]} as their prior (the Wiener"
        " filter), which is what fills the mask. Signal finer than the fit counts as noise that neighboring pixels share."
        f" χ² is {result['chi2']:,.0f} for {result['dof']:,.0f} degrees of freedom."
        + words.OF_MAP
        * (result["theory"] == "map")
    )
    sections = [
        Section(
            "The sky",
            f"{misfit_words(result)}\n\n{fit_words}",
            figures=[_maps(pictures, result)],
        ),
        Section("Its coefficients", words.COEFFICIENTS, table=_coefficients(result)),
        Section(
            "Its power spectrum",
            words.of_spectrum(result),
            figures=[_powers(pictures, result)],
        ),
    ]
    if pictures.planck is not None:
        peaks = [_peaks(pictures.planck, pictures.theory, result)]
        sections.append(Section("The acoustic peaks", words.PEAKS, figures=peaks, table=_peak_table(result)))
    if pictures.crossed:
        sections.insert(
            3,
            Section("Its polarization", words.of_polarization(pictures.crossed, result), figures=_crossed(pictures)),
        )
    if pictures.rivals:
        sections.append(
            Section(
                "A network instead",
                words.NETWORK,
                figures=[_rivals(pictures)],
                table=_comparison(result),
            )
        )
    data = runs.read_config(folder)["data"]
    summary = {
        "Map": f"{Path(data['file']).name}, nside {seen.nside}",
        "Sky": f"{100 * result['sky_fraction']:.1f} %, {result['pixels']:,} pixels",
        "χ²": f"{result['chi2']:,.0f} for {result['dof']:,.0f} degrees of freedom",
        "Simulated skies": str(result["simulations"]),
    }
    figures.write_page(folder, "The cosmic microwave background in spherical harmonics", summary, sections)


def _crossed(pictures: Pictures) -> list[Drawing]:
    """A figure for each of TE, EE and BB."""
    drawings = []
    for column, (name, powers) in enumerate(pictures.crossed.items(), start=2):
        theory = pictures.theory[pictures.theory[:, 0] <= powers.bins.last[-1] + 1]
        half = (powers.bins.last - powers.bins.first + 1) / 2
        points = fit_plots.Points(powers.bins.centers, powers.value, powers.error, half, "this sky")
        curve = fit_plots.Curve(theory[:, 0], theory[:, column])
        figure = sphere.spectrum(points, {"best fit of Planck 2018": curve})
        alt = f"{len(powers.value)} measured points with error bars about the curve of the best fit of Planck."
        drawings.append(Drawing(name.lower(), f"The spectrum {name} of the masked sky.", figure, alt))
    return drawings


def globe_grid(values: np.ndarray, rows: int = 360) -> np.ndarray:
    """Pixels on a grid of latitude and Galactic longitude, which rises to the left from the middle."""
    nside = healpix.nside_of(values.size)
    theta = (np.arange(rows) + 0.5) * np.pi / rows
    phi = -(np.arange(2 * rows) + 0.5) * np.pi / rows + np.pi
    return values[healpix.pixel_of(nside, *np.meshgrid(theta, phi, indexing="ij"))]


def _maps(pictures: Pictures, result: dict[str, Any]) -> Drawing:
    observed = pictures.observed - np.nanmean(pictures.observed)
    residual = observed - pictures.fitted
    globes = [
        sphere.Globe(globe_grid(observed), "observed; masked in gray", LIMIT),
        sphere.Globe(globe_grid(pictures.fitted), f"fitted, ℓ ≤ {result['lmax']}", LIMIT),
        sphere.Globe(globe_grid(residual), "residual", LIMIT),
    ]
    return Drawing(
        "maps",
        "Observed sky, fit and residual; Mollweide projection, Galactic coordinates.",
        sphere.globes(globes, label=UNIT, columns=2),
        f"Three maps: the observed sky with hot and cold patches of up to {np.nanmax(np.abs(observed)):.0f} μK and a gray mask, the fit"
        f" without a mask, and the residual of {np.nanstd(residual):.0f} μK.",
    )


def _powers(pictures: Pictures, result: dict[str, Any]) -> Drawing:
    powers = pictures.powers
    half = (powers.bins.last - powers.bins.first + 1) / 2
    theory = pictures.theory[pictures.theory[:, 0] <= powers.bins.last[-1] + 1]
    spread = np.sqrt(2 / ((2 * theory[:, 0] + 1) * 2 * half[0] * result["sky_fraction"]))
    band = fit_plots.Curve(theory[:, 0], theory[:, 1], theory[:, 1] * (1 - spread), theory[:, 1] * (1 + spread))
    points = fit_plots.Points(powers.bins.centers, powers.value, powers.error, half, "this sky")
    own = pictures.planck is None
    figure = sphere.spectrum(points, {"prior, from this map" if own else "best fit of Planck 2018": band})
    return Drawing(
        "spectrum",
        "Power spectrum of the masked sky; the band is the cosmic variance of a bin of the sky that is seen.",
        figure,
        f"{len(powers.value)} measured points with error bars, from {powers.value[0]:,.0f} μK² at the lowest degrees to"
        f" {powers.value[-1]:,.0f} μK² at ℓ = {powers.bins.centers[-1]:.0f}, about the curve of the {'prior' if own else 'best fit'}.",
    )


def _peaks(planck: np.ndarray, theory: np.ndarray, result: dict[str, Any]) -> Drawing:
    low = planck[planck[:, 0] < 30]
    edges = np.arange(30, planck[-1, 0] + 1, 30)
    binned = []
    for first in edges[:-1]:
        rows = planck[(planck[:, 0] >= first) & (planck[:, 0] < first + 30)]
        weight = 1 / rows[:, 2:4].mean(1) ** 2
        mean = np.average(rows[:, :2], axis=0, weights=weight)
        binned.append([*mean, weight.sum() ** -0.5, weight.sum() ** -0.5])
    points = np.concatenate([low, binned])
    marks = [sphere.Mark(p["place"], p["place_error"], p["height"]) for p in result["peaks"]]
    figure = sphere.spectrum(
        fit_plots.Points(points[:, 0], points[:, 1], points[:, 2:4].T, label="Planck 2018"),
        {"best fit (ΛCDM)": fit_plots.Curve(theory[:, 0], theory[:, 1])},
        break_at=30,
        marks=marks,
    )
    return Drawing(
        "planck",
        "The TT spectrum of Planck 2018: single multipoles below 30 on a logarithmic axis, means of 30 above; fitted peaks marked.",
        figure,
        "A flat plateau, then peaks of falling height at ℓ = "
        + ", ".join(f"{p['place']:.0f}" for p in result["peaks"])
        + ".",
    )


def _rivals(pictures: Pictures) -> Drawing:
    titles = {"harmonics": "spherical harmonics", "dense": "dense network"}
    globes = [
        sphere.Globe(globe_grid(r.map - r.map.mean()), titles[name], LIMIT) for name, r in pictures.rivals.items()
    ]
    return Drawing(
        "comparison",
        "The sky as both models have it, beyond the mask too.",
        sphere.globes(globes, label=UNIT, columns=2),
        "Two maps of the same hot and cold patches, by harmonics and by the network.",
    )


def _coefficients(result: dict[str, Any]) -> Table:
    rows: list[list[Any]] = [
        [
            str(c["l"]),
            str(c["m"]).replace("-", "−"),
            Estimate(c["value"], c["value"] - c["error"], c["value"] + c["error"]),
        ]
        for c in result["coefficients"]
        if c["l"] <= TABLED
    ]
    return Table(
        [Column("ℓ"), Column("m"), Column("a_lm (μK)")], rows, f"Coefficients to degree {TABLED} with standard errors."
    )


def _peak_table(result: dict[str, Any]) -> Table:
    rows: list[list[Any]] = []
    for number, p in enumerate(result["peaks"], start=1):
        place, height = (Estimate(p[k], p[k] - p[f"{k}_error"], p[k] + p[f"{k}_error"]) for k in ("place", "height"))
        rows.append(
            [number, place, height, f"{p['chi2']:.0f} / {p['dof']}", f"{p['shape_bias']:+.1f}".replace("-", "−")]
        )
    titles = ("peak", "multipole ℓ", "height (μK²)", "χ² / degrees of freedom", "bias of ℓ")
    return Table([Column(title) for title in titles], rows, "Acoustic peaks of Planck 2018.")


def _comparison(result: dict[str, Any]) -> Table:
    readable = {
        "harmonics": "amplitudes of patterns with errors; their squares are the power spectrum",
        "dense": "none: weights without a meaning of their own",
    }
    rows: list[list[Any]] = []
    for name, r in result["comparison"].items():
        error = Estimate(
            r["test_error"], r["test_error"] - r["test_error_error"], r["test_error"] + r["test_error_error"]
        )
        rows.append([name, error, r["parameters"], readable[name]])
    columns = [
        Column("model"),
        Column("error on test pixels (μK)", best="smallest"),
        Column("parameters"),
        Column("what they mean"),
    ]
    return Table(
        columns,
        rows,
        "Two models of one sky.",
        ["Root mean squared error; its interval is the standard error over pixels."],
    )
