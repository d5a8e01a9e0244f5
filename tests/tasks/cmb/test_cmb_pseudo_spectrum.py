"""Power spectra on a part of the sky: coupling against the exact matrix, and no bias on simulated skies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci import healpix
from jaxsci.ops.sphere import power_spectrum, real_degrees, real_harmonics, to_alm
from jaxsci.tasks.cmb import pseudo_spectrum as spectrum
from jaxsci.tasks.cmb import sky_fit

pytestmark = pytest.mark.usefixtures("x64")

NSIDE, LMAX = 16, 24
AREA = 4 * np.pi / (12 * NSIDE**2)


@pytest.fixture(scope="module")
def masked():
    """A belt about the equator is hidden: harmonics at the pixels left, and the coupling of degrees to LMAX."""
    with jax.enable_x64(True):
        theta, phi = healpix.angles(NSIDE)
        keep = abs(np.cos(theta)) > 0.35
        matrix = jax.jit(real_harmonics, static_argnums=2)(jnp.asarray(theta), jnp.asarray(phi), 2 * LMAX)
        mask_power = power_spectrum(to_alm(AREA * matrix[keep].sum(0)))
        low = real_degrees(LMAX)[0]
        seen = matrix[keep][:, : low.size]
        return seen, low, spectrum.coupling_of(AREA * seen.T @ seen, low), mask_power


def test_the_coupling_of_a_mask_against_its_matrix(masked):
    _, _, exact, mask_power = masked
    analytic = jax.jit(lambda power: spectrum.coupling(power, LMAX))(mask_power)
    exact = np.asarray(exact)
    # Sums over pixels are not integrals: they agree to the accuracy of HEALPix's quadrature, and rows add up to the sky fraction.
    np.testing.assert_allclose(analytic, exact, rtol=0.02, atol=2e-4)
    np.testing.assert_allclose(exact[5].sum(), 0.65, atol=0.02)


def test_bandpowers_of_simulated_skies_are_unbiased(masked):
    seen, degree, mixing, _ = masked
    ell = np.arange(LMAX + 1)
    truth = np.where(ell > 1, 1000 * (1 + (ell / 20) ** 2), 0)  # D_l
    power = truth * 2 * np.pi / np.maximum(ell * (ell + 1), 1)
    rng = np.random.default_rng(0)
    noise = 5.0
    skies = (rng.normal(size=(200, degree.size)) * np.sqrt(power)[degree]) @ np.asarray(seen).T
    skies += noise * rng.normal(size=skies.shape)
    bands = spectrum.bins(2, 22, 3)
    flat = jnp.full(LMAX + 1, AREA * noise**2 * seen.shape[0] / (12 * NSIDE**2))

    @jax.jit
    def bandpowers(sky):
        pseudo = power_spectrum(to_alm(AREA * sky @ seen))
        return spectrum.decoupled(pseudo, mixing, jnp.ones(LMAX + 1), flat, bands)

    found, response = jax.vmap(bandpowers)(jnp.asarray(skies))
    expected = np.asarray(response[0]) @ truth
    found = np.asarray(found)
    error = found.std(0) / np.sqrt(len(found))
    assert (abs(found.mean(0) - expected) < 4 * error).all()
    # Cosmic variance of a bin, from the number of modes on the part of the sky that is seen; a belt loses some more.
    modes = (2 * bands.centers + 1) * 3 * 0.65
    ratio = found.std(0) / expected / np.sqrt(2 / modes)
    assert (ratio > 0.8).all()
    assert (ratio < 1.6).all()


def test_bins_are_whole():
    bands = spectrum.bins(2, 11, 4)
    np.testing.assert_array_equal(bands.first, [2, 6])
    np.testing.assert_array_equal(bands.last, [5, 9])
    np.testing.assert_array_equal(bands.centers, [3.5, 7.5])


def test_the_noise_of_two_maps_is_not_in_their_cross_spectrum():
    nside, noise = 4, 150.0
    ell = np.arange(10 * nside + 1)
    theory = sky_fit.Theory(
        np.where(ell > 1, 6e3 / np.maximum(ell * (ell + 1), 1), 0), healpix.pixel_window(nside, ell[-1])
    )
    keep = abs(np.cos(healpix.angles(nside)[0])) > 0.3
    rng = np.random.default_rng(2)
    signal, other = rng.normal(size=(2, keep.sum())) * 30

    def found(first, second=None, noise=0.0):
        sky = sky_fit.Sky(nside, keep, first, noise, second)
        return sky_fit.bandpowers(sky, theory, 200, jax.random.key(3), width=3, progress=lambda part: None)

    # sum_m (s + n) (s - n) = sum_m s^2 - n^2, and what is subtracted of each spectrum is that of a sky of nothing.
    auto = {name: found(values).value for name, values in (("s", signal), ("n", other), ("0", 0 * signal))}
    cross = found(signal + other, signal - other)
    np.testing.assert_allclose(cross.value, auto["s"] - auto["n"] + auto["0"], rtol=1e-9, atol=1e-6)
    # With noise that is larger than the signal the mean over simulated skies is still the theory, though no noise is subtracted.
    loud = found(signal, other, noise)
    # What is subtracted is the signal that the pixels fold back: the same, whatever the noise of the simulated skies.
    np.testing.assert_allclose(loud.value, found(signal, other).value, rtol=1e-9, atol=1e-6)
    error = loud.error * np.sqrt(2 / 200)  # of the mean of the estimate, and of what is subtracted
    assert (abs(loud.simulated.mean(0) - loud.expected) < 4 * error).all()
    assert (loud.error > 1.3 * cross.error).all()
