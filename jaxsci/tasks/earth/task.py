"""The relief of the Earth as a sum of spherical harmonics, from its coefficients to maps and from a grid back to coefficients."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.data.sphere import relief
from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.fitting import least_squares
from jaxsci.models import harmonics
from jaxsci.ops.sphere._grids import gauss_legendre
from jaxsci.ops.sphere._legendre import legendre_over_powers
from jaxsci.runs import folder as runs
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
    runs.require_positive(options, "lmax", "grid_lmax")
    if files.grid is not None and options.grid_lmax > GRID[0] - 1:
        raise InputError(
            f"--grid-lmax: expected at most {GRID[0] - 1}, which {GRID[0]} circles of latitude resolve, got {options.grid_lmax}; lower it"
        )
    progress("reading", 0.0, "")
    given = relief.read_coefficients(files.coefficients, lmax=options.lmax)
    grid = None if files.grid is None else GRID_UNIT * relief.read_grid(files.grid, *GRID)
    progress("reading", 1.0, f"degree {options.lmax}")
    progress("there and back", 0.0, "")
    difference = round_trip(given)
    progress("there and back", 1.0, f"largest difference {difference:.1e}")
    maps: dict[int, np.ndarray] = {}
    for degree in sorted({min(d, options.lmax) for d in SHOWN}):
        progress("maps", len(maps) / len(SHOWN), f"l ≤ {degree}")
        maps[degree] = synthesis(relief.Coefficients(*(c[: degree + 1, : degree + 1] for c in given)), 360, 720)
    progress("maps", 1.0, "")
    fitted = None if grid is None else fit_grid(grid, options.grid_lmax, progress)
    folder = runs.new_folder(session, NAME, "relief")
    digest = hashlib.sha256(np.ascontiguousarray(given.cosine).tobytes()).hexdigest()[:16]
    runs.write_config(folder, NAME, options, {"file": str(files.coefficients), "lmax": options.lmax, "digest": digest})
    result = evaluation(options, given, difference, fitted)
    write_json(folder / "evaluation.json", result)
    progress("writing the report", 0.0, "")
    earth_report.write(folder, result, given, maps, fitted)
    progress("writing the report", 1.0, "")
    return folder


def orthonormal(given: relief.Coefficients) -> tuple[Array, Array]:
    """The coefficients of P_lm cos m phi and P_lm sin m phi with the orthonormal P_lm without phase, from the geodesist's."""
    order = np.arange(given.cosine.shape[1])
    factor = np.sqrt(4 * np.pi) * np.where(order > 0, np.sqrt(2), 1)
    return jnp.asarray(given.cosine * factor), jnp.asarray(given.sine * factor)


def geodetic(cosine: Array, sine: Array) -> relief.Coefficients:
    """The way back from `orthonormal`."""
    order = np.arange(cosine.shape[1])
    factor = np.sqrt(4 * np.pi) * np.where(order > 0, np.sqrt(2), 1)
    return relief.Coefficients(np.asarray(cosine) / factor, np.asarray(sine) / factor)


def synthesis(given: relief.Coefficients, rows: int, columns: int) -> np.ndarray:
    """Heights [row, column] at the centers of equal steps of latitude and longitude, north first, from 180 degrees west eastward."""
    z = np.cos((np.arange(rows) + 0.5) * np.pi / rows)
    start = np.pi * (1 / columns - 1)  # of the first column's center; the synthesis begins at 0
    turned = turn(given, start)
    return np.asarray(jax.jit(harmonics.on_rings, static_argnums=3)(*orthonormal(turned), jnp.asarray(z), columns))


def turn(given: relief.Coefficients, angle: float) -> relief.Coefficients:
    """Coefficients of the relief seen from a longitude `angle` (radians) further east: phi' = phi - angle."""
    order = np.arange(given.cosine.shape[1])
    c, s = np.cos(order * angle), np.sin(order * angle)
    return relief.Coefficients(given.cosine * c + given.sine * s, given.sine * c - given.cosine * s)


def round_trip(given: relief.Coefficients) -> float:
    """The largest change of a coefficient after synthesis at Gauss-Legendre nodes and analysis, relative to the largest coefficient."""
    lmax = given.cosine.shape[0] - 1
    nodes, _, weights = (jnp.asarray(a) for a in gauss_legendre(lmax + 1))
    values = jax.jit(harmonics.on_rings, static_argnums=3)(*orthonormal(given), nodes, 2 * lmax + 2)
    back = geodetic(*jax.jit(harmonics.from_rings, static_argnums=3)(values, nodes, weights, lmax))
    change = max(np.abs(a - b).max() for a, b in zip(back, given, strict=True))
    return float(change / max(np.abs(given.cosine).max(), np.abs(given.sine).max()))


def fit_grid(grid: np.ndarray, lmax: int, progress: OnProgress) -> earth_report.GridFit:
    """Coefficients of a grid of cells by least squares over the latitudes, for each order m on its own, all m as one program.

    Weights are the areas of the cells. The errors are those of a residual that is independent from cell to cell, with a variance in
    inverse proportion to the area, which the relief that is finer than `lmax` is not.
    """
    progress("fitting the grid", 0.0, "")
    rows, columns = grid.shape
    z = jnp.asarray(np.cos((np.arange(rows) + 0.5) * np.pi / rows))
    waves = np.fft.rfft(grid, axis=1)[:, : lmax + 1] / columns
    waves *= np.where(np.arange(lmax + 1) > 0, 2, 1)
    area = np.sqrt(1 - np.asarray(z) ** 2)
    cosine, sine, variance = _waves(z, jnp.asarray(waves.real), jnp.asarray(-waves.imag), jnp.asarray(area))
    start = np.pi * (1 / columns - 1)
    found = geodetic(cosine, sine)
    shown = np.asarray(jax.jit(harmonics.on_rings, static_argnums=3)(cosine, sine, z, columns))
    squares = np.average(((grid - shown) ** 2).mean(1), weights=area)
    # A wave's amplitude has the variance 2 / columns of a cell's (1 / columns for m = 0); weights had no unit.
    order = np.arange(lmax + 1)
    free = 1 - (lmax + 1) ** 2 / grid.size  # the part of the cells that the fit does not follow
    noise = squares / free * np.where(order > 0, 2, 1) / columns * area.mean()
    error = geodetic(jnp.sqrt(variance * jnp.asarray(noise)[None, :]), jnp.zeros_like(variance)).cosine
    error = np.where(order[None, :] <= order[:, None], error, 0)
    east = turn(found, -start)
    progress("fitting the grid", 1.0, f"residual {np.sqrt(squares):.0f} m")
    return earth_report.GridFit(east.cosine, east.sine, error, float(np.sqrt(squares)), shown, grid)


@jax.jit
def _waves(z: Array, cosine: Array, sine: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Coefficients [l, m] of the waves [latitude, m] over z = cos theta, and their variances for these weights."""
    lmax = cosine.shape[1] - 1
    p = jax.vmap(lambda z: legendre_over_powers(z, lmax) * harmonics.sine_power(z, lmax)[None, :])(z)
    like = {"amplitudes": jnp.zeros(lmax + 1)}

    def one(design: Array, c: Array, s: Array) -> tuple[Array, Array, Array]:
        # Columns of degrees below m are 0: their coefficients are 0, whatever the data.
        first, second = (least_squares(design, y, weight, like=like) for y in (c, s))
        return first.params["amplitudes"], second.params["amplitudes"], jnp.diagonal(first.covariance)

    return jax.vmap(one, in_axes=(2, 1, 1), out_axes=1)(p, cosine, sine)


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


TASK = Task(NAME, fit)
