"""What is estimated from products with an operator against its exact spectrum: eigenvalues, traces, densities, solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.gradients import (
    Operator,
    diagonal,
    hessian,
    solve,
    spectral_density,
    top_eigenpairs,
    trace,
)
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import dense

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)


SPECTRUM = np.concatenate([np.linspace(0.1, 1, 380) ** 4, np.linspace(3, 4, 20)])  # a bulk and 20 outliers


def of_spectrum(values, seed=0):
    """An operator on a tree with these eigenvalues, and the matrix."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    matrix = jnp.asarray(q * values @ q.T)
    like = {"a": jnp.zeros((2, 3)), "b": jnp.zeros(len(values) - 6)}
    return Operator(_multiply, like, (matrix,)), matrix


def _multiply(vector, matrix):
    v, unravel = ravel_pytree(vector)
    return unravel(matrix @ v)


def test_sums_products_and_damping_are_those_of_matrices():
    (a, m), (b, n) = of_spectrum(np.arange(1.0, 10)), of_spectrum(np.arange(2.0, 11), seed=1)
    assert a.size == 9
    combined = (0.5 * a + b @ a) + 0.1
    np.testing.assert_allclose(combined.dense(), 0.5 * m + n @ m + 0.1 * jnp.eye(9), atol=1e-13)


def test_the_largest_eigenvalues_and_their_vectors():
    operator, matrix = of_spectrum(SPECTRUM)
    values, vectors = top_eigenpairs(operator, 5, key=KEY, steps=150)
    exact = np.sort(SPECTRUM)[::-1][:5]
    assert (np.abs(values.value - exact) <= values.error + 1e-13).all()
    np.testing.assert_allclose(values.value, exact, rtol=1e-10)
    u = np.concatenate([np.asarray(vectors["a"]).reshape(5, -1), np.asarray(vectors["b"])], axis=1)
    np.testing.assert_allclose(u @ u.T, np.eye(5), atol=1e-12)
    residuals = np.linalg.norm(np.asarray(matrix) @ u.T - u.T * np.asarray(values.value), axis=0)
    assert (residuals <= 1e-10).all()


def test_a_good_start_saves_steps_and_its_errors_are_residuals():
    spectrum = np.concatenate([np.linspace(0, 1, 196), [2, 2.98, 3, 5]])
    operator, matrix = of_spectrum(spectrum)
    vectors = np.linalg.eigh(matrix)[1][:, -4:]
    near = vectors.sum(1) + 0.02 * np.random.default_rng(1).normal(size=200)
    start = {"a": jnp.asarray(near[:6].reshape(2, 3)), "b": jnp.asarray(near[6:])}
    errors = {}
    for name, given in (("random", None), ("near", start)):
        values, found = top_eigenpairs(operator, 4, key=KEY, steps=11, start=given)
        u = np.concatenate([np.asarray(found["a"]).reshape(4, -1), np.asarray(found["b"])], axis=1)
        residuals = np.linalg.norm(np.asarray(matrix) @ u.T - u.T * np.asarray(values.value), axis=0)
        np.testing.assert_allclose(values.error, residuals, rtol=1e-6, atol=1e-13)
        errors[name] = np.abs(values.value - spectrum[::-1][:4])
    assert errors["near"].max() < errors["random"].max() / 10


def test_some_eigenvalue_is_as_near_as_the_error_says_though_others_are_close_or_missed():
    # 4.999 and 5 look like one in 8 steps, and 4.2 is not in the start: what a gap between the values found would say is wrong.
    bulk = np.linspace(0, 1, 96)

    @jax.jit
    def found(spectrum, start, key):
        estimate, _ = top_eigenpairs(Operator(jnp.multiply, spectrum, (spectrum,)), 5, key=key, steps=8, start=start)
        return estimate

    close = jnp.asarray(np.concatenate([[5, 4.999, 3, 2], bulk]))
    missed = jnp.asarray(np.concatenate([[4.2, 4, 3, 2], bulk]))
    poor = jnp.zeros(100).at[1:4].set(1.0)
    nothing = jnp.full(100, jnp.nan)  # inside `jit` the same as no start
    for spectrum, start in ((close, nothing), (missed, poor)):
        for key in jax.random.split(KEY, 20):
            value, error = found(spectrum, start, key)
            nearest = jnp.min(jnp.abs(value[:, None] - spectrum[None, :]), axis=1)
            assert (nearest <= error).all(), (value, error, nearest)


