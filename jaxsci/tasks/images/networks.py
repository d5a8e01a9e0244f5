"""Networks that fit the images, and how they are trained."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxsci.core import Array, Inputs, Model, Params, StatefulModel
from jaxsci.errors import InputError
from jaxsci.losses import correct, cross_entropy, objective_for, squared_error
from jaxsci.models import autoencoder, convolutional, convolutional_autoencoder, dense
from jaxsci.models.convolutional import Block
from jaxsci.tasks import own_network
from jaxsci.tasks.images.options import MODELS, Options
from jaxsci.tasks.study import noise
from jaxsci.training import Recipe, adamw, steps_per_epoch, warmup_cosine


class Network(NamedTuple):
    """A network that fits the images."""

    model: Model | StatefulModel
    encode: Callable[[Params, Inputs], Array] | None = None  # the code of one image; None for a classifier


@lru_cache(maxsize=32)
def _network(module: ModuleType, config: Any) -> Network:
    """A module of `jaxsci.models` with its configuration."""
    encode = getattr(module, "encode", None)
    return Network(module.model(config), None if encode is None else partial(_encode, encode, config))


def _encode(encode: Callable[..., Any], config: Any, params: Params, x: Inputs) -> Any:
    return encode(params, x, config)


def name(options: Options) -> str:
    """What the network is called in folders and on pages."""
    return options.model if options.model in MODELS else own_network.name(options.model)


def network(options: Options, shape: tuple[int, int, int], classes: int) -> Network:
    """The network of the chosen kind, or the user's own, for images of this shape.

    Raises:
        InputError: as in `own_network.build`, or options for a network that has none.
    """
    if options.model not in MODELS:
        example = np.zeros(shape, np.float32)
        return Network(own_network.build(options.model, example, (classes,), options.model_options))
    if options.model_options:
        raise InputError(
            f"--model-options: expected none for {options.model}, got some; they are for networks of your own"
        )
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
        return _network(dense, dense.Config(int(np.prod(shape)), outputs=classes, hidden=(256, 128)))
    if options.model == "cnn":
        return _network(convolutional, convolutional.Config(shape, outputs=classes, blocks=blocks))
    if poolings:
        config = convolutional_autoencoder.Config(shape, latent=options.latent, blocks=blocks, hidden=(64,))
        return _network(convolutional_autoencoder, config)
    return _network(autoencoder, autoencoder.Config(shape, latent=options.latent))


def make_recipe(options: Options, network: Network, examples: int, hyper: Mapping[str, Any] | None = None) -> Recipe:
    """Cross entropy, or for the autoencoder the mean squared error, by AdamW with warm-up and cosine decay.

    Args:
        options: of the run.
        network: to train.
        examples: of the training part.
        hyper: "learning_rate" and "weight_decay" of a trial, which may be traced; those that are absent are of the options.
    """
    steps = options.epochs * steps_per_epoch(examples, options.batch_size)
    rates = {"learning_rate": options.learning_rate, "weight_decay": options.weight_decay, **(hyper or {})}
    make = _recipe if hyper is None else _recipe.__wrapped__  # what is traced has no hash
    recipe = make(network.model, options.model == "autoencoder", steps, **rates)
    return noise.recorded(recipe) if options.gradient_noise else recipe


@lru_cache(maxsize=32)  # of one network one recipe, whose programs are compiled once
def _recipe(
    model: Model | StatefulModel, reconstructs: bool, steps: int, learning_rate: Any, weight_decay: Any
) -> Recipe:
    optimizer = adamw(learning_rate, weight_decay=weight_decay, schedule=warmup_cosine(steps), clip=1.0)
    if reconstructs:
        return Recipe(model, objective_for(model, squared_error), optimizer)
    return Recipe(model, objective_for(model, cross_entropy, metrics={"accuracy": correct}), optimizer)
