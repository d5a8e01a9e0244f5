"""Lorentz products keep their digits where plain float32 has none, and pair features are those of float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.errors import InputError
from jaxsci.ops import _lorentz, lorentz_products, pair_features
from jaxsci.tasks import onnx_file

METRIC = np.array([1.0, -1, -1, -1])
products, features = jax.jit(lorentz_products), jax.jit(pair_features)


def momenta(rng, angle, masses, n=6):
    """Momenta [n, 4] of 1 to 300 GeV around one direction, as float32."""
    axis = rng.normal(size=3)
    directions = axis / np.linalg.norm(axis) + angle * rng.normal(size=(n, 3))
    p = directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(1, 300, (n, 1))
    energy = np.sqrt(np.sum(p**2, axis=1, keepdims=True) + rng.choice(masses, (n, 1)) ** 2)
    return np.concatenate([energy, p], axis=1).astype(np.float32)


def exact(p):
    """Products of float32 numbers are exact in float64, and their sums lose 1e-16 of E_i E_j."""
    p = p.astype(np.float64)
    return (p * METRIC) @ p.T


@given(seed=st.integers(0, 2**31), angle=st.sampled_from([1.0, 1e-1, 1e-2, 1e-3, 1e-4]), massive=st.booleans())
def test_products_are_as_exact_as_the_momenta(seed, angle, massive):
    p = momenta(np.random.default_rng(seed), angle, [0.0, 0.14, 0.94] if massive else [0.0])
    energies = np.outer(p[:, 0], p[:, 0]).astype(np.float64)
    error = np.abs(products(p) - exact(p))
    # One rounding of the result, and a few eps^2 = 3.6e-15 of what cancels.
    assert np.all(error <= 1.2e-7 * np.abs(exact(p)) + 1e-13 * energies)


@given(seed=st.integers(0, 2**31))
def test_with_remainders_products_are_those_of_float64_momenta(seed):
    rng = np.random.default_rng(seed)
    p = momenta(rng, 0.05, [0.0, 0.14]).astype(np.float64) * (1 + 1e-7 * rng.normal(size=(6, 4)))
    rounded = p.astype(np.float32)
    error = np.abs(products(rounded, (p - rounded).astype(np.float32)) - exact(p))
    assert np.all(error <= 1.2e-7 * np.abs(exact(p)) + 1e-13 * np.outer(p[:, 0], p[:, 0]))
    assert np.max(np.abs(exact(rounded) - exact(p)) / np.outer(p[:, 0], p[:, 0])) > 1e-9  # what would be lost


def test_plain_float32_loses_every_digit_where_this_loses_none():
    p = momenta(np.random.default_rng(0), 1e-3, [0.0])
    off = ~np.eye(len(p), dtype=bool)
    plain = (p * METRIC.astype(np.float32)) @ p.T
    assert np.median(np.abs(plain / exact(p) - 1)[off]) > 0.01
    np.testing.assert_allclose(np.asarray(products(p))[off], exact(p)[off], rtol=1e-6)


def test_products_are_symmetric_and_padding_gives_zeros():
    p = momenta(np.random.default_rng(1), 0.3, [0.0, 0.14])
    p[4:] = 0
    found = np.asarray(products(p))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(found[4:], 0)


def test_derivatives_are_those_of_the_formula():
    rng = np.random.default_rng(2)
    p, change, weights = momenta(rng, 0.5, [0.14]), rng.normal(size=(6, 4)), rng.normal(size=(6, 6))
    change, weights = change.astype(np.float32), weights.astype(np.float32)
    tangent = (change * METRIC) @ p.T + (p * METRIC) @ change.T
    _, forward = jax.jit(lambda p, t: jax.jvp(lorentz_products, (p,), (t,)))(p, change)
    np.testing.assert_allclose(forward, tangent, rtol=1e-4, atol=1e-3)  # float32, of terms of 300 GeV
    backward = jax.jit(jax.grad(lambda p: jnp.sum(weights * lorentz_products(p))))(p)
    np.testing.assert_allclose(np.sum(backward * change), np.sum(weights * tangent), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("split", [_lorentz.upper_digits, onnx_file.upper_digits_by_rounding])
def test_products_of_half_the_digits_are_exact(split):
    x = np.random.default_rng(6).normal(size=1000).astype(np.float32) * 300
    upper = np.asarray(split(x))
    for a in (upper, x - upper):  # the difference is exact
        for b in (upper, x - upper):
            np.testing.assert_array_equal(a * b, a.astype(np.float64) * b)
    assert np.all(np.abs(x - upper) <= 2.0**-11 * np.abs(x))


def test_other_dtypes_are_refused():
    with pytest.raises(InputError, match="expected float32 or float64, got bfloat16"):
        lorentz_products(jnp.zeros((2, 4), jnp.bfloat16))


def oracle(p):
    """Pair features in float64, straight from the definitions; those of a pair of a particle with itself are not defined."""
    p = p.astype(np.float64)
    pt, phi = np.hypot(p[:, 1], p[:, 2]), np.arctan2(p[:, 2], p[:, 1])
    y = 0.5 * np.log((p[:, 0] + p[:, 3]) / (p[:, 0] - p[:, 3]))
    d_phi = np.angle(np.exp(1j * (phi[:, None] - phi)))
    dr, softer = np.hypot(y[:, None] - y, d_phi), np.minimum(pt[:, None], pt)
    total = p[:, None] + p[None, :]
    with np.errstate(divide="ignore"):
        parts = (dr, softer * dr, softer / (pt[:, None] + pt), np.sum(total**2 * METRIC, axis=-1))
        return np.stack([np.log(part) for part in parts], axis=-1)


@given(seed=st.integers(0, 2**31))
def test_pair_features_are_those_of_float64(seed):
    p = momenta(np.random.default_rng(seed), 0.3, [0.14, 0.94])
    p = (
        p[:, [0, 3, 1, 2]] if abs(p[0, 3]) > 5 * np.hypot(p[0, 1], p[0, 2]) else p
    )  # not along the beam, where rapidity diverges
    mask = np.arange(6) < 5
    found = np.asarray(features(p, mask))
    np.testing.assert_array_equal(found[5], 0)
    np.testing.assert_array_equal(np.einsum("iif->if", found), 0)
    pairs = np.outer(mask, mask) & ~np.eye(6, dtype=bool)
    close = np.exp(oracle(p)[..., 0]) > 0.01  # below, the rounding of the momenta themselves shows
    np.testing.assert_allclose(found[pairs & close], oracle(p)[pairs & close], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("garbage", [0.0, np.nan, np.inf])
def test_padding_changes_no_pair_feature_and_no_derivative(garbage):
    p = momenta(np.random.default_rng(3), 0.3, [0.14])
    mask = np.arange(6) < 5
    filled = np.where(mask[:, None], p, np.float32(garbage))
    both = jax.jit(lambda p: (pair_features(p, mask), jax.grad(lambda q: jnp.sum(pair_features(q, mask)))(p)))
    for ours, plain in zip(both(filled), both(p), strict=True):
        np.testing.assert_array_equal(ours, plain)
        assert np.all(np.isfinite(ours))
