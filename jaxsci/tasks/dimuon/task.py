"""The Z boson among muon pairs: its mass and width from an unbinned likelihood fit."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Batch, Model, Params
from jaxsci.data import columns, dimuons
from jaxsci.errors import InputError
from jaxsci.fitting import (
    LikelihoodFit,
    Profile,
    errors,
    intervals,
    log_density,
    minimize,
    profiles,
    require_minimum,
    total,
)
from jaxsci.losses import objective
from jaxsci.runs import folder as runs
from jaxsci.runs import weights
from jaxsci.runs.task import OnProgress, Session, Task
from jaxsci.tasks.dimuon import line_shape as shapes
from jaxsci.tasks.dimuon import report as dimuon_report
from jaxsci.tasks.dimuon.options import Options

NAME = "dimuon"
SHAPE_PARAMETERS = ("mass", "width", "resolution", "signal", "slope")
SHAPE_NAMES = {True: "radiation", False: "no_radiation"}
SCANNED = ("mass", "width")
LEAST_EVENTS = 50


def fit(options: Options, session: Session) -> Path:
    """Fit the mass peak, simulate the fit, and write the run folder with its report.

    Returns:
        The run folder.

    Raises:
        InputError: the file or the options cannot be used, or the data do not determine the peak; no run folder is left behind.
    """
    _check(options)
    with jax.enable_x64(True):
        return _fit(options, options.data or session.find("collider", "uproot-Zmumu.root"), session)


def _fit(options: Options, path: Path, session: Session) -> Path:
    progress, started = session.progress, time.monotonic()
    progress("reading muon pairs", 0.0, "")
    sample = dimuons.read(path, tree=options.tree, typical=max(dimuons.TYPICAL_MASS, options.window[1]))
    for note in columns.notes(path, tree=options.tree, wanted=dimuons.COLUMNS):
        progress("reading muon pairs", 0.5, note)
    if sample.weight is not None and np.ptp(sample.weight) > 0:
        raise InputError(
            f"{path}: expected events of one weight, got weights from {sample.weight.min():g} to {sample.weight.max():g}, whose errors "
            "a likelihood does not give; unweight the events, or remove the column to count each once"
        )
    low, high = options.window
    mass = sample.mass / options.scale
    mass = mass[(mass > low) & (mass < high)]
    if len(mass) < LEAST_EVENTS:
        raise InputError(
            f"{path}: expected at least {LEAST_EVENTS} muon pairs in {low:g} to {high:g} GeV, got {len(mass)}; widen --window"
        )
    unused = f"; not used: {', '.join(sample.unused[:5])}{', ...' * (len(sample.unused) > 5)}" if sample.unused else ""
    progress("reading muon pairs", 1.0, f"{len(mass):,} in the window, of {sample.rows:,} rows{unused}")
    if words := dimuon_report.again(mass):
        progress("reading muon pairs", 1.0, f"note: {path}: {words}")
    shapes_tried = (options.radiation, not options.radiation)
    results = {radiation: fit_shape(config(options, radiation), mass, progress) for radiation in shapes_tried}
    fitted = results[options.radiation]
    scans, ends = scan(config(options, options.radiation), fitted, mass, progress)
    pulls = simulate(options, fitted, len(mass), progress)
    with runs.whole_folder(session, NAME, "z") as folder:
        chosen = {"parameters": len(dimuon_report.LABELS), "seconds": round(time.monotonic() - started, 1)}
        runs.write_config(folder, NAME, options, describe(path, sample, mass), chosen)
        result = evaluation(options, sample, mass, results, ends, pulls)
        runs.write_record(folder / "evaluation.json", result)
        progress("writing the report", 0.0, "")
        dimuon_report.write(folder, result, mass, curves(options, results), scans, pulls)
        progress("writing the report", 1.0, "")
    return folder


def _check(options: Options) -> None:
    runs.require_positive(options, "scale")
    low, high = options.window
    if not 0 < low < high:
        raise InputError(f"--window: expected two rising masses in GeV, got {low:g} {high:g}")
    if options.scale_error < 0:
        raise InputError(f"--scale-error: expected a number of at least 0, got {options.scale_error}; 0 leaves it out")
    if options.simulations < 0 or options.simulations == 1:
        raise InputError(
            f"--simulations: expected 0, or at least 2 for a width of the pulls, got {options.simulations}"
        )


def config(options: Options, radiation: bool) -> shapes.Config:
    """The shape that is fitted."""
    return shapes.Config(options.window, radiation=radiation)


def negative_log_likelihood(model: Model, mass: Array) -> Callable[[Params], Array]:
    """L(a) = -sum log p(m | a) over the events."""
    data = Batch(mass, jnp.zeros_like(mass), jnp.ones_like(mass))
    return total(objective(model.apply, log_density), data)


def fit_shape(shape: shapes.Config, mass: np.ndarray, progress: OnProgress) -> LikelihoodFit:
    """The best parameters with their covariance."""
    progress("fitting", 0.0, "")
    function = negative_log_likelihood(shapes.model(shape), jnp.asarray(mass))
    result = jax.jit(partial(minimize, function))(starting_point(shape, mass))
    require_minimum(result)
    progress("fitting", 1.0, f"mass {float(result.params['mass']):.2f} GeV")
    return result


def scan(
    shape: shapes.Config, fitted: LikelihoodFit, mass: np.ndarray, progress: OnProgress
) -> tuple[dict[str, Profile], tuple[Params, Params]]:
    """The profile scans of mass and width, and the ends of the intervals of all parameters."""
    progress("scanning", 0.0, "")
    function = negative_log_likelihood(shapes.model(shape), jnp.asarray(mass))
    scans = jax.jit(partial(profiles, function, scanned=SCANNED))(fitted)
    progress("scanning", 0.5, "")
    ends = jax.jit(partial(intervals, function))(fitted)
    progress("scanning", 1.0, "")
    return scans, ends


def starting_point(shape: shapes.Config, mass: np.ndarray) -> Params:
    """The shape's own start, at the median of the masses."""
    start = shapes.init(jax.random.key(0), shape)
    return {**start, "mass": jnp.asarray(np.median(mass), start["mass"].dtype)}


