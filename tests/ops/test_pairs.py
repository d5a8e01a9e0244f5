"""The fifteen maps are all there are and commute with permutations; neighbors are those of a sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.ops import apply_pair_maps, nearest_neighbors, pair_maps, pair_means

N = 5.0
maps = jax.jit(pair_maps, static_argnums=1)


def test_the_maps_commute_with_permutations():
    rng = np.random.default_rng(0)
    x, order = rng.normal(size=(4, 4, 2)).astype(np.float32), rng.permutation(4)
    permuted = maps(x[order][:, order], N)
    np.testing.assert_allclose(permuted, np.asarray(maps(x, N))[:, order][:, :, order], rtol=1e-6, atol=1e-6)


def test_there_are_fifteen_independent_ones():
    # All commuting maps are a space of 15 dimensions, the number of partitions of four indices (from n = 4 on).
    basis = np.eye(16, dtype=np.float32).reshape(4, 4, 16)
    matrix = np.asarray(maps(basis, N)).reshape(15, -1)
    assert np.linalg.matrix_rank(matrix, tol=1e-4) == 15


@pytest.mark.usefixtures("x64")
def test_the_layer_is_the_sum_over_the_maps():
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(4, 4, 2)), rng.normal(size=(15, 2, 3))
    expected = np.einsum("aijc,acd->ijd", jax.jit(pair_maps, static_argnums=1)(x, N), kernel)
    np.testing.assert_allclose(
        jax.jit(apply_pair_maps, static_argnums=2)(x, kernel, N), expected, rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(pair_means(x, N)[0], x.sum((0, 1)) / N**2, rtol=1e-12)
    np.testing.assert_allclose(pair_means(x, N)[1], np.einsum("iic->c", x) / N, rtol=1e-12)


def test_padding_with_zeros_changes_no_map():
    x = np.random.default_rng(2).normal(size=(3, 3, 2)).astype(np.float32)
    padded = np.zeros((4, 4, 2), np.float32)
    padded[:3, :3] = x
    np.testing.assert_allclose(np.asarray(maps(padded, N))[:, :3, :3], maps(x, N), rtol=1e-6, atol=1e-6)


neighbors = jax.jit(nearest_neighbors, static_argnums=2)


@given(seed=st.integers(0, 2**31), present=st.integers(0, 7), ties=st.booleans())
def test_neighbors_are_those_of_a_stable_sort(seed, present, ties):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(7, 2)).astype(np.float32)
    points = np.round(points) if ties else points
    mask = rng.permutation(7) < present
    points[~mask] = np.nan
    expected = np.zeros((7, 3, 7), np.float32)
    for i in np.flatnonzero(mask):
        others = np.array([j for j in np.flatnonzero(mask) if j != i], int)
        distance = np.sum((points[others] - points[i]) ** 2, axis=1)
        for a, j in enumerate(others[np.argsort(distance, kind="stable")][:3]):
            expected[i, a, j] = 1
    np.testing.assert_array_equal(neighbors(points, mask, 3), expected)


def test_neighbors_fetch_features():
    points = jnp.asarray([[0.0, 0], [1, 0], [5, 0]])
    chosen = neighbors(points, jnp.ones(3, bool), 1)
    np.testing.assert_array_equal(jnp.einsum("iaj,jf->iaf", chosen, points)[:, 0, 0], [1, 0, 1])
