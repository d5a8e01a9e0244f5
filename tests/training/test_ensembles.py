"""Ensembles: each member is a training of its own."""

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxsci.errors import InputError
from jaxsci.training import Settings, TrainingDivergedError, fit, fit_ensemble
from tests.training.small import KEY, LOSS, data, recipe


def test_each_member_of_an_ensemble_equals_its_training_alone():
    rates = jnp.array([1e-3, 1e-2, 5e-2])
    keys = jax.random.split(jax.random.key(5), 3)
    settings = Settings(epochs=12, batch_size=32, patience=2)
    parts = data(100), data(50, seed=1)
    together = fit_ensemble(
        lambda hyper: recipe(hyper["learning_rate"]), {"learning_rate": rates}, *parts, keys=keys, settings=settings
    )
    stops = []
    for i in range(3):
        alone = fit(recipe(rates[i]), *parts, key=keys[i], settings=settings)
        stops.append(len(alone.history))
        member = jax.tree.map(lambda leaf, i=i: leaf[i], together.params)
        # Batched products sum in another order; Adam's division passes such roundings on for some dozens of steps.
        chex.assert_trees_all_close(member, alone.params, rtol=2e-3, atol=2e-4)
        assert int(together.best_epoch[i]) == int(alone.best_epoch)
    assert len(set(stops)) > 1, "the members should stop at different epochs for this test to mean something"
    assert len(together.history) == max(stops)


def test_a_diverging_member_does_not_harm_the_others():
    rates = jnp.array([1e-2, 1e30])
    keys = jax.random.split(KEY, 2)
    parts = data(100), data(50, seed=1)
    result = fit_ensemble(
        lambda hyper: recipe(hyper["rate"]),
        {"rate": rates},
        *parts,
        keys=keys,
        settings=Settings(epochs=3, batch_size=32),
    )
    last = result.history[-1]
    assert last["train_loss"][1] is None
    assert last["train_loss"][0] < result.history[0]["train_loss"][0]


def test_hyperparameters_need_one_value_a_member():
    with pytest.raises(
        InputError, match=r"hyper\['rate'\]: expected \[2, ...\], one value for each of 2 keys, got the shape \[3\]"
    ):
        fit_ensemble(
            lambda hyper: recipe(hyper["rate"]),
            {"rate": jnp.ones(3)},
            data(10),
            data(10),
            keys=jax.random.split(KEY, 2),
            settings=Settings(),
        )


def test_an_ensemble_ends_when_no_member_is_left_and_names_the_step():
    def loss(params, batch):
        value, metrics = LOSS(params, batch)
        return value * jnp.nan, metrics

    keys = jax.random.split(KEY, 3)
    with pytest.raises(TrainingDivergedError, match=r"loss became nan in epoch 1, step 0;"):
        fit_ensemble(lambda hyper: recipe(loss=loss), {}, data(96), data(50), keys=keys, settings=Settings(1, 8))
