"""ROC, confusion matrix, scores and calibration: what is drawn is what was given, and no more."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsci.errors import InputError
from jaxsci.plots import classification as figures
from jaxsci.plots.classification import LEAST_PASSING, RocCurve


def exact_roc(signals=2000, backgrounds=3000, seed=0, distance=2.0):
    rng = np.random.default_rng(seed)
    scores = np.r_[rng.normal(distance, 1, signals), rng.normal(0, 1, backgrounds)]
    signal = (np.arange(len(scores)) < signals)[np.argsort(-scores)]
    return RocCurve(np.r_[0, np.cumsum(signal)] / signals, np.r_[0, np.cumsum(~signal)] / backgrounds, backgrounds, 0.9)


def line(figure, start):
    return next(line for line in figure.axes[0].get_lines() if line.get_label().startswith(start))


def band(figure, number=0):
    return figure.axes[0].collections[number].get_paths()[0].vertices


def test_roc_draws_the_points_where_enough_background_passes(checked, words):
    curve = exact_roc()
    figure = checked(figures.roc({"cnn": curve}, noun="jets"))
    axes = figure.axes[0]
    passing = np.rint(curve.background_efficiency * curve.background_count)
    enough = passing >= LEAST_PASSING
    np.testing.assert_array_equal(line(figure, "cnn").get_xdata(), curve.signal_efficiency[enough])
    np.testing.assert_allclose(line(figure, "cnn").get_ydata(), curve.background_count / passing[enough])
    assert axes.get_yscale() == "log"
    assert axes.get_xlim() == (0, 1)
    assert axes.get_ylim()[0] == 1
    assert r"\varepsilon_S" in axes.get_xlabel()
    assert r"1/\varepsilon_B" in axes.get_ylabel()
    assert "cnn (AUC 0.9000)" in words(figure)
    assert f"at least {LEAST_PASSING} background jets" in words(figure)
    x, y = line(figure, "random").get_data()
    np.testing.assert_allclose(x * y, 1)


def test_roc_band_is_wilsons_and_contains_the_curve(checked):
    curve = exact_roc()
    figure = checked(figures.roc({"cnn": curve}))
    vertices = band(figure)
    x, y = line(figure, "cnn").get_data()
    for efficiency, rejection in zip(x[::100], y[::100], strict=True):
        ends = vertices[vertices[:, 0] == efficiency, 1]
        assert ends.min() <= rejection <= ends.max()
    # The tightest cut: k = 5 of 3000. (k + 1/2 +- sqrt(k (n - k) / n + 1/4)) / (n + 1)
    half = np.sqrt(5 * (1 - 5 / 3000) + 0.25)
    at_least = vertices[np.isclose(vertices[:, 0], x[0]), 1]
    assert at_least.min() == pytest.approx(3001 / (5.5 + half))
    assert vertices[:, 1].max() == pytest.approx(3001 / (5.5 - half))


def test_roc_band_of_the_caller_is_drawn_as_it_is(checked):
    x, y = np.linspace(0.1, 1, 10), np.geomspace(0.01, 1, 10)
    curve = RocCurve(x, y, 1000, None, 0.5 / y, 2 / y)
    vertices = band(checked(figures.roc({"pfn": curve})))
    assert set(np.round(vertices[:, 1], 9)) == set(np.round(np.r_[0.5 / y, 2 / y], 9))


def test_roc_draws_the_baseline_in_gray_and_takes_no_color_for_it(checked):
    figure = checked(figures.roc({"mass": exact_roc(seed=1, distance=1), "cnn": exact_roc()}))
    assert line(figure, "mass").get_color() == figures.style.GRAY
    assert line(figure, "mass").get_linestyle() == "--"
    assert line(figure, "cnn").get_color() == figures.style.PALETTE[0]


def test_roc_says_why_a_curve_is_missing(checked, words):
    nan = np.full(4, np.nan)
    few = exact_roc(3, 3)
    text = words(checked(figures.roc({"one": RocCurve(nan, np.linspace(0, 1, 4), 10, np.nan), "few": few})))
    assert "one: undefined, one class only" in text
    assert "nan" not in text
    assert f"fewer than {LEAST_PASSING} of the background" in text


def test_roc_with_many_names_and_one_long(checked):
    curves = {f"tagger {i}": exact_roc(500, 500, i, 1 + i / 8) for i in range(12)}
    checked(figures.roc({**curves, "_$x" * 40: exact_roc()}))


def test_roc_refuses_what_is_no_curve():
    with pytest.raises(InputError, match="at least one curve"):
        figures.roc({})
    with pytest.raises(InputError, match="cnn: expected arrays"):
        figures.roc({"cnn": RocCurve(np.zeros(3), np.zeros(4), 10)})


@pytest.mark.parametrize("classes", [1, 2, 10, 30, 45])
def test_confusion_matrix_of_any_number_of_classes(classes, checked, words):
    counts = np.random.default_rng(classes).poisson(4, (classes, classes)) + 300 * np.eye(classes, dtype=int)
    figure = checked(figures.confusion_matrix(counts, noun="jets"))
    axes = figure.axes[0]
    shown = np.asarray(axes.get_images()[0].get_array())
    np.testing.assert_allclose(shown.sum(1), 1)
    np.testing.assert_allclose(shown * counts.sum(1, keepdims=True), counts)
    assert axes.get_xlabel() == "Predicted class"
    assert axes.get_ylabel() == "True class"
    assert axes.yaxis_inverted()  # class 0 on top
    accuracy = np.trace(counts) / counts.sum()
    assert f"accuracy {accuracy:.4f}, {counts.sum():,} jets" in words(figure)
    assert len(axes.texts) == (classes**2 if classes <= 40 else 0)


def test_confusion_matrix_writes_true_classes_in_rows(checked):
    axes = checked(figures.confusion_matrix([[90, 10], [400, 600]], ["QCD", "top"])).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}  # (predicted, true)
    assert cells == {(0, 0): "90\n90.0 %", (1, 0): "10\n10.0 %", (0, 1): "400\n40.0 %", (1, 1): "600\n60.0 %"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["QCD", "top"]


def test_confusion_matrix_with_an_absent_class_and_without_examples(checked, words):
    axes = checked(figures.confusion_matrix([[5, 1], [0, 0]])).axes[0]
    assert [text.get_text() for text in axes.texts][2:] == ["–", "–"]
    assert "no examples" in words(checked(figures.confusion_matrix(np.zeros((3, 3), int))))


@pytest.mark.parametrize("counts", [np.ones((2, 3)), np.ones(4), -np.ones((2, 2)), np.ones((0, 0))])
def test_confusion_matrix_refuses_what_is_none(counts):
    with pytest.raises(InputError, match="expected counts"):
        figures.confusion_matrix(counts)
    with pytest.raises(InputError, match="3 class names"):
        figures.confusion_matrix(np.ones((3, 3)), ["a", "b"])


def steps(figure):
    return [patch for patch in figure.axes[0].patches if not patch.get_fill()]


@pytest.mark.parametrize("log", [False, True])
def test_score_histograms_hold_every_example(log, checked, words):
    rng = np.random.default_rng(0)
    scores = {"QCD": rng.beta(1, 4, 700), "top": np.r_[rng.beta(4, 1, 400), 0.0, 1.0]}
    figure = checked(figures.score_distributions(scores, log=log, noun="jets", label="Probability of top"))
    for patch, values in zip(steps(figure), scores.values(), strict=True):
        heights, edges, _ = patch.get_data()
        assert heights.sum() == pytest.approx(1)
        np.testing.assert_allclose(heights * len(values), np.histogram(values, edges)[0])
        assert (edges[0], edges[-1]) == (0, 1)
    assert figure.axes[0].get_yscale() == ("log" if log else "linear")
    assert "QCD, 700 jets" in words(figure)
    assert figure.axes[0].get_xlabel() == "Probability of top"


def test_score_range_follows_scores_that_are_no_probabilities(checked):
    values = np.array([-7.0, 3.0, 11.0])
    heights, edges, _ = steps(checked(figures.score_distributions({"a": values})))[0].get_data()
    assert (edges[0], edges[-1]) == (-7, 11)
    assert heights.sum() == pytest.approx(1)
    checked(figures.score_distributions({"constant": np.full(5, 8.0)}, log=True))


def test_scores_of_absent_classes(checked, words):
    assert "top, 0 examples" in words(checked(figures.score_distributions({"QCD": [0.2, 0.3], "top": []})))
    assert "no jets" in words(checked(figures.score_distributions({"QCD": [], "top": []}, noun="jets")))
    with pytest.raises(InputError, match="top: expected finite scores, got 1"):
        figures.score_distributions({"top": [0.1, np.nan]})
    with pytest.raises(InputError, match="at least one class"):
        figures.score_distributions({})


@settings(max_examples=settings.default.max_examples // 3)
@given(st.integers(1, 400), st.integers(1, 20), st.integers(0, 2**31))
def test_reliability_points_are_bin_means(n, bins, seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=n)
    p[rng.uniform(size=n) < 0.2] = rng.integers(0, bins + 1) / bins  # on an edge
    y = (rng.uniform(size=n) < p).astype(int)
    figure = figures.reliability(p, y, bins=bins)
    points = next(line for line in figure.axes[0].get_lines() if line.get_marker() == "o")
    edges = np.linspace(0, 1, bins + 1)
    edges[0] = -1  # the first bin holds 0
    masks = [(p > low) & (p <= high) for low, high in itertools.pairwise(edges)]
    expected = [(p[mask].mean(), y[mask].mean()) for mask in masks if mask.any()]
    np.testing.assert_allclose(np.transpose(points.get_data()), expected)
    counts = figure.axes[1].patches[0].get_data()[0]
    np.testing.assert_array_equal(counts, [mask.sum() for mask in masks])


def test_reliability_edges(checked, words):
    checked(figures.reliability([0.0, 1.0], [0, 1], noun="jets"))
    checked(figures.reliability([0.3], np.array([True])))
    assert "no jets" in words(checked(figures.reliability([], [], noun="jets")))
    for probabilities, labels, message in (
        ([0.1], [0, 1], "a label for each"),
        ([1.1], [1], "probabilities in"),
        ([np.nan], [1], "probabilities in"),
        ([0.5], [2], "labels 0 or 1"),
    ):
        with pytest.raises(InputError, match=message):
            figures.reliability(probabilities, labels)
