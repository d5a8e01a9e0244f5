"""Maximum likelihood: minima, errors and pulls of the fitters, and derivatives through the minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.optimize import brentq
from scipy.special import xlogy

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.fitting import (
    errors,
    gaussian,
    intervals,
    lbfgs,
    log_density,
    minimize,
    newton,
    poisson,
    profiles,
    require_minimum,
    signed_roots,
    total,
)
from jaxsci.losses import objective

pytestmark = pytest.mark.usefixtures("x64")

FITS = 1000
X = np.linspace(-3, 3, 25)
TRUTH = {"height": 40.0, "place": 0.3, "width": 0.9}


def bump(params, x):
    return params["height"] * jnp.exp(-(((x - params["place"]) / params["width"]) ** 2) / 2)


def normal_density(params, x):
    z = (x - params["place"]) / params["width"]
    return -(z**2) / 2 - jnp.log(params["width"]) - 0.5 * np.log(2 * np.pi)


def as_params(truth):
    return {name: jnp.asarray(value) for name, value in truth.items()}


def assert_pulls(fits, truth, sizes=1.0):
    """Mean 0 and width 1 within four standard errors; `sizes` allows for what is of second order in one over the data."""
    assert (np.asarray(fits.distance) < 1e-6).all()
    error = jax.vmap(lambda f: errors(f.covariance, f.params))(fits)
    for name, value in truth.items():
        pulls = (np.asarray(fits.params[name]) - value) / np.asarray(error[name])
        np.testing.assert_allclose(pulls.mean(), 0, atol=4 / np.sqrt(FITS) + sizes)
        np.testing.assert_allclose(pulls.std(), 1, atol=4 / np.sqrt(2 * FITS) + sizes)


@pytest.mark.parametrize("solver", [newton, lbfgs], ids=["newton", "lbfgs"])
def test_pulls_of_gaussian_fits(solver):
    rng = np.random.default_rng(1)
    y = np.asarray(bump(as_params(TRUTH), jnp.asarray(X))) + rng.normal(size=(FITS, X.size))
    start = as_params({"height": 30.0, "place": 0.0, "width": 1.2})

    def one(y):
        data = Batch(jnp.asarray(X), y, jnp.ones(X.size))
        return minimize(total(objective(bump, gaussian), data), start, solver=solver)

    # The parameters are known to one part in 40: what is not linear shows in the pulls at that order.
    assert_pulls(jax.jit(jax.vmap(one))(jnp.asarray(y)), TRUTH, 0.03)


def test_pulls_of_binned_poisson_fits():
    rng = np.random.default_rng(2)
    counts = rng.poisson(np.asarray(bump(as_params(TRUTH), jnp.asarray(X))), size=(FITS, X.size))

    def one(n):
        data = Batch(jnp.asarray(X), n, jnp.ones(X.size))
        return minimize(total(objective(bump, poisson), data), as_params({"height": 30.0, "place": 0.0, "width": 1.2}))

    fits = jax.jit(jax.vmap(one))(jnp.asarray(counts))
    assert_pulls(fits, TRUTH, 0.06)  # 360 counts: skewness of one part in 19
    # Twice the minimum is the chi^2 of Baker and Cousins; the bins in the tails hold less than one count and add less than 1.
    assert 10 < 2 * np.mean(fits.value) < X.size


def test_pulls_of_unbinned_fits():
    sample = np.random.default_rng(3).normal(0.3, 0.9, size=(FITS, 400))

    def one(x):
        data = Batch(x, jnp.zeros_like(x), jnp.ones_like(x))
        return minimize(total(objective(normal_density, log_density), data), as_params({"place": 0.0, "width": 1.5}))

    fits = jax.jit(jax.vmap(one))(jnp.asarray(sample))
    np.testing.assert_allclose(fits.params["place"], sample.mean(1), rtol=0, atol=1e-9)
    np.testing.assert_allclose(fits.params["width"], sample.std(1), rtol=1e-9)
    np.testing.assert_allclose(fits.covariance[:, 0, 0], sample.var(1) / 400, rtol=1e-8)
    assert_pulls(fits, {"place": 0.3, "width": 0.9}, 0.08)  # the width is low by 3/4 of its variance, 0.05 errors


def test_the_likelihood_of_counts_is_that_of_poisson():
    counts, expected = np.array([0, 3, 7]), np.array([0.5, 2.0, 9.0])
    ours = poisson(jnp.asarray(expected), jnp.asarray(counts))
    np.testing.assert_allclose(ours, np.sum(expected - counts + xlogy(counts, counts / expected)), rtol=1e-12)
    assert np.isinf(poisson(jnp.asarray([0.0]), jnp.asarray([1])))


def test_profile_scans_of_a_quadratic_likelihood_are_its_hessian():
    matrix = jnp.asarray([[2.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 3.0]])

    def function(params):
        d = jnp.stack([params["a"], params["b"], params["c"]]) - jnp.asarray([1.0, 2.0, 3.0])
        return d @ matrix @ d / 2 + 5.0

    fit = jax.jit(lambda s: minimize(function, s))(as_params({"a": 0.0, "b": 0.0, "c": 0.0}))
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(matrix), rtol=1e-12)
    scans = jax.jit(lambda f: profiles(function, f, ["b", "a"]))(fit)
    for name, index, value in (("a", 0, 1.0), ("b", 1, 2.0)):
        error = np.sqrt(np.linalg.inv(matrix)[index, index])
        np.testing.assert_allclose(scans[name].rise, ((scans[name].values - value) / error) ** 2, rtol=0, atol=1e-9)
        np.testing.assert_allclose([scans[name].lower, scans[name].upper], [value - error, value + error], rtol=1e-9)
    with pytest.raises(InputError, match="expected some of the parameters a, b, c, got d"):
        profiles(function, fit, ["d"])


@pytest.mark.slow
def test_derivatives_of_second_order_through_the_minimum():
    y = bump(as_params(TRUTH), jnp.asarray(X))
    shift = jnp.asarray(np.random.default_rng(4).normal(size=X.size))

    def place(t):
        data = Batch(jnp.asarray(X), y + t * shift, jnp.exp(0.1 * t * shift))
        return minimize(total(objective(bump, gaussian), data), as_params(TRUTH)).params["place"]

    check_grads(jax.jit(place), (0.5,), order=2, modes=["rev"], rtol=1e-4)


def test_a_hard_start_ends_at_the_minimum():
    """Rosenbrock's valley, a saddle on the way, and a region that is not allowed."""

    def valley(params):
        value = (1 - params["x"]) ** 2 + 100 * (params["y"] - params["x"] ** 2) ** 2
        return jnp.where(params["y"] < -1.0, jnp.nan, value)

    fit = jax.jit(lambda s: minimize(valley, s))(as_params({"x": -1.2, "y": 1.0}))
    np.testing.assert_allclose([fit.params["x"], fit.params["y"]], 1, atol=1e-5)
    require_minimum(fit)


