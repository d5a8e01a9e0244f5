import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data.jets import features as jet_features


def constituents(pt, eta, phi):
    """Massless constituents [1, constituent, 4] in float64, hardest first."""
    order = np.argsort(-np.asarray(pt))
    pt, eta, phi = (np.asarray(a, np.float64)[order] for a in (pt, eta, phi))
    return np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)[None]


def random_jet(seed, n=20, phi=0.0):
    rng = np.random.default_rng(seed)
    return constituents(rng.exponential(20.0, n) + 0.1, 0.7 + rng.normal(0, 0.2, n), phi + rng.normal(0, 0.2, n))


def turn(jets, angle):
    """About the beam."""
    e, px, py, pz = np.moveaxis(jets, -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([e, px * cos - py * sin, px * sin + py * cos, pz], axis=-1)


def boost(jets, rapidity):
    """Along the beam."""
    e, px, py, pz = np.moveaxis(jets, -1, 0)
    cosh, sinh = np.cosh(rapidity), np.sinh(rapidity)
    return np.stack([e * cosh + pz * sinh, px, py, pz * cosh + e * sinh], axis=-1)


seeds = st.integers(0, 2**32 - 1)
INPUTS = (jet_features.features, jet_features.pfn_inputs, jet_features.efn_inputs)


@given(seed=seeds, angle=st.floats(-np.pi, np.pi))
@pytest.mark.parametrize("inputs", INPUTS)
def test_a_turn_about_the_beam_changes_nothing(inputs, seed, angle):
    jet = random_jet(seed)
    for first, second in zip(inputs(jet), inputs(turn(jet, angle)), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)  # float32 outputs of order 1


@given(seed=seeds, rapidity=st.floats(-2, 2))
def test_a_boost_along_the_beam_changes_only_energies(seed, rapidity):
    """The jet is massive: only its rapidity, not its pseudorapidity, moves with its massless constituents."""
    jet, moved = random_jet(seed), boost(random_jet(seed), rapidity)
    energies = [jet_features.FEATURES.index(name) for name in ("log_e", "log_e_fraction")]
    first, second = (np.delete(jet_features.features(j)[0], energies, axis=-1) for j in (jet, moved))
    np.testing.assert_allclose(first, second, atol=1e-6)
    for first, second in zip(jet_features.pfn_inputs(jet), jet_features.pfn_inputs(moved), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_features_by_hand():
    """Two constituents, each number from its definition."""
    jet = constituents([300.0, 100.0], [0.2, 0.5], [3.1, -3.1])
    elements, weights = jet_features.features(jet, max_constituents=3)
    e, px, py, pz = jet[0].sum(axis=0)
    pt_jet, y_jet, phi_jet = np.hypot(px, py), 0.5 * np.log((e + pz) / (e - pz)), np.arctan2(py, px) % (2 * np.pi)
    d_eta, d_phi = np.array([0.2, 0.5]) - y_jet, np.array([3.1, 2 * np.pi - 3.1]) - phi_jet
    pt, energy = np.array([300.0, 100.0]), jet[0, :, 0]
    expected = [
        4 * d_eta,
        4 * d_phi,
        0.7 * (np.log(pt) - 1.7),
        0.7 * (np.log(energy) - 2.0),
        0.7 * (np.log(pt / pt_jet) + 4.7),
        0.7 * (np.log(energy / e) + 4.7),
        4 * (np.hypot(d_eta, d_phi) - 0.2),
    ]
    np.testing.assert_allclose(elements[0, :2], np.stack(expected, axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(weights, [[1, 1, 0]])
    np.testing.assert_array_equal(elements[0, 2], 0)


def test_pfn_and_efn_inputs_by_hand():
    jet = constituents([300.0, 100.0], [0.2, 0.6], [3.1, 3.1 + 0.4])
    elements, weights = jet_features.pfn_inputs(jet, max_constituents=2)
    np.testing.assert_allclose(elements[0], [[0.75, -0.1, -0.1], [0.25, 0.3, 0.3]], atol=1e-6)
    np.testing.assert_array_equal(weights, [[1, 1]])
    angles, shares = jet_features.efn_inputs(jet, max_constituents=2)
    np.testing.assert_array_equal(angles, elements[..., 1:])
    np.testing.assert_array_equal(shares, elements[..., 0])


def test_topodnn_inputs_are_the_hardest_thirty_aligned():
    jet = random_jet(4, n=40)
    inputs = jet_features.topodnn_inputs(jet)
    assert inputs.shape == (1, 90)
    z = inputs.reshape(30, 3)[:, 0]
    assert (np.diff(z) <= 0).all()
    pt = np.hypot(jet[0, :, 1], jet[0, :, 2])
    np.testing.assert_allclose(z, pt[:30] / pt.sum(), rtol=1e-6)
    mirrored = jet * [1, 1, -1, 1]
    np.testing.assert_allclose(jet_features.topodnn_inputs(mirrored), inputs, atol=1e-6)


@pytest.mark.parametrize("inputs", INPUTS)
def test_padding_is_zero_and_contributes_nothing(inputs):
    jet = random_jet(1, n=12)
    padded = np.concatenate([jet, np.zeros((1, 188, 4))], axis=1)
    for short, long in zip(inputs(jet), inputs(padded), strict=True):
        assert short.dtype == long.dtype == np.float32
        np.testing.assert_array_equal(short, long)
        assert (long[0, 12:] == 0).all()
    assert inputs(padded)[0].shape[:2] == inputs(padded)[1].shape == (1, 100)


@pytest.mark.parametrize("inputs", INPUTS)
def test_only_the_hardest_are_kept_and_the_jet_is_still_the_whole_jet(inputs):
    jet = random_jet(2, n=30)
    for few, many in zip(inputs(jet, max_constituents=10), inputs(jet, max_constituents=30), strict=True):
        assert few.shape[1] == 10
        np.testing.assert_array_equal(few, many[:, :10])


@pytest.mark.parametrize("inputs", [*INPUTS, jet_features.topodnn_inputs])
def test_extreme_constituents_give_finite_numbers(inputs):
    jets = np.zeros((5, 6, 4), np.float32)
    jets[0, 0] = [10, 10, 0, 0]  # alone and massless
    jets[1, :2] = [[1, 1, 0, 0], [1, -1, 0, 0]]  # back to back: the jet has no pT
    jets[2, :2] = [[600, 600, 0, 0], [1e-30, 1e-30, 0, 0]]  # soft
    jets[3, :3] = [600, 0, 600, 0]  # collinear
    jets[4, :2] = [[np.cosh(12), 1, 0, np.sinh(12)], [5, 0, 0, 5]]  # forward, and along the beam
    result = inputs(jets)
    for array in result if isinstance(result, tuple) else (result,):
        assert np.isfinite(array).all()
        assert np.abs(array[:4]).max() <= 5


def test_the_two_angles_share_the_scale_of_the_distance():
    """So an augmentation may rotate the first two features and leave the rest."""
    elements, weights = jet_features.features(random_jet(9))
    d_eta, d_phi, d_r = elements[weights > 0][:, [0, 1, jet_features.FEATURES.index("d_r")]].T
    np.testing.assert_allclose(np.hypot(d_eta, d_phi), d_r + 4 * 0.2, atol=1e-5)


def test_blocks_do_not_show(monkeypatch):
    jets = np.concatenate([random_jet(seed) for seed in range(7)])
    whole, _ = jet_features.features(jets)
    monkeypatch.setattr(jet_features, "_JETS_AT_ONCE", 3)
    np.testing.assert_array_equal(jet_features.features(jets)[0], whole)


def test_no_jets_give_no_inputs():
    elements, weights = jet_features.features(np.zeros((0, 200, 4), np.float32))
    assert elements.shape == (0, 100, 7)
    assert weights.shape == (0, 100)
