"""The relief of the Earth as a sum of spherical harmonics, from its coefficients to maps and from a grid back to coefficients."""

import dataclasses
import time
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.data.sphere import relief
from jaxsci.errors import InputError
from jaxsci.fitting import least_squares
from jaxsci.ops.sphere import (
    GEODESY,
    HEALPIX,
    Equiangular,
    GaussLegendre,
    analysis,
    convert,
    from_alm,
    real_degrees,
    real_harmonics,
    real_index,
    synthesis,
    to_alm,
)
from jaxsci.runs import folder as runs
from jaxsci.runs import weights
from jaxsci.runs.task import Find, OnProgress, Session, Task
from jaxsci.tasks.earth import report as earth_report
from jaxsci.tasks.earth.options import Options

NAME = "earth"
SHOWN = (5, 20, 100, 300)  # degrees to which the map is drawn
GRID = (180, 360)  # latitudes and longitudes of the cells of a grid of 1 degree
GRID_UNIT = 1000.0  # m: its heights are in km


def fit(options: Options, session: Session) -> Path:
    """Draw the relief degree by degree, take it apart again, and write the run folder with its report.

    Returns:
        The run folder.

    Raises:
        InputError: a file or an option cannot be used; no run folder is left behind.
    """
    with jax.enable_x64(True):
        return _fit(options, find_files(options, session.find), session)


class Files(NamedTuple):
    """What is read."""

    coefficients: Path
    grid: Path | None


def find_files(options: Options, find: Find) -> Files:
    """The user's own files, or those of the data set: both, so that a grid of the Earth is not compared with another body."""
    if options.data is not None:
        return Files(options.data, options.grid)
    grid = options.grid or find("sphere", "earth_topo_180x360.dat.gz")
    return Files(find("sphere", "earth_srtmp300.msl"), grid)


def _fit(options: Options, files: Files, session: Session) -> Path:
    progress = session.progress
    started = time.monotonic()
    runs.require_positive(options, "lmax", "grid_lmax")
    if options.grid is not None and options.unit not in (None, "m"):
        raise InputError(
            f"--unit: expected m beside --grid, whose heights are in km, got {options.unit}; convert them, or leave --grid out"
        )
    if files.grid is not None and options.grid_lmax > GRID[0] - 1:
        raise InputError(
            f"--grid-lmax: expected at most {GRID[0] - 1}, which {GRID[0]} circles of latitude resolve, got {options.grid_lmax}; lower it"
        )
    progress("reading", 0.0, "")
    every = relief.read_coefficients(files.coefficients)
    options = dataclasses.replace(options, lmax=min(options.lmax, len(every.cosine) - 1))
    given = relief.Coefficients(*(c[: options.lmax + 1, : options.lmax + 1] for c in every))
    grid = None if files.grid is None else GRID_UNIT * relief.read_grid(files.grid, *GRID)
    missing = ", ".join(map(str, relief.missing_degrees(given)))
    progress(
        "reading",
        1.0,
        f"degree {options.lmax} of {len(every.cosine) - 1} in the file"
        + (f"; zero for l = {missing}" if missing else ""),
    )
    progress("there and back", 0.0, "")
    difference = round_trip(given)
    progress("there and back", 1.0, f"largest difference {difference:.1e}")
    maps: dict[int, np.ndarray] = {}
    for degree in sorted({min(d, options.lmax) for d in SHOWN}):
        progress("maps", len(maps) / len(SHOWN), f"l ≤ {degree}")
        maps[degree] = heights(relief.Coefficients(*(c[: degree + 1, : degree + 1] for c in given)), 360, 720)
    progress("maps", 1.0, "")
    fitted = None if grid is None else fit_grid(grid, options.grid_lmax, progress)
    with runs.whole_folder(session, NAME, "relief") as folder:
        digest = weights.digest(*given)
        data = {"file": str(files.coefficients), "lmax": options.lmax, "digest": digest}
        chosen = {"parameters": (options.lmax + 1) ** 2, "seconds": round(time.monotonic() - started, 1)}
        runs.write_config(folder, NAME, options, data, chosen)
        result = evaluation(options, given, difference, fitted)
        runs.write_record(folder / "evaluation.json", result)
        progress("writing the report", 0.0, "")
        earth_report.write(folder, result, subject(options), given, maps, fitted)
        progress("writing the report", 1.0, "")
    return folder


def subject(options: Options) -> earth_report.Subject:
    """What the page is about: the Earth, or what the user's own file is named after."""
    if options.data is None:
        return earth_report.EARTH
    if options.grid is not None or options.unit == "m":
        return earth_report.Subject(options.data.stem, "height", "m", earth_report.EARTH.colors)
    return earth_report.Subject(options.data.stem, "value", options.unit or "unit of the file", "RdBu_r")


def to_sphere(given: relief.Coefficients) -> Array:
    """a_lm of the library from the geodesist's C and S."""
    degree, m = real_degrees(len(given.cosine) - 1)
    both = np.where(m < 0, given.sine[degree, abs(m)], given.cosine[degree, abs(m)])
    return to_alm(convert(jnp.asarray(both), GEODESY, HEALPIX))


def from_sphere(alm: Array) -> relief.Coefficients:
    """The way back from `to_sphere`."""
    both = np.asarray(convert(from_alm(alm), HEALPIX, GEODESY))
    degree, m = real_degrees(isqrt(both.size) - 1)
    found = np.zeros((2, degree[-1] + 1, degree[-1] + 1))
    found[(m < 0).astype(int), degree, abs(m)] = both
    return relief.Coefficients(*found)


def cells(rows: int, columns: int) -> Equiangular:
    """The centers of cells of equal steps of latitude and longitude, north first, from 180 degrees west eastward."""
    return Equiangular(rows, columns, np.pi * (1 / columns - 1))


