"""`synthesis` and `analysis` against healpy, against exact quadrature, and under JAX's transformations."""

import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.healpix import UNSEEN
from jaxsci.ops.sphere import (
    Equiangular,
    GaussLegendre,
    Healpix,
    analysis,
    evaluate,
    from_alm,
    healpix_ring_weights,
    masked,
    power_spectrum,
    synthesis,
    to_alm,
)
from jaxsci.ops.sphere import _transform_primitives as transform_primitives
from jaxsci.ops.sphere._bands import bands, join_pixels, largest_orders, north, split_pixels
from jaxsci.ops.sphere._conventions import alm_size
from jaxsci.ops.sphere._grids import gauss_legendre
from jaxsci.ops.sphere._legendre import sums as legendre_sums
from jaxsci.ops.sphere._legendre.functions import legendre

healpy = pytest.importorskip("healpy")
NSIDE, LMAX = 16, 40
GRID = Healpix(NSIDE)

to_coefficients = jax.jit(analysis, static_argnames=("grid", "lmax", "iterations"))


def random_alm(lmax, seed=0, count=None):
    size = (lmax + 1) ** 2 if count is None else (count, (lmax + 1) ** 2)
    return to_alm(jnp.asarray(np.random.default_rng(seed).normal(size=size)))


@pytest.mark.usefixtures("x64")
class TestAgainstHealpy:
    def test_synthesis(self):
        alm = random_alm(LMAX)
        expected = healpy.alm2map(np.asarray(alm), NSIDE, lmax=LMAX)
        # Rounding of some 100 operations a term, on a field of deviation 7.
        np.testing.assert_allclose(synthesis(alm, GRID), expected, rtol=0, atol=1e-11)

    @pytest.mark.parametrize("weighted", [False, True])
    def test_analysis_with_three_iterations(self, weighted):
        pixels = np.random.default_rng(1).normal(size=GRID.shape)
        expected = healpy.map2alm(pixels, lmax=LMAX, iter=3, use_weights=weighted)
        weights = jnp.asarray(healpix_ring_weights(NSIDE, 48) if weighted else np.ones(4 * NSIDE - 1))
        ours = to_coefficients(jnp.asarray(pixels), GRID, LMAX, ring_weights=weights)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13)

    @pytest.mark.parametrize(("nside", "degree"), [(4, 8), (16, 48), (32, 100)])
    def test_ring_weights_are_those_of_healpix(self, nside, degree):
        fits = pytest.importorskip("astropy.io.fits")
        path = Path(healpy.__file__).parent / "data" / f"weight_ring_n{nside:05d}.fits"
        with fits.open(path) as file:
            expected = 1 + np.asarray(file[1].data.field(0)).ravel()
        np.testing.assert_allclose(healpix_ring_weights(nside, degree)[: 2 * nside], expected, rtol=1e-11)

    @pytest.mark.skipif("JAXSCI_DATA" not in os.environ, reason="needs the WMAP maps in JAXSCI_DATA")
    @pytest.mark.parametrize("cut", [False, True])
    def test_spectrum_of_the_microwave_sky(self, cut):
        from jaxsci.data.sphere.sky import read_map, read_mask

        folder = Path(os.environ["JAXSCI_DATA"]) / "sphere"
        pixels = np.asarray(read_map(folder / "wmap_band_iqumap_r9_7yr_W_v4_udgraded32.fits").values)
        mask = read_mask(folder / "wmap_temperature_analysis_mask_r9_7yr_v4_udgraded32.fits", 32)
        pixels = masked(jnp.asarray(pixels, float), jnp.asarray(mask if cut else np.ones_like(mask), float))
        ours = power_spectrum(to_coefficients(pixels, Healpix(32), 64))
        expected = healpy.anafast(np.asarray(pixels), lmax=64, iter=3)
        np.testing.assert_allclose(ours[2:], expected[2:], rtol=1e-6)


