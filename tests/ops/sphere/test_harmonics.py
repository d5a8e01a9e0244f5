"""Spherical harmonics at points: against recursions of fifty digits, at the poles, in every convention, and their derivatives."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.ops.sphere import (
    GEODESY,
    GEOMAGNETISM,
    HEALPIX,
    Convention,
    complex_harmonics,
    convert,
    evaluate,
    from_alm,
    harmonic_gradients,
    power_spectrum,
    real_harmonics,
    to_alm,
)
from jaxsci.ops.sphere._conventions import alm_index, alm_size, real_degrees, real_index
from jaxsci.ops.sphere._legendre.functions import legendre

LMAX = 6
THETA, PHI = np.random.default_rng(0).uniform((0, -3), (3.1, 3), (5, 2)).T

pytestmark = pytest.mark.usefixtures("x64")


def points():
    return jnp.asarray(THETA), jnp.asarray(PHI)


def oracle(degree, m, theta):
    """The orthonormal P_lm without the phase, by the textbook recursion in 50 digits."""
    with mpmath.workdps(50):
        x, s = mpmath.cos(mpmath.mpf(theta)), mpmath.sin(mpmath.mpf(theta))
        before, p = mpmath.mpf(0), mpmath.mpf(1)  # P_mm / (s^m (2m - 1)!!)
        for k in range(m + 1, degree + 1):
            before, p = p, ((2 * k - 1) * x * p - (k + m - 1) * before) / (k - m)
        log_norm = (mpmath.loggamma(degree - m + 1) - mpmath.loggamma(degree + m + 1)) / 2
        double_factorial = mpmath.loggamma(2 * m + 1) - mpmath.loggamma(m + 1) - m * mpmath.log(2)
        norm = mpmath.sqrt((2 * degree + 1) / (4 * mpmath.pi)) * mpmath.exp(log_norm + double_factorial)
        return float(norm * s**m * p)


def test_legendre_functions_to_degree_2000():
    rng = np.random.default_rng(1)
    theta = np.asarray([0.001, 0.3, 1.2, 2.9])
    functions = np.asarray(jax.jit(legendre, static_argnums=1)(jnp.asarray(theta), 2000))
    assert np.all(np.isfinite(functions))
    for i in range(len(theta)):
        for degree in (2000, 1999, *rng.integers(0, 2000, 3)):
            # Orders that matter are those below l sin(theta), and a few beyond.
            for m in {0, int(degree * np.sin(theta[i])), int(rng.integers(0, degree + 1))}:
                # The largest function is sqrt(l) / 3 at a point; angles of 1e-16 move it by l^2 times that at most.
                error = functions[degree, m, i] - oracle(degree, m, theta[i])
                assert abs(error) < 1e-11 * np.sqrt(degree + 1), (degree, m, theta[i])


@pytest.mark.parametrize("convention", [HEALPIX, GEODESY, GEOMAGNETISM, Convention("geodesy")])
def test_complex_harmonics_in_every_convention(convention):
    """Against scipy, whose functions are orthonormal and have the Condon-Shortley phase."""
    from scipy.special import sph_harm_y

    degree, m = real_degrees(LMAX)
    ours = complex_harmonics(*points(), LMAX, convention)
    expected = sph_harm_y(degree, m, THETA[:, None], PHI[:, None])
    scale = {"orthonormal": 1.0, "geodesy": 4 * np.pi, "schmidt": 4 * np.pi / (2 * degree + 1)}[
        convention.normalization
    ]
    phase = np.where(convention.condon_shortley, 1.0, np.where(m % 2 == 0, 1.0, -1.0))
    np.testing.assert_allclose(ours, expected * np.sqrt(scale) * phase, rtol=0, atol=1e-13)


@pytest.mark.slow
def test_complex_harmonics_to_degree_2000():
    """The whole Y_lm at random points; degrees from 1 to 2000, orders of both signs, the largest order as well."""
    rng = np.random.default_rng(4)
    theta, phi = np.arccos(rng.uniform(-1, 1, 2)), rng.uniform(0, 2 * np.pi, 2)
    ours = np.asarray(jax.jit(complex_harmonics, static_argnums=2)(jnp.asarray(theta), jnp.asarray(phi), 2000))
    for degree in (2000, *np.geomspace(1, 1999, 9).astype(int)):
        inside = int(degree * np.sin(theta.min()))  # beyond it the functions fall off exponentially
        for m in {0, degree, int(rng.integers(-inside, inside + 1)), int(rng.integers(-degree, degree + 1))}:
            for i in range(len(theta)):
                with mpmath.workdps(50):
                    phase = mpmath.expj(m * mpmath.mpf(phi[i]))
                sign = -1 if m > 0 and m % 2 else 1  # Condon-Shortley; Y_l,-m = (-1)^m conj(Y_lm) takes it away
                expected = sign * oracle(degree, abs(m), theta[i]) * complex(phase)
                assert abs(ours[i, degree**2 + degree + m] - expected) < 1e-11, (degree, m, theta[i], phi[i])


def test_real_harmonics_are_parts_of_complex_ones():
    degree, m = real_degrees(LMAX)
    ours, complex_ones = real_harmonics(*points(), LMAX), complex_harmonics(*points(), LMAX)
    positive = np.asarray(complex_ones)[:, real_index(degree, np.abs(m))]
    expected = np.where(m > 0, positive.real * np.sqrt(2), np.where(m < 0, positive.imag * np.sqrt(2), positive.real))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13)


def test_converted_coefficients_give_the_same_field():
    coefficients = jnp.asarray(np.random.default_rng(2).normal(size=(LMAX + 1) ** 2))
    expected = real_harmonics(*points(), LMAX, GEODESY) @ coefficients
    for convention in (HEALPIX, GEOMAGNETISM):
        converted = convert(coefficients, GEODESY, convention)
        np.testing.assert_allclose(evaluate(converted, *points(), convention), expected, rtol=0, atol=1e-12)


def test_real_and_complex_coefficients():
    coefficients = jnp.asarray(np.random.default_rng(3).normal(size=(2, (LMAX + 1) ** 2)))
    np.testing.assert_allclose(from_alm(to_alm(coefficients)), coefficients, rtol=0, atol=1e-15)
    degree = real_degrees(LMAX)[0]
    expected = np.bincount(degree, np.asarray(coefficients[1]) ** 2) / (2 * np.arange(LMAX + 1) + 1)
    np.testing.assert_allclose(power_spectrum(to_alm(coefficients))[1], expected, rtol=1e-13)
    assert alm_index(LMAX, LMAX, LMAX) == alm_size(LMAX) - 1


def test_gradients_everywhere_and_at_the_poles():
    """Against central differences; at a pole, along the meridian, which goes on at phi + pi beyond it."""
    theta, phi = jnp.asarray([0.0, np.pi, 0.7]), jnp.asarray([0.4, -2.0, 1.1])
    along_theta, along_phi = jax.jit(harmonic_gradients, static_argnums=2)(theta, phi, LMAX)
    step = 1e-5

    @jax.jit
    def at(theta, phi):
        across = jnp.where((theta < 0) | (theta > np.pi), np.pi, 0.0)
        theta = jnp.abs(jnp.where(theta > np.pi, 2 * np.pi - theta, theta))
        return real_harmonics(theta, phi + across, LMAX)

    # Differences of second order: the third derivative is below l^3.
    np.testing.assert_allclose(along_theta, (at(theta + step, phi) - at(theta - step, phi)) / (2 * step), atol=1e-7)
    near = jnp.asarray([1e-4, np.pi - 1e-4, 0.7])
    wanted = (at(near, phi + step) - at(near, phi - step)) / (2 * step * jnp.sin(near))[:, None]
    np.testing.assert_allclose(along_phi, wanted, atol=1e-2)
    np.testing.assert_allclose(along_phi[2], wanted[2], atol=1e-7)


def test_derivatives_of_sums_to_second_order():
    """Through the recursion: the gradient is that of the harmonics, and the Hessian its difference, at a pole as well."""
    coefficients = jnp.asarray(np.random.default_rng(4).normal(size=(LMAX + 1) ** 2))
    gradient = jax.jit(jax.jacfwd(jax.grad(lambda x: evaluate(coefficients, x[:1], x[1:])[0])))
    slope = jax.jit(jax.grad(lambda x: evaluate(coefficients, x[:1], x[1:])[0]))
    step = 1e-5
    for theta in (0.0, 0.9):
        x = jnp.asarray([theta, 0.3])
        along_theta, along_phi = (g @ coefficients for g in harmonic_gradients(x[:1], x[1:], LMAX))
        wanted = jnp.stack([along_theta[0], along_phi[0] * jnp.sin(theta)])
        np.testing.assert_allclose(slope(x), wanted, rtol=0, atol=1e-11)
        differences = [(slope(x + step * e) - slope(x - step * e)) / (2 * step) for e in jnp.eye(2)]
        np.testing.assert_allclose(gradient(x), jnp.stack(differences, axis=1), atol=1e-6)


class TestBadInput:
    def test_a_degree_that_underflows(self):
        with pytest.raises(InputError, match="lmax: expected 0 to 300 in float32, got 400; float64"):
            real_harmonics(jnp.ones(1, jnp.float32), jnp.ones(1, jnp.float32), 400)

    def test_an_incomplete_set_of_coefficients(self):
        with pytest.raises(InputError, match=r"expected \(lmax \+ 1\)\^2 real ones, got 7"):
            evaluate(jnp.ones(7), jnp.ones(1), jnp.ones(1))
