"""Calibration against an independent binning in numpy, and at its edges."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.calibration import calibration_curve as sklearn_curve

from jaxsci import metrics

BINNINGS = ["equal_width", "equal_mass"]
calibration_curve = jax.jit(metrics.calibration_curve, static_argnames=("bins", "binning"))
log_loss, brier_score = jax.jit(metrics.log_loss), jax.jit(metrics.brier_score)
calibration_error = jax.jit(metrics.expected_calibration_error, static_argnames=("bins", "binning"))


def forecasts(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident forecasts in steps of 1/64, so that some are equal and some stand on the edges of bins."""
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 65, n) / 64
    return probability.astype(np.float32), rng.random(n) < 0.25 + probability / 2


def binned(probability, outcome, weight, bins, binning):
    """(mean probability, mean outcome, weight) of each bin, example by example in float64."""
    rows = np.zeros((bins, 3))
    for p, y, w in zip(probability.astype(np.float64), outcome, weight, strict=True):
        position = p if binning == "equal_width" else weight[probability <= p].sum() / weight.sum()
        rows[max(int(np.ceil(np.round(position * bins, 9))) - 1, 0)] += w * p, w * y, w
    return rows


@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_curve_and_error_by_their_definition(binning, weighted):
    probability, outcome = forecasts(500)
    weight = np.random.default_rng(1).integers(1, 4, 500) if weighted else np.ones(500, int)
    rows = binned(probability, outcome, weight, 8, binning)
    kept = rows[:, 2] > 0
    data = (jnp.asarray(probability), jnp.asarray(outcome), jnp.asarray(weight, jnp.float32))
    curve = calibration_curve(*data, bins=8, binning=binning)
    np.testing.assert_allclose(curve.weight, rows[:, 2])
    np.testing.assert_allclose(np.stack(curve[:2])[:, kept], rows[kept, :2].T / rows[kept, 2], rtol=1e-6)
    assert np.isnan(np.stack(curve[:2])[:, ~kept]).all()
    expected = np.abs(rows[:, 0] - rows[:, 1]).sum() / weight.sum()
    np.testing.assert_allclose(calibration_error(*data, bins=8, binning=binning), expected, rtol=1e-5)


def test_equal_width_curve_is_sklearns():
    probability, outcome = forecasts(500)
    observed, predicted = sklearn_curve(outcome, probability, n_bins=16, strategy="uniform")
    curve = calibration_curve(jnp.asarray(probability), jnp.asarray(outcome), bins=16)
    kept = np.asarray(curve.weight) > 0
    np.testing.assert_allclose(curve.observed[kept], observed, rtol=1e-6)
    np.testing.assert_allclose(curve.predicted[kept], predicted, rtol=1e-6)


def test_equal_mass_bins_of_distinct_probabilities_are_equal():
    probability = jax.random.permutation(jax.random.key(0), jnp.linspace(0.01, 0.99, 120))
    curve = calibration_curve(probability, probability > 0.5, bins=8, binning="equal_mass")
    np.testing.assert_array_equal(curve.weight, np.full(8, 15.0))


@pytest.mark.parametrize("binning", BINNINGS)
def test_calibrated_forecasts_have_an_error_of_the_size_of_noise(binning):
    n, bins = 200_000, 10
    key_p, key_y = jax.random.split(jax.random.key(0))
    probability = jax.random.uniform(key_p, (n,))
    outcome = jax.random.bernoulli(key_y, probability)
    # |gap| of a bin has mean sqrt(2/pi) sqrt(p(1-p)/n_bin) < 0.8 * 0.5 / sqrt(n / bins).
    assert float(calibration_error(probability, outcome, bins=bins, binning=binning)) < 0.4 / np.sqrt(n / bins)
    shifted = calibration_error(jnp.clip(probability + 0.1, 0, 1), outcome, bins=bins, binning=binning)
    assert float(shifted) == pytest.approx(0.095, abs=0.005)  # 0.1, and 0.05 for the tenth that is clipped


@pytest.mark.parametrize("binning", BINNINGS)
def test_invalid_examples_give_nan_unless_their_weight_is_0(binning):
    probability, outcome = (jnp.asarray(a) for a in forecasts(500))
    outcome = outcome.astype(jnp.float32)
    mask = jnp.arange(500) != 3
    expected = calibration_curve(probability.at[3].set(0.5), outcome, mask, bins=8, binning=binning)
    for spoiled in (
        (probability.at[3].set(jnp.nan), outcome),
        (probability.at[3].set(1.5), outcome),
        (probability, outcome.at[3].set(2)),
    ):
        assert np.isnan(np.stack(calibration_curve(*spoiled, bins=8, binning=binning))).all()
        assert np.isnan(calibration_error(*spoiled, bins=8, binning=binning))
        assert np.isnan(brier_score(*spoiled))
        ours = calibration_curve(*spoiled, mask, bins=8, binning=binning)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), ours, expected)


def test_no_examples():
    nothing = jnp.zeros(0)
    assert np.isnan(calibration_error(nothing, nothing))
    assert np.isnan(brier_score(nothing, nothing))
    assert np.isnan(log_loss(nothing, nothing))


def test_log_loss_of_classes():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)) * 5, rng.integers(0, 4, 50)
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(50), labels])
    ours = jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.int32)
    np.testing.assert_allclose(log_loss(*ours), expected, rtol=1e-6)
    for outside in (-1, 4):
        assert np.isnan(log_loss(ours[0], ours[1].at[0].set(outside)))
    assert np.isnan(log_loss(ours[0].at[0, 0].set(jnp.nan), ours[1]))
    np.testing.assert_allclose(
        log_loss(ours[0].at[0].set(jnp.nan), ours[1].at[0].set(9), jnp.arange(50) > 0),
        log_loss(ours[0][1:], ours[1][1:]),
        rtol=1e-6,
    )


def test_log_loss_of_a_sure_error_is_its_logit():
    # The probability is 1 to float32's last digit: from it the loss would be infinite, or clipped to 16.
    assert float(log_loss(jnp.array([200.0]), jnp.array([0]))) == 200.0
    assert np.isnan(log_loss(jnp.array([0.0]), jnp.array([2])))
