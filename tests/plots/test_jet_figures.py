"""Jet images: the panels hold the averages, on one logarithmic scale, the right way up."""

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.plots import jets


def images(n, seed=0):
    x = np.random.default_rng(seed).gamma(0.05, size=(n, 40, 40)).astype(np.float32)
    return x / x.sum(axis=(1, 2), keepdims=True)


def panels(figure):
    return [axes for axes in figure.axes if axes.get_images()]


def test_panels_hold_the_averages_on_one_logarithmic_scale(checked, words):
    classes = {"QCD": images(30, 1), "top": images(50, 2)}
    figure = checked(jets.average_images(classes, half_width=0.8))
    drawn = [axes.get_images()[0] for axes in panels(figure)]
    for image, stack in zip(drawn, classes.values(), strict=True):
        shown = image.get_array()
        np.testing.assert_allclose(shown.compressed(), stack.mean(0, dtype=np.float64)[~np.ma.getmaskarray(shown)])
        assert image.get_extent() == [-0.8, 0.8, -0.8, 0.8]
    assert drawn[0].norm is drawn[1].norm
    assert type(drawn[0].norm).__name__ == "LogNorm"
    assert drawn[0].norm.vmax / drawn[0].norm.vmin <= 10**jets.DECADES * (1 + 1e-9)
    text = words(figure)
    for expected in ("QCD, 30 jets", "top, 50 jets", "Δη′", "Δφ′ (rad)", "fraction per pixel", "rotation"):
        assert expected in text


def test_the_first_row_is_on_top_and_the_first_column_on_the_left(checked):
    x = np.zeros((1, 40, 40))
    x[0, 0, 3] = 1
    axes = panels(checked(jets.average_images({"top": x}, half_width=0.8)))[0]
    image = axes.get_images()[0]
    assert image.origin == "upper"
    left, _, _, top = image.get_extent()
    point = axes.transData.transform([left + 3.5 * 0.04, top - 0.5 * 0.04])  # the middle of pixel [0, 3]
    event = type("Event", (), {"x": point[0], "y": point[1]})()
    assert image.get_cursor_data(event) == 1


def test_at_most_the_limit_is_averaged_and_said(checked, words):
    stack = images(20)
    figure = checked(jets.average_images({"top": stack}, half_width=0.8, limit=7))
    assert "top, 7 jets" in words(figure)
    shown = panels(figure)[0].get_images()[0].get_array()
    np.testing.assert_allclose(shown.compressed(), stack[:7].mean(0, dtype=np.float64)[~np.ma.getmaskarray(shown)])


def test_empty_and_dark_classes_have_panels_too(checked, words):
    figure = checked(jets.average_images({"QCD": images(0), "top": images(3)}, half_width=0.8))
    assert "QCD, 0 jets" in words(figure)
    assert "no jets" in words(figure)
    checked(jets.average_images({"QCD": images(0)}, half_width=0.8))
    checked(jets.average_images({"QCD": np.zeros((2, 40, 40))}, half_width=None))
    checked(jets.average_images({"QCD": np.ones((2, 40, 40)) / 1600}, half_width=None))


def test_without_a_width_the_axes_are_in_pixels(checked, words):
    text = words(checked(jets.average_images({"a": images(2), "b": images(2), "c": images(2)}, half_width=None)))
    assert "column (pixel)" in text
    assert "Δη" not in text


def test_single_images_show_the_first_jets_of_each_class(checked):
    classes = {"QCD": images(2, 1), "top": images(9, 2)}
    shown = panels(checked(jets.single_images(classes, half_width=0.8, jets=3)))
    assert len(shown) == 2 + 3
    expected = [*classes["QCD"], *classes["top"][:3]]
    for axes, image in zip(shown, expected, strict=True):
        array = axes.get_images()[0].get_array()
        np.testing.assert_array_equal(array.compressed(), image[~np.ma.getmaskarray(array)])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "at least one class"),
        ({"top": np.ones((2, 40, 40, 1))}, "drop the channel axis"),
        ({"top": -np.ones((2, 4, 4))}, "negative"),
        ({"top": np.full((2, 4, 4), np.nan)}, "non-finite"),
    ],
)
def test_what_is_no_jet_image_is_refused_in_one_line(classes, message):
    with pytest.raises(InputError, match=message) as error:
        jets.average_images(classes, half_width=0.8)
    assert "\n" not in str(error.value)


def test_coefficients_stand_beside_their_graphs(checked):
    graphs = [((0, 1),), ((0, 1), (0, 1), (1, 2)), ((0, 1), (2, 3), (2, 3))]
    figure = checked(jets.flow_coefficients(graphs, [3.0, -2.0, 0.5], [0.1, 0.2, 0.3], label="log odds"))
    drawings, axes = figure.axes
    assert len(drawings.patches) == sum(map(len, graphs))  # a curve for each edge
    vertices = [len(line.get_xdata()) for line in drawings.lines]
    assert vertices == [2, 3, 4]
    for row, line in enumerate(drawings.lines):
        assert np.all(np.abs(np.asarray(line.get_ydata()) - row) < 0.5)
        places = set(zip(np.round(line.get_xdata(), 6), np.round(line.get_ydata(), 6), strict=True))
        assert len(places) == vertices[row]
    two = [
        patch.get_path().vertices[1] for patch in drawings.patches[1:3]
    ]  # the middles of two edges of the same vertices
    assert np.linalg.norm(two[0] - two[1]) > 0.05
    points = axes.containers[0].lines[0]
    np.testing.assert_array_equal(points.get_xdata(), [3.0, -2.0, 0.5])
    np.testing.assert_array_equal(points.get_ydata(), [0, 1, 2])
    with pytest.raises(InputError, match="got 3 graphs, values of shape"):
        jets.flow_coefficients(graphs, [1.0], [1.0], label="")