def test_errors_of_eigenvalues_in_single_precision_hold_the_rounding_of_products():
    model = dense.model(dense.Config(20, hidden=(12, 6), outputs=1, activation="tanh"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 20)).astype(np.float32)
    loss = objective(lambda p, x: model.apply(p, x)[0], binary_cross_entropy)

    def at(dtype):
        params = jax.tree.map(lambda leaf: 3 * leaf.astype(jnp.float32).astype(dtype), jax.jit(model.init)(KEY))
        data = Batch(jnp.asarray(x, dtype), jnp.asarray(x[:, 0] > 0, dtype), jnp.ones(600, dtype))
        return hessian(loss, params, data)

    exact = np.linalg.eigvalsh(np.asarray(at(jnp.float64).dense()))[-1]
    operator = at(jnp.float32)
    for key in jax.random.split(KEY, 3):
        value, error = (float(leaf[0]) for leaf in top_eigenpairs(operator, 1, key=key, steps=60)[0])
        assert abs(value - exact) <= error
        assert error < 1e-4 * exact  # a bound that is of use


@pytest.mark.parametrize("values", [[3, 3, 3, 1, 0, 0, 0, 0, 0], [0] * 9, [2] * 9])
def test_equal_and_vanishing_eigenvalues_are_found_as_often_as_they_occur(values):
    operator, _ = of_spectrum(np.asarray(values, float))
    estimate, _ = top_eigenpairs(operator, 9, key=KEY)
    np.testing.assert_allclose(estimate.value, np.sort(values)[::-1], atol=1e-12)


def moments(eigenvalue):
    return jnp.stack([eigenvalue, eigenvalue**2, eigenvalue**3, eigenvalue**4])


@pytest.mark.slow
def test_moments_of_the_spectrum_lie_within_their_error_bands():
    operator, _ = of_spectrum(SPECTRUM)
    keys = jax.random.split(KEY, 100)
    estimates = jax.lax.map(lambda key: trace(operator, key=key, function=moments, probes=10, steps=30), keys)
    exact = [(SPECTRUM**k).sum() for k in (1, 2, 3, 4)]
    inside = np.abs(np.asarray(estimates.value) - exact) < 1.96 * np.asarray(estimates.error)
    # 95 of 100 on average: 89 or fewer come by chance once in 100 times, and the keys are fixed.
    assert (inside.sum(0) >= 90).all(), inside.sum(0)


def test_the_variance_of_a_function_far_from_zero_is_not_lost_to_rounding():
    operator, _ = of_spectrum(np.arange(1.0, 10))
    error = trace(operator, key=KEY, function=lambda x: jnp.stack([x, x + 1e8]), steps=9).error
    # The variance does not depend on the shift; the shift's own rounding, 1e8 eps, is 1e-8. Its square would be rounded to 2.
    np.testing.assert_allclose(error[1], error[0], rtol=1e-6)


def test_more_numbers_in_all_probes_than_an_int32_counts_are_no_overflow():
    with jax.enable_x64(False):
        like = jnp.zeros(9, jnp.float32)
        operator = Operator(jnp.multiply, like, (like,))
        kind = jax.eval_shape(lambda key: trace(operator, key=key, function=jnp.exp, probes=2**30, steps=2), KEY)
    assert kind.error.shape == ()


@pytest.mark.parametrize("rank", [16, pytest.param(0, marks=pytest.mark.slow)])
def test_traces_and_diagonals_lie_within_their_error_bands(rank):
    operator, matrix = of_spectrum(SPECTRUM)
    keys = jax.random.split(KEY, 100)
    estimates = jax.lax.map(lambda key: trace(operator, key=key, probes=16, rank=rank), keys)
    inside = np.abs(estimates.value - SPECTRUM.sum()) < 2.131 * estimates.error
    assert inside.sum() >= 90
    estimate = diagonal(operator, key=KEY, probes=64, rank=rank)
    value, error = (ravel_pytree(leaf)[0] for leaf in estimate)
    pulls = (value - jnp.diagonal(matrix)) / error
    assert abs(np.std(pulls) - 1) < 0.15  # 400 pulls, nearly independent: 1 within 1 / sqrt(800) each
    exact = trace(operator, key=KEY, rank=400)
    np.testing.assert_allclose(exact.value, SPECTRUM.sum(), rtol=1e-12)


