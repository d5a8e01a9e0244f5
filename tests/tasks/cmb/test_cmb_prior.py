"""The spectrum of a map as its own prior: right on simulated skies, and what is no Gaussian sky still shows in chi^2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.table import Table

from jaxsci import healpix
from jaxsci.errors import InputError
from jaxsci.ops.sphere import real_degrees
from jaxsci.runs.task import Session
from jaxsci.tasks.cmb import misfit, prior, sky_fit
from jaxsci.tasks.cmb.options import Options
from jaxsci.tasks.cmb.task import find_files, fit

pytestmark = pytest.mark.usefixtures("x64")

NSIDE, NOISE, LEVEL = 8, 4.0, 1200.0


@pytest.fixture(scope="module")
def skies():
    """Gaussian skies of one D_l with noise outside a belt, [sky, pixel], and where they are seen."""
    with jax.enable_x64(True):
        ell = np.arange(10 * NSIDE + 1)
        power = np.where(ell > 1, 2 * np.pi * LEVEL / np.maximum(ell * (ell + 1), 1), 0)
        theory = sky_fit.Theory(power, healpix.pixel_window(NSIDE, ell[-1]))
        degree = real_degrees(4 * NSIDE)[0]
        rng = np.random.default_rng(0)
        drawn = rng.normal(size=(3, degree.size)) * (np.sqrt(power) * theory.window)[degree]
        maps = np.asarray(sky_fit.maps(jnp.asarray(drawn), NSIDE))
        keep = abs(np.cos(healpix.angles(NSIDE)[0])) > 0.2
        return maps + NOISE * rng.normal(size=maps.shape), keep


def fitted(sky):
    theory = prior.of_map(sky, prior.key_of(1))
    found = sky_fit.coefficients(sky, theory, 12, 4)
    return theory, float(found.chi2), float(found.dof)


def test_the_spectrum_of_simulated_skies_is_found(skies):
    maps, keep = skies
    tables = []
    for values in maps:
        theory, chi2, dof = fitted(sky_fit.Sky(NSIDE, keep, values[keep], NOISE))
        assert abs(misfit.deviations(chi2, dof)) < misfit.MISFIT
        assert misfit.error_scale(chi2, dof) == 1
        tables.append(prior.table_of(theory))
    degree, power = tables[0][:, 0], np.mean(tables, axis=0)[:, 1]
    low = (degree >= 2) & (degree <= NSIDE)
    # Cosmic variance of 77 modes on 80 % of three skies, 10 %; and of all finer ones.
    assert power[low].mean() == pytest.approx(LEVEL, rel=0.3)
    assert power[-1] == pytest.approx(LEVEL, rel=0.15)


@pytest.mark.parametrize("bright", [300.0, pytest.param(3000.0, marks=pytest.mark.slow)])
def test_a_galaxy_that_is_not_masked_is_no_gaussian_sky(skies, bright):
    maps, keep = skies
    galaxy = bright * np.random.default_rng(1).exponential(size=maps[0].size)
    near = abs(np.cos(healpix.angles(NSIDE)[0])) < 0.1
    _, chi2, dof = fitted(sky_fit.Sky(NSIDE, np.ones_like(keep), maps[0] + np.where(near, galaxy, 0), NOISE))
    assert misfit.deviations(chi2, dof) > misfit.MISFIT


def test_a_map_of_ones_own_asks_for_no_other_file(tmp_path):
    def find(data_set, file):
        raise InputError(f"{file}: asked for")

    files = find_files(Options(data=tmp_path / "mine.npz"), find)
    assert files.planck is None
    for options in (Options(), Options(data=tmp_path / "mine.npz", theory="planck")):
        with pytest.raises(InputError, match=r"COM_PowerSpect.*asked for"):
            find_files(options, find)
    with pytest.raises(
        InputError,
        match=r"--polarization: expected no sign of U without the best fit of Planck, .*got IAU; leave it out",
    ):
        find_files(Options(data=tmp_path / "mine.npz", polarization="IAU"), find)


@pytest.mark.parametrize("said", [{}, {"polarization": "none"}, {"column": "Q_POLARISATION"}])
def test_q_and_u_that_are_not_read_are_noted(tmp_path, said):
    names = ("TEMPERATURE", "Q_POLARISATION", "U_POLARISATION")
    table = Table({name: np.random.default_rng(0).normal(size=192) for name in names})
    for name in names:
        table[name].unit = "uK"
    table.meta |= {"ORDERING": "RING", "NSIDE": 4}
    table.write(tmp_path / "mine.fits")
    words = []

    def progress(stage, fraction, state):
        words.append(state)
        if stage == "prior":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Options(data=tmp_path / "mine.fits", lmax=6, **said), Session(tmp_path, find=None, progress=progress))
    assert any("mine.fits has Q and U, which are not read; --theory planck" in state for state in words) == (not said)
