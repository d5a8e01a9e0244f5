"""Jet images tested by physics: what the preprocessing is meant to remove is removed, and what it keeps is where it should be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images


def constituents(pt, eta, phi):
    """Massless constituents [jet, constituent, 4] in float64, so that invariances hold to rounding and not only within a pixel."""
    pt, eta, phi = (np.atleast_2d(np.asarray(a, np.float64)) for a in (pt, eta, phi))
    return np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)


def random_jet(seed, n=25):
    """pT and angles to the axis of a jet with substructure: three prongs and soft radiation."""
    rng = np.random.default_rng(seed)
    prongs = rng.uniform(-0.35, 0.35, (3, 2))
    where = prongs[rng.integers(3, size=n)] + rng.normal(0, 0.05, (n, 2))
    return rng.exponential(20.0, n) + 0.1, where[:, 0], where[:, 1]


seeds = st.integers(0, 2**32 - 1)


def assert_same_image(first, second):
    # Coordinates agree to 1e-12 or so; no constituent of 25 lies that close to the edge of a pixel.
    np.testing.assert_allclose(jet_images.images(first), jet_images.images(second), atol=1e-6)


@given(seed=seeds, eta=st.floats(-2, 2), phi=st.floats(-np.pi, np.pi))
def test_the_image_does_not_depend_on_where_the_jet_flies(seed, eta, phi):
    """A boost along the beam shifts eta of massless constituents; a turn about the beam shifts phi, also across +-pi."""
    pt, x, y = random_jet(seed)
    assert_same_image(constituents(pt, x, y), constituents(pt, x + eta, y + phi))


@given(seed=seeds, angle=st.floats(-np.pi, np.pi))
def test_the_image_does_not_depend_on_the_roll_about_the_axis(seed, angle):
    pt, x, y = random_jet(seed)
    cos, sin = np.cos(angle), np.sin(angle)
    assert_same_image(constituents(pt, x, y), constituents(pt, x * cos - y * sin, x * sin + y * cos))


@given(seed=seeds)
def test_mirrored_jets_give_the_same_image(seed):
    pt, x, y = random_jet(seed)
    original = constituents(pt, x, y)
    assert_same_image(original, constituents(pt, -x, y))
    assert_same_image(original, constituents(pt, x, -y))


@given(seed=seeds, scale=st.floats(0.01, 100))
def test_the_image_does_not_depend_on_the_energy_scale_and_padding(seed, scale):
    pt, x, y = random_jet(seed)
    jet = constituents(pt, x, y)
    assert_same_image(jet, np.concatenate([scale * jet, np.zeros((1, 30, 4))], axis=1))


@given(seed=seeds)
def test_a_collinear_splitting_changes_nothing(seed):
    pt, x, y = random_jet(seed)
    jet = constituents(pt, x, y)
    assert_same_image(jet, np.concatenate([0.3 * jet, 0.7 * jet], axis=1))


@pytest.fixture(scope="module")
def simulated():
    """200 simulated jets in float32."""
    return jets.read(jets.embedded(), limit=200).constituents


@pytest.mark.parametrize("sign", [1, -1], ids=["turned", "turned and mirrored"])
def test_simulated_jets_in_float32_keep_their_images_within_binning(simulated, sign):
    e, px, py, pz = np.moveaxis(simulated, -1, 0)
    cos, sin = np.float32(np.cos(2.5)), np.float32(np.sin(2.5))
    turned = np.stack([e, px * cos - py * sin, px * sin + py * cos, sign * pz], axis=-1)
    moved = np.abs(jet_images.images(turned) - jet_images.images(simulated)).sum(axis=(1, 2)) / 2
    # The share of pT that changes its pixel: constituents within rounding (1e-6) of an edge, next to none.
    assert np.mean(moved) < 1e-3


def test_images_are_float32_fractions_with_total_one_and_the_maximum_quadrant_upper_right():
    jets = np.concatenate([constituents(*random_jet(seed)) for seed in range(40)])
    images = jet_images.images(jets)
    assert images.dtype == np.float32
    assert images.shape == (40, 40, 40)
    assert images.min() >= 0
    np.testing.assert_allclose(images.sum(axis=(1, 2)), 1, rtol=1e-6)
    quadrants = images.reshape(40, 2, 20, 2, 20).sum(axis=(2, 4))  # [jet, (up, down), (left, right)]
    assert (quadrants.reshape(40, 4).argmax(axis=1) == 1).all()


def test_center_moves_the_weighted_mean_to_the_origin_and_padding_stays_there():
    pt, x, y = (np.atleast_2d(a) for a in random_jet(3))
    pt[0, -5:] = 0
    dx, dy = jet_images.center(pt, x + 1.5, y + 3.0)
    np.testing.assert_allclose([np.sum(pt * dx), np.sum(pt * dy)], 0, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(dx[0, -5:], 0)
    np.testing.assert_allclose(dx[0, 0] - dx[0, 1], x[0, 0] - x[0, 1], rtol=0, atol=1e-12)


def test_rotate_makes_the_covariance_diagonal_and_upright():
    pt, x, y = (np.atleast_2d(a) for a in random_jet(5))
    dx, dy = jet_images.rotate(pt, x - np.average(x, weights=pt), y - np.average(y, weights=pt))
    assert abs(np.sum(pt * dx * dy)) < 1e-10
    assert np.sum(pt * dy**2) > np.sum(pt * dx**2)
    # lengths are kept: it is a rotation
    np.testing.assert_allclose(np.sum(pt * (dx**2 + dy**2)), np.cov(x, y, aweights=pt[0], ddof=0).trace() * pt.sum())


def test_two_prongs_stand_upright_on_the_lever_rule():
    """pT 300 and 100 at distance 0.4: at 0.1 above and 0.3 below the centroid, whatever their direction."""
    jet = constituents([300, 100], [0.5, 0.5 + 0.4 * np.cos(2.0)], [np.pi - 0.05, np.pi - 0.05 + 0.4 * np.sin(2.0)])
    _, x, y = jet_images.align(jet)
    np.testing.assert_allclose(x, 0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y, [[0.1, -0.3]], rtol=0, atol=1e-12)
    image = jet_images.images(jet)[0]
    rows = image.sum(axis=1)
    # pixels of 0.04: 0.1 lies in the third row above the middle, -0.3 in the eighth below it
    np.testing.assert_allclose(rows[[17, 27]], [0.75, 0.25], rtol=1e-6)


def test_three_prongs_of_a_symmetric_decay_keep_their_distances():
    corners = 0.3 * np.exp(2j * np.pi * np.arange(3) / 3 + 0.4j)
    _, x, y = jet_images.align(constituents([200, 150, 120], corners.real, corners.imag))
    sides = np.abs(np.diff((x + 1j * y)[0], append=(x + 1j * y)[0, 0]))
    np.testing.assert_allclose(sides, 0.3 * np.sqrt(3), rtol=1e-12)
    quadrant = (x[0] >= 0) & (y[0] >= 0)
    assert quadrant[0]  # the hardest prong


def test_pixelize_against_histogram2d():
    pt, x, y = (np.atleast_2d(a) for a in random_jet(7, n=200))
    pixels = jet_images.pixelize(pt, x, y, pixels=16, half_width=0.3)[0]
    edges = np.linspace(-0.3, 0.3, 17)
    expected, _, _ = np.histogram2d(x[0], y[0], bins=(edges, edges), weights=pt[0])
    np.testing.assert_allclose(pixels, expected.T[::-1], rtol=1e-12)
    assert pixels.sum() < pt.sum()  # some lie outside


def test_blocks_do_not_show(monkeypatch):
    jets = np.concatenate([constituents(*random_jet(seed)) for seed in range(7)])
    whole = jet_images.images(jets)
    monkeypatch.setattr(jet_images, "_JETS_AT_ONCE", 3)
    np.testing.assert_array_equal(jet_images.images(jets), whole)


@pytest.mark.parametrize("jet", [constituents([5.0], [0.3], [0.1]), constituents([5, 5], [0, 0], [0, np.pi])])
def test_degenerate_jets_give_finite_images(jet):
    assert np.isfinite(jet_images.images(jet)).all()


def test_no_jets_give_no_images():
    assert jet_images.images(np.zeros((0, 200, 4), np.float32)).shape == (0, 40, 40)
    assert (jet_images.images(np.zeros((2, 200, 4), np.float32)) == 0).all()


def test_what_lies_outside_the_image_is_counted():
    jet = constituents([100.0, 100.0, 50.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 0.0])
    assert jet_images.outside(jet) == 0
    assert jet_images.outside(jet, half_width=0.4) == pytest.approx(0.8)
    assert jet_images.outside(constituents([100.0, 100.0, 50.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0])) == pytest.approx(
        0.8
    )
