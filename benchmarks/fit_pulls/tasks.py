"""Simulated fits of the tasks `jaxsci fit cmb` and `earth`, by the tasks' own functions, on small spheres."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.fit_pulls.study import Maker, Study
from jaxsci import healpix
from jaxsci.core import Array
from jaxsci.data.sphere import relief
from jaxsci.ops.sphere import real_degrees
from jaxsci.runs.task import silent
from jaxsci.tasks.cmb import peaks, sky_fit
from jaxsci.tasks.earth import task as earth

NSIDE, LMAX, FREE = 16, 24, 4  # half of what the task has, with the same proportions
CUT = 0.3  # |sin latitude| of the hidden belt
NOISE = 6.0  # microkelvin a pixel
SHOWN = 10  # the degree up to which the task reports coefficients
GRID, GRID_LMAX = (24, 48), 8


def sky_and_theory() -> tuple[sky_fit.Sky, sky_fit.Theory]:
    """A sky of zeros behind a belt, and a power spectrum that rises to an acoustic peak, to the degree that pixels let through."""
    theta, _ = healpix.angles(NSIDE)
    keep = np.abs(np.cos(theta)) > CUT
    degree = np.arange(4 * NSIDE + 1)
    height = 1000 + 4700 * np.exp(-(((degree - 220) / 100) ** 2))  # D_l
    power = np.where(degree > 1, height * 2 * np.pi / np.maximum(degree * (degree + 1), 1), 0)
    sky = sky_fit.Sky(NSIDE, keep, np.zeros(int(keep.sum())), NOISE)
    return sky, sky_fit.Theory(power, healpix.pixel_window(NSIDE, 4 * NSIDE))


def cut_sky(fits: int, seed: int) -> Study:
    """a_lm of the cut sky."""
    sky, theory = sky_and_theory()
    degree = real_degrees(4 * NSIDE)[0]
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(fits, degree.size)) * np.sqrt(theory.power[degree])
    seen = np.asarray(sky_fit.design(sky, 4 * NSIDE)) * theory.window[degree]
    values = truth @ seen.T + NOISE * rng.normal(size=(fits, len(seen)))
    problem = sky_fit.equations(sky, theory, LMAX, FREE)

    @jax.jit
    def solve(values: Array) -> tuple[Array, Array]:
        found = jax.vmap(problem.solve)(values)
        return found.params["coefficients"], jnp.sqrt(jnp.diagonal(found.covariance[0]))

    found, error = map(np.asarray, solve(jnp.asarray(values)))
    low, order = real_degrees(LMAX)
    shown = np.flatnonzero((low >= 2) & (low <= SHOWN))
    pulls = (found - truth[:, : low.size]) / error
    names = [f"a_{degree},{m}" for degree, m in zip(low, order, strict=True)]
    what = f"skies behind a belt, nside {NSIDE}; a_lm to {LMAX}, of which 2 to {SHOWN} are shown; up to {FREE} without prior"
    return Study("cmb, coefficients", what, {names[i]: pulls[:, i] for i in shown})


def bandpowers(fits: int, seed: int) -> Study:
    """Bandpowers of the cut sky: the errors come from one set of simulated skies, the pulls from another."""
    sky, theory = sky_and_theory()
    key, other = jax.random.split(jax.random.key(seed))
    first, second = (sky_fit.bandpowers(sky, theory, fits, k, progress=lambda part: None) for k in (key, other))
    pulls = (second.simulated - first.expected) / first.error
    names = [f"l {a} to {b}" for a, b in zip(*first.bins, strict=True)]
    # A band of a few modes has the chi^2 distribution, whose width is less well known; and the error itself has such an error.
    centered = second.simulated - second.simulated.mean(0)
    kurtosis = np.mean((centered**4).mean(0) / (centered**2).mean(0) ** 2) - 3
    what = f"skies behind a belt, nside {NSIDE}; errors from {fits:,} other skies"
    return Study(
        "cmb, bandpowers", what, dict(zip(names, pulls.T, strict=True)), width_error=float(np.sqrt(2 + kurtosis))
    )


def acoustic_peaks(fits: int, seed: int) -> Study:
    """Places and heights of the peaks of a spectrum with cosmic variance; the truth is what the same fit finds without noise."""
    degree = np.arange(2, 1300)
    curve = 1000 + sum(
        h * np.exp(-(((degree - place) / 90) ** 2)) for h, place in ((4700, 220), (1600, 540), (1500, 810))
    )
    error = curve * np.sqrt(2 / (2 * degree + 1) / 0.6) + 20
    rng = np.random.default_rng(seed)
    exact = peaks.fit(degree, curve, error, curve)
    found = [peaks.fit(degree, curve + error * rng.normal(size=curve.size), error, curve) for _ in range(fits)]
    pulls = {}
    for i, peak in enumerate(exact):
        for what in ("place", "height"):
            difference = np.array([getattr(f[i], what) - getattr(peak, what) for f in found])
            pulls[f"{what} {i + 1}"] = difference / np.array([getattr(f[i], f"{what}_error") for f in found])
    what = f"{len(exact)} peaks of D_l with cosmic variance of 60 % of the sky; the truth is the fit without noise"
    return Study("cmb, acoustic peaks", what, pulls)


def relief_grid(fits: int, seed: int) -> Study:
    """Coefficients of a grid of cells, noise in inverse proportion to the root of their areas."""
    rows, columns = GRID
    rng = np.random.default_rng(seed)
    cosine, sine = (np.tril(rng.normal(size=(GRID_LMAX + 1, GRID_LMAX + 1))) for _ in range(2))
    sine[:, 0] = 0
    heights = earth.heights(relief.Coefficients(cosine, sine), rows, columns)
    area = np.sin((np.arange(rows) + 0.5) * np.pi / rows)[:, None]
    noise = np.sqrt(area.mean() / area)
    found = [earth.fit_grid(heights + noise * rng.normal(size=GRID), GRID_LMAX, silent) for _ in range(fits)]
    pulls = {}
    for name, true in (("C", cosine), ("S", sine)):
        fitted = np.stack([f.cosine if name == "C" else f.sine for f in found])
        error = np.stack([f.error for f in found])
        for degree in range(GRID_LMAX + 1):
            for m in range(int(name == "S"), degree + 1):
                at = (slice(None), degree, m)
                pulls[f"{name}_{degree},{m}"] = (fitted[at] - true[degree, m]) / error[at]
    what = f"a relief to degree {GRID_LMAX} on {rows} x {columns} cells; the size of the noise is estimated from the residual"
    return Study("earth, grid", what, pulls)


MAKERS: dict[str, Maker] = {
    "cut_sky": cut_sky,
    "bandpowers": bandpowers,
    "acoustic_peaks": acoustic_peaks,
    "relief_grid": relief_grid,
}