@pytest.mark.usefixtures("x64")
class TestTheory:
    def test_gauss_legendre_round_trip(self):
        lmax = 256
        alm = random_alm(lmax)
        grid = GaussLegendre.of_degree(lmax)
        back = jax.jit(lambda a: analysis(synthesis(a, grid), grid, lmax, iterations=0))(alm)
        np.testing.assert_allclose(back, alm, rtol=0, atol=1e-12 * float(jnp.max(jnp.abs(alm))))

    @pytest.mark.parametrize("rings", [9, 10])
    def test_cells_of_equal_steps(self, rings):
        """Values are those of the harmonics at the centers of the cells, and the quadrature is exact for 2 l < rings."""
        grid = Equiangular(rings, 12, phi0=0.3)
        assert grid.lmax == 4
        alm = random_alm(grid.lmax)
        theta, phi = np.meshgrid(
            (np.arange(rings) + 0.5) * np.pi / rings, 0.3 + np.arange(12) * np.pi / 6, indexing="ij"
        )

        @jax.jit
        def three(alm):
            values = synthesis(alm, grid)
            direct = evaluate(from_alm(alm), jnp.asarray(theta), jnp.asarray(phi))
            return values, direct, analysis(values, grid, grid.lmax, iterations=0)

        values, direct, back = three(alm)
        np.testing.assert_allclose(values, direct, rtol=0, atol=1e-13)
        np.testing.assert_allclose(back, alm, rtol=0, atol=1e-13)

    def test_adjoint_of_synthesis_is_analysis(self):
        """Without weights and iterations <S a, f> = sum_lm w_m Re(conj(a) S* f)."""
        alm, pixels = random_alm(LMAX), jnp.asarray(np.random.default_rng(2).normal(size=GRID.shape))
        ours = analysis(pixels, GRID, LMAX, iterations=0) * (12 * NSIDE**2 / (4 * np.pi))
        weight = np.where(healpy.Alm.getlm(LMAX)[1] > 0, 2.0, 1.0)
        left = jnp.vdot(synthesis(alm, GRID), pixels)
        np.testing.assert_allclose(left, np.sum(weight * (np.conj(alm) * ours).real), rtol=1e-12)

    def test_negligible_orders_are_negligible(self):
        for lmax, sin in [(300, 0.01), (300, 0.2), (300, 0.6)]:
            functions = legendre(jnp.arcsin(jnp.asarray([sin])), lmax)
            beyond = int(largest_orders(lmax, np.asarray([sin]))[0]) + 1
            assert beyond <= lmax
            assert jnp.max(jnp.abs(functions[:, beyond - 15])) > 1e-25  # but they are not far
            assert jnp.max(jnp.abs(functions[:, beyond:])) < 1e-20

    def test_orders_beyond_the_pixels_of_a_ring(self):
        """They are aliased: a coarse ring has the values of a fine one, and the transpose knows it."""
        alm = random_alm(7)
        coarse, transpose = jax.vjp(lambda a: synthesis(a, GaussLegendre(6, 5)), alm)
        np.testing.assert_allclose(coarse, synthesis(alm, GaussLegendre(6, 40))[:, ::8], rtol=0, atol=1e-13)
        pixels = jnp.asarray(np.random.default_rng(5).normal(size=coarse.shape))
        np.testing.assert_allclose(jnp.vdot(coarse, pixels), jnp.sum(alm * transpose(pixels)[0]).real, rtol=1e-12)

    @pytest.mark.parametrize("grid", [GRID, Healpix(256), Healpix(1), GaussLegendre(7, 12), GaussLegendre(8, 12)])
    def test_bands_hold_every_ring_once(self, grid):
        parts = bands(grid, 4)
        assert parts[0].first == 0
        assert [b.first for b in parts[1:]] == [b.last for b in parts[:-1]]
        length = np.concatenate([b.length for b in parts])
        northern = north(grid, 4)
        assert 2 * length.sum() - northern.equator * length[-1] == np.prod(grid.shape)
        for band in parts:  # a chirp wraps around beyond this
            assert band.chirp == 0 or band.chirp >= band.width + 2 * band.mmax

    def test_pixels_as_rows_and_back(self):
        for grid in (Healpix(4), GaussLegendre(5, 6)):
            pixels = jnp.asarray(np.random.default_rng(6).normal(size=(2, int(np.prod(grid.shape)))))
            np.testing.assert_array_equal(join_pixels(*split_pixels(pixels, grid, 6), grid, 6), pixels)


