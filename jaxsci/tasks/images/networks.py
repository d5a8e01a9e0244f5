"""Networks that fit the images, and how they are trained."""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxsci.losses import correct, cross_entropy, objective, squared_error
from jaxsci.models import autoencoder, convolutional, convolutional_autoencoder, dense
from jaxsci.models.convolutional import Block
from jaxsci.tasks.images.options import Options
from jaxsci.training import Recipe, adamw, steps_per_epoch, warmup_cosine


class Network(NamedTuple):
    """A module of `jaxsci.models` with the configuration that fits the images."""

    module: ModuleType
    config: Any


def network(options: Options, shape: tuple[int, int, int], classes: int) -> Network:
    """The network of the chosen kind for images of this shape."""
    # Pool while a side stays at least 4 pixels and even: what is left is small enough for the dense part.
    poolings = 0
    while poolings < 3 and all(
        side % 2 ** (poolings + 1) == 0 and side // 2 ** (poolings + 1) >= 4 for side in shape[:2]
    ):
        poolings += 1
    blocks = tuple(
        Block(channels, pool=2 if i < poolings else 1) for i, channels in enumerate((16, 32, 64)[: max(poolings, 2)])
    )
    if options.model == "dense":
        return Network(dense, dense.Config(int(np.prod(shape)), outputs=classes, hidden=(256, 128)))
    if options.model == "cnn":
        return Network(convolutional, convolutional.Config(shape, outputs=classes, blocks=blocks))
    if poolings:
        config = convolutional_autoencoder.Config(shape, latent=options.latent, blocks=blocks, hidden=(64,))
        return Network(convolutional_autoencoder, config)
    return Network(autoencoder, autoencoder.Config(shape, latent=options.latent))


def make_recipe(options: Options, network: Network, examples: int) -> Recipe:
    """Cross entropy, or for the autoencoder the mean squared error, by AdamW with warm-up and cosine decay."""
    model = network.module.model(network.config)
    steps = options.epochs * steps_per_epoch(examples, options.batch_size)
    optimizer = adamw(options.learning_rate, weight_decay=1e-2, schedule=warmup_cosine(steps), clip=1.0)
    if options.model == "autoencoder":
        return Recipe(model, objective(model.apply, squared_error), optimizer)
    return Recipe(model, objective(model.apply, cross_entropy, metrics={"accuracy": correct}), optimizer)
