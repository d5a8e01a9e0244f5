"""Real spherical harmonics against scipy, on grids and back, and as a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import sph_harm_y

from jaxsci.models import harmonics

pytestmark = pytest.mark.usefixtures("x64")

LMAX = 40


def test_values_against_scipy():
    rng = np.random.default_rng(0)
    theta, phi = np.arccos(rng.uniform(-1, 1, 30)), rng.uniform(0, 2 * np.pi, 30)
    ours = jax.jit(jax.vmap(lambda x: harmonics.values(x, LMAX)))(jnp.asarray(harmonics.vectors(theta, phi)))
    degree, order = harmonics.degrees(LMAX), harmonics.orders(LMAX)
    theirs = sph_harm_y(degree, abs(order), theta[:, None], phi[:, None]) * (-1.0) ** order  # its Condon-Shortley phase
    expected = np.where(order == 0, theirs.real, np.sqrt(2) * np.where(order > 0, theirs.real, theirs.imag))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_values_and_derivatives_at_the_poles():
    poles = jnp.asarray([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    values = jax.vmap(lambda x: harmonics.values(x, 8))(poles)
    degree, order = harmonics.degrees(8), harmonics.orders(8)
    expected = np.where(order == 0, np.sqrt((2 * degree + 1) / (4 * np.pi)), 0)
    np.testing.assert_allclose(values, [expected, expected * (-1.0) ** degree], rtol=0, atol=1e-14)
    slopes = jax.vmap(jax.jacfwd(lambda x: harmonics.values(x, 8)))(poles)
    assert np.isfinite(slopes).all()
    # Near the pole Y_1,1 = sqrt(3 / 4 pi) x.
    np.testing.assert_allclose(slopes[0, 3, 0], np.sqrt(3 / (4 * np.pi)), rtol=1e-12)


def test_a_grid_and_back_is_exact():
    rng = np.random.default_rng(1)
    cosine, sine = (np.tril(rng.normal(size=(LMAX + 1, LMAX + 1))) for _ in range(2))
    sine[:, 0] = 0
    z, weights = (jnp.asarray(a) for a in np.polynomial.legendre.leggauss(LMAX + 1))
    values = harmonics.on_rings(jnp.asarray(cosine), jnp.asarray(sine), z, 2 * LMAX + 2)
    back = harmonics.from_rings(values, z, weights, LMAX)
    # The legendre functions are normalized with exp(i m phi): the pairs of a cosine and a sine come back as they are.
    np.testing.assert_allclose(back[0], cosine, rtol=0, atol=1e-12)
    np.testing.assert_allclose(back[1], sine, rtol=0, atol=1e-12)


def test_the_grid_and_the_model_agree():
    lmax = 6
    rng = np.random.default_rng(2)
    coefficients = rng.normal(size=(lmax + 1) ** 2)
    cosine, sine = np.zeros((2, lmax + 1, lmax + 1))
    for a, degree, order in zip(coefficients, harmonics.degrees(lmax), harmonics.orders(lmax), strict=True):
        factor = 1 if order == 0 else np.sqrt(2)
        (cosine if order >= 0 else sine)[degree, abs(order)] = factor * a
    z = jnp.linspace(-0.9, 0.9, 5)
    grid = harmonics.on_rings(jnp.asarray(cosine), jnp.asarray(sine), z, 16)
    phi = np.broadcast_to(2 * np.pi * np.arange(16) / 16, (5, 16))
    directions = harmonics.vectors(np.broadcast_to(np.arccos(np.asarray(z))[:, None], (5, 16)), phi)
    model = harmonics.model(harmonics.Config(lmax))
    params = {"coefficients": jnp.asarray(coefficients)}
    at_points = jax.vmap(jax.vmap(lambda x: model.apply(params, x)))(jnp.asarray(directions))
    np.testing.assert_allclose(grid, at_points, rtol=0, atol=1e-13)
    assert model.init(jax.random.key(0))["coefficients"].shape == (49,)