@pytest.mark.usefixtures("x64")
class TestTransformations:
    """On a small exact grid and without jit: each transform is compiled once for every number of maps."""

    GRID, LMAX = GaussLegendre.of_degree(4), 4

    def test_vmap_equals_a_loop(self):
        alm = random_alm(self.LMAX, count=3)
        together = jax.vmap(lambda a: synthesis(a, self.GRID))(alm)
        np.testing.assert_allclose(together, jnp.stack([synthesis(a, self.GRID) for a in alm]), rtol=0, atol=1e-13)

    @pytest.mark.parametrize("grid", [pytest.param(GaussLegendre.of_degree(12), marks=pytest.mark.slow), Healpix(8)])
    def test_tables_for_many_maps_equal_the_recursion_for_few(self, monkeypatch, grid):
        """5 maps are two groups of 3, which overlap."""
        lmax = grid.lmax - 1
        monkeypatch.setattr(transform_primitives, "RINGS_BYTES", 0)  # 4 maps at most
        rng = np.random.default_rng(9)
        alm = jnp.asarray(rng.normal(size=(5, 2, alm_size(lmax))))
        maps = jnp.asarray(rng.normal(size=(5, int(np.prod(grid.shape)))))
        for role, x in ((transform_primitives.synthesis, alm), (transform_primitives.adjoint_synthesis, maps)):
            few = jax.jit(partial(role, kind=transform_primitives.Kind(grid, lmax, 0)))(x)
            with monkeypatch.context() as patch:
                patch.setattr(transform_primitives, "MANY", 5)
                many = jax.jit(partial(role, kind=transform_primitives.Kind(grid, lmax, 0)))(x)
            # Rounding of sums of some hundred terms.
            np.testing.assert_allclose(many, few, rtol=0, atol=1e-12)

    def test_many_small_blocks_equal_one(self, monkeypatch):
        """Blocks of orders and of rings that overlap or are padded, and those near the poles that are left out."""
        grid, lmax = Healpix(32), 64
        assert np.min(north(grid, lmax).largest) < lmax - 30
        rng = np.random.default_rng(10)
        alm = jnp.asarray(rng.normal(size=(1, 2, alm_size(lmax))))
        maps = jnp.asarray(rng.normal(size=(1, 12 * 32**2)))
        for role, x in ((transform_primitives.synthesis, alm), (transform_primitives.adjoint_synthesis, maps)):
            one = jax.jit(partial(role, kind=transform_primitives.Kind(grid, lmax, 0)))(x)
            with monkeypatch.context() as patch:
                for name, value in {"RINGS": 10, "POINTS": 90, "ORDERS": 7, "DEGREES": 8}.items():
                    patch.setattr(legendre_sums, name, value)
                many = jax.jit(partial(role, kind=transform_primitives.Kind(grid, lmax, 0)))(x)
            np.testing.assert_allclose(many, one, rtol=0, atol=1e-11)

    def test_analysis_of_many_maps_equals_a_loop(self):
        """Three blocks of 4 maps, which overlap."""
        maps = jnp.asarray(np.random.default_rng(8).normal(size=(11, *self.GRID.shape)))
        one = jax.jit(lambda f: analysis(f, self.GRID, self.LMAX, iterations=0))
        np.testing.assert_allclose(jax.vmap(one)(maps), jnp.stack([one(f) for f in maps]), rtol=0, atol=1e-13)

    def test_derivatives_to_second_order(self):
        """Through both transforms, the gradient and its derivative, against central differences of the value and of the gradient."""

        def function(coefficients):
            pixels = jnp.tanh(synthesis(to_alm(coefficients), self.GRID))
            alm = analysis(pixels, self.GRID, self.LMAX, iterations=0)
            return jnp.sum(alm.real**2 + alm.imag**2)

        @jax.jit
        def derivatives(coefficients, direction):
            return jax.jvp(jax.value_and_grad(function), (coefficients,), (direction,))

        rng = np.random.default_rng(3)
        at, direction = (jnp.asarray(scale * rng.normal(size=(self.LMAX + 1) ** 2)) for scale in (0.3, 1.0))
        step = 1e-5
        (_, gradient), slopes = derivatives(at, direction)
        above, below = (derivatives(at + sign * step * direction, direction)[0] for sign in (1, -1))
        for slope, up, down in zip(slopes, above, below, strict=True):
            np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(slopes[0], gradient @ direction, rtol=1e-12)

    def test_gradient_of_the_iteration(self):
        """The derivative of a linear map is the map itself."""
        maps = jnp.asarray(np.random.default_rng(4).normal(size=(2, *self.GRID.shape)))
        improved = jax.jit(lambda f: analysis(f, self.GRID, self.LMAX, iterations=1))
        np.testing.assert_allclose(jax.jvp(improved, (maps[0],), (maps[1],))[1], improved(maps[1]), rtol=0, atol=1e-13)

    def test_per_example_gradients(self):
        """The gradient under vmap is the gradients one by one: the batching rule of the transpose."""
        maps = jnp.asarray(np.random.default_rng(4).normal(size=(3, *self.GRID.shape)))
        gradient = jax.grad(lambda f: jnp.sum(jnp.abs(analysis(f, self.GRID, self.LMAX, iterations=0)) ** 4))
        alone = jax.jit(gradient)
        np.testing.assert_allclose(jax.jit(jax.vmap(gradient))(maps), [alone(f) for f in maps], rtol=0, atol=1e-13)

    def test_a_gradient_keeps_no_history(self):
        """Nothing is kept for the backward pass of a linear map."""
        kept = jax.tree.leaves(jax.vjp(lambda a: synthesis(a, self.GRID), random_alm(self.LMAX))[1])
        assert sum(x.size for x in kept) == 0


