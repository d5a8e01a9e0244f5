"""Detectors of anomalous jet images: their losses and scores by formulas in float64, and what padding and order do to them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxsci.core import Batch
from jaxsci.models import convolutional_autoencoder
from jaxsci.models.convolutional import Block
from jaxsci.models.convolutional_autoencoder import Config
from jaxsci.tasks.anomalies import image_detectors

SHAPE, BLOCKS, LATENT = (4, 4, 1), (Block(2, pool=2),), 2


def test_the_divergence_is_the_integral_of_the_log_ratio():
    mean, log_variance = np.array([0.7, -1.2]), np.array([0.4, -1.5])
    expected = 0.0
    for center, log_v in zip(mean, log_variance, strict=True):
        q, p = stats.norm(center, math.exp(log_v / 2)), stats.norm()
        expected += integrate.quad(lambda z, q=q, p=p: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -12, 12)[0]
    found = image_detectors.divergence(jnp.asarray(mean, jnp.float32), jnp.asarray(log_variance, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # a few roundings of float32
    assert image_detectors.divergence(jnp.zeros(3), jnp.zeros(3)) == 0


@pytest.fixture(scope="module")
def variational():
    """A small one with its parameters, images, and its loss with gradients, compiled once."""
    found = image_detectors._variational(SHAPE, BLOCKS, LATENT)
    model = found.make_model(np.zeros((1, *SHAPE)))
    params = jax.jit(model.init)(jax.random.key(0))
    rng = np.random.default_rng(1)
    images, noise = (rng.normal(size=(5, *of)).astype(np.float32) for of in (SHAPE, (LATENT,)))
    loss = jax.jit(jax.value_and_grad(found.make_loss(model), has_aux=True))
    return found, model, params, jnp.asarray(images), jnp.asarray(noise), loss


def _terms(params, image, noise):
    """Error and divergence of one image in float64, by the formula, from encoder and decoder as they are."""
    wide, narrow = (Config(SHAPE, latent=size, blocks=BLOCKS) for size in (2 * LATENT, LATENT))
    code = np.asarray(convolutional_autoencoder.encode(params, image, wide), np.float64)
    mean, log_variance = code[:LATENT], code[LATENT:]
    drawn = mean + np.exp(log_variance / 2) * noise
    rebuilt = convolutional_autoencoder.decode(params, jnp.asarray(drawn, jnp.float32), narrow)
    error = np.mean((np.asarray(rebuilt, np.float64) - image) ** 2)
    return error, np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance) / math.prod(SHAPE)  # 2 KL / pixels


def test_score_and_loss_of_the_variational_autoencoder_are_the_formula(variational):
    found, model, params, images, noise, loss = variational
    score = found.score(model, params, images[0])
    np.testing.assert_allclose(score, sum(_terms(params, images[0], 0.0)), rtol=1e-5)  # float32 sums of 16 pixels
    weight = np.array([1.0, 2, 1, 0, 0], np.float32)
    batch = Batch((images, noise), jnp.zeros(5), jnp.asarray(weight))
    (value, metrics), gradient = loss(params, batch)
    terms = np.array([_terms(params, image, draw) for image, draw in zip(images[:3], noise[:3], strict=True)])
    error, divergence = np.average(terms, axis=0, weights=weight[:3])
    np.testing.assert_allclose(value, error + divergence, rtol=1e-5)
    np.testing.assert_allclose(metrics["error"], error, rtol=1e-5)
    np.testing.assert_allclose(metrics["divergence"], divergence, rtol=1e-5)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient["encoder"]["dense"]["layer_1"]))


def test_padding_and_order_of_a_batch_change_nothing(variational):
    *_, params, images, noise, loss = variational
    weight = jnp.array([1.0, 1, 1, 0, 0])
    batch = Batch((images, noise), jnp.zeros(5), weight)
    (value, _), gradient = loss(params, batch)
    (same, _), same_gradient = loss(params, batch._replace(x=(images.at[3:].set(jnp.nan), noise.at[3:].set(jnp.nan))))
    np.testing.assert_array_equal(value, same)
    jax.tree.map(np.testing.assert_array_equal, gradient, same_gradient)
    turned = jax.tree.map(lambda leaf: leaf[::-1], batch)
    np.testing.assert_allclose(loss(params, turned)[0][0], value, rtol=1e-6)  # a sum in another order


def test_noise_is_drawn_for_training_and_fixed_for_validation(variational):
    found, model, params, images, _, _ = variational
    draws = [found.augment(key, images[0])[1] for key in jax.random.split(jax.random.key(2))]
    assert draws[0].shape == (LATENT,)
    assert np.all(draws[0] != draws[1])
    batch = Batch(images, jnp.zeros(5), jnp.ones(5))
    loss = jax.jit(found.make_loss(model))
    fixed = (images, jax.random.normal(jax.random.key(0), (5, LATENT)))
    assert loss(params, batch)[0] == loss(params, batch._replace(x=fixed))[0]
