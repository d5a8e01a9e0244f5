"""Learning curves: every metric, gaps where a value is missing, the best epoch, members as median and band."""

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.plots import style
from jaxsci.plots.training import LEAST, learning_curves, members_calibration, sweep


def history(losses, **more):
    return [
        {
            "epoch": i,
            "seconds": 1.0,
            "train_loss": loss,
            "validation_loss": loss,
            **{k: v[i - 1] for k, v in more.items()},
        }
        for i, loss in enumerate(losses, start=1)
    ]


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def line(axes, label):
    return next(line for line in axes.get_lines() if line.get_label() == label)


def test_panels_hold_the_records_loss_first(checked):
    records = history([0.5, 0.3, 0.4], train_accuracy=[0.7, 0.8, 0.9], train_gradient_norm=[1, 2, 3])
    records = [dict(reversed(list(record.items()))) for record in records]
    loss, *others = visible(checked(learning_curves(records)))
    assert loss.get_ylabel() == "Loss"
    assert {axes.get_ylabel() for axes in others} == {"Accuracy", "Gradient norm"}
    for part in ("training", "validation"):
        np.testing.assert_array_equal(line(loss, part).get_xydata(), [[1, 0.5], [2, 0.3], [3, 0.4]])
    assert all(axes.get_xlabel() == "Epoch" for axes in others)


def test_the_best_epoch_is_that_of_the_smallest_validation_loss(checked):
    records = history([0.5, 0.3, 0.4])
    records[2]["train_loss"] = 0.01
    axes = visible(checked(learning_curves(records)))[0]
    assert line(axes, "best epoch 2").get_xdata()[0] == 2


@pytest.mark.parametrize(
    ("losses", "scale"), [([1.0, 0.11], "linear"), ([1.0, 0.09], "log"), ([1.0, 0.0], "linear"), ([-1, -50], "linear")]
)
def test_logarithmic_beyond_a_decade_of_positive_values(losses, scale, checked):
    assert visible(checked(learning_curves(history(losses))))[0].get_yscale() == scale


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_missing_value_leaves_a_gap_and_is_named(bad, checked, words):
    figure = checked(learning_curves(history([0.5, bad, 0.4, bad])))
    drawn = line(visible(figure)[0], "validation").get_ydata()
    np.testing.assert_array_equal(np.isnan(drawn), [False, True, False, True])
    assert "no finite value in epochs 2, 4" in words(figure)
    assert "best epoch 3" in words(figure)


def test_nothing_finite_nothing_yet_and_one_epoch(checked, words):
    text = words(checked(learning_curves(history([None, None]))))
    assert "best" not in text
    assert "no epoch is complete" in words(checked(learning_curves([])))
    axes = visible(checked(learning_curves(history([0.5]))))[0]
    assert line(axes, "training").get_marker() == "o"  # a line of one point would not be seen
    assert "best epoch 1" in words(axes.figure)
    checked(learning_curves([{"epoch": 1, "train_loss": 0.5}]))


def test_an_ensemble_is_its_median_and_central_band(checked, words):
    members = np.random.default_rng(0).uniform(0.2, 0.9, (6, 11))
    figure = checked(learning_curves(history(members.tolist())))
    axes = visible(figure)[0]
    np.testing.assert_allclose(line(axes, "validation").get_ydata(), np.median(members, axis=1))
    low, high = np.quantile(members, (0.16, 0.84), axis=1)
    vertices = axes.collections[0].get_paths()[0].vertices
    for epoch in range(6):
        ends = vertices[vertices[:, 0] == epoch + 1, 1]
        assert ends.min() == pytest.approx(low[epoch])
        assert ends.max() == pytest.approx(high[epoch])
    best = members.argmin(axis=0) + 1
    assert f"best epochs {best.min()}–{best.max()}" in words(figure)


def test_a_member_that_diverged_does_not_hide_the_others(checked, words):
    figure = checked(learning_curves(history([[0.5, 0.6], [0.4, None], [0.3, None]])))
    np.testing.assert_allclose(line(visible(figure)[0], "training").get_ydata(), [0.55, 0.4, 0.3])
    assert "no finite value" not in words(figure)


def test_members_must_stay_the_same():
    with pytest.raises(InputError, match="as many members"):
        learning_curves(history([[0.1, 0.2], [0.1, 0.2, 0.3]]))


def test_a_long_training_has_no_markers(checked):
    axes = visible(checked(learning_curves(history(list(np.linspace(1, 0.5, 300))))))[0]
    assert line(axes, "training").get_marker() == ""


def test_members_and_their_mean_by_observed_minus_predicted(checked):
    def coin(p, ones):
        return np.full(100, p), np.arange(100) < ones

    figure = checked(members_calibration(coin(0.30, 40), [coin(0.31, 40), coin(0.29, 20)], noun="jets"))
    (axes,) = visible(figure)
    drawn = [line.get_xydata() for line in axes.get_lines() if len(line.get_xydata()) == 1]
    np.testing.assert_allclose(np.concatenate(drawn), [[0.31, 0.09], [0.29, -0.09], [0.30, 0.10]])
    (low, high), *_ = (bar.get_segments()[0][:, 1] for container in axes.containers for bar in container[2])
    below, above = style.wilson(40, 100)
    np.testing.assert_allclose([low, high], [below - 0.3, above - 0.3])


def test_bins_of_few_examples_have_no_point_and_what_is_no_probability_is_refused(checked, words):
    few = np.full(5, 0.5), np.ones(5, int)
    assert f"no bin of {LEAST} examples" in words(checked(members_calibration(few, [few])))
    with pytest.raises(InputError, match="expected as many outcomes"):
        members_calibration((np.full(30, 1.1), np.ones(30)), [])


def test_trials_of_a_sweep(checked, words):
    values = {"learning rate": [1e-3, 1e-2, 1e-1], "tagger": ["pfn", "cnn", "pfn"], "batch size": [32, 64, 32]}
    figure = checked(sweep(values, [0.5, 0.1, None], [True, False, False], logarithmic=["learning rate"]))
    first, second, third = visible(figure)
    assert (first.get_xscale(), third.get_xscale()) == ("log", "linear")
    assert first.get_ylabel() == "Lowest validation loss"
    np.testing.assert_array_equal(line(first, "stopped early").get_xydata(), [[1e-2, 0.1]])
    np.testing.assert_array_equal(line(first, "best").get_xydata(), [[1e-3, 0.5]])  # of those trained to the end
    assert [text.get_text() for text in second.get_xticklabels()] == ["cnn", "pfn"]
    np.testing.assert_array_equal(line(second, "best").get_xydata(), [[1, 0.5]])
    assert "Not drawn: 1 trial without a finite loss" in words(figure)
    with pytest.raises(InputError, match="expected a value and a loss for each trial"):
        sweep({"a": [1]}, [1.0, 2.0], [True])
