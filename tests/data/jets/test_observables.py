"""Substructure of jets against loops over constituents, jets whose numbers are known, and what must not matter."""

from itertools import combinations

import numpy as np
import pytest

from jaxsci.data.jets import kinematics
from jaxsci.data.jets.observables import NAMES, nsubjettiness, observables


def massless(pt, eta, phi):
    """Constituents [..., 4]."""
    pt, eta, phi = map(np.asarray, (pt, eta, phi))
    return np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)


def some_jets(number=20, constituents=12, seed=0):
    rng = np.random.default_rng(seed)
    pt = -np.sort(-rng.exponential(30.0, (number, constituents)), axis=1)
    return pt, rng.normal(0.3, 0.2, pt.shape), rng.normal(3.1, 0.2, pt.shape)  # across phi = pi


def test_correlations_are_sums_over_pairs_and_triples():
    pt, eta, phi = some_jets()
    found = observables(massless(pt, eta, phi))
    for jet in range(len(pt)):
        z = pt[jet] / pt[jet].sum()

        def r(i, j, jet=jet):
            return np.hypot(eta[jet, i] - eta[jet, j], phi[jet, i] - phi[jet, j])

        e2 = sum(z[i] * z[j] * r(i, j) for i, j in combinations(range(len(z)), 2))
        e3 = sum(z[i] * z[j] * z[k] * r(i, j) * r(j, k) * r(i, k) for i, j, k in combinations(range(len(z)), 3))
        np.testing.assert_allclose([found["c2"][jet], found["d2"][jet]], [e3 / e2**2, e3 / e2**3], rtol=1e-5)
        center = [(z * a[jet]).sum() for a in (eta, phi)]
        width = (z * np.hypot(eta[jet] - center[0], phi[jet] - center[1])).sum()
        np.testing.assert_allclose(found["width"][jet], width, rtol=1e-5)
        np.testing.assert_allclose(found["momentum_dispersion"][jet], np.sqrt((z**2).sum()), rtol=1e-6)


def test_two_prongs():
    found = observables(massless([[300.0, 100.0]], [[0.0, 0.3]], [[1.0, 1.4]]))
    np.testing.assert_allclose(found["mass"], np.sqrt(2 * 300 * 100 * (np.cosh(0.3) - np.cos(0.4))), rtol=1e-6)
    assert (found["number"], found["c2"], found["d2"]) == (2, 0, 0)
    np.testing.assert_allclose(found["width"], 2 * 0.75 * 0.25 * 0.5, rtol=1e-6)
    np.testing.assert_allclose(found["tau21"], 0, atol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_prong_for_each_axis_leaves_nothing(axes):
    z, eta, phi = np.full((1, axes), 1 / axes), np.arange(axes)[None] * 0.3, np.zeros((1, axes))
    np.testing.assert_allclose(nsubjettiness(z, eta, phi, axes), 0, atol=1e-12)
    if axes > 1:
        assert nsubjettiness(z, eta, phi, axes - 1)[0] > 0.05


def test_clusters_are_found():
    rng = np.random.default_rng(3)
    centers = np.array([[0.0, 0.0], [0.5, 0.1], [-0.2, 0.6]])
    points = (centers[:, None] + 0.02 * rng.normal(size=(3, 10, 2))).reshape(1, 30, 2)
    z = rng.uniform(0.5, 1.5, (1, 30))
    z /= z.sum()
    tau = nsubjettiness(z, points[..., 0], points[..., 1], 3)[0]
    nearest = np.hypot(*(points[0, :, None] - centers[None]).transpose(2, 0, 1)).min(axis=1)
    assert tau < 1.1 * (z[0] * nearest).sum()


def test_where_the_jet_points_and_what_is_padded_do_not_matter():
    pt, eta, phi = some_jets()
    expected = observables(massless(pt, eta, phi))
    padded = np.pad(massless(pt, eta + 0.7, phi - 2.9), ((0, 0), (0, 5), (0, 0)))
    found = observables(padded)
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_hardest_alone_enter_the_correlations():
    jets = massless(*some_jets(constituents=9))
    found, of_five = observables(jets, max_constituents=5), observables(jets[:, :5])
    for name in set(NAMES) - {"mass", "number"}:
        np.testing.assert_allclose(found[name], of_five[name], rtol=1e-5)
    np.testing.assert_allclose(found["mass"], kinematics.mass(jets.sum(axis=1)), rtol=1e-6)
    assert set(found["number"]) == {9}


def test_jets_of_one_constituent_and_of_none_are_finite():
    jets = np.zeros((2, 3, 4))
    jets[0, 0] = massless(50.0, 0.1, 0.2)
    for values in (observables(jets), observables(jets[1:])):
        assert all(np.isfinite(column).all() for column in values.values())
    assert observables(jets[:0])["mass"].shape == (0,)
