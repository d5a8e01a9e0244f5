"""The derivatives of a training: against central differences, in both modes; the training itself against `fit`."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense
from jaxsci.training import Recipe, Settings, adamw, fit, init_state, unroll

MODEL = dense.model(dense.Config(2, hidden=(4,), activation="tanh"))
LOSS = objective(MODEL.apply, squared_error)
KEY = jax.random.key(0)


def data(examples, seed, dtype):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, 2)).astype(dtype)
    y = np.sin(x[:, :1]) + 0.1 * rng.normal(size=(examples, 1)).astype(dtype)
    return Batch(*map(jnp.asarray, (x, y.astype(dtype), np.ones(examples, dtype))))


def test_the_steps_are_those_of_a_fit():
    recipe = Recipe(MODEL, LOSS, adamw(1e-2))
    train = data(50, 0, np.float32)
    result = fit(recipe, train, train, key=KEY, settings=Settings(epochs=3, batch_size=16))
    state = jax.jit(lambda: unroll(recipe, init_state(recipe, KEY), train, steps=12, batch_size=16))()
    assert int(state.step) == 12
    chex.assert_trees_all_close(state.params, result.last_params, rtol=1e-4, atol=1e-6)  # float32, other programs
    half = jax.jit(lambda: unroll(recipe, init_state(recipe, KEY), train, steps=4, batch_size=16))()
    rest = jax.jit(lambda state: unroll(recipe, state, train, steps=8, batch_size=16))(half)
    chex.assert_trees_all_close(rest.params, state.params, rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="steps"):
        unroll(recipe, state, train, steps=0, batch_size=16)


def test_derivatives_of_a_training_are_those_of_central_differences(x64):
    train, validation = data(50, 0, float), data(20, 1, float)
    start = jax.tree.map(lambda leaf: leaf.astype(float), jax.jit(MODEL.init)(KEY))

    def trained(hyper, weight=train.weight):
        """The validation loss after 200 steps."""
        rate, decay, scale = hyper
        optimizer = optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, momentum=0.9))
        recipe = Recipe(MODEL, LOSS, optimizer)
        params = jax.tree.map(lambda leaf: scale * leaf, start)
        state = init_state(recipe, KEY)._replace(params=params, opt_state=optimizer.init(params))
        state = unroll(recipe, state, train._replace(weight=weight), steps=200, batch_size=16)
        return LOSS(state.params, validation)[0]

    hyper = jnp.asarray([0.01, 0.02, 1.2])  # learning rate, weight decay, scale of the initial parameters
    steps = 1e-5 * jnp.diag(hyper)
    ends = jax.jit(jax.vmap(trained))(jnp.concatenate([hyper[None] + steps, hyper[None] - steps]))
    exact = (ends[:3] - ends[3:]) / (2e-5 * hyper)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(trained))(hyper), exact, rtol=1e-6)
    backward = jax.jit(jax.grad(trained, argnums=(0, 1)))(hyper, train.weight)
    np.testing.assert_allclose(backward[0], exact, rtol=1e-6)

    change = jnp.asarray(np.random.default_rng(2).normal(size=50))  # of the weights of the examples
    ends = jax.jit(jax.vmap(lambda s: trained(hyper, train.weight + s * change)))(jnp.asarray([1e-5, -1e-5]))
    np.testing.assert_allclose(backward[1] @ change, (ends[0] - ends[1]) / 2e-5, rtol=1e-6)
