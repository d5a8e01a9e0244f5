"""Intervals against their defining equations, and their coverage of a truth that is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsci import metrics
from jaxsci.metrics import Interval, bootstrap, resample

(
    auc_covariance,
    auc_interval,
    binomial_interval,
    rejection_interval,
) = (  # compiled: op by op each new shape costs seconds
    jax.jit(f)
    for f in (metrics.auc_covariance, metrics.auc_interval, metrics.binomial_interval, metrics.rejection_interval)
)

LEVELS = [0.68, 0.95]


def covered(interval: Interval, truth: float) -> float:
    return float(np.mean((np.asarray(interval.lower) <= truth) & (truth <= np.asarray(interval.upper))))


def toys(seed: int, number: int, signals: int, backgrounds: int, distance: float) -> tuple[jax.Array, jax.Array]:
    """Scores of unit normal background and of signal shifted by `distance`, [toy, example], and labels [example]."""
    labels = jnp.arange(signals + backgrounds) < signals
    scores = jax.random.normal(jax.random.key(seed), (number, signals + backgrounds)) + distance * labels[
        None, :
    ].astype(jnp.float32)
    return scores, labels


@pytest.mark.parametrize("level", LEVELS)
def test_binomial_interval_is_wilsons(level):
    pairs = np.array([(k, n) for n in (1, 2, 7, 30, 400) for k in sorted({0, 1, n // 3, n // 2, n - 1, n})])
    ours = binomial_interval(jnp.asarray(pairs[:, 0]), jnp.asarray(pairs[:, 1]), level=level)
    expected = [stats.binomtest(int(k), int(n)).proportion_ci(level, method="wilson") for k, n in pairs]
    np.testing.assert_allclose(ours.lower, [e.low for e in expected], rtol=2e-5, atol=1e-9)  # ndtri in float32
    np.testing.assert_allclose(ours.upper, [e.high for e in expected], rtol=2e-5)
    assert (np.asarray(ours.lower)[pairs[:, 0] == 0] == 0).all()
    assert (np.asarray(ours.upper)[pairs[:, 0] == pairs[:, 1]] == 1).all()


def test_binomial_interval_keeps_its_digits_at_rare_successes():
    # Three in a million: the lower end as a difference of float32 numbers would have two digits.
    ours = binomial_interval(3, 1_000_000, level=0.68)
    expected = stats.binomtest(3, 1_000_000).proportion_ci(0.68, method="wilson")
    np.testing.assert_allclose([ours.lower, ours.upper], [expected.low, expected.high], rtol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [10, 100])
def test_binomial_interval_covers_on_average(level, n):
    # The exact coverage at p is the sum of the probabilities of the counts whose interval holds p; here its mean over p.
    k = np.arange(n + 1)
    ends = binomial_interval(jnp.asarray(k), jnp.full(n + 1, n), level=level)
    p = (np.arange(2000) + 0.5) / 2000
    inside = (np.asarray(ends.lower)[:, None] <= p) & (p <= np.asarray(ends.upper)[:, None])
    coverage = (stats.binom.pmf(k[:, None], n, p) * inside).sum(0).mean()
    # Wilson's mean coverage differs from nominal by about 1/n (Brown et al. 2001, figure 7).
    assert abs(coverage - level) < 0.012


def test_binomial_interval_edges():
    nothing = binomial_interval(0, 0)
    assert (float(nothing.lower), float(nothing.upper)) == (0.0, 1.0)
    for k, n in ((-1, 5), (6, 5)):
        assert np.isnan(np.asarray(binomial_interval(k, n))).all()


@jax.jit
def rejection_intervals(scores, labels, asked, level):
    def of_toy(row):
        at = metrics.working_point(row, labels, signal_efficiency=asked)
        return metrics.rejection_interval(row, labels, signal_efficiency=asked, level=level), at

    return jax.vmap(of_toy)(scores)


@pytest.mark.parametrize("level", LEVELS)
def test_rejection_interval_covers_the_true_rejection(level):
    number, distance, asked = 600, 2.0, 0.3
    scores, labels = toys(1, number, 500, 2000, distance)
    truth = 1 / stats.norm.sf(distance + stats.norm.isf(asked))  # 170: 12 background examples pass
    ends, at = rejection_intervals(scores, labels, asked, level)
    # Four standard deviations of the number of toys, and 0.03 for counts being whole numbers.
    assert abs(covered(ends, truth) - level) < 4 * np.sqrt(level * (1 - level) / number) + 0.03
    # The binomial error of the background alone is too small here: the signal that places the cut counts too.
    alone = binomial_interval(at.background_efficiency * 2000, jnp.full(number, 2000.0), level=level)
    assert covered(Interval(1 / alone.upper, 1 / alone.lower), truth) < covered(ends, truth)


@jax.jit
def of_rejection(scores, labels, asked):
    return tuple(f(scores, labels, signal_efficiency=asked) for f in (rejection_interval, metrics.working_point))


@pytest.mark.parametrize("backgrounds", [1, 2, 3])
def test_rejection_interval_of_few_backgrounds_holds_the_rejection(backgrounds):
    rng = np.random.default_rng(backgrounds)
    scores = jnp.asarray(np.append(rng.normal(1, 1, 30), rng.normal(0, 1, backgrounds)), jnp.float32)
    labels = jnp.arange(30 + backgrounds) < 30
    for asked in (0.5, 0.9, 0.99):
        ends, point = of_rejection(scores, labels, asked)
        at = np.maximum(point.background_efficiency, 1e-30)
        assert 1 <= float(ends.lower) <= np.divide(1, at) <= float(ends.upper)


def test_rejection_interval_edges():
    scores, labels = jnp.array([3.0, 2.0, 1.0, 0.0]), jnp.array([1, 1, 0, 0])
    ends = rejection_interval(scores, labels, signal_efficiency=0.5)
    assert 1 < float(ends.lower) < 10
    assert float(ends.upper) == np.inf
    assert np.isnan(np.asarray(rejection_interval(scores, labels, signal_efficiency=1.5))).all()
    assert np.isnan(np.asarray(rejection_interval(scores, jnp.ones(4, bool), signal_efficiency=0.5))).all()
    masked = rejection_interval(
        jnp.append(scores, jnp.nan), jnp.append(labels, 9), jnp.arange(5) < 4, signal_efficiency=jnp.array([0.5, 1.0])
    )
    np.testing.assert_allclose(masked.lower[0], ends.lower, rtol=1e-6)
    scaled = rejection_interval(scores, labels, jnp.full(4, 7.0), signal_efficiency=0.5)
    np.testing.assert_allclose(scaled.lower, ends.lower, rtol=1e-5)  # equal weights are no further examples


def delong(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The covariance of DeLong et al. (1988), equations 4 to 8, by all pairs in float64."""
    kernel = [np.heaviside(s[labels == 1][:, None].astype(np.float64) - s[labels == 0][None, :], 0.5) for s in scores]
    signals, backgrounds = kernel[0].shape
    of_signal = np.cov([k.mean(axis=1) for k in kernel])
    of_background = np.cov([k.mean(axis=0) for k in kernel])
    return of_signal / signals + of_background / backgrounds


