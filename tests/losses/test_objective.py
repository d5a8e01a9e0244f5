"""The mean of a loss over a batch: weights, padding, metrics, dtypes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci import losses
from jaxsci.core import Batch, WeightedSet
from jaxsci.training._step import loss_and_gradient


def model(params, x):
    """A Deep Set of one layer that divides by a sum of its input, and is NaN on zeros."""
    scaled = x.elements / jnp.sum(jnp.abs(x.elements))
    return jnp.einsum("n,nf,fk->k", x.weights, scaled, params["kernel"]) + params["bias"]


PARAMS = {"kernel": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "bias": jnp.array([0.1, 0.0, -0.2])}
TRAINING = losses.objective(model, losses.cross_entropy, metrics={"accuracy": losses.correct})
COMPILED = jax.jit(TRAINING)
WITH_SLOPES = jax.jit(jax.value_and_grad(TRAINING, has_aux=True))


def batch_of(size: int) -> Batch:
    draw = np.random.default_rng(1)
    sets = WeightedSet(draw.normal(size=(size, 5, 2)).astype(np.float32), draw.random((size, 5), np.float32))
    return Batch(sets, draw.integers(0, 3, size, np.int32), draw.random(size, np.float32) + np.float32(0.5))


def spoil(batch: Batch, rows: list[int]) -> Batch:
    """NaN everywhere in these rows, a label that is none, and weight 0."""
    sets, y, weight = jax.tree.map(np.array, (batch.x, batch.y, batch.weight))
    sets.elements[rows], sets.weights[rows], y[rows], weight[rows] = np.nan, np.nan, 77, 0
    return Batch(sets, y, weight)


def test_mean_is_weighted():
    batch = batch_of(6)
    value, metrics = COMPILED(PARAMS, batch)
    one = jax.jit(lambda x, y: (model(PARAMS, x), losses.cross_entropy(model(PARAMS, x), y)))
    outputs, each = zip(*(one(*jax.tree.map(lambda leaf, i=i: leaf[i], batch[:2])) for i in range(6)), strict=True)
    np.testing.assert_allclose(value, np.average(each, weights=batch.weight), rtol=1e-6)
    np.testing.assert_array_equal(metrics["loss"], value)
    np.testing.assert_allclose(metrics["weight"], np.sum(batch.weight), rtol=1e-6)
    right = [float(np.argmax(output) == y) for output, y in zip(outputs, batch.y, strict=True)]
    np.testing.assert_allclose(metrics["accuracy"], np.average(right, weights=batch.weight), rtol=1e-6)


def test_means_of_unequal_batches_combine_exactly():
    batch = batch_of(6)
    whole, _ = COMPILED(PARAMS, batch)
    parts = [jax.tree.map(lambda leaf, rows=rows: leaf[rows], batch) for rows in (slice(0, 2), slice(2, 6))]
    means = [COMPILED(PARAMS, part)[1] for part in parts]
    combined = sum(m["weight"] * m["loss"] for m in means) / sum(m["weight"] for m in means)
    np.testing.assert_allclose(combined, whole, rtol=1e-6)


@pytest.mark.parametrize("rows", [[0], [5], [0, 2, 3]])
def test_padding_contributes_exactly_nothing(rows):
    batch = batch_of(6)
    kept = [i for i in range(6) if i not in rows]
    expected = WITH_SLOPES(PARAMS, jax.tree.map(lambda leaf: leaf[kept], batch))
    ours = WITH_SLOPES(PARAMS, spoil(batch, rows))
    chex.assert_trees_all_close(ours, expected, rtol=1e-6, atol=1e-7)
    # A different spoiling changes no bit: nothing of the padding is read.
    clean = batch._replace(weight=spoil(batch, rows).weight)
    chex.assert_trees_all_equal(WITH_SLOPES(PARAMS, clean), ours)


def test_padding_alone_gives_zero():
    loss = losses.objective(lambda params, x: x @ params["kernel"] + params["bias"], losses.cross_entropy)
    batch = Batch(jnp.full((4, 2), jnp.nan), jnp.full(4, -1), jnp.zeros(4))
    (value, metrics), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(PARAMS, batch)
    assert (float(value), float(metrics["weight"])) == (0.0, 0.0)
    chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, PARAMS))


def test_a_microbatch_of_padding_alone_changes_nothing():
    batch = spoil(batch_of(4), [2, 3])
    whole, parts = (
        jax.jit(lambda batch, n=n: loss_and_gradient(TRAINING, PARAMS, batch, microbatches=n)[1])(batch) for n in (1, 2)
    )
    chex.assert_trees_all_close(parts, whole, rtol=1e-6)


@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_weight_of_nan_is_seen_in_the_gradient(microbatches):
    batch = batch_of(4)
    batch = batch._replace(weight=np.array([np.nan, *batch.weight[1:]], np.float32))
    gradient = jax.jit(lambda batch: loss_and_gradient(TRAINING, PARAMS, batch, microbatches=microbatches)[1])(batch)
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_curvature_ignores_padding():
    batch = jax.tree.map(jnp.asarray, spoil(batch_of(6), [1, 4]))
    gradient = jax.grad(lambda params: TRAINING(params, batch)[0])
    product = jax.jit(lambda params: jax.jvp(gradient, (params,), (params,))[1])(PARAMS)
    chex.assert_tree_all_finite(product)


def test_nan_in_a_present_example_is_not_hidden():
    batch = spoil(batch_of(6), [2])
    assert np.isnan(COMPILED(PARAMS, batch._replace(weight=np.ones(6, np.float32)))[0])


def test_an_infinite_loss_stays_infinite_beside_padding():
    # What fills the padding is a copy of the first example, and 0 times infinity would be NaN.
    loss = losses.objective(lambda params, x: x, losses.cross_entropy)
    logits = jnp.asarray([[-jnp.inf, 0.0], [jnp.nan, jnp.nan]])
    value, _ = loss({}, Batch(logits, jnp.zeros(2, jnp.int32), jnp.asarray([1.0, 0.0])))
    assert float(value) == np.inf


def test_a_boolean_weight_is_a_mask():
    batch = spoil(batch_of(6), [2])
    counted = batch._replace(weight=(batch.weight > 0).astype(np.float32))
    masked = batch._replace(weight=batch.weight > 0)
    chex.assert_trees_all_equal(COMPILED(PARAMS, masked), COMPILED(PARAMS, counted))


def test_objective_traces_once_and_maps_over_members():
    chex.clear_trace_counter()
    jitted = jax.jit(chex.assert_max_traces(TRAINING, n=1))
    batch = batch_of(6)
    members = jax.tree.map(lambda leaf: np.stack([leaf, 2 * np.asarray(leaf)]), PARAMS)
    alone = [jitted(jax.tree.map(lambda leaf, i=i: leaf[i], members), batch) for i in range(2)]
    together = jax.jit(jax.vmap(TRAINING, in_axes=(0, None)))(members, batch)
    chex.assert_trees_all_close(together, jax.tree.map(lambda *leaves: np.stack(leaves), *alone), rtol=1e-6)
    chex.assert_trees_all_close(TRAINING(PARAMS, batch), alone[0], rtol=1e-6)


# ---- infinite logits and half precision


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_outputs_are_added_up_in_float32(dtype):
    count = 100_000  # beyond the largest float16, and beyond what bfloat16 can count
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(count, 2)) * 3, dtype)
    exact = np.asarray(outputs, np.float64)
    batch = Batch(outputs, jnp.zeros((count, 2), dtype), jnp.ones(count, dtype))
    for loss, expected in ((losses.squared_error, exact**2), (losses.absolute_error, np.abs(exact))):
        value, metrics = jax.jit(losses.objective(lambda params, x: x, loss))({}, batch)
        assert value.dtype == metrics["weight"].dtype == jnp.float32
        np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)
        assert float(metrics["weight"]) == count
    image = jnp.full((300, 300), 2.0, dtype)
    assert float(losses.squared_error(300 + 0 * image, 0 * image)) == 90_000.0
    assert float(losses.l2({"kernel": image})) == 360_000.0


# ---- penalties


def test_strict_dtypes_under_x64(x64):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), PARAMS)
    batch = jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, batch_of(6))
    loss = losses.regularized(TRAINING, losses.elastic_net, jnp.asarray(0.1, jnp.float32))
    assert jax.jit(loss)(params, batch)[0].dtype == jnp.float64
    assert losses.l1(PARAMS).dtype == jnp.float32


def test_regularized_adds_strength_times_penalty():
    batch = batch_of(6)
    value, metrics = COMPILED(PARAMS, batch)
    total, extended = jax.jit(losses.regularized(TRAINING, losses.l2, 0.1))(PARAMS, batch)
    penalty = 0.1 * float(jnp.sum(PARAMS["kernel"] ** 2))
    np.testing.assert_allclose(total, value + penalty, rtol=1e-6)
    np.testing.assert_allclose(extended["penalty"], penalty, rtol=1e-6)
    assert extended["loss"] == total
    assert extended["accuracy"] == metrics["accuracy"]


def test_strength_may_be_swept_and_its_gradient_is_shrinkage():
    batch = jax.tree.map(jnp.asarray, batch_of(6))

    def gradient(strength):
        loss = losses.regularized(TRAINING, losses.l2, strength)
        return jax.grad(lambda params: loss(params, batch)[0])(PARAMS)

    swept = jax.jit(jax.vmap(gradient))(jnp.array([0.0, 0.3]))
    np.testing.assert_allclose(swept["kernel"][1] - swept["kernel"][0], 0.6 * PARAMS["kernel"], rtol=1e-5)
    np.testing.assert_allclose(swept["bias"][1], swept["bias"][0], rtol=1e-6)
