"""The report of a relief, or of another function on a sphere: figures and page from what was measured."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.sphere.relief import Coefficients
from jaxsci.plots import sphere
from jaxsci.runs import figures
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Drawing, Section

DETAIL = (40, 60)  # degrees of latitude and longitude of the part that is drawn large


class Subject(NamedTuple):
    """What the coefficients describe."""

    title: str
    quantity: str
    unit: str
    colors: str  # a matplotlib color map that is symmetric about its middle
    limit: float | None = None  # of the colors; None: from the map
    coast: bool = False  # whether the line 0 is drawn

    @property
    def label(self) -> str:
        """Of a color bar."""
        return f"{self.quantity} ({self.unit})"


EARTH = Subject("The relief of the Earth", "height", "m", "BrBG_r", 6000.0, coast=True)  # seas green, land brown


class GridFit(NamedTuple):
    """Coefficients fitted to a grid."""

    cosine: np.ndarray  # C [l, m], the convention of the data
    sine: np.ndarray  # S [l, m]
    error: np.ndarray  # standard error of both, [l, m]
    residual: float  # root of the mean squared residual, weighted by area, m
    synthesized: np.ndarray  # [row, column]
    observed: np.ndarray  # [row, column], m


def write(
    folder: Path,
    result: dict[str, Any],
    subject: Subject,
    given: Coefficients,
    maps: dict[int, np.ndarray],
    fitted: GridFit | None,
) -> None:
    """Draw all figures into `folder/figures` and write `folder/report.html`.

    Args:
        folder: of the run.
        result: the content of evaluation.json.
        subject: what it is about.
        given: the coefficients.
        maps: values [row, column] by the highest degree.
        fitted: the coefficients found from a grid; None without one.
    """
    mean = float(given.cosine[0, 0])
    apart = subject.limit is None and abs(mean) > result["deviation"]  # a radius, say, which would hide all else
    if apart:
        maps = {degree: values - mean for degree, values in maps.items()}
    finest = maps[max(maps)]
    limit = subject.limit or _round(float(np.percentile(np.abs(finest), 99.5)))
    there = (
        (
            f"The coefficients to degree {result['lmax']} are summed on a Gauss-Legendre grid and found again from it: the largest change"
            f" is {result['round_trip']:.1e} of the largest coefficient. The mean is {mean:,.5g} {subject.unit}, the standard deviation"
            f" about it {result['deviation']:,.4g} {subject.unit}."
            + (" The maps are without the mean." if apart else "")
            + (" The black line is height 0 of the finest map, about the coast." if subject.coast else "")
        )
        .replace("-", "−")
        .replace("Gauss−", "Gauss-")
    )
    drawings = [_maps(subject, maps, limit), *_detail(subject, maps, limit)]
    sections = [
        Section("Degree by degree", there, figures=drawings),
        _spectrum(result, subject, fitted),
    ]
    if fitted is not None:
        sections.append(_grid(result["grid"], subject, fitted))
    summary = {
        "Coefficients": f"{Path(runs.read_config(folder)['data']['file']).name}, degree {result['lmax']}",
        "There and back": f"{result['round_trip']:.1e}".replace("-", "−"),
        "Standard deviation": f"{result['deviation']:,.4g} {subject.unit}".replace("-", "−"),
    }
    figures.write_page(folder, f"{subject.title} in spherical harmonics", summary, sections)


def _round(number: float) -> float:
    """Up to two significant digits; 1 for 0."""
    return float(f"{number:.1e}") if number > 0 else 1.0


def _maps(subject: Subject, maps: dict[int, np.ndarray], limit: float) -> Drawing:
    coast = maps[max(maps)] if subject.coast else None
    globes = [sphere.Globe(values, f"ℓ ≤ {degree}", limit, coast) for degree, values in maps.items()]
    finest = maps[max(maps)]
    return Drawing(
        "maps",
        "The sum degree by degree; Mollweide projection, equal areas.",
        sphere.globes(globes, label=subject.label, colors=subject.colors, columns=2),
        f"{len(maps)} maps of the whole sphere, which become sharper with the degree; the finest goes from {finest.min():,.4g} to"
        f" {finest.max():,.4g} {subject.unit}.",
    )


def _detail(subject: Subject, maps: dict[int, np.ndarray], limit: float) -> list[Drawing]:
    """The part of the sphere where the two finest maps differ most, if there are two."""
    if len(maps) < 2:
        return []
    coarse, fine = sorted(maps)[-2:]
    rows, columns = maps[fine].shape
    north, west = _largest(np.square(maps[fine] - maps[coarse]))
    high, wide = DETAIL[0] * rows // 180, DETAIL[1] * columns // 360
    part = slice(north, north + high), slice(west, west + wide)
    top, left = 90 - north * 180 / rows, west * 360 / columns - 180
    extent = (left, left + DETAIL[1], top - DETAIL[0], top)
    difference = float(np.sqrt(np.mean(np.square((maps[fine] - maps[coarse])[part]))))
    figure = sphere.regions(
        {f"ℓ ≤ {degree}": maps[degree][part] for degree in (coarse, fine)},
        extent,
        label=subject.label,
        limit=limit,
        coast=maps[fine][part] if subject.coast else None,
        colors=subject.colors,
    )
    change = f"{float(f'{difference:.3g}'):,g} {subject.unit} (rms)"
    words = f"{DETAIL[0]}° × {DETAIL[1]}° where degrees {coarse + 1} to {fine} change most: by {change}."
    return [
        Drawing(
            "detail",
            words,
            figure,
            f"The same part of the sphere twice, blurred to degree {coarse} and sharp to {fine}.",
        )
    ]


def _largest(squares: np.ndarray) -> tuple[int, int]:
    """The first row and column of the part of the size `DETAIL`, within 60 degrees of the equator, where these are largest."""
    rows, columns = squares.shape
    high, wide = DETAIL[0] * rows // 180, DETAIL[1] * columns // 360
    ten = rows // 18, columns // 36  # of 10 degrees
    places = [
        (i, j)
        for i in range(3 * ten[0], rows - 3 * ten[0] - high + 1, ten[0])
        for j in range(0, columns - wide + 1, ten[1])
    ]
    return max(places, key=lambda at: float(squares[at[0] : at[0] + high, at[1] : at[1] + wide].sum()))


def _spectrum(result: dict[str, Any], subject: Subject, fitted: GridFit | None) -> Section:
    spectra = {"given coefficients": (np.arange(len(result["spectrum"])), np.array(result["spectrum"]))}
    words = f"Each degree's part of the mean square of the {subject.quantity}, the sum of its squared coefficients (4π normalized)."
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
    powers = np.array(result["spectrum"])
    drawing = Drawing(
        "spectrum",
        "The power of each degree.",
        sphere.degree_powers(spectra, ylabel=f"power of a degree ({subject.unit}²)"),
        f"A curve on logarithmic axes, from {powers[1:2].sum():.2g} {subject.unit}² at degree 1 to {powers[-1]:.2g} {subject.unit}² at"
        f" degree {len(powers) - 1}.",
    )
    return Section("Its spectrum", words, figures=[drawing])


def _grid(grid: dict[str, Any], subject: Subject, fitted: GridFit) -> Section:
    residual = fitted.observed - fitted.synthesized
    limit = subject.limit or _round(float(np.percentile(np.abs(fitted.observed), 99.5)))
    coast = fitted.observed if subject.coast else None
    globes = [
        sphere.Globe(fitted.observed, "grid of 1°", limit, coast),
        sphere.Globe(fitted.synthesized, f"fitted, ℓ ≤ {grid['lmax']}", limit, coast),
        sphere.Globe(residual, "residual", _round(float(np.percentile(np.abs(residual), 99.5))), coast),
    ]
    words = (
        f"The grid of 1° is another survey of the same relief. Least squares to degree {grid['lmax']}, weighted by area, order by order,"
        f" explains {100 * grid['explained']:.1f} % of its variance; what is left, {grid['residual']:,.4g} m, is finer than the fit. Over"
        " all coefficients of degree 1 and more the correlation with the given ones is"
        f" {grid['correlation_of_coefficients']:.4f}."
    )
    drawing = Drawing(
        "grid",
        "The grid, the fit and what is left.",
        sphere.globes(globes, label=subject.label, colors=subject.colors, columns=2),
        f"Three maps: the grid, a smoother fit, and the residual of {grid['residual']:,.4g} m without its large forms.",
    )
    return Section("Back from a grid", words, figures=[drawing])
