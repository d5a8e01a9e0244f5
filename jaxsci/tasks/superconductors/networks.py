"""Networks on compositions, and how each is trained: amounts of the elements [96] of ONE material in, linear outputs out.

"published" is the Deep Set of npj Comput. Mater. 9, 71 (2023). "best" pools fractions over the table of elements, with waves that resolve
the doping, and answers with quantiles of Tc; a Gaussian process stands beside its ensemble. "influence" is the linear Deep Set with a
latent space of one dimension, whose latent numbers are painted on the periodic table.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, ExampleLoss, Model, Params, WeightedSet
from jaxsci.data.materials.compositions import SLOTS
from jaxsci.data.materials.elements import ELEMENTS, TableName
from jaxsci.losses import binary_cross_entropy, correct, objective, quantile, squared_error
from jaxsci.models import compositional, deep_sets, heads, layers
from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine

Target: TypeAlias = Literal["tc", "class"]
NetworkName: TypeAlias = Literal["best", "published", "influence"]
LEVELS = np.arange(1, 20) / 20  # of the quantiles: 5 % to 95 %
INFLUENCE_EPOCHS = 30  # of the network of the influence map
_ROOM = 4.5  # elements a composition in a packed batch; those of SuperCon have 3.8 on average, and 0.2 % of batches of 32 more than 4.5
UNIT = 10.0  # K; Tc in the units of the networks is of order 1


class Network(NamedTuple):
    """A network with what its training needs."""

    model: Model  # amounts [96] -> [quantile], or a scalar: Tc or the log odds of a superconductor
    embed: Callable[[Params, Array], Array]  # amounts [96] -> latent
    loss: ExampleLoss
    learning_rate: float
    weight_decay: float
    settings: Settings
    warmup: bool  # whether the learning rate rises and falls; otherwise it stays
    process: gaussian_process.Config | None = None  # beside the ensemble
    batched: Callable[[Params, Array], Array] | None = None  # a faster `model.apply` of a whole batch


def to_units(tc: np.ndarray) -> np.ndarray:
    """Tc in K as the networks have it."""
    return tc / UNIT


def to_kelvin(outputs: Array) -> Array:
    """What a network answers as Tc in K, which is never negative."""
    return UNIT * jnp.maximum(outputs, 0)


TABLES: dict[NetworkName, TableName] = {"best": "extended", "published": "paper", "influence": "paper"}


def network(name: NetworkName, target: Target, table: np.ndarray) -> Network:
    """The network of this name over a standardized table of elements [96, feature]."""
    features = table.shape[1]
    elements = jnp.asarray(table)
    of_tc = target == "tc"
    scalar_loss: ExampleLoss = squared_error if of_tc else binary_cross_entropy
    match name:
        case "published":
            return _published(elements, scalar_loss)
        case "influence":
            config = compositional.Config(features, ELEMENTS, phi=(64, 1), rho=(64, 64), pooling=("sum",))
            settings = Settings(epochs=INFLUENCE_EPOCHS, batch_size=256)
            return _over_table(config, elements, scalar_loss, 3e-3, settings)
    if of_tc:
        config = compositional.Config(
            features,
            ELEMENTS,
            outputs=len(LEVELS),
            phi=(128, 32),
            rho=(384, 384, 192),
            pooling=("mean", "variance", "attention", "waves"),
            embedding=16,
        )
        settings = Settings(epochs=40, batch_size=128)
        quantiles = _over_table(config, elements, partial(quantile, levels=LEVELS), 4e-3, settings)
        return quantiles._replace(process=gaussian_process.Config())
    # Without waves or learned features of the elements: whether a new chemical system superconducts is no matter of hundredths.
    config = compositional.Config(features, ELEMENTS, phi=(64, 64), rho=(128, 64), pooling=("mean", "attention"))
    log_odds = _over_table(config, elements, binary_cross_entropy, 2e-3, Settings(epochs=10, batch_size=256))
    return log_odds._replace(
        process=gaussian_process.Config(noise=0.3)
    )  # presumed answers, which the process must not trust


def make_recipe(network: Network, target: Target, examples: int) -> Recipe:
    """The network's loss by AdamW; weight decay for those with a schedule."""
    settings = network.settings
    steps = settings.epochs * steps_per_epoch(examples, settings.batch_size)
    optimizer = adamw(
        network.learning_rate,
        weight_decay=network.weight_decay,
        schedule=warmup_cosine(steps) if network.warmup else None,
        clip=1.0 if network.warmup else None,
    )
    measures = {"accuracy": correct} if target == "class" else {}
    batched = network.batched is not None
    loss = objective(network.batched or network.model.apply, network.loss, metrics=measures, batched=batched)
    return Recipe(network.model, loss, optimizer)


def _over_table(
    config: compositional.Config, table: Array, loss: ExampleLoss, learning_rate: float, settings: Settings
) -> Network:
    model = compositional.model(config, table)
    model = heads.scalar(model) if config.outputs == 1 else model
    embed = partial(compositional.embed, config=config, table=table)
    return Network(model, embed, loss, learning_rate, 0.1, settings, warmup=True)


def _published(table: Array, loss: ExampleLoss) -> Network:
    """phi and rho of three hidden layers of 300, a latent of 300, the amount as a feature; Adam at 1e-3, batches of 32.

    The original pads to 12 elements without a mask, so that phi(0) enters its sums; here padding adds nothing.
    """
    config = deep_sets.Config(table.shape[1] + 1, phi=(300,) * 4, rho=(300,) * 3, activate_latent=False)

    def as_set(amounts: Array) -> WeightedSet:
        largest, rows = jax.lax.top_k(amounts, SLOTS)
        elements = jnp.concatenate([table[rows], largest[:, None]], axis=1)
        return WeightedSet(elements, (largest > 0).astype(amounts.dtype))

    base = heads.scalar(deep_sets.model(config))
    model = Model(base.init, lambda params, amounts: base.apply(params, as_set(amounts)))

    def embed(params: Params, amounts: Array) -> Array:
        return deep_sets.embed(params, as_set(amounts), config)

    def batched(params: Params, amounts: Array) -> Array:
        return _packed(params, amounts, config, table, jax.vmap(embed, in_axes=(None, 0)))

    settings = Settings(epochs=60, batch_size=32, patience=15)
    return Network(model, embed, loss, 1e-3, 0.0, settings, warmup=False, batched=batched)


def _packed(
    params: Params,
    amounts: Array,
    config: deep_sets.Config,
    table: Array,
    padded: Callable[[Params, Array], Array],
) -> Array:
    """A batch of compositions [batch, 96] with the elements of all one after another, three eighths of what padding to 12 takes: [batch].

    A batch with more elements than there is room for is padded after all: the answer is the same.
    """
    batch = amounts.shape[0]
    room = math.ceil(_ROOM * batch)
    present = amounts > 0
    number = jnp.sum(present)

    def packed() -> Array:
        owners, elements = jnp.nonzero(present, size=room, fill_value=0)
        features = jnp.concatenate([table[elements], amounts[owners, elements][:, None]], axis=1)
        weights = (jnp.arange(room) < number).astype(amounts.dtype)
        return deep_sets.embed_many(params, WeightedSet(features, weights), owners, batch, config)

    pooled = jax.lax.cond(number <= room, packed, lambda: padded(params, amounts))
    act = layers.activation(config.activation)
    return layers.apply_stack(params["rho"], pooled, act, config.compute_dtype)[:, 0]
