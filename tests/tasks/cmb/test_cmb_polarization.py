"""Polarization of the microwave sky: files and their signs of U, coupling against Wigner's symbols, no bias on simulated skies."""

import math

import healpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits

from jaxsci.data.sphere.polarization import read_polarization
from jaxsci.errors import InputError
from jaxsci.tasks.cmb import polarization
from jaxsci.tasks.cmb import pseudo_spectrum as spectrum
from jaxsci.tasks.cmb.sky_fit import Sky
from jaxsci.tasks.cmb.task import Files, read_polarized

NSIDE = 8
Q, U = np.random.default_rng(0).normal(size=(2, 12 * NSIDE**2))


def write(path, names=("I_STOKES", "Q_STOKES", "U_STOKES"), u=U, **header):
    values = dict(zip(("I_STOKES", "Q_STOKES", "U_STOKES"), (Q + U, Q, u), strict=True))
    table = fits.BinTableHDU.from_columns([fits.Column(n, "D", unit="mK", array=values[n]) for n in names])
    table.header.update({"PIXTYPE": "HEALPIX", "ORDERING": "RING", "NSIDE": NSIDE, **header})
    table.writeto(path, overwrite=True)
    return path


class TestFiles:
    def test_u_of_the_iau_has_the_other_sign(self, tmp_path):
        for convention, sign in {"COSMO": 1, "IAU": -1}.items():
            said = read_polarization(write(tmp_path / "m.fits", POLCCONV=convention))
            given = read_polarization(write(tmp_path / "m.fits"), convention)
            for found in (said, given):
                np.testing.assert_array_equal(found.q.values, Q)
                np.testing.assert_array_equal(found.u.values, sign * U)
                assert found.u.unit == "mK"

    def test_a_map_written_by_healpy(self, tmp_path):
        healpy.write_map(tmp_path / "m.fits", [Q + U, Q, U], dtype=np.float64)  # without the sign
        np.testing.assert_array_equal(read_polarization(tmp_path / "m.fits", "COSMO").u.values, U)

    def test_a_map_of_temperature_alone(self, tmp_path):
        assert read_polarization(write(tmp_path / "m.fits", ["I_STOKES"])) is None

    def test_an_unknown_sign_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"expected POLCCONV, the sign of U, in the header, got none; say whether"):
            read_polarization(write(tmp_path / "m.fits"))
        with pytest.raises(InputError, match=r"expected the convention IAU as the file says, got COSMO"):
            read_polarization(write(tmp_path / "m.fits", POLCCONV="IAU"), "COSMO")
        with pytest.raises(InputError, match=r"columns of both Q and U, got only Q_STOKES"):
            read_polarization(write(tmp_path / "m.fits", ["I_STOKES", "Q_STOKES"], POLCCONV="COSMO"))

    def test_q_and_u_are_measured_where_they_are_used(self, tmp_path):
        seen = Sky(NSIDE, np.ones(len(Q), bool), 1e3 * (Q + U), 6.0)
        path = write(tmp_path / "m.fits", POLCCONV="COSMO")
        np.testing.assert_allclose(read_polarized(Files(path, None, None, "file", None), seen).maps[2], 1e3 * U)
        write(path, u=np.where(np.arange(len(U)) < 60, 0, U), POLCCONV="COSMO")
        with pytest.raises(InputError, match="got 0 in 60 pixels and at most one other so often"):
            read_polarized(Files(path, None, None, "file", None), seen)
        mask = np.arange(len(U)) >= 60
        np.savez(tmp_path / "mask.npz", map=mask.astype(float))
        found = read_polarized(Files(path, tmp_path / "mask.npz", None, "file", None), seen)
        np.testing.assert_array_equal(found.keep, mask)


def wigner_3j(a, b, c, m):
    """(a b c; m -m 0) by Racah's formula."""
    f = math.factorial
    triangle = f(a + b - c) * f(a - b + c) * f(b + c - a) / f(a + b + c + 1)
    root = math.sqrt(triangle * f(a + m) * f(a - m) * f(b + m) * f(b - m) * f(c) ** 2)
    first, last = max(0, b - c - m, a - c - m), min(a + b - c, a - m, b - m)
    denominators = (
        (-1) ** t * f(t) * f(c - b + t + m) * f(c - a + t + m) * f(a + b - c - t) * f(a - t - m) * f(b - t - m)
        for t in range(first, last + 1)
    )
    return (-1) ** (a - b) * root * sum(1 / d for d in denominators)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("orders", [(0, 0), (2, 0), (2, 2), (2, -2)])
def test_the_coupling_of_polarization_against_wigner_symbols(orders):
    """M_ll' = (2l' + 1) / (4 pi) sum_k (2k + 1) W_k (l l' k; m -m 0) (l l' k; m' -m' 0)."""
    power = np.random.default_rng(1).uniform(size=11)
    ours = np.asarray(jax.jit(spectrum.coupling, static_argnums=(1, 2))(jnp.asarray(power), 5, orders))
    for first, second in ((2, 2), (2, 5), (5, 4)):
        total = 0.0
        for k in range(abs(first - second), first + second + 1):
            total += (2 * k + 1) * power[k] * math.prod(wigner_3j(first, second, k, m) for m in orders)
        assert ours[first, second] == pytest.approx((2 * second + 1) / (4 * np.pi) * total, abs=1e-13)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_bandpowers_of_simulated_skies_are_unbiased():
    """A cap and a belt are hidden; the data are one more sky, of B alone, of which nothing may be taken for E."""
    ell = np.arange(10 * NSIDE + 1)
    inverse = 2 * np.pi / np.maximum(ell * (ell + 1), 1) * (ell > 1)
    power = np.stack([1000 * inverse, 30 * inverse, 20 * inverse, 5 * inverse])
    theory = polarization.Theory(power, np.exp(-((ell / 20) ** 2)))
    z = healpy.pix2vec(NSIDE, np.arange(12 * NSIDE**2))[2]
    keep = (abs(z) > 0.2) & (z < 0.9)
    e = np.zeros(healpy.Alm.getsize(2 * NSIDE), complex)
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(2, len(e)))  # of m = 0 the real one alone, which comes first
    parts = np.where(np.arange(len(e)) <= 2 * NSIDE, np.stack([parts[0], 0 * parts[0]]), parts / np.sqrt(2))
    amplitude = np.sqrt(100 * inverse[: 2 * NSIDE + 1]) * theory.window[: 2 * NSIDE + 1]
    b = healpy.almxfl(parts[0] + 1j * parts[1], amplitude)
    q, u = healpy.alm2map_spin([e, b], NSIDE, 2, 2 * NSIDE)
    sky = polarization.Polarized(NSIDE, keep, np.stack([0 * q, q, u]) * keep, (1.0, 1.0))
    found = polarization.bandpowers(sky, theory, 100, jax.random.key(0), width=3)
    for name, value in {"TE": 30, "EE": 20, "BB": 5}.items():
        powers = found[name]
        np.testing.assert_allclose(powers.expected[0], value, rtol=0.05)  # the last bin sees degrees beyond it
        standard = powers.error * np.sqrt(2 / 100)  # of the mean, and of the noise that was subtracted
        assert (abs(powers.simulated.mean(0) - powers.expected) < 4 * standard).all()
    assert (found["BB"].value > 40).all()
    assert (abs(found["EE"].value) < 0.1 * found["BB"].value).all()
