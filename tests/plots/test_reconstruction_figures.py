"""Reconstructions and latent space: images as given, differences signed, principal components by theory."""

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.plots.reconstruction import latent_space, reconstructions


def rows(figure, columns):
    drawn = [axes.get_images()[0] for axes in figure.axes if axes.get_images()][: 3 * columns]
    return np.array(drawn).reshape(3, columns)


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,)])
def test_originals_over_reconstructions_over_signed_differences(channels, checked, words):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (5, 12, 9, *channels))
    y = x + rng.normal(0, 0.1, x.shape)
    figure = checked(reconstructions(x, y, limit=4))
    top, middle, bottom = rows(figure, 4)
    mean = (lambda a: a.mean(-1)) if channels else (lambda a: a)
    for i in range(4):
        np.testing.assert_allclose(bottom[i].get_array(), mean(y[i] - x[i]))
        if channels != (3,):
            np.testing.assert_allclose(top[i].get_array(), mean(x[i]))
            np.testing.assert_allclose(middle[i].get_array(), mean(y[i]))
            assert top[i].get_clim() == middle[i].get_clim()
        low, high = bottom[i].get_clim()
        assert low == -high
        assert f"MSE {np.mean((y[i] - x[i]) ** 2):#.2g}" in words(figure)
    assert all(word in words(figure) for word in ("original", "reconstruction", "difference"))


def test_color_images_share_the_scale_of_the_originals(checked):
    x = np.zeros((1, 4, 4, 3))
    x[0, 0, 0] = [0.0, 2.0, 4.0]
    top, middle, _ = rows(checked(reconstructions(x, x + 1)), 1)
    np.testing.assert_allclose(top[0].get_array()[0, 0], [0, 0.5, 1])
    np.testing.assert_allclose(middle[0].get_array()[0, 0], [0.25, 0.75, 1])  # beyond the originals' range: clipped


def test_reconstruction_edges(checked, words):
    checked(reconstructions(np.zeros((1, 5, 5)), np.zeros((1, 5, 5))))  # constant and perfect
    assert "no images" in words(checked(reconstructions(np.zeros((0, 5, 5)), np.zeros((0, 5, 5)))))
    x = np.zeros((2, 5, 5))
    for y, message in ((np.zeros((2, 5, 4)), "one shape"), (np.zeros(25), "shape"), (x + np.nan, "finite")):
        with pytest.raises(InputError, match=message):
            reconstructions(x, y)


def points(figure):
    return np.concatenate([collection.get_offsets() for collection in figure.axes[0].collections])


def test_two_dimensions_are_drawn_as_they_are(checked):
    codes = np.random.default_rng(0).normal(size=(60, 2))
    labels = np.repeat([0, 1, 2], 20)
    figure = checked(latent_space(codes, labels, ["a", "b", "c"]))
    np.testing.assert_array_equal(points(figure), codes)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b", "c"]
    medians = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert medians["b"] == pytest.approx(np.median(codes[20:40], axis=0))


def test_names_do_not_stand_on_one_another(checked):
    # Two classes in one place, one far away: two names are left in the plane, and all three in the legend.
    codes = np.concatenate([np.zeros((20, 2)), np.zeros((20, 2)), np.full((20, 2), 5.0)])
    codes = codes + 0.1 * np.random.default_rng(0).normal(size=codes.shape)
    figure = checked(latent_space(codes, np.repeat([0, 1, 2], 20), ["cuprate", "iron-based", "other"]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["cuprate", "other"]
    assert len(figure.axes[0].get_legend().get_texts()) == 3


def test_more_dimensions_are_their_principal_components(checked):
    """Codes that lie in a turned plane with variances 9 : 1 come back as that plane, up to signs."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(400, 2))
    plane = (plane - plane.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(plane.T, ddof=0))).T * [3, 1]
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    figure = checked(latent_space(plane @ basis + rng.normal(size=6), np.zeros(400, int)))
    drawn = points(figure)
    signs = np.sign((drawn * plane).sum(0))
    np.testing.assert_allclose(drawn * signs, plane, rtol=0, atol=1e-9)  # float64, a rotation of values of order 1
    assert "90.0 % of variance" in figure.axes[0].get_xlabel()
    assert "10.0 % of variance" in figure.axes[0].get_ylabel()


def test_one_dimension_is_a_histogram(checked):
    codes = np.random.default_rng(0).normal(size=(50, 1))
    figure = checked(latent_space(codes, np.repeat([0, 1], 25)))
    for patch in figure.axes[0].patches:
        assert patch.get_data()[0].sum() == pytest.approx(1)


@pytest.mark.parametrize("classes", [1, 30, 60])
def test_any_number_of_classes_stays_apart(classes, checked):
    codes = np.random.default_rng(0).normal(size=(3 * classes, 3))
    figure = checked(latent_space(codes, np.repeat(np.arange(classes), 3)))
    looks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in figure.axes[0].collections}
    assert len(looks) == classes


def test_latent_space_edges(checked, words):
    assert "no examples" in words(checked(latent_space(np.zeros((0, 4)), np.zeros(0, int))))
    checked(latent_space(np.ones((5, 4)), np.zeros(5, int)))  # collapsed codes
    checked(latent_space(np.ones((5, 2)), np.zeros(5, int), ["here", "absent"]))
    assert (
        len(points(checked(latent_space(np.random.default_rng(0).normal(size=(99, 2)), np.zeros(99, int), limit=10))))
        == 10
    )
    for codes, labels, message in (
        (np.zeros((3, 2)), np.zeros(4, int), "labels"),
        (np.zeros(3), np.zeros(3, int), "latent"),
        (np.full((3, 2), np.nan), np.zeros(3, int), "finite"),
    ):
        with pytest.raises(InputError, match=message):
            latent_space(codes, labels)
    with pytest.raises(InputError, match="labels 0 to 1, got 0 to 2"):
        latent_space(np.zeros((3, 2)), np.arange(3), ["a", "b"])
