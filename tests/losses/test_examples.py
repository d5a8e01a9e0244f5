"""Losses of one example against formulas in numpy, their slopes, and what is at the edge of their range."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsci import losses, metrics
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


def test_the_focus_is_two_unless_said_otherwise(x64):
    z = np.array([0.3, -1.2, 0.8])
    np.testing.assert_allclose(losses.focal(jnp.asarray(z), jnp.asarray(1)), focal(z, 1, 2.0, np.ones(3)), rtol=1e-12)
    alone = losses.binary_focal(jnp.asarray(0.7), jnp.asarray(1.0))
    p = 1 / (1 + np.exp(-0.7))
    np.testing.assert_allclose(alone, -((1 - p) ** 2) * np.log(p), rtol=1e-12)


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
        with pytest.raises(InputError):
            loss(jnp.zeros((1,)), jnp.zeros(()))
    with pytest.raises(InputError):
        losses.binary_cross_entropy(jnp.zeros((1,)), jnp.zeros((1,)))
    with pytest.raises(InputError):
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
        assert np.isnan(of_all(loss)(np.zeros(4, np.float32), np.array([-1, 1.5, 2, 3], np.float32))).all()


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
    alone = jax.jit(lambda output: [loss(output, target, **{knob: value}) for value in values.tolist()])(output)
    np.testing.assert_allclose(swept, alone, rtol=1e-6)


# ---- the mean over a batch


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


@pytest.mark.parametrize(
    "loss", [losses.cross_entropy, losses.focal, partial(losses.focal, class_weights=[1.0, 2.0, 3.0])]
)
def test_labels_may_lie_on_an_explicit_axis_of_a_mesh(loss):
    def slopes(z, y):
        return jax.grad(lambda z: jnp.sum(jax.vmap(loss)(z, y)))(z), metrics.log_loss(z, y)

    z, y = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32), jnp.asarray([0, 1, 2, 2])
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    with jax.set_mesh(mesh):
        sharded = jax.jit(slopes)(*jax.device_put((z, y), place))
    chex.assert_trees_all_close(jax.device_get(sharded), jax.device_get(jax.jit(slopes)(z, y)), rtol=1e-6)


def test_the_slope_of_an_impossible_answer_is_its_limit():
    z, y = jnp.asarray([[0.5, -INF, 1.0], [0.0, INF, -INF], [-INF, 0.0, 1.0]]), jnp.asarray([1, 0, 0])
    near = jnp.where(jnp.isinf(z), jnp.sign(z) * 1e2, z)  # whose probability is 0 in float32 as well
    ours, expected = (losses_with_slopes(logits, y[::2], jnp.zeros(2)) for logits in (z[::2], near[::2]))
    for (value, slope), (_, limit) in zip(ours[0], expected[0], strict=True):
        np.testing.assert_array_equal(value, INF)
        np.testing.assert_allclose(slope, limit, atol=1e-5)
    # The answer's logit z_1: wrongly certain of no, then of yes.
    for value, slope in losses_with_slopes(z[:2], y[:2], jnp.zeros(2))[1]:
        np.testing.assert_array_equal(value, INF)
        np.testing.assert_allclose(slope, [-1, 1], atol=1e-6)


def test_the_quantile_loss_is_smallest_at_the_quantiles():
    rng = np.random.default_rng(0)
    sample = jnp.asarray(np.sort(rng.gamma(2, 3, 999)), jnp.float32)
    levels = jnp.asarray([0.1, 0.5, 0.9], jnp.float32)
    slope = jax.jit(jax.grad(lambda q: jnp.mean(jax.vmap(lambda y: losses.quantile(q, y, levels=levels))(sample))))
    below, above = (slope(jnp.quantile(sample, jnp.clip(levels + shift, 0, 1))) for shift in (-0.01, 0.01))
    assert bool(jnp.all(below < 0))
    assert bool(jnp.all(above > 0))
