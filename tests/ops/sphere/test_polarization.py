"""Transforms of spin 2 against healpy, at exact quadrature, and under JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.ops.sphere import (
    Equiangular,
    GaussLegendre,
    Healpix,
    alm_degrees,
    alm_size,
    polarization_analysis,
    polarization_synthesis,
)

NSIDE, LMAX = 16, 40
GRID = Healpix(NSIDE)

to_maps = jax.jit(polarization_synthesis, static_argnames="grid")
to_coefficients = jax.jit(polarization_analysis, static_argnames=("grid", "lmax", "iterations"))


def random_alm(lmax, seed=0):
    """E and B from degree 2 on, as two rows."""
    parts = np.random.default_rng(seed).normal(size=(2, 2, alm_size(lmax)))
    degree, m = alm_degrees(lmax)
    return (parts[0] + 1j * np.where(m > 0, parts[1], 0)) * (degree >= 2)


@pytest.fixture
def healpy():
    return pytest.importorskip("healpy")


@pytest.mark.usefixtures("x64")
class TestAgainstHealpy:
    def test_synthesis(self, healpy):
        e, b = random_alm(LMAX)
        expected = healpy.alm2map_spin([e, b], NSIDE, 2, LMAX)
        # Rounding of some 100 operations a term, on a field of deviation 10.
        np.testing.assert_allclose(to_maps(jnp.asarray(e), jnp.asarray(b), GRID), expected, rtol=0, atol=1e-11)

    def test_analysis_with_three_iterations(self, healpy):
        maps = np.random.default_rng(1).normal(size=(3, *GRID.shape))
        expected = healpy.map2alm(maps, lmax=LMAX, iter=3, pol=True)[1:]
        ours = to_coefficients(jnp.asarray(maps[1]), jnp.asarray(maps[2]), GRID, LMAX)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13)

    @pytest.mark.slow
    def test_a_fine_map_toward_the_poles(self, healpy):
        """Where functions of spin 2 differ most from scalar ones: the first rings have orders up to 2 and no more."""
        nside, lmax = 64, 191
        e, b = random_alm(lmax, seed=2)
        expected = healpy.alm2map_spin([e, b], nside, 2, lmax)
        ours = to_maps(jnp.asarray(e), jnp.asarray(b), Healpix(nside))
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("x64")
class TestTheory:
    @pytest.mark.parametrize("grid", [GaussLegendre(7, 13), Equiangular(14, 13, phi0=0.3)])
    def test_round_trip_where_quadrature_is_exact(self, grid):
        e, b = map(jnp.asarray, random_alm(6))
        back = to_coefficients(*to_maps(e, b, grid), grid, 6, iterations=0)
        np.testing.assert_allclose(back, (e, b), rtol=0, atol=1e-13)

    def test_the_quadrupole_in_closed_form(self):
        """E_20 = 1 is Q = -sqrt(15 / (32 pi)) sin^2 theta and no U; B_22 has (+-2)Y_22 = sqrt(5 / (64 pi)) (1 -+ cos)^2 exp(2 i phi)."""
        grid = Equiangular(9, 8)
        theta, phi = np.meshgrid((np.arange(9) + 0.5) * np.pi / 9, np.arange(8) * np.pi / 4, indexing="ij")
        zero = jnp.zeros(alm_size(2), complex)
        q, u = to_maps(zero.at[2].set(1.0), zero, grid)
        np.testing.assert_allclose(q, -np.sqrt(15 / (32 * np.pi)) * np.sin(theta) ** 2, rtol=0, atol=1e-15)
        np.testing.assert_allclose(u, 0, rtol=0, atol=1e-15)
        q, u = to_maps(zero, zero.at[5].set(1.0), grid)
        plus, minus = (np.sqrt(5 / (64 * np.pi)) * (1 + sign * np.cos(theta)) ** 2 for sign in (-1, 1))
        whole = -1j * (plus * np.exp(2j * phi) + minus * np.exp(-2j * phi))  # with (2)Y_2,-2 = conj((-2)Y_22)
        np.testing.assert_allclose(np.asarray(q) + 1j * np.asarray(u), whole, rtol=0, atol=1e-15)

    def test_transpose(self):
        """<S a, f> = <a, S^T f>, on HEALPix with its chirps, and with orders that alias on short rings."""
        for grid, lmax in ((Healpix(8), 20), (GaussLegendre(6, 5), 7)):
            e, b = map(jnp.asarray, random_alm(lmax, seed=3))
            maps, transpose = jax.vjp(jax.jit(lambda e, b, grid=grid: polarization_synthesis(e, b, grid)), e, b)
            weights = [jnp.asarray(x) for x in np.random.default_rng(4).normal(size=(2, *grid.shape))]
            left = sum(jnp.vdot(x, w) for x, w in zip(maps, weights, strict=True))
            right = sum(jnp.sum(x * t).real for x, t in zip((e, b), transpose(tuple(weights)), strict=True))
            np.testing.assert_allclose(left, right, rtol=1e-12)


@pytest.mark.usefixtures("x64")
class TestTransformations:
    GRID, LMAX = GaussLegendre.of_degree(4), 4

    @pytest.mark.slow
    def test_per_example_gradients(self):
        """The gradient of a nonlinear function under vmap is the gradients one by one, and these are slopes."""
        maps = jnp.asarray(np.random.default_rng(5).normal(size=(3, 2, *self.GRID.shape)))

        def function(maps):
            e, b = polarization_analysis(maps[0], maps[1], self.GRID, self.LMAX, iterations=1)
            q, _ = polarization_synthesis(e * b, b, self.GRID)
            return jnp.sum(q**3)

        gradient = jax.jit(jax.grad(function))
        together = jax.jit(jax.vmap(jax.grad(function)))(maps)
        np.testing.assert_allclose(together, jnp.stack([gradient(f) for f in maps]), rtol=0, atol=1e-11)
        value, slope = jax.jit(lambda f, d: jax.jvp(function, (f,), (d,)))(maps[0], maps[1])
        np.testing.assert_allclose(slope, jnp.vdot(together[0], maps[1]), rtol=1e-11)
        assert np.isfinite(value)


class TestBadInput:
    def test_degrees_without_polarization(self):
        with pytest.raises(InputError, match="degrees to 2 or more, got 1; E and B begin"):
            polarization_analysis(jnp.zeros(GRID.shape), jnp.zeros(GRID.shape), GRID, 1)

    def test_e_and_b_of_different_degrees(self):
        with pytest.raises(InputError, match="E and B of one lmax"):
            polarization_synthesis(jnp.zeros(6, jnp.complex64), jnp.zeros(10, jnp.complex64), GRID)

    def test_unmeasured_pixels_of_u(self):
        u = jnp.zeros(GRID.shape).at[3].set(jnp.nan)
        with pytest.raises(InputError, match="NaN or UNSEEN in 1 of 3,072"):
            polarization_analysis(jnp.zeros(GRID.shape), u, GRID, 4)