@pytest.mark.slow
def test_the_log_determinant_and_the_density():
    operator, _ = of_spectrum(SPECTRUM)
    estimate = trace(operator, key=KEY, function=jnp.log, probes=32, steps=60)
    assert abs(estimate.value - np.log(SPECTRUM).sum()) < 3 * estimate.error
    grid = np.linspace(-0.5, 4.5, 200)
    density = spectral_density(operator, grid, width=0.1, key=KEY, probes=32)
    bumps = np.exp(-((grid[:, None] - SPECTRUM) ** 2) / 0.02) / np.sqrt(0.02 * np.pi)
    assert np.mean(np.abs(density.value - bumps.mean(1)) < 3 * density.error + 1e-9) > 0.95
    np.testing.assert_allclose(np.trapezoid(density.value, grid), 1, atol=1e-3)


def test_equations_are_solved_and_their_solution_is_differentiable():
    operator, matrix = of_spectrum(np.arange(1.0, 10))
    b = jax.tree.map(jnp.ones_like, operator.like)
    found = solve(operator, b, tolerance=1e-12, preconditioner=lambda v: jax.tree.map(lambda leaf: leaf / 4, v))
    np.testing.assert_allclose(ravel_pytree(found.value)[0], jnp.linalg.solve(matrix, jnp.ones(9)), rtol=1e-9)
    slope = jax.grad(lambda damping: ravel_pytree(solve(operator + damping, b, tolerance=1e-12).value)[0].sum())(0.1)
    inverse = np.linalg.inv(np.asarray(matrix) + 0.1 * np.eye(9))
    np.testing.assert_allclose(slope, -(inverse @ inverse).sum(), rtol=1e-8)


def test_estimates_that_cannot_be_made_are_refused():
    singular, _ = of_spectrum(np.array([0.0, 0, 0, 1, 1, 1, 2, 3, 4]))
    with pytest.raises(InputError, match=r"singular.*damping"):
        solve(singular, jax.tree.map(jnp.ones_like, singular.like))
    with pytest.raises(InputError, match="count"):
        top_eigenpairs(singular, 10, key=KEY)
    with pytest.raises(InputError, match="start: expected a vector of the shapes"):
        top_eigenpairs(singular, 2, key=KEY, start={"a": jnp.zeros((2, 3)), "b": jnp.zeros(4)})
    for number in (0.0, np.nan, np.inf):
        with pytest.raises(InputError, match="start: expected finite numbers, not all 0"):
            top_eigenpairs(singular, 2, key=KEY, start={"a": jnp.zeros((2, 3)), "b": jnp.full(3, number)})
    with pytest.raises(InputError, match="probes"):
        trace(singular, key=KEY, probes=1)
    with pytest.raises(InputError, match="function: expected real values"):
        trace(singular, key=KEY, function=lambda x: jnp.exp(1j * x.astype(complex)))


def test_operators_plug_into_matfree_unchanged():
    stochtrace = pytest.importorskip("matfree.stochtrace")
    operator, _ = of_spectrum(SPECTRUM)
    sampler = stochtrace.sampler_normal(operator.like, num=30)
    estimate = stochtrace.estimator_leave_one_out_mean_and_sem(stochtrace.leave_one_out_xtrace(), sampler)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):  # what matfree needs
        mean, error = estimate(operator, KEY)
    assert abs(mean - SPECTRUM.sum()) < 4 * error


def test_operators_plug_into_lineax_unchanged():
    lx = pytest.importorskip("lineax")
    operator, matrix = of_spectrum(np.arange(1.0, 10))
    b = jax.tree.map(jnp.ones_like, operator.like)
    wrapped = lx.FunctionLinearOperator(operator, operator.structure, lx.positive_semidefinite_tag)
    solution = lx.linear_solve(wrapped, b, lx.CG(rtol=1e-12, atol=0)).value
    np.testing.assert_allclose(ravel_pytree(solution)[0], jnp.linalg.solve(matrix, jnp.ones(9)), rtol=1e-9)
