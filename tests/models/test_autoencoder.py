"""A linear autoencoder can do no better than principal components, and reaches them (Baldi and Hornik 1989)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsci.core import Batch
from jaxsci.losses import objective
from jaxsci.models import autoencoder, convolutional_autoencoder
from jaxsci.models.convolutional import Block
from jaxsci.training import Recipe, Settings, fit


@pytest.mark.slow
def test_linear_autoencoder_reaches_the_error_of_pca():
    rng = np.random.default_rng(0)
    spectrum = np.array([3.0, 2.0, 1.0, 0.3, 0.2, 0.1])
    x = (rng.normal(size=(512, 6)) * spectrum) @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    x = (x - x.mean(0)).astype(np.float32)
    model = autoencoder.model(autoencoder.Config((6,), latent=3, hidden=()))
    loss = objective(model.apply, lambda output, target: jnp.mean(jnp.square(output - target)))
    data = Batch(x, x, np.ones(512, np.float32))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 300 * 8))
    result = fit(
        Recipe(model, loss, optimizer), data, data, key=jax.random.key(0), settings=Settings(epochs=300, batch_size=64)
    )
    singular = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    pca = np.sum(singular[3:] ** 2) / x.size  # mean squared error of the best rank-3 approximation
    reached = float(result.best_loss)
    assert reached >= pca * (1 - 1e-4)  # Eckart and Young: nothing of rank 3 is better (float32 sums)
    np.testing.assert_allclose(reached, pca, rtol=0.01)  # 2,400 steps of Adam come within a percent


def test_convolutional_autoencoder_gives_the_shape_of_its_input():
    config = convolutional_autoencoder.Config((12, 8, 1), latent=2, blocks=(Block(4, pool=2), Block(3, pool=2)))
    model = convolutional_autoencoder.model(config)
    params = jax.eval_shape(model.init, jax.random.key(0))
    x = jnp.ones((12, 8, 1))
    encode = partial(convolutional_autoencoder.encode, config=config)
    assert jax.eval_shape(encode, params, x).shape == (2,)
    assert jax.eval_shape(model.apply, params, x).shape == x.shape
