"""Models with state: batch statistics and dropout through steps, checkpoints, ensembles and predictions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.losses import binary_cross_entropy, stateful_objective
from jaxsci.models.heads import inference
from jaxsci.models.linen import stateful_from_linen
from jaxsci.training import (
    Recipe,
    Settings,
    adamw,
    ema_params,
    fit,
    fit_ensemble,
    init_state,
    make_step,
    predict,
    with_ema,
)
from jaxsci.training._epoch import evaluate, in_order
from jaxsci.training._step import evaluation_loss

KEY = jax.random.key(0)
MOMENTUM = 0.9


class Network(linen.Module):
    rate: float = 0.2

    @linen.compact
    def __call__(self, x, train):
        x = linen.BatchNorm(use_running_average=not train, momentum=MOMENTUM)(x)
        x = linen.relu(linen.Dense(8)(x))
        x = linen.Dropout(self.rate, deterministic=not train)(x)
        return linen.Dense(1)(x)[:, 0]


def network(rate=0.2, **changes):
    model = stateful_from_linen(Network(rate), jnp.zeros(3))
    loss = stateful_objective(model, binary_cross_entropy)
    recipe = Recipe(model, loss, with_ema(adamw(1e-2), 0.5), eval_params=ema_params)
    return recipe._replace(**changes)


NETWORK, PLAIN = network(), network(rate=0.0)


def data(examples, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(examples, 3)) * [1, 2, 3] + [5, 0, -5]).astype(np.float32)
    return Batch(x, (x[:, 0] * x[:, 1] > 0).astype(np.float32), np.ones(examples, np.float32))


def step(recipe, state, batch):
    return jax.jit(make_step(recipe))(state, jax.tree.map(jnp.asarray, batch))


@pytest.mark.parametrize("microbatches", [1, 2])
def test_padding_leaves_no_trace_in_statistics_gradients_or_loss(microbatches):
    batch = data(8)
    x, y, weight = (np.concatenate([a, np.full_like(a, value)]) for a, value in zip(batch, (np.nan, 1, 0), strict=True))
    recipe = network(rate=0.0, microbatches=microbatches)  # of two, the second is padding alone
    start = init_state(recipe, KEY)
    padded, seen = step(recipe, start, Batch(x, y, weight))
    alone, expected = step(PLAIN, start, batch)
    chex.assert_trees_all_close(padded.params, alone.params, rtol=1e-6, atol=1e-7)  # float32, sums in another order
    np.testing.assert_allclose(seen["loss"], expected["loss"], rtol=1e-6)
    running = padded.params["state"]["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(running["mean"], (1 - MOMENTUM) * batch.x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(running["var"], MOMENTUM + (1 - MOMENTUM) * batch.x.var(0), rtol=1e-4)


def test_answers_after_training_depend_on_no_other_example_and_draw_nothing():
    state, _ = step(NETWORK, init_state(NETWORK, KEY), data(8))
    answers = inference(NETWORK.model)
    x = data(5, seed=2).x
    together = jax.jit(lambda v: NETWORK.model.apply(v, x, jnp.ones(5, bool), None)[0])(state.params)
    np.testing.assert_allclose(predict(answers.apply, state.params, x, batch_size=4), together, rtol=1e-5, atol=1e-6)


def test_dropout_is_replayed_by_step_and_differs_between_steps():
    state, batch = init_state(NETWORK, KEY), data(64)
    losses = [float(step(NETWORK, state._replace(step=jnp.int32(t)), batch)[1]["loss"]) for t in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


SETTINGS = Settings(epochs=4, batch_size=16)


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path):
    parts = (data(40), data(20, seed=1))  # the last batch is half padding
    whole = fit(NETWORK, *parts, key=KEY, settings=SETTINGS)
    fit(NETWORK, *parts, key=KEY, settings=Settings(epochs=2, batch_size=16), checkpoints=tmp_path)
    resumed = fit(NETWORK, *parts, key=KEY, settings=SETTINGS, checkpoints=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.params, whole.params)
    chex.assert_trees_all_equal(resumed.last_params, whole.last_params)
    # What is kept are the parameters and the running means of one epoch, the best.
    examples = jax.tree.map(jnp.asarray, parts[1])
    order = in_order(examples.weight.shape[0], 20)
    loss = evaluate(evaluation_loss(NETWORK), whole.params, examples, order)["loss"]
    np.testing.assert_allclose(loss, min(record["validation_loss"] for record in whole.history), rtol=1e-5)


def test_members_of_an_ensemble_equal_their_own_training():
    parts, keys = (data(40), data(20, seed=1)), jax.random.split(KEY, 2)
    both = fit_ensemble(lambda hyper: NETWORK, {}, *parts, keys=keys, settings=SETTINGS)
    one = fit(NETWORK, *parts, key=keys[1], settings=SETTINGS)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], both.params), one.params, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: linen.BatchNorm(use_running_average=False)(x), "running averages in evaluation"),
        (lambda x: linen.Dropout(0.5, deterministic=False)(x), "no dropout in evaluation"),
    ],
)
def test_layers_without_a_switch_are_refused(call, words):
    class Fixed(linen.Module):
        @linen.compact
        def __call__(self, x):
            return call(x)

    model = stateful_from_linen(Fixed(), jnp.zeros(3))
    params = model.init(KEY)
    with pytest.raises(InputError, match=words):
        inference(model).apply(params, jnp.zeros(3))


def test_statistics_over_another_axis_than_the_batch_are_refused():
    class Turned(linen.Module):
        @linen.compact
        def __call__(self, x, train):
            return linen.BatchNorm(use_running_average=not train)(x.reshape(-1, 1))[:, 0]

    model = stateful_from_linen(Turned(), jnp.zeros(3))
    with pytest.raises(InputError, match="the batch of 2 as the first axis of BatchNorm_0, got the shape"):
        model.apply(model.init(KEY), jnp.zeros((2, 3)), jnp.ones(2, bool), KEY)