def test_float32():
    alm = random_alm(20).astype(jnp.complex64)
    pixels = synthesis(alm, Healpix(8))
    assert pixels.dtype == jnp.float32
    expected = healpy.alm2map(np.asarray(alm, complex), 8, lmax=20)
    # Some 50 roundings of 6e-8 in the recursion, on a field of deviation 5.
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=2e-5)


class TestBadInput:
    def test_degree_beyond_the_grid(self):
        with pytest.raises(InputError, match=r"degrees up to 47 of Healpix\(nside=16\), got 48; a finer map"):
            analysis(jnp.zeros(GRID.shape), GRID, 48)

    def test_wrong_number_of_pixels(self):
        with pytest.raises(InputError, match=r"expected one map of shape \(3072,\)"):
            analysis(jnp.zeros(100), GRID, 4)

    def test_wrong_number_of_coefficients(self):
        with pytest.raises(InputError, match="got 7; fill the missing ones"):
            synthesis(jnp.zeros(7, jnp.complex64), GRID)

    def test_real_coefficients(self):
        with pytest.raises(InputError, match="to_alm"):
            synthesis(jnp.zeros(alm_size(4)), GRID)

    @pytest.mark.parametrize("value", [np.nan, UNSEEN])
    def test_unmeasured_pixels(self, value):
        pixels = jnp.zeros(GRID.shape).at[3].set(value)
        with pytest.raises(InputError, match=r"NaN or UNSEEN in 1 of 3,072; use masked"):
            analysis(pixels, GRID, 4)
        assert jnp.all(masked(pixels, jnp.ones(GRID.shape).at[3].set(0)) == 0)

    def test_mask_that_removes_everything(self):
        with pytest.raises(InputError, match="removes everything"):
            masked(jnp.ones(GRID.shape), jnp.zeros(GRID.shape))


@pytest.mark.parametrize("n", [1, 2, 7, 257, 2049])
def test_gauss_legendre_weights_have_their_digits_at_the_poles(n):
    """A few nodes against mpmath with 40 digits: Newton's method from ours on, w = 2 / ((1 - x^2) P_n'^2)."""
    import mpmath

    cos, sin, weight = gauss_legendre(n)
    assert weight.sum() == pytest.approx(2, rel=1e-13)
    with mpmath.workdps(40):
        for k in {0, n // 3, n // 2}:
            x = mpmath.mpf(cos[k])
            for _ in range(3):
                below, p = mpmath.mpf(1), x
                for degree in range(1, n):
                    below, p = p, ((2 * degree + 1) * x * p - degree * below) / (degree + 1)
                slope = n * (below - x * p) / (1 - x * x)
                x -= p / slope
            assert float(sin[k] / mpmath.sqrt(1 - x * x) - 1) == pytest.approx(0, abs=1e-14)
            assert float(weight[k] * (1 - x * x) * slope**2 / 2 - 1) == pytest.approx(0, abs=1e-13)
