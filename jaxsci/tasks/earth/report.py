"""The report of the Earth's relief: figures and page from what was measured."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.sphere.relief import Coefficients
from jaxsci.plots import sphere
from jaxsci.runs import figures
from jaxsci.runs import folder as runs
from jaxsci.runs.figures import Drawing
from jaxsci.runs.page import Section

UNIT = "height [m]"
LIMIT = 6000.0  # m, of the colors
COLOURS = "BrBG_r"  # seas green, land brown


class GridFit(NamedTuple):
    """Coefficients fitted to a grid."""

    cosine: np.ndarray  # C [l, m], the convention of the data
    sine: np.ndarray  # S [l, m]
    error: np.ndarray  # standard error of both, [l, m]
    residual: float  # root of the mean squared residual, weighted by area, m
    synthesized: np.ndarray  # [row, column]
    observed: np.ndarray  # [row, column], m


def write(
    folder: Path, result: dict[str, Any], given: Coefficients, maps: dict[int, np.ndarray], fitted: GridFit | None
) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`.

    Args:
        folder: of the run.
        result: the content of evaluation.json.
        given: the coefficients.
        maps: heights [row, column] by the highest degree.
        fitted: the coefficients found from a grid; None without one.
    """
    globes = [sphere.Globe(values, f"ℓ ≤ {degree}", LIMIT) for degree, values in maps.items()]
    drawing = Drawing(
        "maps", "The relief, degree by degree.", sphere.globes(globes, label=UNIT, colors=COLOURS, columns=2)
    )
    there = (
        f"The coefficients to degree {result['lmax']} are summed on a Gauss-Legendre grid and found again from it: the largest change is"
        f" {result['round_trip']:.1e} of the largest coefficient. The mean height is {result['mean_height']:,.0f} m, the standard"
        f" deviation about it {result['deviation']:,.0f} m.".replace("-", "−")
    )
    spectra = {"given coefficients": (np.arange(len(result["spectrum"])), np.array(result["spectrum"]))}
    words = "Each degree's part of the mean square of the height, the sum of its squared coefficients (4π normalized)."
    if fitted is not None:
        grid = result["grid"]
        spectra[f"fitted to the grid, ℓ ≤ {grid['lmax']}"] = (
            np.arange(len(grid["spectrum"])),
            np.array(grid["spectrum"]),
        )
        words += (
            " The grid is coarser than its cells at the highest degrees, whose power it lacks; the error of the fit is that of a"
            " residual independent from cell to cell."
        )
        spectra["error of the fit"] = (np.arange(len(grid["spectrum"])), (2 * fitted.error**2).sum(1))
    spectrum = Drawing(
        "spectrum", "The power of each degree.", sphere.degree_powers(spectra, ylabel="power of a degree [m²]")
    )
    sections = [
        Section("The relief", there, figures=figures.pictures(folder, [drawing])),
        Section("Its spectrum", words, figures=figures.pictures(folder, [spectrum])),
    ]
    if fitted is not None:
        sections.append(_grid(folder, result["grid"], fitted))
    sections.append(figures.provenance(folder))
    summary = {
        "Coefficients": f"{Path(runs.read_config(folder)['data']['file']).name}, degree {result['lmax']}",
        "There and back": f"{result['round_trip']:.1e}".replace("-", "−"),
        "Power": f"{result['deviation']:,.0f} m standard deviation",
    }
    figures.write_page(folder, "The relief of the Earth in spherical harmonics", summary, sections)


def _grid(folder: Path, grid: dict[str, Any], fitted: GridFit) -> Section:
    globes = [
        sphere.Globe(fitted.observed, "grid of 1°", LIMIT),
        sphere.Globe(fitted.synthesized, f"fitted, ℓ ≤ {grid['lmax']}", LIMIT),
        sphere.Globe(fitted.observed - fitted.synthesized, "residual", 1500.0),
    ]
    words = (
        f"The grid of 1° is another survey of the same relief. Least squares to degree {grid['lmax']}, weighted by area, order by order,"
        f" explains {100 * grid['explained']:.1f} % of its variance; what is left, {grid['residual']:,.0f} m, is finer than the fit. Over"
        " all coefficients of degree 1 and more the correlation with the given ones is"
        f" {grid['correlation_of_coefficients']:.4f}."
    )
    drawing = Drawing(
        "grid", "The grid, the fit and what is left.", sphere.globes(globes, label=UNIT, colors=COLOURS, columns=2)
    )
    return Section("Back from a grid", words, figures=figures.pictures(folder, [drawing]))
