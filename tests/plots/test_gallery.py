"""The gallery: as many images as given, each under its words, on one scale."""

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.plots import gallery
from jaxsci.plots.gallery import Examples


def test_every_image_is_there_with_its_words(checked, words):
    images = np.random.default_rng(0).uniform(size=(8, 5, 7, 3))
    texts = [f"{i} taken for {i + 1}: 0.9" for i in range(8)]
    figure = checked(gallery.gallery({"wrong": Examples(images, texts)}, columns=6))
    shown = [axes for axes in figure.findobj(lambda a: hasattr(a, "get_images")) if axes.get_images()]
    assert len(shown) == 8
    assert all(text in words(figure) for text in ("wrong", *texts))
    reds = np.stack([np.asarray(axes.get_images()[0].get_array())[..., 0] for axes in shown])
    expected = (images[..., 0] - images.min()) / (images.max() - images.min())
    np.testing.assert_allclose(reds, expected, atol=1e-12)


def test_energies_have_one_logarithmic_scale(checked):
    images = np.zeros((3, 4, 4))
    images[:, 1, 2] = (1.0, 0.1, 1e-9)
    figure = checked(gallery.gallery({"a": Examples(images, ["x"] * 3)}, logarithmic=True))
    (first, *_) = [axes for axes in figure.findobj(lambda a: hasattr(a, "get_images")) if axes.get_images()]
    assert (first.get_images()[0].norm.vmin, first.get_images()[0].norm.vmax) == (1e-5, 1.0)


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(InputError, match="expected at least one image, got none"):
        gallery.gallery({"a": Examples(np.zeros((0, 2, 2)), [])})
    with pytest.raises(InputError, match="with words for each"):
        gallery.gallery({"a": Examples(np.zeros((2, 2, 2)), ["x"])})
