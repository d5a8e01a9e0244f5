"""Places and orderings of HEALPix pixels against healpy, and colatitudes against fifty digits."""

import healpy
import mpmath
import numpy as np
import pytest
from scipy.special import sph_harm_y

from jaxsci import healpix
from jaxsci.errors import InputError


@pytest.mark.parametrize("nside", [1, 2, 3, 5, 32])
def test_places_against_healpy(nside):
    pixels = np.arange(12 * nside**2)
    theta, phi = healpix.angles(nside)
    np.testing.assert_allclose([theta, phi], healpy.pix2ang(nside, pixels), rtol=0, atol=1e-13)
    np.testing.assert_allclose(healpix.vectors(nside), np.stack(healpy.pix2vec(nside, pixels), -1), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(healpix.pixel_of(nside, theta, phi), pixels)
    rng = np.random.default_rng(0)
    cos, phi = rng.uniform(-1, 1, 20_000), rng.uniform(-7, 7, 20_000)
    np.testing.assert_array_equal(
        healpix.pixel_of(nside, np.arccos(cos), phi), healpy.ang2pix(nside, np.arccos(cos), phi)
    )


@pytest.mark.parametrize("nside", [1, 2, 32])
def test_orderings_against_healpy(nside):
    pixels = np.arange(12 * nside**2)
    np.testing.assert_array_equal(healpix.nested_to_ring(nside), healpy.nest2ring(nside, pixels))
    np.testing.assert_array_equal(healpix.ring_to_nested(nside), healpy.ring2nest(nside, pixels))
    maps = np.random.default_rng(0).normal(size=(2, pixels.size))
    np.testing.assert_array_equal(healpix.to_nested(maps), healpy.reorder(maps, r2n=True))
    np.testing.assert_array_equal(healpix.to_ring(healpix.to_nested(maps)), maps)


def test_colatitudes_have_all_their_digits_at_the_poles():
    """z = 1 - ring^2 / (3 nside^2) in the caps and (4 - 2 ring / nside) / 3 between them; pixels near a pole are found again."""
    nside = 1024
    theta, phi = healpix.angles(nside)
    start = np.concatenate([[0], np.cumsum(healpix.rings(nside).length)])
    with mpmath.workdps(50):
        for ring in (1, 2, 3, 100, 1023, 1024, 1025, 2047, 2048, 3000, 3073, 4000, 4094, 4095):
            cap = min(ring, 4 * nside - ring)
            z = 1 - mpmath.mpf(cap) ** 2 / (3 * nside**2) if cap < nside else (4 - mpmath.mpf(2 * ring) / nside) / 3
            expected = mpmath.acos(z) if cap == ring or cap >= nside else mpmath.pi - mpmath.acos(z)
            assert abs(theta[start[ring - 1]] / expected - 1) < 1e-14, ring
    north = np.arange(start[20])
    np.testing.assert_array_equal(healpix.pixel_of(nside, theta[north], phi[north]), north)


@pytest.mark.parametrize(("nside", "factor"), [(1, 2), (4, 8), (3, 4)])
def test_children_lie_in_their_pixel(nside, factor):
    parts = healpix.children(nside, factor)
    np.testing.assert_array_equal(np.sort(parts.ravel()), np.arange(12 * (nside * factor) ** 2))
    theta, phi = healpix.angles(nside * factor)
    inside = healpix.pixel_of(nside, theta[parts], phi[parts])
    np.testing.assert_array_equal(inside, np.broadcast_to(np.arange(12 * nside**2)[:, None], inside.shape))


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


@pytest.mark.parametrize("pixels", [-12, 0, 11, 12 * 32**2 + 1])
def test_other_numbers_of_pixels_are_refused(pixels):
    with pytest.raises(InputError, match="expected 12 nside\\^2 pixels"):
        healpix.nside_of(pixels)


def test_nside_follows_the_rules_of_healpy():
    """Any nside in RING order, powers of two in NESTED order."""
    assert healpix.nside_of(12 * 3**2) == 3
    with pytest.raises(InputError, match="NESTED order: expected nside to be a power of two, got 3; use RING"):
        healpix.nested_to_ring(3)
    with pytest.raises(InputError, match="expected a number of at least 1, got 0"):
        healpix.angles(0)
    with pytest.raises(InputError, match="expected angles from 0 to pi"):
        healpix.pixel_of(4, np.array([-0.1]), np.array([0.0]))
