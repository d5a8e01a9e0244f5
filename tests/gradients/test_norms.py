"""Squared norms, inner products and Gram matrices against the stored gradients of the same networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.gradients import explain, inner_products, per_example_gradients, squared_norms
from jaxsci.gradients._batches import microbatch_size
from jaxsci.gradients._capture import capture
from jaxsci.losses import l2, regularized
from tests.gradients.networks import (
    EXAMPLES,
    NETWORKS,
    dense_network,
    flat,
    image_network,
    matrix,
    random_network,
    set_network,
)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("conv1d", "conv3d"))) for name in NETWORKS]
)
def test_norms_equal_those_of_stored_gradients(name):
    loss, params, batch = NETWORKS[name](np.random.default_rng(1))
    compiled = jax.jit(lambda params, batch: squared_norms(loss, params, batch, per_leaf=True))
    stored = matrix(loss, params, batch)
    found = compiled(params, batch)
    ends = np.cumsum([leaf.size for leaf in jax.tree.leaves(params)])
    for part, norms in zip(np.split(stored, ends[:-1], axis=1), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(norms, (part**2).sum(1), rtol=1e-12, atol=1e-13)
    assert np.all(stored[2] == 0)
    assert all(float(leaf[2]) == 0 for leaf in jax.tree.leaves(found))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", range(200))
def test_norms_of_random_networks_equal_those_of_stored_gradients(seed):
    loss, params, batch = random_network(np.random.default_rng(seed))
    found = jax.jit(lambda params, batch: squared_norms(loss, params, batch))(params, batch)
    expected = (matrix(loss, params, batch) ** 2).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15 * expected.max())


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["dense", "tied", pytest.param("set", marks=pytest.mark.slow)])
def test_inner_products_equal_those_of_stored_gradients(name):
    loss, params, batch = NETWORKS[name](np.random.default_rng(2))
    stored = matrix(loss, params, batch)
    direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), params)
    other = jax.tree.map(lambda leaf: leaf[1:4], batch)

    @jax.jit
    def both(params, batch, other):
        along = inner_products(loss, params, batch, direction)
        return (
            along,
            inner_products(loss, params, batch, batch),
            inner_products(loss, params, batch, other, memory=20_000),
        )

    along, own, between = both(params, batch, other)
    np.testing.assert_allclose(along, stored @ flat(direction), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(own, stored @ stored.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(between, stored @ stored[1:4].T, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_microbatches_penalties_and_members_of_an_ensemble_change_nothing():
    plain, params, batch = dense_network(np.random.default_rng(3))
    members = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), params)

    @jax.jit
    def each(members, batch, strength):
        loss = regularized(plain, l2, strength)  # a traced hyperparameter
        return jax.vmap(lambda params: squared_norms(loss, params, batch, memory=3_000))(members)

    found = each(members, batch, 0.3)
    stored = np.stack(
        [matrix(regularized(plain, l2, 0.3), member, batch) for member in (params, jax.tree.map(jnp.negative, params))]
    )
    expected = (stored**2).sum(2) * (batch.weight != 0).astype(np.float64)  # the penalty of a padded example is none
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("largest", "size"), [(1, 1), (2, 2), (4, 4), (5, 4), (6, 6), (7, 6), (13, 12), (24, 12)])
def test_microbatches_divide_a_batch_where_that_makes_them_not_much_smaller(largest, size):
    params = {"kernel": jnp.ones((3, 2))}

    def loss(params, batch):
        return jnp.mean(batch.weight * jnp.sum(jnp.tanh(batch.x @ params["kernel"]), axis=1)), {}

    batch = Batch(jnp.ones((12, 3)), jnp.ones(12), jnp.ones(12))
    bytes_ = 2 * capture(loss, params, batch).bytes_per_example()
    chosen = microbatch_size(loss, params, batch, bytes_ * largest)
    assert min(chosen, 12) == size
    of_eleven = jax.tree.map(lambda leaf: leaf[:11], batch)
    assert microbatch_size(loss, params, of_eleven, bytes_ * 5) == 5  # nothing divides it


def shapes_in(jaxpr):
    """Of every value in a program, also in what it calls."""
    for equation in jaxpr.eqns:
        yield from (var.aval.shape for var in equation.outvars)
        for inner in jax.tree.leaves(dict(equation.params), is_leaf=lambda value: hasattr(value, "eqns")):
            if hasattr(inner, "jaxpr"):
                inner = inner.jaxpr
            if hasattr(inner, "eqns"):
                yield from shapes_in(inner)


@pytest.mark.parametrize("network", [dense_network, set_network])
def test_the_ghost_form_holds_no_gradient_of_an_example(network):
    loss, params, batch = network(np.random.default_rng(4))
    words = explain(loss, params, batch)
    kernels = {name: text for name, text in words.items() if "kernel" in name}
    ghosts = {name for name, text in kernels.items() if text.startswith("ghost form")}
    assert len(ghosts) >= 2
    program = jax.make_jaxpr(lambda params, batch: squared_norms(loss, params, batch))(params, batch)
    shapes = {
        f"params{jax.tree_util.keystr(path)}": leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    forbidden = {(EXAMPLES, *shapes[name]) for name in ghosts} | {(EXAMPLES, 1, *shapes[name]) for name in ghosts}
    assert not forbidden & set(shapes_in(program.jaxpr))
    stored = jax.make_jaxpr(lambda params, batch: per_example_gradients(loss, params, batch))(params, batch)
    assert forbidden & set(shapes_in(stored.jaxpr))  # what is looked for is found where it is


def test_what_is_not_known_is_said():
    loss, params, batch = NETWORKS["odd"](np.random.default_rng(5))
    words = explain(loss, params, batch)
    assert words["params['r']"].startswith("stored, through scan")
    assert "custom_jvp_call" in words["params['c']"]
    assert words["params['w']"].startswith("formed")
    assert words["params['each']"] == "ghost form, 1 position, through dot_general"
    assert words["params['unused']"].startswith("unused")
    assert "gather" in words["params['table']"] or "dynamic_slice" in words["params['table']"]
    loss, params, batch = image_network(np.random.default_rng(5))
    assert "convolution_output" in explain(loss, params, batch)["params['blocks']['block_0']['kernel']"]


def test_a_direction_of_another_form_is_refused():
    loss, params, batch = dense_network(np.random.default_rng(6))
    with pytest.raises(InputError, match="direction"):
        inner_products(loss, params, batch, {"layer_0": params["layer_0"]})


def test_programs_are_kept():
    loss, params, batch = dense_network(np.random.default_rng(7))
    compiled = jax.jit(lambda params, batch: squared_norms(loss, params, batch))
    first = compiled(params, batch)
    np.testing.assert_array_equal(compiled(params, batch), first)
    compiled(jax.tree.map(lambda leaf: leaf + 1, params), batch)
    assert compiled._cache_size() == 1