def simulate(
    options: Options, fitted: LikelihoodFit, events: int, progress: OnProgress, portion: int = 50
) -> dict[str, np.ndarray]:
    """Fit simulated samples of the fitted shape, many as one program; the pull (fitted - true) / error of each, by parameter.

    A fit that ends at no minimum has NaN.
    """
    model = shapes.model(config(options, options.radiation))

    @jax.jit
    def pulls(masses: Array) -> Params:
        def one(mass: Array) -> Params:
            result = minimize(negative_log_likelihood(model, mass), fitted.params)
            error = errors(result.covariance, result.params)
            good = result.distance < 1e-3
            return jax.tree.map(
                lambda a, b, e: jnp.where(good, (a - b) / e, jnp.nan), result.params, fitted.params, error
            )

        return jax.vmap(one)(masses)

    rng = np.random.default_rng(options.seed)
    grid = np.linspace(*options.window, 6001)
    log_p = np.asarray(jax.jit(jax.vmap(model.apply, in_axes=(None, 0)))(fitted.params, jnp.asarray(grid)))
    cumulative = np.concatenate([[0], np.cumsum((np.exp(log_p[1:]) + np.exp(log_p[:-1])) / 2)])
    parts: list[Params] = []
    portion = min(portion, options.simulations)
    for first in range(0, options.simulations, portion or 1):
        progress("simulated fits", first / options.simulations, "")
        masses = np.interp(rng.uniform(size=(portion, events)) * cumulative[-1], cumulative, grid)
        parts.append(jax.tree.map(np.asarray, pulls(jnp.asarray(masses))))
    progress("simulated fits", 1.0, f"{options.simulations} fits")
    names = SHAPE_PARAMETERS if parts else ()
    return {name: np.concatenate([part[name] for part in parts])[: options.simulations] for name in names}


def curves(options: Options, results: dict[bool, LikelihoodFit]) -> dict[str, np.ndarray]:
    """Densities on a fine grid of masses: the fit, its background, and the fit of the other shape."""
    grid = np.linspace(*options.window, 601)
    result = {"mass": grid}
    for radiation, fitted in results.items():
        model = shapes.model(config(options, radiation))
        log_p = jax.jit(jax.vmap(model.apply, in_axes=(None, 0)))(fitted.params, jnp.asarray(grid))
        result["fit" if radiation == options.radiation else "other"] = np.exp(np.asarray(log_p))
    fitted, shape = results[options.radiation], config(options, options.radiation)
    nodes, weights = shapes.quadrature(options.window, shape.nodes)
    background, at_nodes = (np.asarray(shapes.exponential(fitted.params, jnp.asarray(x), shape)) for x in (grid, nodes))
    result["background"] = (1 - float(fitted.params["signal"])) * background / (weights @ at_nodes)
    return result


def describe(path: Path, sample: dimuons.Dimuons, mass: np.ndarray) -> dict[str, Any]:
    """What the data of a run are."""
    return {
        "file": str(path),
        "rows": sample.rows,
        "events": len(mass),
        "selection": list(sample.selection),
        "unused_columns": list(sample.unused),
        "digest": weights.digest(mass),
    }


def evaluation(
    options: Options,
    sample: dimuons.Dimuons,
    mass: np.ndarray,
    results: dict[bool, LikelihoodFit],
    ends: tuple[Params, Params],
    pulls: dict[str, np.ndarray],
) -> dict[str, Any]:
    """What was measured, as JSON: the parameters of both shapes, and the pulls of simulated fits."""
    fits = {SHAPE_NAMES[radiation]: _numbers(options, fitted) for radiation, fitted in results.items()}
    chosen = SHAPE_NAMES[options.radiation]
    for key, end in zip(("lower", "upper"), ends, strict=True):
        for name in SHAPE_PARAMETERS:
            found = float(end[name])
            fits[chosen]["parameters"][name][key] = found if np.isfinite(found) else None  # open
    simulations = {
        name: {"mean": float(np.nanmean(p)), "width": float(np.nanstd(p, ddof=1)), "failed": int(np.isnan(p).sum())}
        for name, p in pulls.items()
    }
    return {
        "task": NAME,
        "rows": sample.rows,
        "events": len(mass),
        "selection": list(sample.selection),
        "window": list(options.window),
        "shape": chosen,
        "fits": fits,
        "simulations": simulations,
    }


def _numbers(options: Options, fitted: LikelihoodFit) -> dict[str, Any]:
    error = errors(fitted.covariance, fitted.params)
    parameters: dict[str, Any] = {
        name: {"value": float(fitted.params[name]), "error": float(error[name])} for name in SHAPE_PARAMETERS
    }
    parameters["mass"]["scale_error"] = options.scale_error * parameters["mass"]["value"]
    return {
        "parameters": parameters,
        "covariance": np.asarray(fitted.covariance).tolist(),
        "negative_log_likelihood": float(fitted.value),
    }


TASK = Task(NAME, fit, headline=("events", "fits/radiation/parameters/mass", "fits/radiation/parameters/width"))