def test_what_has_no_minimum_is_refused():
    flat = minimize(lambda p: p["a"] ** 2 + 0 * p["b"], as_params({"a": 1.0, "b": 2.0}))
    with pytest.raises(InputError, match=r"expected a minimum.*not determined: .*b"):
        require_minimum(flat)


def test_signed_roots_of_other_parameters_are_refused():
    fit = minimize(lambda p: (p["a"] - 1) ** 2, as_params({"a": 0.5}))
    with pytest.raises(InputError, match="values: expected a number for each parameter"):
        signed_roots(lambda p: (p["a"] - 1) ** 2, fit, as_params({"b": 1.0}))


@pytest.mark.slow
def test_intervals_and_signed_roots_of_a_skewed_likelihood():
    """A rate from 9 counts over a background of 4 in 8 times the time, against the closed form of the profile and a root finder."""

    def function(params):
        signal, rest = params["signal"], params["background"]
        return poisson(signal + rest, jnp.asarray(9.0)) + poisson(8 * rest, jnp.asarray(32.0))

    def rise(s):
        """2 (L - L_min) with the background at its best: the positive root of a quadratic equation."""
        p = 9 * s - 9 - 32
        b = (-p + np.sqrt(p**2 + 4 * 9 * 32 * s)) / 18
        return 2 * (s + b - 9 + 9 * np.log(9 / (s + b)) + 8 * b - 32 + 32 * np.log(32 / (8 * b)))

    fit = jax.jit(lambda s: minimize(function, s))(as_params({"signal": 3.0, "background": 3.0}))
    ends = [jax.tree.map(float, end)["signal"] for end in jax.jit(lambda f: intervals(function, f))(fit)]
    exact = [brentq(lambda s: rise(s) - 1, *bracket) for bracket in ((0.5, 5), (5, 20))]
    np.testing.assert_allclose(ends, exact, atol=1e-3)  # the search ends at 1e-4 of the root
    assert ends[1] - 5 > 1.15 * (5 - ends[0])
    roots = jax.jit(lambda f, v: signed_roots(function, f, v))(fit, as_params({"signal": 8.0, "background": 4.0}))
    np.testing.assert_allclose(roots["signal"], -np.sqrt(rise(8.0)), rtol=1e-6)
    np.testing.assert_allclose(roots["background"], 0, atol=1e-4)


def test_intervals_end_at_a_boundary_or_are_open():
    def function(params):
        allowed = (params["inside"] < 0.25) & (params["saturated"] > -1)
        return jnp.where(allowed, params["inside"] ** 2 / 2 + 0.2 * jnp.tanh(params["saturated"]) ** 2, jnp.nan)

    fit = jax.jit(lambda s: minimize(function, s))(as_params({"inside": 0.1, "saturated": 0.1}))
    lower, upper = jax.jit(lambda f: intervals(function, f))(fit)
    np.testing.assert_allclose([lower["inside"], upper["inside"]], [-1, 0.25], atol=1e-3)
    np.testing.assert_allclose(lower["saturated"], -1, atol=1e-3)
    assert np.isposinf(upper["saturated"])


def test_an_empty_bin_where_nothing_is_expected_costs_nothing():
    empty = jnp.zeros(2)
    value, slope = jax.value_and_grad(poisson)(empty, empty)
    assert float(value) == 0.0
    np.testing.assert_array_equal(slope, np.ones(2))
    assert float(poisson(empty, jnp.array([0.0, 1.0]))) == np.inf
