"""Places and orderings of HEALPix pixels against healpy."""

import healpy
import numpy as np
import pytest
from scipy.special import sph_harm_y

from jaxsci import healpix
from jaxsci.errors import InputError


@pytest.mark.parametrize("nside", [1, 2, 32])
def test_places_and_orderings_against_healpy(nside):
    pixels = np.arange(12 * nside**2)
    theta, phi = healpix.angles(nside)
    np.testing.assert_allclose([theta, phi], healpy.pix2ang(nside, pixels), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(healpix.ring_of_nested(nside), healpy.nest2ring(nside, pixels))
    np.testing.assert_array_equal(healpix.pixel_of(nside, theta, phi), pixels)
    rng = np.random.default_rng(0)
    theta, phi = np.arccos(rng.uniform(-1, 1, 20_000)), rng.uniform(-7, 7, 20_000)
    np.testing.assert_array_equal(healpix.pixel_of(nside, theta, phi), healpy.ang2pix(nside, theta, phi))


def test_the_pixel_window_is_what_averaging_leaves():
    """All harmonics of one degree, averaged over pixels, keep the part w_l^2 of their squares."""
    window = healpix.pixel_window(4, 10)
    assert window[0] == 1
    assert (np.diff(window) < 0).all()
    degree, fine = 8, 32
    theta, phi = healpix.angles(fine)
    harmonics = np.empty((2 * degree + 1, theta.size))
    for order in range(-degree, degree + 1):
        y = sph_harm_y(degree, abs(order), theta, phi)
        harmonics[order + degree] = y.real * (1 if order == 0 else np.sqrt(2)) if order >= 0 else np.sqrt(2) * y.imag
    averaged = healpy.ud_grade(harmonics, 4)
    share = np.mean(np.sum(np.square(averaged), axis=0)) / np.mean(np.sum(harmonics**2, axis=0))
    np.testing.assert_allclose(
        window[degree], np.sqrt(share), rtol=2e-3
    )  # parts of a pixel: 64 in both, other pixels in the mean


@pytest.mark.parametrize("pixels", [0, 11, 12 * 9, 12 * 32**2 + 1])
def test_other_numbers_of_pixels_are_refused(pixels):
    with pytest.raises(InputError, match="expected 12 nside\\^2 pixels"):
        healpix.nside_of(pixels)
