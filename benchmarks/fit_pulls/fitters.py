"""Simulated fits of every fitter of `jaxsci.fit`: linear least squares, conjugate gradients, likelihoods and their minimizers."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from benchmarks.fit_pulls.study import Maker, Study
from jaxsci import fitting
from jaxsci.core import Array, Batch, ExampleLoss, Params
from jaxsci.fitting import (
    CGOptions,
    conjugate_gradients,
    draw_errors,
    errors,
    gaussian,
    least_squares,
    log_density,
    minimize,
    poisson,
    signed_roots,
    total,
)
from jaxsci.losses import objective
from jaxsci.tasks.dimuon import line_shape as shapes

Function: TypeAlias = Callable[[Params], Array]  # a negative log-likelihood

POINTS = 40
X = np.linspace(-1, 1, POINTS)
SIGMA = np.random.default_rng(0).uniform(0.5, 2, POINTS)
WEIGHT = np.where(np.arange(POINTS) % 10 == 3, 0, 1 / SIGMA**2)  # a tenth is masked
FOURIER = np.stack([f(np.pi * k * X) for k in range(1, 9) for f in (np.cos, np.sin)], axis=1)
PRIOR = np.repeat(np.arange(1, 9) ** -2.0, 2) * 4  # the variance of each wave's two coefficients
LOOKING = np.linspace(-3, 3, 25)  # where the bump is measured
BUMP = {"height": 40.0, "place": 0.3, "width": 0.9}
COUNTED = {**BUMP, "height": 400.0}  # in counts
LINE = {"place": 0.3, "width": 0.9}
EVENTS = 2000
# Of the Z boson among muon pairs, near what 500 collisions of CMS give (`jaxsci fit dimuon`); widths in GeV.
PEAK = {"mass": 91.1876, "width": 2.4952, "resolution": 1.4, "signal": 0.968, "slope": 0.096}
WINDOW, STEP = (60.0, 120.0), 0.1
BATCH = 25  # fits at once


def straight(fits: int, seed: int) -> Study:
    """Least squares with weights and a mask."""
    design = np.polynomial.legendre.legvander(X, 4)
    truth = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    return _linear("least_squares", "Legendre polynomials to degree 4", design, truth, None, fits, seed)


def ridge(fits: int, seed: int) -> Study:
    """A penalty that is the same for all; the truth comes from the prior that it is."""
    design = np.polynomial.legendre.legvander(X, 9)
    return _linear(
        "least_squares, ridge", "Legendre polynomials to degree 9", design, None, np.full(10, 0.5), fits, seed
    )


def wiener(fits: int, seed: int) -> Study:
    """A prior power spectrum; the truth comes from it."""
    return _linear("least_squares, Wiener", "eight waves that fall as 1 / k²", FOURIER, None, PRIOR, fits, seed)


def iterative(fits: int, seed: int) -> Study:
    """Conjugate gradients with the same prior and the usual number of draws for the errors."""
    truth, y = _measured(FOURIER, None, PRIOR, fits, seed)

    def one(y: Array, key: Array) -> tuple[Array, Array]:
        fit = conjugate_gradients(
            lambda a: jnp.asarray(FOURIER) @ a, y, jnp.asarray(WEIGHT), like=jnp.zeros(16), precision=1 / PRIOR, key=key
        )
        return fit.params, draw_errors(fit)

    found, error = jax.jit(jax.vmap(one))(y, jax.random.split(jax.random.key(seed), fits))
    names = [f"{wave} {k}" for k in range(1, 9) for wave in ("cos", "sin")]
    pulls = dict(zip(names, ((np.asarray(found) - truth) / np.asarray(error)).T, strict=True))
    what = f"the same; errors from {CGOptions().draws} draws, so that the pull has Student's t distribution"
    dof = CGOptions().draws
    kurtosis = 6 / (dof - 4)
    return Study(
        "conjugate_gradients",
        what,
        pulls,
        width=np.sqrt(dof / (dof - 2)),
        width_error=np.sqrt(dof / (dof - 2) * (1 + kurtosis / 2)),
    )


def _linear(
    fitter: str, what: str, design: np.ndarray, truth: np.ndarray | None, prior: np.ndarray | None, fits: int, seed: int
) -> Study:
    """Direct fits of one design: with a prior variance the truth is drawn from it, and the pull is that of the posterior."""
    truths, y = _measured(design, truth, prior, fits, seed)
    precision = None if prior is None else 1 / prior
    like = jnp.zeros(design.shape[1])
    solve = partial(least_squares, jnp.asarray(design), weight=jnp.asarray(WEIGHT), like=like, precision=precision)
    found = jax.jit(jax.vmap(lambda y: solve(y=y)))(y)
    pulls = (np.asarray(found.params) - truths) / np.asarray(errors(found.covariance[0], like))
    named = {f"a_{i}": pulls[:, i] for i in range(len(like))}
    probability = stats.chi2.sf(found.chi2, found.dof) if prior is None else None
    described = f"{what}, {POINTS} points of which a tenth is masked, errors from 0.5 to 2"
    return Study(
        fitter, described + ("" if prior is None else "; truth from the prior"), named, probability=probability
    )


def _measured(
    design: np.ndarray, truth: np.ndarray | None, prior: np.ndarray | None, fits: int, seed: int
) -> tuple[np.ndarray, Array]:
    """Truths [fit or 1, parameter] and measurements [fit, point], NaN where masked."""
    rng = np.random.default_rng(seed)
    truths = truth[None] if prior is None else np.sqrt(prior) * rng.normal(size=(fits, design.shape[1]))
    y = truths @ design.T + SIGMA * rng.normal(size=(fits, POINTS))
    return truths, jnp.asarray(np.where(WEIGHT > 0, y, np.nan))


def bump(params: Params, x: Array) -> Array:
    """A Gaussian peak."""
    return params["height"] * jnp.exp(-(((x - params["place"]) / params["width"]) ** 2) / 2)


def normal_density(params: Params, x: Array) -> Array:
    """log p of a normal distribution."""
    z = (x - params["place"]) / params["width"]
    return -(z**2) / 2 - jnp.log(params["width"]) - 0.5 * np.log(2 * np.pi)


def least_chi2(fits: int, seed: int, *, solver: str) -> Study:
    """Gaussian errors."""
    y = _bump(BUMP) + np.random.default_rng(seed).normal(size=(fits, LOOKING.size))
    return _binned("gaussian", "a Gaussian peak at 25 points, height 40 errors", y, BUMP, solver)


def counts(fits: int, seed: int, *, solver: str) -> Study:
    """Counts in bins."""
    n = np.random.default_rng(seed).poisson(_bump(COUNTED), size=(fits, LOOKING.size)).astype(float)
    return _binned("poisson", f"a Gaussian peak of {_bump(COUNTED).sum():,.0f} counts in 25 bins", n, COUNTED, solver)


def _bump(truth: dict[str, float]) -> np.ndarray:
    return np.asarray(bump(_params(truth), jnp.asarray(LOOKING)))


def _binned(name: str, what: str, y: np.ndarray, truth: dict[str, float], solver: str) -> Study:
    loss: ExampleLoss = {"gaussian": gaussian, "poisson": poisson}[name]

    def function(y: Array) -> Function:
        return total(objective(bump, loss), Batch(jnp.asarray(LOOKING), y, jnp.ones_like(y)))

    start = {"height": 0.75 * truth["height"], "place": 0.0, "width": 1.2}
    return _likelihood(f"minimize, {name}, {solver}", what, function, y, (truth, start), solver)


def unbinned(fits: int, seed: int, *, solver: str) -> Study:
    """Single events."""
    x = np.random.default_rng(seed).normal(LINE["place"], LINE["width"], size=(fits, EVENTS))

    def function(x: Array) -> Function:
        return total(objective(normal_density, log_density), Batch(x, jnp.zeros_like(x), jnp.ones_like(x)))

    what = f"a normal distribution, {EVENTS:,} events"
    return _likelihood(f"minimize, unbinned, {solver}", what, function, x, (LINE, {"place": 0.0, "width": 1.5}), solver)


def z_peak(fits: int, seed: int, *, events: int) -> Study:
    """Breit-Wigner (x) Gaussian over an exponential, unbinned; masses are recorded to 0.1 GeV, so that all fits share their places."""
    model = shapes.model(shapes.Config(WINDOW))
    masses = jnp.arange(WINDOW[0] + STEP / 2, WINDOW[1], STEP)
    density = np.exp(np.asarray(jax.jit(jax.vmap(model.apply, in_axes=(None, 0)))(_params(PEAK), masses)))
    n = np.random.default_rng(seed).multinomial(events, density / density.sum(), size=fits).astype(float)

    def function(n: Array) -> Function:
        return total(objective(model.apply, log_density), Batch(masses, jnp.zeros_like(n), n))

    return _likelihood(
        f"minimize, Z peak, {events:,} events", f"{events:,} muon pairs", function, n, (PEAK, PEAK), "newton"
    )


def _likelihood(
    fitter: str,
    what: str,
    function: Callable[[Array], Function],
    data: np.ndarray,
    truth_and_start: tuple[dict[str, float], dict[str, float]],
    solver: str,
) -> Study:
    """Fits of `function(data)`: pulls by the errors of the Hessian and by the signed root."""
    truth, start = map(_params, truth_and_start)

    def one(data: Array) -> tuple[Params, Params]:
        likelihood = function(data)
        fit = minimize(likelihood, start, solver=getattr(fitting, solver))
        error = errors(fit.covariance, fit.params)
        good = fit.distance < 1e-3
        plain = jax.tree.map(lambda a, b, e: jnp.where(good, (a - b) / e, jnp.nan), fit.params, truth, error)
        roots = jax.tree.map(lambda r: jnp.where(good, r, jnp.nan), signed_roots(likelihood, fit, truth))
        return plain, roots

    plain, roots = jax.jit(partial(jax.lax.map, one, batch_size=BATCH))(jnp.asarray(data))
    return Study(fitter, what, {k: np.asarray(plain[k]) for k in truth}, {k: np.asarray(roots[k]) for k in truth})


def _params(values: dict[str, float]) -> Params:
    return {name: jnp.asarray(value, float) for name, value in values.items()}


MAKERS: dict[str, Maker] = {
    "straight": straight,
    "ridge": ridge,
    "wiener": wiener,
    "iterative": iterative,
    **{
        f"{make.__name__}_{solver}": partial(make, solver=solver)
        for make in (least_chi2, counts, unbinned)
        for solver in ("newton", "lbfgs")
    },
    **{f"z_peak_{events}": partial(z_peak, events=events) for events in (500, 2000, 8000)},
}
