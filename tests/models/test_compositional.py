"""A composition is a set: neither absent elements nor the scale of the formula exist for it, and pooling is its formula."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsci.core import WeightedSet
from jaxsci.errors import InputError
from jaxsci.models import compositional, deep_sets

ELEMENTS = 9
TABLE = jnp.asarray(np.random.default_rng(5).normal(size=(ELEMENTS, 4)), jnp.float32)
ALL = ("sum", "mean", "variance", "attention", "fourier")


def network(*pooling, **sizes):
    options = {"phi": (8, 6), "rho": (5,), "heads": 3, "embedding": 2, "frequencies": 2} | sizes
    config = compositional.Config(4, ELEMENTS, pooling=pooling, **options)
    model = compositional.model(config, TABLE)
    return config, model, jax.jit(model.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def scale_free():
    config, model, params = network("mean", "variance", "attention", "fourier")
    return config, jax.jit(model.apply), params


AMOUNTS = st.lists(st.one_of(st.just(0.0), st.floats(0.1, 10)), min_size=ELEMENTS, max_size=ELEMENTS).filter(any)


@given(amounts=AMOUNTS, factor=st.floats(0.1, 10), power=st.integers(-4, 4))
def test_the_scale_of_the_formula_changes_nothing(scale_free, amounts, factor, power):
    _, apply, params = scale_free
    x = jnp.asarray(amounts, jnp.float32)
    # By a power of two no amount is rounded; by another factor each is, once in float32.
    np.testing.assert_array_equal(apply(params, x * np.float32(2.0**power)), apply(params, x))
    np.testing.assert_allclose(apply(params, x * np.float32(factor)), apply(params, x), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def in_order():
    """The network with the rows of the table, and with them of the embedding, in any order."""
    config, _, params = network(*ALL)

    def apply(x, order):
        moved = {**params, "embedding": {"bias": params["embedding"]["bias"][order]}}
        return compositional.apply(moved, x[order], config, TABLE[order])

    return jax.jit(apply)


@settings(max_examples=settings.default.max_examples // 2)
@given(amounts=AMOUNTS, seed=st.integers(0, 2**31))
def test_the_order_of_the_table_changes_nothing(in_order, amounts, seed):
    order = np.random.default_rng(seed).permutation(ELEMENTS)
    x = jnp.asarray(amounts, jnp.float32)
    # Sums in another order: float32 roundings; "sum" adds up to 90 latents.
    np.testing.assert_allclose(in_order(x, order), in_order(x, np.arange(ELEMENTS)), rtol=1e-4, atol=1e-3)


def test_absent_elements_contribute_exactly_nothing_to_value_and_gradient():
    """Whatever stands in the table of an absent element."""
    config, _, params = network(*ALL, embedding=0)
    x = jnp.asarray([0, 1, 0, 0, 2, 0, 0, 0, 0], jnp.float32)

    @jax.jit
    def value_and_gradient(table):
        return jax.value_and_grad(lambda p: compositional.apply(p, x, config, table)[0])(params)

    present = np.isin(np.arange(ELEMENTS), [1, 4])[:, None]
    first, other = (value_and_gradient(np.where(present, TABLE, np.float32(fill))) for fill in (0.0, 0.5))
    jax.tree.map(np.testing.assert_array_equal, first, other)


def test_pooling_matches_its_formula():
    config, _, params = network(*ALL)
    x = jnp.asarray([0, 1, 0, 2, 0, 0, 0.5, 0, 0], jnp.float32)
    z = np.asarray(jax.jit(partial(compositional.element_latents, config=config))(params, table=TABLE), np.float64)
    n = np.asarray(x, np.float64)
    f = n / n.sum()
    scores = z @ np.asarray(params["attention"]["kernel"], np.float64) + np.asarray(params["attention"]["bias"])
    weights = f[:, None] * np.exp(10 * np.tanh(scores / 10))
    weights = np.repeat(weights / weights.sum(0), 2, axis=1)
    waves = [function(2**k * np.pi * f) @ z for function in (np.sin, lambda a: 1 - np.cos(a)) for k in (0, 1)]
    expected = [n @ z, f @ z, f @ (z - f @ z) ** 2, (weights * z).sum(0), *waves]
    # The variance is a difference of float32 numbers of order 1.
    np.testing.assert_allclose(
        jax.jit(compositional.embed, static_argnums=2)(params, x, config, TABLE),
        np.concatenate(expected),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_weighted_sum_is_that_of_the_deep_set():
    """One and the same network, written over a table and over a set of elements with weights."""
    _, model, params = network("sum", embedding=0)
    set_config = deep_sets.Config(4, phi=(8, 6), rho=(5,), activate_latent=False, activation="silu")
    x = jnp.asarray([0, 1, 0, 2, 0, 0, 0.5, 0, 0], jnp.float32)
    elements = WeightedSet(TABLE[jnp.array([6, 1, 3, 0])], jnp.array([0.5, 1.0, 2.0, 0.0]))
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, x),
        jax.jit(deep_sets.apply, static_argnums=2)(params, elements, set_config),
        rtol=1e-5,
        atol=1e-5,
    )


def test_one_linear_dimension_is_the_sum_of_the_influences():
    """The influence map: x = sum_i n_i phi(element_i) with phi of one dimension."""
    config, model, params = network("sum", phi=(6, 1), rho=None)
    influence = np.asarray(jax.jit(partial(compositional.element_latents, config=config))(params, table=TABLE))[:, 0]
    x = jnp.asarray([0, 1, 0, 2, 0, 0, 0.5, 0, 0], jnp.float32)
    np.testing.assert_allclose(jax.jit(model.apply)(params, x), [np.asarray(x) @ influence], rtol=1e-6)


def test_the_empty_composition_is_finite():
    config, model, params = network(*ALL)
    nothing = jnp.zeros(ELEMENTS)
    embedded = jax.jit(compositional.embed, static_argnums=2)(params, nothing, config, TABLE)
    np.testing.assert_array_equal(embedded, np.zeros(48))
    gradient = jax.jit(jax.grad(lambda p: model.apply(p, nothing)[0]))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_choices_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="a divisor of the latent dimension 6, got 4"):
        network("attention", heads=4)
    with pytest.raises(ValueError, match="as many as pooled numbers"):
        network("sum", rho=None)


def test_the_published_network_has_its_number_of_parameters():
    """npj Comput. Mater. 9, 71: 33 features with the stoichiometry, phi and rho of three hidden layers of 300, a latent of 300."""
    config = deep_sets.Config(33, phi=(300,) * 4, rho=(300,) * 3, activate_latent=False)
    shapes = jax.eval_shape(deep_sets.model(config).init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 552_301


def test_an_unknown_pooling_is_refused():
    with pytest.raises(
        InputError, match="pooling: expected some of sum, mean, variance, attention, fourier, got median"
    ):
        compositional.Config(4, 7, pooling=("mean", "median"))
