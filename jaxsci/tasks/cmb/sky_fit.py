"""A sky of HEALPix pixels behind a mask: its harmonic coefficients and its power spectrum, with their errors.

Coefficients are those of real orthonormal harmonics without the Condon-Shortley phase (`ORTHONORMAL`), in the order of `real_degrees`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import healpix
from jaxsci.core import Array, Key
from jaxsci.fitting import LinearFit, least_squares
from jaxsci.ops.sphere import (
    HEALPIX,
    ORTHONORMAL,
    Healpix,
    convert,
    power_spectrum,
    real_degrees,
    real_harmonics,
    synthesis,
    to_alm,
)
from jaxsci.tasks.cmb import pseudo_spectrum as spectrum

REMOVED = 4  # coefficients: monopole and dipole


class Sky(NamedTuple):
    """The pixels of a map that are used."""

    nside: int
    keep: np.ndarray  # bool [pixel of the whole sky]
    values: np.ndarray  # [pixel used], microkelvin
    noise: float  # of a pixel, microkelvin
    second: np.ndarray | None = (
        None  # [pixel used], another map of the same sky, whose noise is as large and independent
    )

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors [pixel used, 3]."""
        return healpix.vectors(self.nside)[self.keep]

    @property
    def area(self) -> float:
        """Of a pixel, steradian."""
        return 4 * np.pi / self.keep.size


class Theory(NamedTuple):
    """A prior of the sky."""

    power: np.ndarray  # C_l [l], microkelvin^2
    window: np.ndarray  # w_l [l], what the pixels leave of a harmonic

    def correlation(self, first: int, cosine: np.ndarray) -> np.ndarray:
        """Covariance of pixels at these cosines of their distance, by all degrees from `first` on."""
        degree = np.arange(self.power.size)
        terms = (2 * degree + 1) / (4 * np.pi) * self.power * self.window**2
        z = np.cos(np.linspace(np.pi, 0, 40 * self.power.size))  # forty points a wave: interpolation to one in 1,000
        return np.interp(cosine, z, np.polynomial.legendre.legval(z, np.where(degree >= first, terms, 0)))


class Spectrum(NamedTuple):
    """Bandpowers D_b = l (l + 1) C_l / 2 pi, microkelvin^2."""

    bins: spectrum.Bins
    value: np.ndarray  # [bin]
    error: np.ndarray  # [bin], from simulated skies: cosmic variance and noise
    expected: np.ndarray  # [bin], of the theory through the same bins
    simulated: np.ndarray  # [sky, bin], of simulated skies of the theory


@partial(jax.jit, static_argnums=1)
def _harmonics(angles: tuple[Array, Array], lmax: int) -> Array:
    def one(angles: tuple[Array, Array]) -> Array:
        return real_harmonics(*angles, lmax, ORTHONORMAL)

    return jax.lax.map(one, angles, batch_size=512)  # the Legendre functions of all pixels would not fit into memory


def design(sky: Sky, lmax: int) -> Array:
    """Y_lm at each pixel used, [pixel used, coefficient]."""
    return _harmonics(tuple(jnp.asarray(a[sky.keep]) for a in healpix.angles(sky.nside)), lmax)


@partial(jax.jit, static_argnums=1)
def maps(coefficients: Array, nside: int) -> Array:
    """Skies with these coefficients [sky, coefficient] on the whole sphere, [sky, pixel]."""
    return jax.vmap(lambda c: synthesis(to_alm(convert(c, ORTHONORMAL, HEALPIX)), Healpix(nside)))(coefficients)


class Equations(NamedTuple):
    """The least-squares problem of the coefficients, whatever the values of the pixels."""

    lower: Array  # [pixel used, pixel used], the Cholesky factor of the covariance of what is not fitted
    matrix: Array  # [pixel used, coefficient], divided by it
    precision: Array  # [coefficient]

    def solve(self, values: Array) -> LinearFit:
        """The fit of the values [pixel used]; vmap for many skies behind one mask."""
        white = jax.scipy.linalg.solve_triangular(self.lower, values, lower=True)
        like = {"coefficients": jnp.zeros_like(self.precision)}
        return least_squares(
            self.matrix, white, jnp.ones_like(white), like=like, precision={"coefficients": self.precision}
        )


