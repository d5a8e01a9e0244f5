"""ROC, AUC, average precision and rejection against their definitions in exact integers, and at their edges."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci import metrics

# Compiled, and on few shapes: op by op each new shape costs seconds.
auc, average_precision, placements, roc_curve = (
    jax.jit(metric) for metric in (metrics.auc, metrics.average_precision, metrics.placements, metrics.roc_curve)
)
working_point = jax.jit(metrics.working_point)
background_rejection = jax.jit(metrics.background_rejection)

SIZE = 24
ULP = 1.2e-7  # a unit of float32 rounding at 1


def mann_whitney(scores: np.ndarray, labels: np.ndarray) -> Fraction:
    """The O(n^2) count of signal-background pairs in the right order, ties half, in integers."""
    signal, background = scores[labels == 1][:, None], scores[labels == 0][None, :]
    twice = 2 * int((signal > background).sum()) + int((signal == background).sum())
    return Fraction(twice, 2 * signal.size * background.size)


def jets(n: int, seed: int = 0, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(np.int32)
    scores = rng.normal(size=n) + 1.5 * labels
    return (scores if decimals is None else np.round(scores, decimals)).astype(np.float32), labels


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auc_is_the_pair_count(decimals):
    scores, labels = jets(2000, decimals=decimals)
    exact = float(mann_whitney(scores, labels))
    assert abs(float(auc(jnp.asarray(scores), jnp.asarray(labels))) - exact) <= ULP
    weighted = auc(jnp.asarray(scores), jnp.asarray(labels), jnp.ones(2000))
    assert abs(float(weighted) - exact) <= 4 * ULP


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_of_400_000_scores_loses_no_digits(weighted):
    scores, labels = jets(400_000, decimals=3)
    signal, background = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    below = np.searchsorted(background, signal, "left").sum(dtype=np.int64)
    not_above = np.searchsorted(background, signal, "right").sum(dtype=np.int64)
    exact = float(Fraction(int(below + not_above), 2 * signal.size * background.size))
    weight = jnp.full(scores.size, 0.1, jnp.float32) if weighted else None
    # Exact counts leave one rounding for each example and one of the sum; weights of 0.1 have a rounding in each partial sum.
    tolerance = 10 * ULP if weighted else 2 * ULP
    assert abs(float(auc(jnp.asarray(scores), jnp.asarray(labels), weight)) - exact) <= tolerance


def test_average_precision_by_its_definition():
    scores, labels = jets(300, decimals=1)
    total, previous, expected = labels.sum(), Fraction(0), Fraction(0)
    for cut in np.unique(scores)[::-1]:
        passing = scores >= cut
        recall = Fraction(int(labels[passing].sum()), int(total))
        expected += (recall - previous) * Fraction(int(labels[passing].sum()), int(passing.sum()))
        previous = recall
    np.testing.assert_allclose(
        average_precision(jnp.asarray(scores), jnp.asarray(labels)), float(expected), rtol=2 * ULP
    )


def test_placements_average_to_the_auc_over_either_class():
    scores, labels = jets(500, decimals=1)
    placed = np.asarray(placements(jnp.asarray(scores), jnp.asarray(labels)), np.float64)
    expected = float(mann_whitney(scores, labels))
    np.testing.assert_allclose([placed[labels == 1].mean(), placed[labels == 0].mean()], expected, atol=ULP)
    one = np.flatnonzero(labels == 1)[0]
    background = scores[labels == 0]
    np.testing.assert_allclose(
        placed[one], (background < scores[one]).mean() + (background == scores[one]).mean() / 2, atol=ULP
    )


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("asked", ["1/1000", "3/10", "1/2", "33/100", "1"])
def test_working_point_is_the_tightest_cut_that_reaches_the_efficiency(decimals, asked):
    scores, labels = jets(2000, seed=3, decimals=decimals)
    signal, background = scores[labels == 1][:700], scores[labels == 0][:1000]
    signal = np.concatenate([signal, signal[:300]])  # 1000 of each, so that the fractions asked for are counts
    cuts = [cut for cut in np.unique(signal) if Fraction(int((signal >= cut).sum()), 1000) >= Fraction(asked)]
    point = working_point(
        jnp.concatenate([jnp.asarray(signal), jnp.asarray(background)]),
        jnp.concatenate([jnp.ones(1000, jnp.int32), jnp.zeros(1000, jnp.int32)]),
        signal_efficiency=float(Fraction(asked)),
    )
    assert float(point.threshold) == max(cuts)
    np.testing.assert_allclose(point.signal_efficiency, (signal >= max(cuts)).mean(), rtol=ULP)
    np.testing.assert_allclose(point.background_efficiency, (background >= max(cuts)).mean(), rtol=ULP)


def test_a_count_that_is_exactly_the_fraction_asked_for_reaches_it():
    # 0.3 in float32 is a little more than 0.3: compared naively, many of these would need one example more.
    tenths = jnp.arange(1, 10)
    for total in (10, 7000):
        scores = jnp.arange(2 * total, 0, -1, dtype=jnp.float32)
        point = working_point(scores, jnp.arange(2 * total) < total, signal_efficiency=tenths.astype(jnp.float32) / 10)
        np.testing.assert_array_equal(point.threshold, 2 * total - tenths * total // 10 + 1)


def test_all_of_a_class_is_exactly_1():
    # 41 times the float32 reciprocal of 41 is less than 1.
    labels = jnp.arange(41 + 47) < 41
    curve = roc_curve(labels.astype(jnp.float32), labels)
    assert (float(curve.true_positive_rate[-1]), float(curve.false_positive_rate[-1])) == (1.0, 1.0)
    for weight in (None, jnp.linspace(0.1, 0.7, labels.size)):
        np.testing.assert_array_equal(placements(labels.astype(jnp.float32), labels, weight), 1.0)
        assert 1 - ULP <= float(auc(labels.astype(jnp.float32), labels, weight)) <= 1


def test_tied_scores_pass_together():
    scores = jnp.array([3.0, 2.0, 2.0, 2.0, 1.0])
    labels = jnp.array([1, 1, 0, 0, 0])
    point = working_point(scores, labels, signal_efficiency=0.6)
    np.testing.assert_allclose(jnp.stack(point), [2.0, 1.0, 2 / 3], rtol=ULP)
    assert float(background_rejection(scores, labels, signal_efficiency=0.6)) == pytest.approx(1.5)
    assert float(background_rejection(scores, labels, signal_efficiency=0.5)) == np.inf
    assert background_rejection(scores, labels, signal_efficiency=jnp.array([[0.5, 0.6]])).shape == (1, 2)


@jax.jit
def every_result(scores, labels, weight):
    half = {"signal_efficiency": 0.5}
    return (
        metrics.auc(scores, labels, weight),
        metrics.average_precision(scores, labels, weight),
        metrics.roc_curve(scores, labels, weight),
        metrics.placements(scores, labels, weight)[:7],
        metrics.working_point(scores, labels, weight, **half),
        metrics.background_rejection(scores, labels, weight, **half),
    )


@pytest.mark.parametrize("kind", [bool, jnp.float32])
def test_invalid_examples_give_nan_unless_their_weight_is_0(kind):
    scores, labels = (jnp.asarray(a) for a in jets(50))
    weight = jnp.ones(50, kind)
    absent = weight.at[7].set(jnp.zeros((), kind))
    expected = every_result(scores, labels, absent)
    for spoiled in ((scores.at[7].set(jnp.nan), labels), (scores, labels.at[7].set(2)), (scores, labels.at[7].set(-1))):
        assert all(np.isnan(result).all() for result in jax.tree.leaves(every_result(*spoiled, weight)))
        jax.tree.map(
            np.testing.assert_array_equal, distinct_points(every_result(*spoiled, absent)), distinct_points(expected)
        )


def distinct_points(results):
    """Padding repeats a point of the curve; which one depends on its score."""
    return (*results[:2], np.unique(np.stack(results[2]), axis=1), *results[3:])


@pytest.mark.parametrize("invalid", [-1.0, np.nan])
def test_invalid_weights_give_nan(invalid):
    scores, labels = (jnp.asarray(a) for a in jets(50))
    results = every_result(scores, labels, jnp.ones(50).at[7].set(invalid))
    assert all(np.isnan(result).all() for result in jax.tree.leaves(results))


@pytest.mark.parametrize("size", [0, 5])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_or_none_is_undefined(size, label):
    scores, labels = jnp.linspace(0.0, 1.0, size), jnp.full(size, label, jnp.int32)
    curve = roc_curve(scores, labels)
    assert curve.thresholds.shape == (size + 1,)
    assert np.isnan(auc(scores, labels))
    assert np.isnan(background_rejection(scores, labels, signal_efficiency=0.5))
    absent = curve.false_positive_rate if label else curve.true_positive_rate
    assert np.isnan(absent).all()
    precision = float(average_precision(scores, labels))
    assert precision == pytest.approx(1.0, abs=ULP) if size and label else np.isnan(precision)


@pytest.mark.parametrize("asked", [0.0, -0.1, 1.1, np.nan])
def test_efficiency_outside_its_range_is_undefined(asked):
    scores, labels = (jnp.asarray(a) for a in jets(50))
    assert np.isnan(background_rejection(scores, labels, signal_efficiency=asked))


def test_infinite_zero_and_subnormal_scores_are_ordered_as_numbers():
    tiny = float(np.float32(1e-45))
    scores = np.array([np.inf, np.inf, 2 * tiny, tiny, 0.0, -0.0, -tiny, -np.inf], np.float32)
    labels = np.array([1, 0, 1, 0, 1, 0, 1, 0], np.int32)
    assert float(auc(jnp.asarray(scores), jnp.asarray(labels))) == pytest.approx(float(mann_whitney(scores, labels)))
    thresholds = np.asarray(roc_curve(jnp.asarray(scores), jnp.asarray(labels)).thresholds)
    np.testing.assert_array_equal(thresholds, np.concatenate([[np.inf], scores]).astype(np.float32))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_low_precision_scores_give_float32_results(dtype):
    scores, labels = jets(200)
    rounded = jnp.asarray(scores).astype(dtype)
    area = auc(rounded, jnp.asarray(labels))
    assert area.dtype == jnp.float32
    assert float(area) == pytest.approx(float(mann_whitney(np.asarray(rounded, np.float32), labels)), abs=ULP)


def test_double_precision_scores_keep_their_order(x64):
    scores = 1.0 + jnp.arange(100, dtype=jnp.float64) * 1e-15  # all one number in float32
    labels = jnp.arange(100) >= 50
    assert auc(scores, labels).dtype == jnp.float64
    assert float(auc(scores, labels)) == 1.0
    assert float(auc(scores.astype(jnp.float32), labels)) == 0.5


@pytest.mark.parametrize("kind", [bool, jnp.int32, jnp.float32])
def test_labels_of_any_dtype(kind):
    scores, labels = (jnp.asarray(a) for a in jets(60))
    assert auc(scores, labels.astype(kind)) == auc(scores, labels)


cases = st.tuples(
    st.lists(st.integers(-5, 5), min_size=SIZE, max_size=SIZE),
    st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).filter(lambda labels: 0 < sum(labels) < SIZE),
    st.lists(st.integers(0, 3), min_size=SIZE, max_size=SIZE),
)


@given(case=cases, order=st.permutations(range(SIZE)))
def test_invariances(case, order):
    scores, labels = jnp.asarray(case[0], jnp.float32), jnp.asarray(case[1])
    area = auc(scores, labels)
    order = jnp.asarray(order)
    for metric in (auc, average_precision, roc_curve):
        for first, second in zip(
            jax.tree.leaves(metric(scores, labels)), jax.tree.leaves(metric(scores[order], labels[order])), strict=True
        ):
            np.testing.assert_allclose(first, second, atol=4 * ULP)  # the order of examples does not matter
    assert auc(scores * 8 - 3, labels) == area  # nor does the scale of the scores
    # Each area is a sum of rounded terms over a rounded product, and the difference is rounded too.
    np.testing.assert_allclose(auc(-scores, labels), 1 - area, atol=4 * ULP)
    np.testing.assert_allclose(auc(scores, ~labels), 1 - area, atol=4 * ULP)
    curve = roc_curve(scores, labels)
    under = np.trapezoid(np.asarray(curve.true_positive_rate), np.asarray(curve.false_positive_rate))
    np.testing.assert_allclose(under, area, atol=8 * ULP)  # the rank sum is the area under the curve
    for rate in curve[:2]:
        assert (float(rate[0]), float(rate[-1])) == (0.0, 1.0)
        assert (np.diff(rate) >= 0).all()


@given(case=cases)
def test_an_integer_weight_is_so_many_copies(case):
    scores, labels, weight = np.asarray(case[0], np.float32), np.asarray(case[1]), np.asarray(case[2])
    copies = (np.repeat(scores, weight), np.repeat(labels, weight))
    weighted = auc(jnp.asarray(scores), jnp.asarray(labels), jnp.asarray(weight, jnp.float32))
    if len(set(copies[1])) < 2:
        assert np.isnan(weighted)
    else:
        np.testing.assert_allclose(weighted, float(mann_whitney(*copies)), atol=4 * ULP)
