"""A sky of HEALPix pixels behind a mask: its harmonic coefficients and its power spectrum, with their errors."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import healpix
from jaxsci.core import Array, Key
from jaxsci.fitting import LinearFit, least_squares
from jaxsci.models import harmonics
from jaxsci.tasks.cmb import pseudo_spectrum as spectrum

REMOVED = 4  # coefficients: monopole and dipole


class Sky(NamedTuple):
    """The pixels of a map that are used."""

    nside: int
    keep: np.ndarray  # bool [pixel of the whole sky]
    values: np.ndarray  # [pixel used], microkelvin
    noise: float  # of a pixel, microkelvin

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors [pixel used, 3]."""
        return harmonics.vectors(*healpix.angles(self.nside))[self.keep]

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
def design(directions: Array, lmax: int) -> Array:
    """Y_lm at each direction, [pixel, coefficient]."""
    return jax.vmap(lambda x: harmonics.values(x, lmax))(directions)


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
    degree = harmonics.degrees(lmax)
    precision = np.where(degree > max(free, 1), 1 / np.where(degree > 1, theory.power[degree], 1), 0)
    finer = jnp.asarray(theory.correlation(lmax + 1, sky.directions @ sky.directions.T))

    @jax.jit
    def whitened(finer: Array, directions: Array, window: Array) -> tuple[Array, Array]:
        lower = jnp.linalg.cholesky(finer + sky.noise**2 * jnp.eye(len(finer), dtype=finer.dtype))
        return lower, jax.scipy.linalg.solve_triangular(lower, design(directions, lmax) * window[None, :], lower=True)

    lower, matrix = whitened(finer, jnp.asarray(sky.directions), jnp.asarray(theory.window[degree]))
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

    Signal finer than 2 nside, which pixels fold back, and noise are removed by their mean over the simulated skies.
    """
    resolved = 2 * sky.nside
    directions = jnp.asarray(sky.directions)
    matrix = design(directions, resolved)
    degree = harmonics.degrees(resolved)
    low = jnp.linalg.qr(matrix[:, :REMOVED])[0]

    def cleaned(maps: Array) -> Array:
        return maps - low @ (low.T @ maps)

    @jax.jit
    def pseudo(maps: Array) -> Array:
        analyzed = sky.area * (matrix.T @ cleaned(maps))
        return jax.vmap(lambda a: spectrum.power(a, degree), in_axes=1)(analyzed)

    mixing = spectrum.coupling_of(jax.jit(lambda m: sky.area * (m.T @ cleaned(m)))(matrix), degree)
    progress(0.3)
    whole, fine = simulated(directions, sky, theory, resolved, simulations, key)
    progress(0.8)
    folded = jnp.mean(pseudo(fine), axis=0)
    bands = spectrum.bins(2, sky.nside, width)
    window = jnp.asarray(theory.window[: resolved + 1] ** 2)
    decouple = jax.jit(lambda p: spectrum.decoupled(p, mixing, window, folded, bands))
    value, response = decouple(pseudo(jnp.asarray(sky.values)[:, None])[0])
    skies = np.asarray(jax.vmap(lambda p: decouple(p)[0])(pseudo(whole)))
    expected = np.asarray(response) @ (theory.power * _scale(theory.power.size))[: resolved + 1]
    progress(1.0)
    return Spectrum(bands, np.asarray(value), skies.std(0, ddof=1), expected, skies)


def simulated(directions: Array, sky: Sky, theory: Theory, resolved: int, number: int, key: Key) -> tuple[Array, Array]:
    """Gaussian skies of the theory with noise at the pixels used, and the part of degrees above `resolved` with noise: [pixel, sky]."""
    lmax = 2 * resolved  # what is finer hardly passes the pixels
    degree = jnp.asarray(harmonics.degrees(lmax))
    sky_key, noise_key = jax.random.split(key)
    deviation = jnp.asarray(np.sqrt(theory.power) * theory.window)[degree]
    drawn = jax.random.normal(sky_key, (degree.size, number), directions.dtype) * deviation[:, None]

    @jax.jit
    def at(points: Array, drawn: Array) -> Array:
        both = jnp.concatenate([drawn, jnp.where((degree > resolved)[:, None], drawn, 0.0)], axis=1)
        # In chunks: all harmonics at all pixels would not fit into memory.
        return jax.lax.map(lambda x: harmonics.values(x, lmax) @ both, points, batch_size=128)

    maps = at(directions, drawn)
    noise = sky.noise * jax.random.normal(noise_key, (directions.shape[0], number), directions.dtype)
    return maps[:, :number] + noise, maps[:, number:] + noise


def _scale(size: int) -> np.ndarray:
    degree = np.arange(size)
    return degree * (degree + 1) / (2 * np.pi)