def equations(sky: Sky, theory: Theory, lmax: int, free: int) -> Equations:
    """What `coefficients` solves; see there."""
    degree = real_degrees(lmax)[0]
    precision = np.where(degree > max(free, 1), 1 / np.where(degree > 1, theory.power[degree], 1), 0)
    finer = jnp.asarray(theory.correlation(lmax + 1, sky.directions @ sky.directions.T))

    @jax.jit
    def whitened(finer: Array, matrix: Array, window: Array) -> tuple[Array, Array]:
        lower = jnp.linalg.cholesky(finer + sky.noise**2 * jnp.eye(len(finer), dtype=finer.dtype))
        return lower, jax.scipy.linalg.solve_triangular(lower, matrix * window[None, :], lower=True)

    lower, matrix = whitened(finer, design(sky, lmax), jnp.asarray(theory.window[degree]))
    return Equations(lower, matrix, jnp.asarray(precision))


def coefficients(sky: Sky, theory: Theory, lmax: int, free: int) -> LinearFit:
    """a_lm for l <= lmax of the sky before its pixels smoothed it, in microkelvin, by least squares on the pixels used.

    Degrees up to `free` are fitted without a prior, 0 and 1 always: that removes monopole and dipole. Those above have the prior
    variance C_l. What is finer than lmax counts as noise, with the correlation from pixel to pixel that its C_l give it: behind a mask
    it is not white.
    """
    return jax.jit(Equations.solve)(equations(sky, theory, lmax, free), jnp.asarray(sky.values))


def bandpowers(
    sky: Sky, theory: Theory, simulations: int, key: Key, *, width: int = 3, progress: Callable[[float], None]
) -> Spectrum:
    """The power spectrum for 2 <= l <= nside: pseudo-C_l of the masked map without monopole and dipole, decoupled.

    Signal finer than 2 nside, which pixels fold back, and noise are removed by their mean over the simulated skies. Of two maps it is the
    cross spectrum, sum_m a_lm b_lm / (2l + 1): their noise is independent and has the mean 0 there, whether it is known or not, so that
    the signal alone is removed.
    """
    resolved = 2 * sky.nside
    matrix = design(sky, resolved)
    degree = real_degrees(resolved)[0]
    low = jnp.linalg.qr(matrix[:, :REMOVED])[0]

    def cleaned(skies: Array) -> Array:
        return skies - low @ (low.T @ skies)

    @jax.jit
    def pseudo(maps: Array) -> Array:
        """Of skies of which there is one map or two, [map, pixel, sky]."""
        found = [to_alm(sky.area * (cleaned(skies).T @ matrix)) for skies in maps]
        powers = [power_spectrum(alm) for alm in found]
        return powers[0] if len(found) == 1 else (power_spectrum(found[0] + found[1]) - powers[0] - powers[1]) / 2

    mixing = spectrum.coupling_of(jax.jit(lambda m: sky.area * (m.T @ cleaned(m)))(matrix), degree)
    progress(0.3)
    whole, fine = simulated(sky, theory, resolved, simulations, key)
    progress(0.8)
    folded = jnp.mean(pseudo(fine), axis=0)
    bands = spectrum.bins(2, sky.nside, width)
    window = jnp.asarray(theory.window[: resolved + 1] ** 2)
    decouple = jax.jit(lambda p: spectrum.decoupled(p, mixing, window, folded, bands))
    own = [sky.values] if sky.second is None else [sky.values, sky.second]
    value, response = decouple(pseudo(jnp.asarray(np.stack(own))[..., None])[0])
    skies = np.asarray(jax.vmap(lambda p: decouple(p)[0])(pseudo(whole)))
    expected = np.asarray(response) @ (theory.power * _scale(theory.power.size))[: resolved + 1]
    progress(1.0)
    return Spectrum(bands, np.asarray(value), skies.std(0, ddof=1), expected, skies)


def simulated(sky: Sky, theory: Theory, resolved: int, number: int, key: Key) -> tuple[Array, Array]:
    """Gaussian skies of the theory with noise at the pixels used, and what is to be removed: [map, pixel, sky].

    That is their degrees above `resolved`, for one map with the noise.
    """
    lmax = 2 * resolved  # what is finer hardly passes the pixels
    degree = real_degrees(lmax)[0]
    sky_key, noise_key = jax.random.split(key)
    deviation = jnp.asarray((np.sqrt(theory.power) * theory.window)[degree])
    drawn = jax.random.normal(sky_key, (degree.size, number)) * deviation[:, None]
    fine = jnp.where(jnp.asarray(degree > resolved)[:, None], drawn, 0.0)
    noise = sky.noise * jax.random.normal(noise_key, (1 if sky.second is None else 2, len(sky.values), number))
    seen = jnp.flatnonzero(jnp.asarray(sky.keep))
    whole, folded = (maps(c.T, sky.nside)[:, seen].T[None] for c in (drawn, fine))
    return whole + noise, folded + (noise if sky.second is None else jnp.zeros_like(noise))


def _scale(size: int) -> np.ndarray:
    degree = np.arange(size)
    return degree * (degree + 1) / (2 * np.pi)
