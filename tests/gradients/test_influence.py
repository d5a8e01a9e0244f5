"""Influence against trainings without the example, and its score by trainings on random subsets."""

import gc
import weakref
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsci.core import Batch, Model
from jaxsci.errors import InputError
from jaxsci.gradients import Operator, datamodeling_score, gauss_newton, influence, solve
from jaxsci.losses import binary_cross_entropy, l2, objective, regularized
from jaxsci.training import Recipe, Settings

N, STRENGTH = 40, 0.01


def logit(params, x):
    """Logistic regression without a bias: strongly convex with an L2 penalty."""
    return jnp.dot(params["kernel"][:, 0], x)


def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N + 6, 3))
    y = (x @ [1.0, -1.0, 0.5] + rng.logistic(size=N + 6) > 0).astype(float)
    weight = np.ones(N)
    weight[7] = 0
    x[7] = np.nan
    return Batch(*map(jnp.asarray, (x[:N], y[:N], weight))), Batch(*map(jnp.asarray, (x[N:], y[N:], np.ones(6))))


@jax.jit
def minimum(weight, data):
    """The exact minimum of the regularized loss, by Newton's method; the normalization stays that of all data."""
    total = jnp.sum(data.weight)

    def loss(kernel):
        keep = data.weight > 0
        logits = jnp.where(keep[:, None], data.x, 0) @ kernel
        losses = jnp.where(keep, weight * jax.vmap(binary_cross_entropy)(logits[:, 0], data.y), 0)
        return jnp.sum(losses) / total + STRENGTH * jnp.sum(kernel**2)

    def newton(_, kernel):
        curvature = jax.hessian(loss)(kernel).reshape(3, 3)
        return kernel - jnp.linalg.solve(curvature, jax.grad(loss)(kernel))

    return {"kernel": jax.lax.fori_loop(0, 12, newton, jnp.zeros((3, 1)))}


def losses_of(validation):
    def measure(params):
        return jax.vmap(lambda x, y: binary_cross_entropy(logit(params, x), y))(validation.x, validation.y)

    return measure


@pytest.mark.usefixtures("x64")
def test_influence_is_the_change_without_the_example():
    train, validation = problem()
    measure = losses_of(validation)
    params = minimum(train.weight, train)
    found = influence(logit, binary_cross_entropy, params, train, measure, damping=2 * STRENGTH, batch_size=11)
    assert found.shape == (6, N)
    np.testing.assert_array_equal(found[:, 7], 0)

    # To first order: the exact minimum for weights that differ by little.
    step = 1e-5
    some = jnp.asarray([0, 5, 20])

    def without(i, amount):
        return measure(minimum(train.weight.at[i].add(-amount), train))

    slope = jax.jit(jax.vmap(lambda i: (without(i, step) - without(i, -step)) / (2 * step)))(some)
    np.testing.assert_allclose(found[:, some], slope.T, rtol=2e-4, atol=1e-9)  # conjugate gradients stop at 1e-5

    # And left out altogether: 1 in 40 examples is not little, but the order of the examples stays.
    everyone = jax.jit(jax.vmap(lambda i: without(i, 1.0), out_axes=1))(jnp.arange(N))
    changes = np.asarray(everyone) - np.asarray(measure(params))[:, None]
    correlation = np.corrcoef(np.asarray(found).ravel(), changes.ravel())[0, 1]
    assert correlation > 0.99


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_any_inverse_can_be_given():
    train, validation = problem()
    params = minimum(train.weight, train)
    measure = losses_of(validation)
    call = partial(influence, logit, binary_cross_entropy, params, train, measure)
    operator = gauss_newton(logit, binary_cross_entropy, params, train) + 0.1
    by_inverse = call(inverse=lambda v: solve(operator, v, tolerance=1e-12).value)
    np.testing.assert_allclose(by_inverse, call(damping=0.1), rtol=1e-3, atol=1e-7)
    products = call(inverse=lambda v: v)  # TracIn of one checkpoint, over the sum of the weights
    keep = np.asarray(train.weight) > 0
    gradients = [
        jax.vmap(jax.grad(lambda p, x, y: binary_cross_entropy(logit(p, x), y)), (None, 0, 0))(params, *xy)["kernel"]
        for xy in ((train.x[keep], train.y[keep]), validation[:2])
    ]
    exact = np.einsum("qij,nij->qn", gradients[1], gradients[0]) / keep.sum()
    np.testing.assert_allclose(np.asarray(products)[:, keep], exact, rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_an_inverse_needs_no_hash_and_is_not_kept():
    @dataclass
    class Twice:
        def __call__(self, vector):
            return jax.tree.map(lambda leaf: 2 * leaf, vector)

    train, validation = problem()
    call = partial(influence, logit, binary_cross_entropy, minimum(train.weight, train), train, losses_of(validation))
    inverse = Twice()
    once = call(inverse=Operator(lambda vector: vector, {"kernel": jnp.ones((3, 1))}))
    np.testing.assert_allclose(call(inverse=inverse), 2 * once, rtol=1e-12)
    gone = weakref.ref(inverse)
    del inverse
    gc.collect()
    assert gone() is None


@pytest.mark.usefixtures("x64")
def test_what_gives_no_influence_is_refused():
    train, validation = problem()
    params = minimum(train.weight, train)
    call = partial(influence, logit, binary_cross_entropy, params)
    with pytest.raises(InputError, match="expected damping or inverse"):
        call(train, losses_of(validation))
    bad = train._replace(x=train.x.at[3].set(jnp.inf))
    with pytest.raises(InputError, match="at 1 examples, the first at index 3"):
        call(bad, losses_of(validation), inverse=lambda v: v)
    flat = {"kernel": jnp.zeros((3, 1)), "unused": jnp.ones(2)}
    with pytest.raises(InputError, match=r"singular.*damping"):
        influence(logit, binary_cross_entropy, flat, train, lambda p: p["unused"][0] + p["kernel"][0, 0], damping=0.0)


@pytest.mark.slow
def test_the_score_tells_good_influences_from_none():
    train, validation = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), problem())
    model = Model(lambda key: {"kernel": 0.1 * jax.random.normal(key, (3, 1))}, logit)
    loss = regularized(objective(logit, binary_cross_entropy), l2, STRENGTH)
    recipe = Recipe(model, loss, optax.sgd(2.0))
    measure = losses_of(validation)
    with jax.enable_x64(True):
        params = minimum(*(jax.tree.map(lambda leaf: jnp.asarray(leaf, float), (train.weight, train))))
    params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float32)), params)
    scores = influence(logit, binary_cross_entropy, params, train, measure, damping=2 * STRENGTH)
    call = partial(
        datamodeling_score,
        recipe=recipe,
        train=train,
        validation=train,
        measure=measure,
        key=jax.random.key(0),
        settings=Settings(epochs=30, batch_size=N),
        subsets=32,
    )
    judged = call({"good": scores, "wrong": jnp.roll(scores, 5, axis=1), "opposite": -scores})
    good, wrong = judged["good"], judged["wrong"]
    assert good.value > 0.8
    assert good.value - 3 * good.error < 1
    assert abs(wrong.value) < 4 * wrong.error
    np.testing.assert_allclose(judged["opposite"].value, -good.value, rtol=1e-5)
    np.testing.assert_allclose(call(scores), good, rtol=1e-6)
    with pytest.raises(InputError, match=r"scores: expected the shape \[6, 40\]"):
        call(scores[:2])