def heights(given: relief.Coefficients, rows: int, columns: int) -> np.ndarray:
    """The relief [row, column] at the centers of `cells`."""
    return np.asarray(jax.jit(synthesis, static_argnums=1)(to_sphere(given), cells(rows, columns)))


def round_trip(given: relief.Coefficients) -> float:
    """The largest change of a coefficient after synthesis at Gauss-Legendre nodes and analysis, relative to the largest coefficient."""
    lmax = len(given.cosine) - 1
    grid = GaussLegendre.of_degree(lmax)
    there_and_back = jax.jit(lambda alm: analysis(synthesis(alm, grid), grid, lmax, iterations=0))
    back = from_sphere(there_and_back(to_sphere(given)))
    change = max(np.abs(a - b).max() for a, b in zip(back, given, strict=True))
    return float(change / max(np.abs(given.cosine).max(), np.abs(given.sine).max()))


def fit_grid(grid: np.ndarray, lmax: int, progress: OnProgress) -> earth_report.GridFit:
    """Coefficients of a grid of cells by least squares over the latitudes, for each order m on its own, all m as one program.

    Weights are the areas of the cells. The errors are those of a residual that is independent from cell to cell, with a variance in
    inverse proportion to the area, which the relief that is finer than `lmax` is not.
    """
    progress("fitting the grid", 0.0, "")
    rows, columns = grid.shape
    order = np.arange(lmax + 1)
    theta = (np.arange(rows) + 0.5) * np.pi / rows
    area = np.sin(theta)
    # c_m - i s_m of every row: the amplitudes of cos(m phi) and sin(m phi).
    amplitudes = np.fft.rfft(grid, axis=1)[:, : lmax + 1] * np.exp(-1j * order * cells(rows, columns).phi0)
    amplitudes *= np.where(order > 0, 2, 1) / columns
    fitted = _by_order(*(jnp.asarray(a) for a in (theta, amplitudes.real, -amplitudes.imag, area)))
    cosine, sine, variance = map(np.asarray, fitted)
    found = relief.Coefficients(cosine, sine)
    shown = heights(found, rows, columns)
    squares = np.average(((grid - shown) ** 2).mean(1), weights=area)
    # The amplitude of a wave has the variance 2 / columns of a cell's (1 / columns for m = 0); weights had no unit.
    free = 1 - (lmax + 1) ** 2 / grid.size  # the part of the cells that the fit does not follow
    noise = squares / free * np.where(order > 0, 2, 1) / columns * area.mean()
    error = np.where(order[None, :] <= order[:, None], np.sqrt(variance * noise), 0)
    progress("fitting the grid", 1.0, f"residual {np.sqrt(squares):.0f} m")
    return earth_report.GridFit(cosine, sine, error, float(np.sqrt(squares)), shown, grid)


@jax.jit
def _by_order(theta: Array, cosine: Array, sine: Array, weight: Array) -> tuple[Array, Array, Array]:
    """C and S [l, m] from amplitudes [latitude, m] of cos(m phi) and sin(m phi), and their variances for these weights."""
    lmax = cosine.shape[1] - 1
    degree, m = np.ogrid[: lmax + 1, : lmax + 1]
    on_meridian = real_harmonics(theta, jnp.zeros_like(theta), lmax, GEODESY)[
        :, real_index(degree, np.minimum(m, degree))
    ]
    # Columns of degrees below m are 0: their coefficients are 0, whatever the data.
    functions = jnp.where(jnp.asarray(m <= degree)[None], on_meridian, 0.0)
    like = {"amplitudes": jnp.zeros(lmax + 1)}

    def one(design: Array, both: Array) -> tuple[Array, Array]:
        fits = jax.vmap(lambda y: least_squares(design, y, weight, like=like))(both)
        return fits.params["amplitudes"], jnp.diagonal(fits.covariance[0])

    (c, s), variance = jax.vmap(one, in_axes=(2, 2), out_axes=(2, 1))(functions, jnp.stack([cosine, sine]))
    return c, s, variance


def degree_variance(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """S_l = sum_m (C_lm^2 + S_lm^2) [l]: the contribution of each degree to the mean square of the relief."""
    return (cosine**2 + sine**2).sum(1)


def evaluation(
    options: Options, given: relief.Coefficients, difference: float, fitted: earth_report.GridFit | None
) -> dict[str, Any]:
    """What was measured, as JSON."""
    result: dict[str, Any] = {
        "task": NAME,
        "lmax": options.lmax,
        "round_trip": difference,
        "mean_height": float(given.cosine[0, 0]),
        "deviation": float(np.sqrt(degree_variance(*given)[1:].sum())),
        "spectrum": degree_variance(*given).tolist(),
    }
    if fitted is not None:
        shared = min(options.lmax, options.grid_lmax) + 1
        ours, theirs = (
            np.concatenate([c[1:shared, :shared].ravel() for c in both])
            for both in ((fitted.cosine, fitted.sine), given)
        )
        area = np.sin((np.arange(GRID[0]) + 0.5) * np.pi / GRID[0])[:, None] * np.ones(GRID)
        variance = np.average((fitted.observed - np.average(fitted.observed, weights=area)) ** 2, weights=area)
        result["grid"] = {
            "lmax": options.grid_lmax,
            "residual": fitted.residual,
            "explained": float(1 - fitted.residual**2 / variance),
            "correlation_of_coefficients": float(np.corrcoef(ours, theirs)[0, 1]),
            "spectrum": degree_variance(fitted.cosine, fitted.sine).tolist(),
        }
    return result


TASK = Task(NAME, fit, headline=("lmax", "round_trip", "deviation"))
