"""The detectors that look at jet images: autoencoders by convolutions, plain and variational.

Images are 40 x 40 square roots of the pT fractions, scaled so that the mean square of the pixels of a jet is 1; errors of reconstructions
are mean squares over the pixels, in these units.
"""

import math

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Batch, Key, LossFn, Metrics, Model, Params
from jaxsci.losses import objective, squared_error
from jaxsci.models import convolutional_autoencoder
from jaxsci.models.convolutional import Block
from jaxsci.models.convolutional_autoencoder import Config, decode, encode
from jaxsci.tasks.anomalies.detectors import Detector
from jaxsci.tasks.top_tagging.taggers import PIXELS, image_inputs

_BLOCKS = (Block(16, pool=2), Block(32, pool=2))
_LATENT = 8  # numbers in a code


def autoencoder() -> Detector:
    """A convolutional autoencoder on jet images; the score is the mean squared error of the reconstruction.

    The baseline that finds tops among QCD jets and fails the other way round: simple jets are rebuilt well, learned or not
    (arXiv:2104.09051).
    """
    model = convolutional_autoencoder.model(Config((*PIXELS, 1), latent=_LATENT, blocks=_BLOCKS))

    def score(model: Model, params: Params, x: Array) -> Array:
        return jnp.mean((model.apply(params, x) - x) ** 2)

    def make_loss(model: Model) -> LossFn:
        def loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
            return objective(model.apply, squared_error)(params, batch._replace(y=batch.x))

        return loss

    return Detector(
        image_inputs, lambda examples: model, score, make_loss, epochs=8, batch_size=128, learning_rate=2e-3
    )


BETA = 1.0  # of the divergence; 1 is the evidence bound


def variational() -> Detector:
    """A variational autoencoder (arXiv:1312.6114) of jet images; the score is minus the bound of the evidence at the mean of the code.

    A code has a standard normal prior, a pixel a Gaussian of deviation 1 in units of the image's root mean square. Minus the bound, less a
    constant and divided by half the number of pixels P, is the mean squared error plus 2 KL / P, with KL in nats: that is minimized over
    random codes, and the score has the code's mean in the error. `BETA` (arXiv:1804.03599) multiplies KL.
    """
    return _variational((*PIXELS, 1))


def _variational(shape: tuple[int, int, int], blocks: tuple[Block, ...] = _BLOCKS, latent: int = _LATENT) -> Detector:
    outer, inner = (Config(shape, latent=size, blocks=blocks) for size in (2 * latent, latent))

    def init(key: Key) -> Params:
        keys = jax.random.split(key)
        encoder, decoder = (
            convolutional_autoencoder.init(keys[0], outer),
            convolutional_autoencoder.init(keys[1], inner),
        )
        return {"encoder": encoder["encoder"], "decoder": decoder["decoder"]}

    def gaussian(params: Params, x: Array) -> tuple[Array, Array]:
        mean, log_variance = jnp.split(encode(params, x, outer), 2)
        return mean, log_variance

    def apply(params: Params, x: Array) -> Array:
        return decode(params, gaussian(params, x)[0], inner)

    def terms(params: Params, x: Array, noise: Array | float) -> Array:
        """The mean squared error at the code of this noise, and the divergence in its units: [2]."""
        mean, log_variance = gaussian(params, x)
        rebuilt = decode(params, mean + jnp.exp(log_variance / 2) * noise, inner)
        error = jnp.mean((rebuilt - x) ** 2)
        return jnp.stack([error, BETA * 2 / math.prod(shape) * divergence(mean, log_variance)])

    def score(model: Model, params: Params, x: Array) -> Array:
        return jnp.sum(terms(params, x, 0.0))

    def make_loss(model: Model) -> LossFn:
        metrics = {"error": lambda output, target: output[0], "divergence": lambda output, target: output[1]}
        mean_of = objective(
            lambda params, drawn: terms(params, *drawn), lambda output, target: jnp.sum(output), metrics=metrics
        )

        def loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
            drawn = batch.x if isinstance(batch.x, tuple) else (batch.x, _same_noise(len(batch.x)))
            return mean_of(params, batch._replace(x=drawn))

        return loss

    def _same_noise(jets: int) -> Array:  # at every evaluation
        return jax.random.normal(jax.random.key(0), (jets, latent))

    def augment(key: Key, x: Array) -> tuple[Array, Array]:
        return x, jax.random.normal(key, (latent,))

    model = Model(init, apply)
    return Detector(image_inputs, lambda examples: model, score, make_loss, 8, 128, 2e-3, augment)


def divergence(mean: Array, log_variance: Array) -> Array:
    """KL(q | p) in nats of a Gaussian q with independent components [latent] from the standard normal distribution p."""
    return jnp.sum(mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2
