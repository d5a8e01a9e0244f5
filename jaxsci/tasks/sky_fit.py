"""A sky of HEALPix pixels behind a mask: its harmonic coefficients and its power spectrum, with their errors."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Key
from jaxsci.data import healpix
from jaxsci.fit import LinearFit, least_squares, spectrum
from jaxsci.models import harmonics

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

    def variance(self, first: int) -> float:
        """Of a pixel, by all degrees from `first` on."""
        degree = np.arange(self.power.size)
        return float(np.sum(((2 * degree + 1) / (4 * np.pi) * self.power * self.window**2)[first:]))


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


def coefficients(sky: Sky, theory: Theory, lmax: int, free: int) -> LinearFit:
    """a_lm for l <= lmax of the sky before its pixels smoothed it, in microkelvin, by least squares on the pixels used.

    Degrees up to `free` are fitted without a prior, 0 and 1 always: that removes monopole and dipole. Those above have the prior
    variance C_l. What is finer than lmax counts as noise.
    """
    degree = harmonics.degrees(lmax)
    matrix = design(jnp.asarray(sky.directions), lmax) * jnp.asarray(theory.window[degree])[None, :]
    precision = np.where(degree > max(free, 1), 1 / np.where(degree > 1, theory.power[degree], 1), 0)
    weight = np.full(sky.values.shape, 1 / (sky.noise**2 + theory.variance(lmax + 1)))
    like = harmonics.init(jax.random.key(0), harmonics.Config(lmax))
    solve = jax.jit(lambda f, y, w, p: least_squares(f, y, w, like=like, precision={"coefficients": p}))
    return solve(matrix, *(jnp.asarray(a) for a in (sky.values, weight, precision)))


def bandpowers(
    sky: Sky, theory: Theory, simulations: int, key: Key, *, width: int = 3, report: Callable[[float], None]
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
        analysed = sky.area * (matrix.T @ cleaned(maps))
        return jax.vmap(lambda a: spectrum.power(a, degree), in_axes=1)(analysed)

    mixing = spectrum.coupling_of(jax.jit(lambda m: sky.area * (m.T @ cleaned(m)))(matrix), degree)
    report(0.3)
    whole, fine = simulated(directions, sky, theory, resolved, simulations, key)
    report(0.8)
    folded = jnp.mean(pseudo(fine), axis=0)
    bands = spectrum.bins(2, sky.nside, width)
    window = jnp.asarray(theory.window[: resolved + 1] ** 2)
    decouple = jax.jit(lambda p: spectrum.decoupled(p, mixing, window, folded, bands))
    value, response = decouple(pseudo(jnp.asarray(sky.values)[:, None])[0])
    skies = np.asarray(jax.vmap(lambda p: decouple(p)[0])(pseudo(whole)))
    expected = np.asarray(response) @ (theory.power * _scale(theory.power.size))[: resolved + 1]
    report(1.0)
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
        # In portions: all harmonics at all pixels would not fit into memory.
        return jax.lax.map(lambda x: harmonics.values(x, lmax) @ both, points, batch_size=128)

    maps = at(directions, drawn)
    noise = sky.noise * jax.random.normal(noise_key, (directions.shape[0], number), directions.dtype)
    return maps[:, :number] + noise, maps[:, number:] + noise


def _scale(size: int) -> np.ndarray:
    degree = np.arange(size)
    return degree * (degree + 1) / (2 * np.pi)
