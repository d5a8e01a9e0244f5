"""What the sky is thought to be before it is fitted: the best fit of Planck, or the spectrum of the map itself."""

from pathlib import Path

import jax
import numpy as np

from jaxsci import healpix
from jaxsci.core import Key
from jaxsci.data.sphere import sky
from jaxsci.errors import InputError
from jaxsci.tasks.cmb import sky_fit
from jaxsci.tasks.cmb.sky_fit import Sky, Theory

SKIES = 20  # simulated, for the mean of what is subtracted from the first spectrum of a map
MEDIAN = 0.4549  # of the square of a standard normal variable
UNSEEN = 0.01  # of the noise: power on fine scales below this is not told from none


def of_planck(path: Path, nside: int) -> Theory:
    """C_l of the best fit to 10 nside, and the window of the pixels."""
    return Theory(powers_of(path, nside)[0], healpix.pixel_window(nside, 10 * nside))


def powers_of(path: Path, nside: int) -> np.ndarray:
    """C_l of TT, TE, EE and BB of the best fit to 10 nside, [4, l]."""
    table = sky.read_spectrum(path)
    lmax = 10 * nside
    if table[-1, 0] < lmax or not np.array_equal(table[:, 0], np.arange(2, len(table) + 2)):
        raise InputError(
            f"{path}: expected every degree from 2 to {lmax}, got {table[0, 0]:g} to {table[-1, 0]:g} in {len(table)} rows; complete it"
        )
    degree = table[:, 0]
    power = table[:, 1:5].T * 2 * np.pi / (degree * (degree + 1))
    return np.pad(power, ((0, 0), (2, 0)))[:, : lmax + 1]


def of_map(seen: Sky, key: Key) -> Theory:
    """The spectrum of the map itself, and the window of the pixels.

    To degree nside D_l joins the bandpowers of the map; one that is smaller than its error is taken as large as that. Finer degrees have
    one D_l, with which neighboring pixels differ as much as they do in the median: a few bright ones do not raise it.
    """
    degree = np.arange(10 * seen.nside + 1)
    window = healpix.pixel_window(seen.nside, degree[-1])
    start = _finer(seen, np.zeros(degree.size), window, first=2)
    powers = sky_fit.bandpowers(seen, start, SKIES, key, progress=lambda part: None)
    if not powers.value.size:
        return start
    joined = np.interp(degree, powers.bins.centers, np.maximum(powers.value, powers.error))
    known = np.where((degree > 1) & (degree <= powers.bins.last[-1]), joined * _flat(degree), 0.0)
    return _finer(seen, known, window, first=int(powers.bins.last[-1]) + 1)


def _flat(degree: np.ndarray) -> np.ndarray:
    """C_l of D_l = 1, [l]."""
    return np.where(degree > 1, 2 * np.pi / np.maximum(degree * (degree + 1), 1), 0.0)


def _finer(seen: Sky, known: np.ndarray, window: np.ndarray, first: int) -> Theory:
    """The theory with the C_l `known` and from degree `first` on the one D_l that the differences of neighboring pixels have."""
    degree = np.arange(known.size)
    fine = np.where(degree >= first, _flat(degree), 0.0)
    both = np.flatnonzero(seen.keep[:-1] & seen.keep[1:])  # pixels that follow each other on a ring
    directions = healpix.vectors(seen.nside)
    cosine = (directions[both] * directions[both + 1]).sum(1)
    near = cosine > np.cos(2 * np.sqrt(seen.area))
    if not near.any():
        raise InputError(
            "--data: expected neighboring pixels, from which the spectrum is estimated, got none; add --theory planck"
        )
    place = np.cumsum(seen.keep) - 1
    squares = (seen.values[place[both + 1]] - seen.values[place[both]])[near] ** 2

    def differences(power: np.ndarray) -> np.ndarray:
        theory = Theory(power, window)
        return 2 * (theory.correlation(0, np.ones(1)) - theory.correlation(0, cosine[near]))

    noise = 2 * seen.noise**2
    rest, unit = differences(known) + noise, differences(fine)
    low = UNSEEN * noise / float(unit.mean())
    high = max(2 * low, float(squares.max() / unit.min()) / MEDIAN)
    for _ in range(60):  # the median falls with the power
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if np.median(squares / (rest + middle * unit)) > MEDIAN else (low, middle)
    return Theory(known + low * fine, window)


def table_of(theory: Theory) -> np.ndarray:
    """Rows l, D_l from l = 2 on, as in a table of Planck's."""
    degree = np.arange(2, theory.power.size)
    return np.stack([degree, theory.power[2:] / _flat(degree)], 1)


def key_of(seed: int) -> Key:
    """The random key of the skies that are simulated for `of_map`."""
    return jax.random.fold_in(jax.random.key(seed), 3)
