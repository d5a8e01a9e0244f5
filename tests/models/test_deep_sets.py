"""A Deep Set is a function of a set: order and padding do not exist for it."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsci.core import WeightedSet
from jaxsci.errors import InputError
from jaxsci.models import deep_sets, layers

POOLINGS = ("sum", "mean", "max", "attention")


@cache
def network(pooling):
    """The network and its parameters, with `apply` compiled once for all tests."""
    config = deep_sets.Config(3, phi=(8, 6), rho=(5,), pooling=pooling, heads=2)
    model = deep_sets.model(config)
    return config, model._replace(apply=jax.jit(model.apply)), jax.jit(model.init)(jax.random.key(0))


def random_set(rng, size):
    return WeightedSet(rng.normal(size=(size, 3)).astype(np.float32), rng.uniform(0.1, 2, size).astype(np.float32))


@pytest.mark.parametrize("pooling", POOLINGS)
@settings(max_examples=settings.default.max_examples // 2)
@given(seed=st.integers(0, 2**31))
def test_permutation_changes_nothing(pooling, seed):
    rng = np.random.default_rng(seed)
    _, model, params = network(pooling)
    x = random_set(rng, 6)
    order = rng.permutation(6)
    permuted = WeightedSet(x.elements[order], x.weights[order])
    # Sums in another order: float32 roundings of numbers of order 1.
    np.testing.assert_allclose(model.apply(params, permuted), model.apply(params, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("garbage", [0.0, 1e30, np.nan, np.inf])
def test_padding_contributes_exactly_nothing_to_value_and_gradient(pooling, garbage):
    _, model, params = network(pooling)
    x = random_set(np.random.default_rng(0), 5)

    def padded(fill):
        return WeightedSet(
            np.concatenate([x.elements, np.full((3, 3), fill, np.float32)]),
            np.concatenate([x.weights, np.zeros(3, np.float32)]),
        )

    @jax.jit
    def value_and_gradient(example):
        return jax.value_and_grad(lambda p: model.apply(p, example)[0])(params)

    # Whatever the padding holds, results are bit-identical; against no padding only the order of sums differs.
    jax.tree.map(np.testing.assert_array_equal, value_and_gradient(padded(garbage)), value_and_gradient(padded(0.0)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        value_and_gradient(padded(garbage)),
        value_and_gradient(x),
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_empty_set_pools_to_zeros(pooling):
    config, model, params = network(pooling)
    empty = WeightedSet(jnp.full((4, 3), jnp.nan), jnp.zeros(4))
    np.testing.assert_array_equal(jax.jit(lambda p: deep_sets.embed(p, empty, config))(params), np.zeros(6))
    gradient = jax.jit(jax.grad(lambda p: model.apply(p, empty)[0]))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_pooling_matches_its_formula():
    config, _, params = network("sum")
    x = random_set(np.random.default_rng(3), 5)
    embed = jax.jit(deep_sets.embed, static_argnums=2)
    each = [embed(params, WeightedSet(x.elements[i : i + 1], np.ones(1, np.float32)), config) for i in range(5)]
    latent, weights = np.stack(each), np.asarray(x.weights)
    expected = {"sum": weights @ latent, "mean": weights @ latent / weights.sum(), "max": latent.max(0)}
    for pooling, value in expected.items():
        config, _, _ = network(pooling)
        np.testing.assert_allclose(embed(params, x, config), value, rtol=1e-5, atol=1e-6)


def test_attention_matches_its_formula():
    config, _, params = network("attention")
    x = random_set(np.random.default_rng(3), 5)
    embed = jax.jit(deep_sets.embed, static_argnums=2)
    sums, _, _ = network("sum")
    latent = np.stack(
        [embed(params, WeightedSet(x.elements[i : i + 1], np.ones(1, np.float32)), sums) for i in range(5)]
    ).astype(np.float64)
    scores = latent @ np.asarray(params["attention"]["kernel"], np.float64) + np.asarray(params["attention"]["bias"])
    counts = x.weights[:, None] * np.exp(10 * np.tanh(scores / 10))  # [element, head]
    expected = [counts[:, h] @ latent[:, 3 * h : 3 * h + 3] / counts[:, h].sum() for h in range(2)]
    # Float32 roundings of numbers of order 1.
    np.testing.assert_allclose(embed(params, x, config), np.concatenate(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("heads", [4, 0, -2])
def test_heads_must_divide_the_latent(heads):
    with pytest.raises(InputError, match=f"heads: expected a divisor of the latent dimension 6, got {heads}; choose"):
        deep_sets.Config(3, phi=(8, 6), pooling="attention", heads=heads)


def test_an_unknown_pooling_is_refused_and_is_no_mean():
    with pytest.raises(InputError, match="pooling: expected one of sum, mean, max, attention, got atention; choose"):
        deep_sets.Config(3, pooling="atention")
    with pytest.raises(InputError, match="pooling: expected one of sum, mean, max, got attention; choose"):
        layers.pool(jnp.ones((2, 3)), jnp.ones(2), "attention")


@pytest.mark.parametrize("pooling", ["sum", "attention"])
def test_an_element_of_weight_two_equals_two_elements(pooling):
    _, model, params = network(pooling)
    element, other = jnp.ones((1, 3)), jnp.array([[0.5, -1.0, 0.0]])
    once = WeightedSet(jnp.concatenate([element, other]), jnp.array([2.0, 1.0]))
    twice = WeightedSet(jnp.concatenate([element, element, other]), jnp.ones(3))
    np.testing.assert_allclose(model.apply(params, once), model.apply(params, twice), rtol=1e-6)


def test_sets_one_after_another_are_the_same_sets():
    config = deep_sets.Config(3, phi=(8, 6), rho=(5,), activate_latent=False)
    params = jax.jit(partial(deep_sets.init, config=config))(jax.random.key(0))
    params["phi"]["layer_1"]["bias"] = np.arange(6, dtype=np.float32)  # counts once for every element
    rng = np.random.default_rng(4)
    sets = [random_set(rng, size) for size in (3, 1, 4)]
    flat = WeightedSet(*(np.concatenate([getattr(s, f) for s in sets]) for f in ("elements", "weights")))
    owners = np.repeat(np.arange(4), [3, 1, 4, 0])
    found = np.asarray(jax.jit(lambda flat: deep_sets.embed_many(params, flat, jnp.asarray(owners), 4, config))(flat))
    # Sums in another order: float32 roundings of numbers of order 10.
    embed = jax.jit(lambda x: deep_sets.embed(params, x, config))
    for row, x in zip(found, sets, strict=False):
        np.testing.assert_allclose(row, embed(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[3], 0)
