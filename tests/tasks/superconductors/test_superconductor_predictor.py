"""From the outputs of networks to predictions: intervals, weights, probabilities and thresholds, against theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.tasks.superconductors.ensemble import calibration as calibrations
from jaxsci.tasks.superconductors.ensemble import portable
from jaxsci.tasks.superconductors.ensemble.prediction import distribution
from jaxsci.tasks.superconductors.gaussian_process import best_weight
from jaxsci.tasks.superconductors.networks import LEVELS, network


def test_a_packed_batch_is_the_batch_also_beyond_its_capacity():
    rng = np.random.default_rng(5)
    net = network("published", "tc", rng.normal(size=(96, 3)).astype(np.float32))
    params = jax.jit(net.model.init)(jax.random.key(0))
    batched, one_by_one = jax.jit(net.batched), jax.jit(jax.vmap(net.model.apply, in_axes=(None, 0)))
    for fraction in (0.03, 0.1):  # 3 and 10 elements per composition; there is capacity for 4.5
        amounts = rng.uniform(0.1, 3, (8, 96)) * (rng.random((8, 96)) < fraction)
        kept = np.where(amounts >= np.sort(amounts)[:, -12:-11], amounts, 0).astype(np.float32)
        # Sums in another order, of numbers of order 100 that partly cancel.
        np.testing.assert_allclose(batched(params, kept), one_by_one(params, kept), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_intervals_cover_what_they_promise_whatever_the_network(seed):
    """Members that know the answer badly, and claim to know it far too well or far too badly."""
    rng = np.random.default_rng(seed)
    y = rng.gamma(2, 1, 4000)
    claimed = (0.05, 1.0, 5.0)[seed]
    levels = claimed * (LEVELS - 0.5)
    members = y[None, :, None] + 0.5 * rng.standard_t(4, (3, 4000, 1)) + levels
    outputs = jnp.asarray(members, jnp.float32)
    factor = calibrations.conformal_factor(distribution(outputs[:, :2000]), jnp.asarray(y[:2000], jnp.float32))
    answer = distribution(outputs[:, 2000:])
    lower, upper = answer.center - factor * answer.below, answer.center + factor * answer.above
    inside = np.mean((y[2000:] >= lower) & (y[2000:] <= upper))
    # Two samples of 2000 each: a standard error of sqrt(2 * 0.09 / 2000), 0.0095; four of them.
    assert abs(inside - 0.9) < 0.04


def test_the_interval_holds_near_and_far_where_errors_grow_with_the_distance():
    rng = np.random.default_rng(4)
    near, far = rng.beta(1, 6, 3000), rng.beta(3, 3, 3000)  # of the validation split, and of materials of another kind

    def misses(novelty):
        return (0.5 + 1.2 * np.sqrt(novelty)) * np.abs(rng.standard_t(5, len(novelty)))

    known, asked = misses(near), misses(far)
    growth = calibrations.best_widening(known, near)
    assert growth == pytest.approx(1.2 / 0.5, abs=0.6)
    factor = calibrations.conformal_quantile(known / (1 + growth * np.sqrt(near)))
    for novelty, values in ((near, known), (far, asked)):
        held = values <= factor * (1 + growth * np.sqrt(novelty))
        for some in (novelty < np.median(novelty), novelty >= np.median(novelty)):
            assert held[some].mean() == pytest.approx(0.9, abs=0.03)  # four standard errors of the two samples
    assert np.mean(asked <= calibrations.conformal_quantile(known)) < 0.85  # one factor for all does not
    assert calibrations.best_widening(np.abs(rng.standard_t(5, 3000)), near) < 0.3


def test_the_weight_of_the_process_has_the_smallest_error_there_is():
    rng = np.random.default_rng(6)
    y = rng.normal(size=500)
    process, members = y + rng.normal(size=500), y + 2 * rng.normal(size=(3, 500))
    answer = distribution(jnp.asarray(members, jnp.float32))
    ensemble = np.asarray(answer.center, np.float64)
    weight = best_weight(process, ensemble, y)

    def error(w):
        return np.mean((w * process + (1 - w) * ensemble - y) ** 2)

    assert 0 < weight < 1
    assert error(weight) <= min(error(weight - 0.01), error(weight + 0.01))
    assert best_weight(y, ensemble, y) == 1
    assert best_weight(ensemble, ensemble, y) == 0
    # The center and the standard deviation of the members at weight (1 - w) / 3 each, and of the process at its weight w.
    found = distribution(jnp.asarray(members, jnp.float32), jnp.asarray(process, jnp.float32), weight)
    weights = np.array([(1 - weight) / 3] * 3 + [weight])
    values = np.vstack([members, process])
    mean = weights @ values
    np.testing.assert_allclose(found.center, mean, atol=1e-5)  # float32, numbers of order 1
    np.testing.assert_allclose(found.epistemic, np.sqrt(weights @ (values - mean) ** 2), atol=1e-5)


def test_probabilities_are_calibrated_and_follow_the_prior():
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.25
    logits = 3 * (rng.normal(size=20_000) + truth) - 2  # of the right order, but three times too steep
    everything = np.ones(20_000, bool)
    found = calibrations.calibrate(logits[None], truth, everything, None)
    # Two normal classes of unit variance: the log odds are linear in the score, d' = 1.
    assert found.slope == pytest.approx(1 / 3, rel=0.05)
    assert found.offset == pytest.approx(np.log(1 / 3) - 0.5 + 2 / 3, abs=0.05)
    assert found.gp_slope == 0
    rare = calibrations.calibrate(logits[None], truth, everything, 0.02)
    # Among a fair tenth of the others the threshold is the same, for they are weighted to the same fraction.
    studied = truth | (rng.random(20_000) < 0.1)
    tenth = calibrations.calibrate(logits[None], truth, studied, None)
    assert tenth[:3] == found[:3]
    assert tenth.threshold == pytest.approx(found.threshold, abs=0.03)
    assert rare.slope == pytest.approx(found.slope, rel=0.1)
    assert rare.offset - found.offset == pytest.approx(np.log(0.02 / 0.98) - np.log(1 / 3), abs=0.1)


def test_the_log_odds_of_two_scores_are_those_of_their_joint_distribution():
    rng = np.random.default_rng(1)
    truth = rng.random(20_000) < 0.5
    # Independent given the class, with unit variance and means 0 and d: the log odds have the slopes d.
    members, process = (rng.normal(size=20_000) + d * truth for d in (1.0, 2.0))
    found = calibrations.calibrate(np.stack([members, process]), truth, np.ones(20_000, bool), None)
    assert found.slope == pytest.approx(1, rel=0.05)  # about two standard errors of 20,000 examples
    assert found.gp_slope == pytest.approx(2, rel=0.05)
    assert found.offset == pytest.approx(-(1 + 4) / 2, rel=0.05)


def test_those_named_first_are_in_a_process_that_cannot_hold_all(monkeypatch):
    monkeypatch.setattr(gaussian_process, "MAX_MATERIALS", 5)
    rng = np.random.default_rng(0)
    amounts = np.zeros((12, ELEMENTS), np.float32)
    amounts[np.arange(12), np.arange(12)] = 1.0
    target = rng.normal(size=12)
    first = np.arange(12) % 4 == 0
    config = gaussian_process.Config(noise=1e-4)
    table = rng.normal(size=(ELEMENTS, 3)).astype(np.float32)
    gp = gaussian_process.conditioned(config, amounts, target, table, 0, first)
    assert gp.materials == 5
    # What it was conditioned on it gives back, but for the noise.
    mean = gaussian_process.mean(gp, jnp.asarray(amounts), jnp.asarray(table))
    np.testing.assert_allclose(mean[first], target[first], atol=1e-2)


def test_the_threshold_has_the_largest_f1_of_two_normal_classes():
    rng = np.random.default_rng(3)
    truth = rng.random(200_000) < 0.4
    score = rng.normal(size=200_000) + 1.5 * truth
    weight = np.where(truth, 1.0, 0.5)
    odds = 1.5 * score - 1.5**2 / 2 + np.log(0.4 / 0.3)  # linear in the score, for classes of unit variance
    # Whatever increasing line of the score is handed over, the same materials superconduct.
    for logit in (odds, 3 * odds - 1):
        threshold = calibrations.best_threshold(logit, truth, weight)
        cut = (np.log(threshold / (1 - threshold)) + (0 if logit is odds else 1)) / (1 if logit is odds else 3)

        def f1(at):
            yes = odds > at
            return 2 * np.sum((weight * truth)[yes]) / (np.sum(weight[yes]) + np.sum(weight * truth))

        largest = max(f1(at) for at in np.linspace(-3, 3, 121))
        assert f1(cut) == pytest.approx(largest, abs=1e-3)  # some hundred materials of 200,000 by chance
        assert 1 / (1 + np.exp(-cut)) == pytest.approx(largest / 2, abs=0.01)


def test_log_odds_that_tell_nothing_say_yes_to_all():
    truth = np.arange(40) % 2 == 0
    assert calibrations.best_threshold(-1.0 * truth, truth, np.ones(40)) == 0.0


@pytest.mark.parametrize("text", ["", "2Nb", "(Nb3Sn", "Nb3)", "nb", "Nb-3", "Xx", "Fm2"])
def test_the_reader_refuses_what_is_no_formula(text):
    with pytest.raises(ValueError, match=r"expected|character|bracket"):
        portable.coefficients([text], SYMBOLS[:ELEMENTS])
