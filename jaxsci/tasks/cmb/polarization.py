"""The power spectra TE, EE and BB of a polarized sky behind a mask, with their errors.

Pseudo-spectra of the masked maps of T, Q and U: the mask couples degrees, and E with B. Both are removed at once, because EE + BB and
EE - BB couple among themselves only (Kogut et al. 2003, Astrophys. J. Suppl. 148, 161).
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import healpix
from jaxsci.core import Array, Key
from jaxsci.data.sphere.polarization import has_polarization
from jaxsci.ops.sphere import (
    Healpix,
    alm_degrees,
    analysis,
    polarization_analysis,
    polarization_synthesis,
    power_spectrum,
    real_degrees,
    synthesis,
    to_alm,
)
from jaxsci.tasks.cmb import pseudo_spectrum as spectrum
from jaxsci.tasks.cmb.sky_fit import Spectrum

SPECTRA = ("TE", "EE", "BB")
ORDERS = {"TE": (2, 0), "sum": (2, 2), "difference": (2, -2)}  # of the Wigner functions of a coupling
ITERATIONS = 3  # of an analysis: HEALPix's quadrature is approximate


class Polarized(NamedTuple):
    """A sky of T, Q and U on one nside."""

    nside: int
    keep: np.ndarray  # bool [pixel of the whole sky]
    maps: np.ndarray  # T, Q, U, [3, pixel], microkelvin, 0 where not kept
    noise: tuple[float, float]  # of a pixel, of T and of Q and U, microkelvin


class Theory(NamedTuple):
    """A prior of the sky."""

    power: np.ndarray  # C_l of TT, TE, EE, BB, [4, l], microkelvin^2
    window: np.ndarray  # w_l [l], what the pixels leave of a harmonic


def bandpowers(sky: Polarized, theory: Theory, simulations: int, key: Key, *, width: int = 3) -> dict[str, Spectrum]:
    """TE, EE and BB for 2 <= l <= nside, by name.

    Signal finer than 2 nside, which pixels fold back, and noise are removed by their mean over the simulated skies.
    """
    resolved = 2 * sky.nside
    keep = jnp.asarray(sky.keep, jnp.float64)
    mask_power = power_spectrum(jax.jit(lambda w: analysis(w, Healpix(sky.nside), 3 * sky.nside - 1))(keep))
    mixing = {name: spectrum.coupling(mask_power, resolved, orders) for name, orders in ORDERS.items()}
    bands = spectrum.bins(2, sky.nside, width)
    window = jnp.asarray(theory.window[: resolved + 1] ** 2)
    low = jnp.asarray(_low(sky))

    def pseudo(maps: Array) -> Array:
        """TE, EE + BB and EE - BB of the masked maps, [3, l]."""
        temperature = maps[0] * keep
        temperature = temperature - low @ (low.T @ temperature)
        t = analysis(temperature, Healpix(sky.nside), resolved, iterations=ITERATIONS)
        e, b = polarization_analysis(
            maps[1] * keep, maps[2] * keep, Healpix(sky.nside), resolved, iterations=ITERATIONS
        )
        ee, bb = power_spectrum(e), power_spectrum(b)
        cross = (power_spectrum(t + e) - power_spectrum(t) - ee) / 2
        return jnp.stack([cross, ee + bb, ee - bb])

    def decoupled(pseudo: Array, noise: Array) -> tuple[Array, Array]:
        parts = [
            spectrum.decoupled(p, mixing[m], window, n, bands) for p, m, n in zip(pseudo, ORDERS, noise, strict=True)
        ]
        values, responses = (jnp.stack(x) for x in zip(*parts, strict=True))
        return values, responses

    # Data and simulations as one batch, which is compiled once.
    draw = jax.jit(lambda keys: jax.lax.map(lambda key: _simulated(sky, theory, resolved, key), keys, batch_size=8))
    maps = draw(jax.random.split(key, simulations)).reshape(2 * simulations, *sky.maps.shape)
    every = jax.jit(lambda maps: jax.lax.map(pseudo, maps, batch_size=8))(
        jnp.concatenate([maps, jnp.asarray(sky.maps)[None]])
    )
    whole, fine, own = every[0:-1:2], every[1:-1:2], every[-1]
    folded = jnp.mean(fine, axis=0)
    separate = jax.jit(jax.vmap(lambda p: decoupled(p, folded)))
    values, responses = separate(jnp.concatenate([own[None], whole]))
    responses = responses[0]
    degree = np.arange(resolved + 1)
    _, te, ee, bb = theory.power[:, : resolved + 1] * degree * (degree + 1) / (2 * np.pi)
    truth = jnp.stack([r @ jnp.asarray(d) for r, d in zip(responses, (te, ee + bb, ee - bb), strict=True)])
    found, expected = (np.asarray(_separated(x)) for x in (values, truth))
    return {
        name: Spectrum(bands, found[0, i], found[1:, i].std(0, ddof=1), expected[i], found[1:, i])
        for i, name in enumerate(SPECTRA)
    }


def _separated(x: Array) -> Array:
    """TE, EE and BB from TE, EE + BB and EE - BB: [..., 3, bin]."""
    cross, total, difference = jnp.moveaxis(x, -2, 0)
    return jnp.stack([cross, (total + difference) / 2, (total - difference) / 2], axis=-2)


def _low(sky: Polarized) -> np.ndarray:
    """Monopole and dipole on the pixels kept, orthonormal, [pixel, 4]."""
    directions = healpix.vectors(sky.nside)
    return np.linalg.qr(np.column_stack([np.ones(len(directions)), directions]) * sky.keep[:, None])[0]


def _simulated(sky: Polarized, theory: Theory, resolved: int, key: Key) -> Array:
    """T, Q and U with noise of a Gaussian sky of the theory, and of its part of degrees above `resolved`: [2, 3, pixel]."""
    lmax, grid = 2 * resolved, Healpix(sky.nside)  # what is finer hardly passes the pixels
    degree = real_degrees(lmax)[0]
    sky_key, noise_key = jax.random.split(key)
    tt, te, ee, bb = theory.power[:, : lmax + 1]
    root = np.sqrt(tt)
    shared = np.divide(te, root, out=np.zeros_like(te), where=tt > 0)  # of E with T
    own = np.sqrt(np.maximum(ee - shared**2, 0))
    scale = np.stack([root, shared, own, np.sqrt(bb)]) * theory.window[: lmax + 1]
    first, second, third = jax.random.normal(sky_key, (3, degree.size), jnp.float64)
    t, with_t, alone, b = (
        to_alm(jnp.asarray(s[degree]) * x) for s, x in zip(scale, (first, first, second, third), strict=True)
    )
    deviation = jnp.asarray([sky.noise[0], sky.noise[1], sky.noise[1]])[:, None]
    noise = deviation[None] * jax.random.normal(noise_key, (2, 3, sky.keep.size), jnp.float64)
    kept = jnp.stack([jnp.ones(t.shape, t.dtype), jnp.asarray(alm_degrees(lmax)[0] > resolved, t.dtype)])

    def maps(kept: Array) -> Array:
        return jnp.stack([synthesis(kept * t, grid), *polarization_synthesis(kept * (with_t + alone), kept * b, grid)])

    return jax.vmap(maps)(kept) + noise


def left_out(path: Path) -> list[str]:
    """What to know of a map that is fitted with its own spectrum as the prior; empty where it has neither Q nor U."""
    if not has_polarization(path):
        return []
    return [f"note: {path.name} has Q and U, which are not read; --theory planck adds TE, EE and BB"]
