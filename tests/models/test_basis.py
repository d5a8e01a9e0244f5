"""Bases against numpy and scipy, and fitted by the calls that fit networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev, legendre
from scipy.interpolate import BSpline

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.fitting import least_squares, log_density, minimize, predictions, require_minimum, total
from jaxsci.losses import objective, squared_error
from jaxsci.models import basis, mixture

pytestmark = pytest.mark.usefixtures("x64")

WINDOW = (-2.0, 3.0)
X = np.linspace(*WINDOW, 41)
T = (2 * X - 1) / 5
BASES = {
    "chebyshev": basis.Chebyshev(7, WINDOW),
    "legendre": basis.Legendre(7, WINDOW),
    "fourier": basis.Fourier(3, period=5.0),
    "splines": basis.BSplines(6, WINDOW),
    "radial": basis.RadialBasis.on_grid((*WINDOW, 8)),
}


def values(description):
    return np.asarray(jax.jit(jax.vmap(description.values))(jnp.asarray(X)))


def test_polynomials_against_numpy():
    np.testing.assert_allclose(values(BASES["chebyshev"]), chebyshev.chebvander(T, 7), rtol=0, atol=1e-14)
    np.testing.assert_allclose(values(BASES["legendre"]), legendre.legvander(T, 7), rtol=0, atol=1e-14)
    np.testing.assert_allclose(values(basis.Chebyshev(0, WINDOW)), np.ones((41, 1)))


def test_fourier_functions_are_orthogonal():
    points = jnp.asarray(np.arange(16) * 5.0 / 16)
    gram = np.asarray(jax.vmap(BASES["fourier"].values)(points))
    np.testing.assert_allclose(gram.T @ gram, np.diag([16.0] + [8.0] * 6), rtol=0, atol=1e-13)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_splines_against_scipy(degree):
    ours = basis.BSplines(6, WINDOW, degree)
    matrix = BSpline.design_matrix(X, ours.knots, degree).toarray()
    np.testing.assert_allclose(values(ours), matrix, rtol=0, atol=1e-14)
    np.testing.assert_allclose(values(ours).sum(1), 1, rtol=0, atol=1e-14)


def test_splines_have_the_derivative_of_scipy():
    ours = BASES["splines"]
    slopes = jax.jit(jax.vmap(jax.jacfwd(ours.values)))(jnp.asarray(X[1:-1] + 0.01))
    expected = BSpline(ours.knots, np.eye(ours.size), 3).derivative()(X[1:-1] + 0.01)
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-12)


def test_radial_basis_in_two_dimensions():
    ours = basis.RadialBasis.on_grid((0.0, 1.0, 2), (0.0, 2.0, 3), overlap=0.5)
    away = np.asarray(ours.centers) - [0.3, 1.1]
    np.testing.assert_allclose(ours.values(jnp.asarray([0.3, 1.1])), np.exp(-2 * np.sum(away**2, axis=1)))


@pytest.mark.parametrize("name", ["chebyshev", "splines", "radial"])
def test_every_basis_is_fitted_by_least_squares(name):
    """Data made from a basis give back their coefficients, with chi^2 per degree of freedom 1 within its error."""
    model = basis.model(BASES[name])
    rng = np.random.default_rng(5)
    like = model.init(jax.random.key(0))
    truth = rng.normal(size=like["coefficients"].shape)
    y = values(BASES[name]) @ truth + 0.01 * rng.normal(size=len(X))
    forward, weight = predictions(model.apply, jnp.asarray(X)), jnp.full(len(X), 1e4)
    fit = jax.jit(lambda y: least_squares(forward, y, weight, like=like))(jnp.asarray(y))
    errors = np.sqrt(np.diagonal(fit.covariance))
    assert np.all(np.abs((np.asarray(fit.params["coefficients"]) - truth) / errors) < 4)
    assert abs(fit.chi2 / fit.dof - 1) < 4 * np.sqrt(2 / fit.dof)


def test_a_basis_is_a_model_for_a_loss():
    """The gradient of a network's objective vanishes at the solution of least squares."""
    model = basis.model(BASES["legendre"])
    batch = Batch(jnp.asarray(X), jnp.asarray(np.sin(X)), jnp.ones(len(X)))
    like = model.init(jax.random.key(0))
    fit = jax.jit(lambda y: least_squares(predictions(model.apply, batch.x), y, batch.weight, like=like))(batch.y)
    loss = objective(model.apply, squared_error)
    slope = jax.jit(jax.grad(lambda params: loss(params, batch)[0]))(fit.params)
    np.testing.assert_allclose(slope["coefficients"], 0, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_mixture_is_fitted_by_maximum_likelihood():
    """Two Gaussians, 4,000 simulated numbers: every parameter within 4 standard errors."""
    rng = np.random.default_rng(6)
    x = np.where(rng.random(4000) < 0.3, rng.normal(-2.0, 0.5, 4000), rng.normal(1.0, 1.0, 4000))
    model = mixture.model(mixture.Config(2, (-4.0, 3.0)))
    data = Batch(jnp.asarray(x), jnp.zeros(len(x)), jnp.ones(len(x)))
    function = total(objective(model.apply, log_density), data)
    fit = jax.jit(lambda start: minimize(function, start))(model.init(jax.random.key(0)))
    require_minimum(fit)
    found = jnp.concatenate([fit.params["log_deviations"], fit.params["logits"], fit.params["means"]])
    truth = np.array([np.log(0.5), 0.0, np.log(0.3 / 0.7), -2.0, 1.0])
    assert np.all(np.abs((found - truth) / jnp.sqrt(jnp.diagonal(fit.covariance))) < 4)


def test_mixture_is_normalized():
    model = mixture.model(mixture.Config(3, (-1.0, 1.0)))
    x = np.linspace(-9, 9, 4001)
    density = np.exp(jax.jit(jax.vmap(model.apply, in_axes=(None, 0)))(jax.jit(model.init)(jax.random.key(0)), x))
    np.testing.assert_allclose(np.trapezoid(density, x), 1, rtol=1e-10)


class TestBadInput:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: basis.Chebyshev(-1),
            lambda: basis.Legendre(3, (1.0, 1.0)),
            lambda: basis.BSplines(0),
            lambda: basis.RadialBasis((), 1.0),
            lambda: basis.RadialBasis.on_grid((0.0, 1.0, 1)),
            lambda: mixture.Config(0),
        ],
    )
    def test_descriptions(self, make):
        with pytest.raises(InputError, match="expected"):
            make()
