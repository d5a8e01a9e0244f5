"""Losses against independent formulas in float64, gradients against finite differences, and padding that contributes nothing."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsci import losses
from jaxsci.core import Batch, WeightedSet
from jaxsci.errors import InputError

K = 4
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0])


def softmax(z: np.ndarray) -> np.ndarray:
    shifted = np.exp(z - z.max())
    return shifted / shifted.sum()


def smoothed_cross_entropy(z, y, s, w):
    p = softmax(z)
    uniform = -np.mean(np.log(p))
    return w[y] * ((1 - s) * -np.log(p[y]) + s * uniform)


def smoothed_binary_cross_entropy(z, y, s, w):
    """As the two-class cross-entropy of the logits (0, z), which defines the smoothing of one logit."""
    return smoothed_cross_entropy(np.array([0.0, z]), y, s, w)


def focal(z, y, gamma, w):
    p = softmax(z)
    return -w[y] * np.sum(np.delete(p, y)) ** gamma * np.log(p[y])


def huber(d, delta):
    return np.mean(np.where(np.abs(d) <= delta, d**2 / 2, delta * (np.abs(d) - delta / 2)))


rng = np.random.default_rng(0)
LOGITS = [rng.normal(size=K) * scale for scale in (1.0, 1.0, 10.0, 30.0)]


def of_all(loss):
    return jax.jit(jax.vmap(loss))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy(x64, smoothing, weights):
    w = np.ones(K) if weights is None else weights
    knobs = {"label_smoothing": smoothing}
    loss = partial(losses.cross_entropy, class_weights=weights, **knobs)
    expected = [smoothed_cross_entropy(z, y, smoothing, w) for y, z in enumerate(LOGITS)]
    np.testing.assert_allclose(of_all(loss)(np.stack(LOGITS), np.arange(K)), expected, rtol=1e-12, atol=1e-12)
    loss = partial(losses.binary_cross_entropy, class_weights=None if weights is None else w[:2], **knobs)
    expected = [smoothed_binary_cross_entropy(z[0], y % 2, smoothing, w[:2]) for y, z in enumerate(LOGITS)]
    ours = of_all(loss)(np.stack(LOGITS)[:, 0], np.arange(K) % 2)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal(x64, gamma, weights):
    w = np.ones(K) if weights is None else weights
    loss = partial(losses.focal, gamma=gamma, class_weights=weights)
    expected = [focal(z, y, gamma, w) for y, z in enumerate(LOGITS)]
    np.testing.assert_allclose(of_all(loss)(np.stack(LOGITS), np.arange(K)), expected, rtol=1e-10, atol=1e-14)
    loss = partial(losses.binary_focal, gamma=gamma, class_weights=None if weights is None else w[:2])
    expected = [focal(np.array([0.0, z[0]]), y % 2, gamma, w[:2]) for y, z in enumerate(LOGITS)]
    ours = of_all(loss)(np.stack(LOGITS)[:, 0], np.arange(K) % 2)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-14)


def test_probability_as_label_is_the_mixture():
    logit = jnp.asarray(0.7)
    mixed = losses.binary_cross_entropy(logit, jnp.asarray(0.25))
    parts = [losses.binary_cross_entropy(logit, jnp.asarray(y)) for y in (0, 1)]
    np.testing.assert_allclose(mixed, 0.75 * parts[0] + 0.25 * parts[1], rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (4, 5, 2)])
def test_regression_losses(x64, shape):
    output, target = rng.normal(size=(2, *shape)) * 2
    d = output - target
    output, target = jnp.asarray(output), jnp.asarray(target)
    np.testing.assert_allclose(losses.squared_error(output, target), np.mean(d**2))
    np.testing.assert_allclose(losses.absolute_error(output, target), np.mean(np.abs(d)))
    for delta in (0.3, 2.0):
        np.testing.assert_allclose(losses.huber(output, target, delta=delta), huber(d, delta))


def test_absolute_error_is_at_rest_where_it_is_0():
    np.testing.assert_array_equal(
        jax.grad(losses.absolute_error)(jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0])), [0, 0.5]
    )


def test_target_of_another_shape_is_refused():
    for loss in (losses.squared_error, losses.absolute_error, losses.huber):
        with pytest.raises(AssertionError):
            loss(jnp.zeros((1,)), jnp.zeros(()))
    with pytest.raises(AssertionError):
        losses.binary_cross_entropy(jnp.zeros((1,)), jnp.zeros((1,)))
    with pytest.raises(AssertionError):
        losses.cross_entropy(jnp.zeros(3), jnp.asarray(0), class_weights=jnp.ones(2))


@pytest.mark.parametrize(
    ("loss", "output", "target"),
    [
        (losses.squared_error, LOGITS[0], LOGITS[1]),
        (losses.absolute_error, LOGITS[0], LOGITS[1]),
        (partial(losses.huber, delta=0.4), LOGITS[0], LOGITS[1]),
        (partial(losses.binary_cross_entropy, label_smoothing=0.1, class_weights=(1.0, 3.0)), 0.6, 1),
        (partial(losses.cross_entropy, label_smoothing=0.1, class_weights=WEIGHTS), LOGITS[0], 2),
        (partial(losses.binary_focal, gamma=1.5, class_weights=(1.0, 3.0)), -0.6, 1),
        (partial(losses.focal, gamma=1.5, class_weights=WEIGHTS), LOGITS[0], 2),
    ],
)
def test_gradients_are_finite_differences(x64, loss, output, target):
    target = jnp.asarray(target)
    check_grads(jax.jit(lambda z: loss(z, target)), (jnp.asarray(output),), order=2, rtol=1e-5)


CLASSIFICATION = [losses.cross_entropy, losses.focal]
BINARY = [losses.binary_cross_entropy, losses.binary_focal]


@pytest.mark.parametrize("size", [0.0, 50.0, 1e4])
def test_sure_answers_have_finite_losses_and_gradients(size):
    for loss in CLASSIFICATION:
        logits = np.tile(np.array([size, 0.0, -size], np.float32), (2, 1))
        chex.assert_tree_all_finite(of_all(jax.value_and_grad(loss))(logits, np.arange(2)))
    for loss in BINARY:
        chex.assert_tree_all_finite(
            of_all(jax.value_and_grad(loss))(np.array([-size, size], np.float32), np.ones(2, int))
        )
    assert float(losses.cross_entropy(jnp.array([size, 0.0]), jnp.asarray(1))) == pytest.approx(max(size, np.log(2)))


def test_labels_outside_the_classes_give_nan():
    for loss in CLASSIFICATION:
        assert np.isnan(of_all(loss)(np.zeros((2, 3), np.float32), np.array([-1, 3]))).all()
    for loss in BINARY:
        assert np.isnan(of_all(loss)(np.zeros(2, np.float32), np.array([-1, 2]))).all()


def test_correct():
    assert float(losses.correct(jnp.array([0.0, 2.0, 1.0]), jnp.asarray(1))) == 1
    assert float(losses.correct(jnp.array([0.0, 2.0, 1.0]), jnp.asarray(2))) == 0
    for logit, label, right in ((0.5, 1, 1), (-0.5, 1, 0), (0.0, 0, 1)):
        for kind in (jnp.int32, jnp.float32, bool):
            assert float(losses.correct(jnp.asarray(logit), jnp.asarray(label, kind))) == right
    assert np.isnan(losses.correct(jnp.array([0.0, jnp.nan]), jnp.asarray(0)))


@pytest.mark.parametrize(
    ("loss", "knob", "values"),
    [
        (losses.huber, "delta", jnp.array([0.1, 1.0])),
        (losses.cross_entropy, "label_smoothing", jnp.array([0.0, 0.2])),
        (losses.cross_entropy, "class_weights", jnp.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])),
        (losses.binary_cross_entropy, "class_weights", jnp.array([[1.0, 1.0], [1.0, 2.0]])),
        (losses.binary_focal, "gamma", jnp.array([0.0, 2.0])),
        (losses.focal, "gamma", jnp.array([0.0, 2.0])),
    ],
)
def test_knobs_may_be_swept(loss, knob, values):
    scalar = loss in BINARY
    output = jnp.asarray(0.3) if scalar else jnp.array([0.3, -1.0, 2.0])
    target = jnp.zeros(3) if loss is losses.huber else jnp.asarray(1)
    swept = jax.jit(jax.vmap(lambda value: loss(output, target, **{knob: value})))(values)
    np.testing.assert_allclose(swept, [loss(output, target, **{knob: value}) for value in values], rtol=1e-6)


# ---- the mean over a batch


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


def test_curvature_ignores_padding():
    batch = jax.tree.map(jnp.asarray, spoil(batch_of(6), [1, 4]))
    gradient = jax.grad(lambda params: TRAINING(params, batch)[0])
    product = jax.jit(lambda params: jax.jvp(gradient, (params,), (params,))[1])(PARAMS)
    chex.assert_tree_all_finite(product)


def test_nan_in_a_present_example_is_not_hidden():
    batch = spoil(batch_of(6), [2])
    assert np.isnan(COMPILED(PARAMS, batch._replace(weight=np.ones(6, np.float32)))[0])


def test_a_boolean_weight_is_a_mask():
    batch = spoil(batch_of(6), [2])
    counted = batch._replace(weight=(batch.weight > 0).astype(np.float32))
    masked = batch._replace(weight=batch.weight > 0)
    chex.assert_trees_all_equal(COMPILED(PARAMS, masked), COMPILED(PARAMS, counted))


def test_objective_traces_once_and_maps_over_members():
    chex.clear_trace_counter()
    jitted = jax.jit(chex.assert_max_traces(TRAINING, n=1))
    batch = batch_of(6)
    members = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), PARAMS)
    alone = [jitted(jax.tree.map(lambda leaf, i=i: leaf[i], members), batch) for i in range(2)]
    together = jax.jit(jax.vmap(TRAINING, in_axes=(0, None)))(members, batch)
    chex.assert_trees_all_close(together, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone), rtol=1e-6)
    chex.assert_trees_all_close(TRAINING(PARAMS, batch), alone[0], rtol=1e-6)


# ---- infinite logits and half precision

INF = np.inf


@jax.jit
@jax.vmap
def losses_with_slopes(z, y, smoothing):
    """Value and gradient of the losses of three classes with logits `z`, and of the answer with logit z_1 - z_0."""
    several = [lambda z: losses.cross_entropy(z, y, label_smoothing=smoothing), partial(losses.focal, label=y)]
    binary = [lambda z: losses.binary_cross_entropy(z, y == 1), lambda z: losses.binary_focal(z, y == 1)]
    return [jax.value_and_grad(f)(z) for f in several], [jax.value_and_grad(f)(z[1]) for f in binary]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_an_excluded_class_costs_nothing_and_has_no_slope(dtype):
    # A logit of -1e4 gives the same probabilities as one of -infinity, and no infinite numbers.
    rows = [([0.5, -INF, 1.0], 0), ([0.5, -INF, 1.0], 2), ([-INF, -INF, 1.0], 2), ([0.5, INF, 1.0], 0)]
    z, y = jnp.asarray([z for z, _ in rows[:3]], dtype), jnp.asarray([y for _, y in rows[:3]])
    near = jnp.where(jnp.isinf(z), jnp.asarray(-1e4, dtype), z)
    ours, expected = (losses_with_slopes(logits, y, jnp.zeros(3)) for logits in (z, near))
    chex.assert_trees_all_close(ours, expected, rtol=1e-6, atol=1e-7)
    chex.assert_tree_all_finite(ours)
    # Smoothing gives the excluded class a probability: then it does cost.
    assert float(losses_with_slopes(z, y, jnp.full(3, 0.1))[0][0][0][0]) == INF


def test_a_right_answer_that_is_certain_costs_nothing():
    for loss in (losses.binary_cross_entropy, losses.binary_focal):
        for z, y in ((INF, 1), (-INF, 0)):
            value, slope = jax.value_and_grad(loss)(jnp.float32(z), jnp.asarray(y))
            assert (float(value), float(slope)) == (0.0, 0.0)
        assert float(loss(jnp.float32(INF), jnp.asarray(0))) == INF
    excluded = jnp.asarray([0.0, -INF])
    assert float(losses.cross_entropy(excluded, jnp.asarray(1), class_weights=[1.0, 0.0])) == 0.0


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


TREE = {
    "layer_0": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([100.0, 100.0])},
    "norm": {"scale": jnp.array([100.0]), "bias": jnp.array([100.0])},
    "head": {"kernel": jnp.array([[3.0], [0.0]]), "bias": jnp.array([100.0])},
}


def test_penalties_act_on_weights_and_not_biases():
    assert float(losses.l1(TREE)) == 6.0
    assert float(losses.l2(TREE)) == 14.0
    assert float(losses.elastic_net(TREE, l1_ratio=0.25)) == 0.25 * 6 + 0.75 * 14
    for penalty in (losses.l1, losses.l2, losses.elastic_net):
        gradient = jax.jit(jax.grad(penalty))(TREE)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
            assert bool(jnp.any(leaf != 0)) == (path[-1].key == "kernel")
        assert float(gradient["head"]["kernel"][1, 0]) == 0.0  # |w| at 0


def test_a_penalty_on_nothing_is_an_error():
    with pytest.raises(InputError, match=r"two or more axes, or a mask .*\['layer'\]\['weights'\] \[3\]"):
        losses.l2({"layer": {"weights": jnp.ones(3)}})
    with pytest.raises(InputError, match="structure of the parameters"):
        losses.l2(TREE, mask={"layer_0": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Affine:
    w: jax.Array
    b: jax.Array


CONTAINERS = {
    "haiku": {"linear": {"w": jnp.full((2, 2), 3.0), "b": jnp.full(2, 7.0)}},
    "list": [jnp.full((2, 2), 3.0), jnp.full(2, 7.0)],
    "dataclass": Affine(jnp.full((2, 2), 3.0), jnp.full(2, 7.0)),
    "bias of two axes": {"kernel": jnp.full((1, 2, 2), 3.0), "bias": jnp.full((2, 4), 7.0)},
}


@pytest.mark.parametrize("params", CONTAINERS.values(), ids=CONTAINERS)
def test_weights_are_found_by_their_rank_in_any_container(params):
    assert float(losses.l1(params)) == 12.0
    assert float(losses.l2(params)) == 36.0
    biases = jax.tree.map(lambda weight: not weight, losses.is_weight(params))
    everything = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(params))
    assert float(losses.l1(params, mask=biases)) == everything - 12.0
    assert float(losses.l1(params, mask=lambda tree: jax.tree.map(lambda _: True, tree))) == everything


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


def test_strict_dtypes_under_x64(x64):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), PARAMS)
    batch = jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, batch_of(6))
    loss = losses.regularized(TRAINING, losses.elastic_net, jnp.asarray(0.1, jnp.float32))
    assert jax.jit(loss)(params, batch)[0].dtype == jnp.float64
    assert losses.l1(PARAMS).dtype == jnp.float32


def test_the_quantile_loss_is_smallest_at_the_quantiles():
    rng = np.random.default_rng(0)
    sample = jnp.asarray(np.sort(rng.gamma(2, 3, 999)), jnp.float32)
    levels = jnp.asarray([0.1, 0.5, 0.9], jnp.float32)
    slope = jax.jit(jax.grad(lambda q: jnp.mean(jax.vmap(lambda y: losses.quantile(q, y, levels=levels))(sample))))
    below, above = (slope(jnp.quantile(sample, jnp.clip(levels + shift, 0, 1))) for shift in (-0.01, 0.01))
    assert bool(jnp.all(below < 0))
    assert bool(jnp.all(above > 0))
