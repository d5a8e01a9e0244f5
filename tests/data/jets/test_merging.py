"""Merging keeps the momentum of a jet and moves each soft constituent to the hard one beside it."""

import numpy as np

from jaxsci.data import jets
from jaxsci.data.jets import kinematics
from jaxsci.data.jets.kinematics import merge_at_rest, merge_soft

some = jets.read(jets.embedded(), limit=50).constituents


def test_the_momentum_of_the_jet_is_kept():
    merged = merge_soft(some, 10)
    assert merged.shape == (50, 10, 4)
    np.testing.assert_allclose(merged.sum(1), kinematics.jet_momentum(some), rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(merge_soft(some, 1)[:, 0], merge_soft(some, 1).sum(1))


def test_each_soft_constituent_joins_the_nearest_hard_one():
    jet = some[7].astype(np.float64)
    jet = jet[jet[:, 0] > 0]
    expected = jet[:6].copy()
    y, phi = kinematics.rapidity(jet), kinematics.phi(jet)
    for i in range(6, len(jet)):
        distance = np.hypot(y[i] - y[:6], np.angle(np.exp(1j * (phi[i] - phi[:6]))))
        expected[np.argmin(distance)] += jet[i]
    np.testing.assert_allclose(merge_soft(some[7:8], 6)[0], expected, rtol=1e-12, atol=1e-12)


def test_jets_of_few_constituents_stay_and_are_padded():
    jet = some[:1].copy()
    jet[:, 4:] = 0
    np.testing.assert_array_equal(merge_soft(jet, 6), np.pad(jet[:, :4], ((0, 0), (0, 2), (0, 0))))
    np.testing.assert_array_equal(merge_soft(np.zeros((1, 3, 4)), 2), 0)


def test_frames_along_the_beam_change_the_frame_alone():
    cosh, sinh, cos, sin = np.cosh(0.8), np.sinh(0.8), np.cos(2.0), np.sin(2.0)
    matrix = np.array([[cosh, 0, 0, sinh], [0, cos, -sin, 0], [0, sin, cos, 0], [sinh, 0, 0, cosh]])
    moved = merge_soft(some.astype(np.float64) @ matrix.T, 10)
    np.testing.assert_allclose(moved, merge_soft(some, 10) @ matrix.T, rtol=1e-9, atol=1e-9)


def boost(direction, rapidity):
    n = np.asarray(direction) / np.linalg.norm(direction)
    matrix = np.eye(4)
    matrix[0, 0] = np.cosh(rapidity)
    matrix[0, 1:] = matrix[1:, 0] = np.sinh(rapidity) * n
    matrix[1:, 1:] += (np.cosh(rapidity) - 1) * np.outer(n, n)
    return matrix


def test_at_rest_the_momentum_is_kept():
    merged = merge_at_rest(some, 10)
    np.testing.assert_allclose(merged.sum(1), kinematics.jet_momentum(some), rtol=1e-12, atol=1e-9)


def test_at_rest_each_constituent_joins_the_one_it_flies_beside():
    jet = some[7].astype(np.float64)
    jet = jet[jet[:, 0] > 0]
    total = jet.sum(0)
    rapidity = np.arctanh(np.linalg.norm(total[1:]) / total[0])
    at_rest = jet @ boost(-total[1:], rapidity).T
    np.testing.assert_allclose(at_rest.sum(0)[1:], 0, atol=1e-9)
    order = np.argsort(-at_rest[:, 0])
    hard, expected = order[:6], jet[order[:6]].copy()
    for i in order[6:]:
        # Of a hard particle with a mass, p_i . p_j / E_j and not the angle itself.
        near = at_rest[i, 0] - at_rest[hard, 1:] @ at_rest[i, 1:] / at_rest[hard, 0]
        expected[np.argmin(near)] += jet[i]
    np.testing.assert_allclose(merge_at_rest(some[7:8], 6)[0], expected, rtol=1e-9, atol=1e-9)


def test_at_rest_no_frame_and_no_order_changes_who_is_merged():
    matrix = boost([1, 2, -1], 0.9) @ boost([0, 0, 1], -0.6)
    merged = merge_at_rest(some, 10)
    moved = merge_at_rest(some.astype(np.float64)[:, ::-1] @ matrix.T, 10)
    np.testing.assert_allclose(moved, merged @ matrix.T, rtol=1e-7, atol=1e-7)


def test_at_rest_jets_of_few_constituents_stay_and_are_padded():
    jet = some[:1, :200].copy()
    jet[:, 4:] = 0
    merged = merge_at_rest(jet, 6)
    np.testing.assert_array_equal(np.sort(merged[0], axis=0), np.sort(np.pad(jet[0, :4], ((0, 2), (0, 0))), axis=0))
    np.testing.assert_array_equal(merged[0, 4:], 0)
    np.testing.assert_array_equal(merge_at_rest(np.zeros((1, 3, 4)), 2), 0)
    jet[:, 1:] = 0  # a particle alone, perhaps without a mass
    np.testing.assert_array_equal(merge_at_rest(jet, 2)[0], np.pad(jet[0, :1], ((0, 1), (0, 0))))