def paired_scores(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    labels = rng.random(n) < 0.4
    first = rng.normal(size=n) + 1.5 * labels
    return np.round(np.stack([first, first + 0.7 * rng.normal(size=n)]), 1).astype(np.float32), labels


def test_auc_covariance_is_delongs():
    scores, labels = paired_scores(300)
    expected = delong(scores, labels)
    padded = jnp.pad(jnp.asarray(scores), ((0, 0), (0, 9)), constant_values=jnp.nan)
    for kind in (bool, jnp.float32):
        ours = auc_covariance(padded, jnp.pad(jnp.asarray(labels), (0, 9)), (jnp.arange(309) < 300).astype(kind))
        np.testing.assert_allclose(ours, expected, rtol=1e-4)


@jax.jit
def auc_intervals(scores, labels, level):
    return jax.vmap(lambda row: metrics.auc_interval(row, labels, level=level))(scores)


@pytest.mark.parametrize("level", LEVELS)
def test_auc_interval_covers_the_true_auc(level):
    number, distance = 600, 1.5
    scores, labels = toys(2, number, 100, 150, distance)
    ends = auc_intervals(scores, labels, level)
    truth = stats.norm.cdf(distance / np.sqrt(2))
    assert abs(covered(ends, truth) - level) < 4 * np.sqrt(level * (1 - level) / number) + 0.01


def test_auc_interval_is_undefined_when_the_variance_tells_nothing():
    order = jnp.arange(88.0)
    weights = jnp.linspace(0.1, 0.7, 88)
    for scores, labels in (
        (order, order > 46),  # perfect separation
        (order, order < 47),  # perfectly wrong
        (jnp.zeros(88), order > 46),  # all tied
        (order, order == 5),  # one signal example
        (order, order > 90),  # none
    ):
        assert np.isnan(np.asarray(auc_interval(scores, labels))).all()
        assert np.isnan(np.asarray(auc_interval(scores, labels, weights))).all()
    assert np.isfinite(np.asarray(auc_interval(order, order % 5 > 2, weights))).all()


def test_bootstrap_error_of_a_mean_is_the_standard_error():
    x = jax.random.normal(jax.random.key(0), (2000,))
    values = jax.jit(partial(resample, metrics.rmse, resamples=2000))(jax.random.key(1), x, jnp.zeros(2000))
    # rmse^2 is a mean of x^2: its error by the delta method; 2000 resamples know a deviation to 1/sqrt(4000) = 1.6 %.
    expected = np.std(np.square(x)) / np.sqrt(2000) / (2 * np.sqrt(np.mean(np.square(x))))
    np.testing.assert_allclose(np.std(values), expected, rtol=0.07)
    np.testing.assert_allclose(np.mean(values), np.sqrt(np.mean(np.square(x))), atol=expected)


def test_bootstrap_interval_covers_the_true_auc():
    number, distance, level = 300, 1.0, 0.68
    scores, labels = toys(3, number, 100, 100, distance)
    keys = jax.random.split(jax.random.key(4), number)
    interval = jax.jit(jax.vmap(partial(bootstrap, metrics.auc, resamples=200, level=level), in_axes=(0, 0, None)))
    ends = interval(keys, scores, labels)
    truth = stats.norm.cdf(distance / np.sqrt(2))
    assert abs(covered(ends, truth) - level) < 4 * np.sqrt(level * (1 - level) / number) + 0.02


def test_bootstrap_of_a_paired_difference_by_composition():
    scores, labels = (jnp.asarray(a) for a in paired_scores(1500))

    def difference(first, second, labels, weight):
        return metrics.auc(first, labels, weight) - metrics.auc(second, labels, weight)

    values = jax.jit(partial(resample, difference, resamples=1000))(jax.random.key(0), *scores, labels)
    covariance = delong(np.asarray(scores), np.asarray(labels))
    expected = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    np.testing.assert_allclose(np.std(values), expected, rtol=0.1)  # 1000 resamples: 2.2 %, four of them
    unpaired = np.sqrt(covariance[0, 0] + covariance[1, 1])
    assert np.std(values) < 0.6 * unpaired  # the same examples: most of the error cancels


def test_bootstrap_is_a_function_of_its_key_alone():
    scores, labels = (jnp.asarray(a[0]) if a.ndim == 2 else jnp.asarray(a) for a in paired_scores(200))
    run = jax.jit(partial(resample, metrics.auc, resamples=20, batch_size=10))
    smaller = jax.jit(partial(resample, metrics.auc, resamples=20, batch_size=4))
    values = run(jax.random.key(0), scores, labels)
    assert values.shape == (20,)
    np.testing.assert_array_equal(values, run(jax.random.key(0), scores, labels))
    np.testing.assert_allclose(values, smaller(jax.random.key(0), scores, labels), rtol=1e-6)
    assert not np.array_equal(values, run(jax.random.key(1), scores, labels))


def test_bootstrap_of_a_tree_and_of_infinite_values():
    scores, labels = jnp.array([3.0, 2.5, 1.0, 0.5, 0.0] * 4), jnp.array([1, 1, 0, 0, 0] * 4)

    def metric(scores, labels, weight):
        rejection = metrics.background_rejection(scores, labels, weight, signal_efficiency=0.5)
        return {"rejection": rejection, "curve": metrics.roc_curve(scores, labels, weight)}

    ends = jax.jit(partial(bootstrap, metric, resamples=20, batch_size=20))(jax.random.key(0), scores, labels)
    assert float(ends.lower["rejection"]) == float(ends.upper["rejection"]) == np.inf
    assert ends.lower["curve"].thresholds.shape == (21,)


def test_bootstrap_with_a_class_that_may_vanish_is_undefined():
    scores, labels = jnp.arange(20.0), jnp.arange(20) == 19
    ends = jax.jit(partial(bootstrap, metrics.auc))(jax.random.key(0), scores, labels)
    assert np.isnan(np.asarray(ends)).all()
