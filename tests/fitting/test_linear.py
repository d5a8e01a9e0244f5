"""Linear least squares against the normal equations; its errors on simulated fits; its derivatives."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsci.errors import InputError
from jaxsci.fitting import (
    CGOptions,
    conjugate_gradients,
    draw_errors,
    errors,
    least_squares,
    names,
    predictions,
    require_converged,
    require_determined,
)

pytestmark = pytest.mark.usefixtures("x64")

N, P, FITS = 40, 4, 1000


def line(params, x):
    """A model of one example that is linear in its parameters."""
    return params["offset"] + x @ params["slopes"]


def problem(seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(N, P - 1)))
    weight = jnp.asarray(1 / rng.uniform(0.5, 2, N) ** 2).at[3].set(0.0)
    like = {"offset": jnp.zeros(()), "slopes": jnp.zeros(P - 1)}
    truth = {"offset": jnp.asarray(0.5), "slopes": jnp.asarray([1.0, -2.0, 0.3])}
    return x, weight, like, truth


def measured(seed, x, weight, truth, number=FITS):
    """Simulated measurements [fit, example] with the errors of the weights; NaN where masked."""
    noise = np.random.default_rng(seed).normal(size=(number, N)) / np.sqrt(np.where(weight > 0, weight, 1))
    y = np.asarray(predictions(line, x)(truth)) + noise
    return jnp.asarray(np.where(weight > 0, y, np.nan))


def pulls_of(fitted, truth, error):
    return (np.asarray(fitted) - np.asarray(truth)) / np.asarray(error)


def assert_unit_normal(pulls):
    """Mean 0 and width 1 within four standard errors: one test in 10,000 would fail by chance."""
    pulls = np.asarray(pulls)
    assert np.isfinite(pulls).all()
    count = len(pulls)
    np.testing.assert_allclose(pulls.mean(0), 0, atol=4 / np.sqrt(count))
    np.testing.assert_allclose(pulls.std(0), 1, atol=4 / np.sqrt(2 * count))


fitted = jax.jit(lambda design, y, weight, like: least_squares(design, y, weight, like=like))


def test_against_the_normal_equations():
    x, weight, like, truth = problem()
    y = measured(1, x, weight, truth, 1)[0]
    fit = jax.jit(lambda y: least_squares(predictions(line, x), y, weight, like=like, precision=0.7))(y)
    design = np.column_stack([np.ones(N), x])
    w = np.asarray(weight)
    normal = design.T @ (w[:, None] * design) + 0.7 * np.eye(P)
    expected = np.linalg.solve(normal, design.T @ (w * np.nan_to_num(y)))
    np.testing.assert_allclose(np.append(fit.params["offset"], fit.params["slopes"]), expected, rtol=1e-12)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(normal), rtol=1e-11, atol=1e-14)
    residual = np.nan_to_num(y) - design @ expected
    np.testing.assert_allclose(fit.chi2, np.sum(w * residual**2), rtol=1e-12)
    effective = np.trace(np.linalg.solve(normal, design.T @ (w[:, None] * design)))
    np.testing.assert_allclose(fit.dof, N - 1 - effective, rtol=1e-12)
    np.testing.assert_allclose(fit.pulls, np.sqrt(w) * residual, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fit.errors["slopes"], np.sqrt(np.diag(np.linalg.inv(normal)))[1:], rtol=1e-11)
    assert names(like) == ["offset", "slopes[0]", "slopes[1]", "slopes[2]"]


@pytest.mark.parametrize("sizes", [(1e18, 1), (1e-20, 1e18), (1e20, 1e-15)])
@pytest.mark.parametrize("sigma", [1e-15, 1e17])
def test_units_do_not_matter_in_float32(sizes, sigma):
    rng = np.random.default_rng(4)
    design = rng.normal(size=(30, 2)) * sizes
    y = design @ (sigma * np.array([3.0, -7.0]) / sizes) + sigma * rng.normal(size=30)
    inverse = np.linalg.inv((design / sizes).T @ (design / sizes))
    expected = inverse @ (design / sizes).T @ (y / sigma) * sigma / sizes
    single = partial(jnp.asarray, dtype=jnp.float32)
    fit = fitted(single(design), single(y), single(np.full(30, sigma**-2.0)), jnp.zeros(2, jnp.float32))
    np.testing.assert_allclose(fit.params, expected, rtol=1e-5)
    np.testing.assert_allclose(fit.errors, np.sqrt(np.diag(inverse)) * sigma / sizes, rtol=1e-5)
    require_determined(fit, ["a", "b"])


def test_the_derivative_with_respect_to_a_penalty_of_zero():
    x, weight, like, truth = problem()
    y = measured(1, x, weight, truth, 1)[0]

    @jax.jit
    def offset(penalty):
        return least_squares(predictions(line, x), y, weight, like=like, precision=penalty).params["offset"]

    slope = (offset(1e-4) - offset(0.0)) / 1e-4
    np.testing.assert_allclose(jax.jit(jax.grad(offset))(0.0), slope, rtol=1e-4)


def test_a_badly_conditioned_design_keeps_its_digits():
    """Powers up to the ninth on [0, 1]: the plain normal equations, of the squared condition number, lose all digits but one."""
    design = jnp.asarray(np.linspace(0, 1, 60)[:, None] ** np.arange(10))
    truth = jnp.ones(10)
    fit = fitted(design, design @ truth, jnp.ones(60), truth)
    np.testing.assert_allclose(fit.params, 1, atol=1e-8)


def test_pulls_of_a_thousand_fits():
    x, weight, like, truth = problem()
    fits = jax.jit(jax.vmap(lambda y: least_squares(predictions(line, x), y, weight, like=like)))(
        measured(2, x, weight, truth)
    )
    error = errors(fits.covariance[0], like)
    assert_unit_normal(pulls_of(fits.params["slopes"], truth["slopes"], error["slopes"]))
    assert_unit_normal(pulls_of(fits.params["offset"], truth["offset"], error["offset"]))
    np.testing.assert_allclose(np.mean(fits.chi2 / fits.dof), 1, atol=4 * np.sqrt(2 / (N - 1 - P) / FITS))


def test_pulls_of_the_wiener_filter():
    """With truths drawn from the prior the deviations are those of the posterior covariance."""
    x, weight, like, _ = problem()
    prior = {"offset": jnp.asarray(4.0), "slopes": jnp.asarray([25.0, 1.0, 9.0])}  # inverse variances
    rng = np.random.default_rng(3)
    truths = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=(FITS, *p.shape)) / np.sqrt(p)), prior)
    noise = rng.normal(size=(FITS, N)) / np.sqrt(np.where(weight > 0, weight, 1.0))
    y = jax.vmap(predictions(line, x))(truths) + jnp.asarray(noise)
    fits = jax.jit(jax.vmap(lambda v: least_squares(predictions(line, x), v, weight, like=like, precision=prior)))(y)
    error = errors(fits.covariance[0], like)
    assert_unit_normal(pulls_of(fits.params["slopes"], truths["slopes"], error["slopes"]))
    assert (error["slopes"] < 1 / jnp.sqrt(prior["slopes"])).all()


@pytest.mark.slow
def test_conjugate_gradients_and_their_draws():
    x, weight, like, truth = problem()
    y = measured(4, x, weight, truth, 1)[0]
    exact = least_squares(predictions(line, x), y, weight, like=like, precision=0.5)
    found = jax.jit(
        lambda v: conjugate_gradients(
            predictions(line, x),
            v,
            weight,
            like=like,
            precision=0.5,
            diagonal=20.0,
            key=jax.random.key(0),
            options=CGOptions(draws=2000),
        )
    )(y)
    require_converged(found)
    np.testing.assert_allclose(found.params["slopes"], exact.params["slopes"], rtol=1e-7)
    # 2,000 draws give an error to 1.6 %; four standard errors of that.
    np.testing.assert_allclose(draw_errors(found)["slopes"], errors(exact.covariance, like)["slopes"], rtol=0.07)
    np.testing.assert_allclose(found.dof, exact.dof, rtol=0.01)
    np.testing.assert_allclose(found.chi2, exact.chi2, rtol=1e-7)


def test_pulls_of_conjugate_gradients():
    x, weight, like, truth = problem()
    solve = jax.vmap(
        lambda y: (
            conjugate_gradients(
                predictions(line, x), y, weight, like=like, key=jax.random.key(0), options=CGOptions(draws=1)
            ).params
        )
    )
    fits = jax.jit(solve)(measured(5, x, weight, truth))
    exact = jax.jit(lambda y: least_squares(predictions(line, x), y, weight, like=like))(jnp.zeros(N))
    assert_unit_normal(pulls_of(fits["slopes"], truth["slopes"], errors(exact.covariance, like)["slopes"]))


@pytest.mark.slow
def test_derivatives_of_second_order_through_the_solution():
    x, weight, like, truth = problem()
    weight, x, y = jnp.where(weight > 0, weight, 0.5)[:12], x[:12], predictions(line, x)(truth)[:12]
    rng = np.random.default_rng(9)
    dy, dw, dx = (jnp.asarray(rng.normal(size=a.shape)) for a in (y, weight, x))

    def along_a_line(method, t):
        """The solution where data, weights, design and penalty all move with t."""
        forward, w = predictions(line, x + t * dx), weight * jnp.exp(t * dw)
        fit = method(forward, y + t * dy, w, like=like, precision=0.3 * jnp.exp(t))
        return jnp.sum(fit.params["slopes"]) + fit.chi2

    direct = jax.jit(partial(along_a_line, least_squares))
    check_grads(direct, (jnp.asarray(0.1),), order=2, modes=["rev"], rtol=1e-5)
    options = {"key": jax.random.key(0), "options": CGOptions(draws=1, tolerance=1e-13)}
    iterative = partial(along_a_line, partial(conjugate_gradients, **options))
    for derivative in (jax.grad, jax.hessian):
        np.testing.assert_allclose(jax.jit(derivative(iterative))(0.1), jax.jit(derivative(direct))(0.1), rtol=1e-8)


def test_degenerate_coefficients_are_named():
    x, weight, like, truth = problem()
    y = measured(6, x, weight, truth, 1)[0]

    @jax.jit
    def solve(second, precision):
        forward = predictions(line, x.at[:, 1].set(second))
        return least_squares(forward, y, weight, like=like, precision=precision)

    with pytest.raises(InputError, match=r"2 are degenerate: slopes\[0\], slopes\[1\]; mask less"):
        require_determined(solve(2 * x[:, 0], 0.0), names(like))
    fit = solve(jnp.zeros(N), 0.0)
    with pytest.raises(InputError, match=r"1 are degenerate: slopes\[1\];"):
        require_determined(fit, names(like))
    assert np.isfinite(np.append(fit.params["offset"], fit.params["slopes"])).all()
    require_determined(solve(jnp.zeros(N), 1e-3), names(like))


def test_what_cannot_be_fitted_is_refused():
    x, weight, like, truth = problem()
    y = measured(7, x, weight, truth, 1)[0]
    with pytest.raises(InputError, match="linear in its parameters"):
        least_squares(predictions(lambda a, v: jnp.tanh(line(a, v)), x), y, weight, like=like)
    with pytest.raises(InputError, match="at least as many measurements as parameters, got 3 for 4"):
        least_squares(predictions(line, x[:3]), y[:3], weight[:3], like=like)
    with pytest.raises(InputError, match="real numbers of one floating type, got int64"):
        least_squares(predictions(line, x), y, weight, like={"offset": 0, "slopes": jnp.zeros(3, int)})


def test_a_constant_in_the_model_is_taken_off_the_data():
    x, weight, like, truth = problem()
    y = measured(8, x, weight, truth, 1)[0]
    plain = least_squares(predictions(line, x), y, weight, like=like)
    moved = least_squares(lambda a: predictions(line, x)(a) + 3.0, y + 3.0, weight, like=like)
    np.testing.assert_allclose(moved.params["slopes"], plain.params["slopes"], rtol=1e-12)


def test_the_lapack_calls_of_many_designs_follow_each_other():
    """Two at once would wait for each other for ever in a pool of two threads (jaxlib 0.10): one decomposition, then one solution."""

    def fit(design, y):
        return least_squares(design, y, jnp.ones_like(y), like={"a": jnp.zeros(2)})

    text = jax.jit(jax.vmap(fit)).lower(jnp.ones((3, 4, 2)), jnp.ones((3, 4))).compile().as_text()
    assert sorted(re.findall(r'custom_call_target="lapack_d(\w+?)_ffi"', text)) == ["geqrf", "trsm"]
