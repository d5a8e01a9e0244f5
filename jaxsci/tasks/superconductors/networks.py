"""Networks on compositions, and how each is trained: stoichiometric coefficients [96] of ONE material in, linear outputs out.

"published" is the Deep Set of npj Comput. Mater. 9, 71 (2023). "best" pools fractions over the table of elements, with Fourier features
that resolve the doping, and predicts quantiles of Tc; its ensemble is blended with a Gaussian process. "influence" is the linear Deep Set
with a latent space of one dimension, whose latent numbers are painted on the periodic table.
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
_CAPACITY = 4.5  # elements per composition in a packed batch; SuperCon has 3.8 on average; 0.2 % of batches of 32 have more than 4.5
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
    config: compositional.Config | deep_sets.Config  # of `model`
    gp: gaussian_process.Config | None = None  # of the Gaussian process that the ensemble is blended with
    batched: Callable[[Params, Array], Array] | None = None  # a faster `model.apply` of a whole batch


def to_units(tc: np.ndarray) -> np.ndarray:
    """Tc in K to the units of the networks."""
    return tc / UNIT


def to_kelvin(outputs: Array) -> Array:
    """Outputs of a network to Tc in K, which is never negative."""
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
            pooling=("mean", "variance", "attention", "fourier"),
            embedding=16,
        )
        settings = Settings(epochs=40, batch_size=128)
        quantiles = _over_table(config, elements, partial(quantile, levels=LEVELS), 4e-3, settings)
        return quantiles._replace(gp=gaussian_process.Config())
    # Without Fourier features or learned features of the elements: whether a new chemical system superconducts is no matter of hundredths.
    config = compositional.Config(features, ELEMENTS, phi=(64, 64), rho=(128, 64), pooling=("mean", "attention"))
    log_odds = _over_table(config, elements, binary_cross_entropy, 2e-3, Settings(epochs=10, batch_size=256))
    return log_odds._replace(gp=gaussian_process.Config(noise=0.3))  # presumed labels, which the process must not trust


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
    metrics = {"accuracy": correct} if target == "class" else {}
    batched = network.batched is not None
    loss = objective(network.batched or network.model.apply, network.loss, metrics=metrics, batched=batched)
    return Recipe(network.model, loss, optimizer)


def _over_table(
    config: compositional.Config, table: Array, loss: ExampleLoss, learning_rate: float, settings: Settings
) -> Network:
    model = compositional.model(config, table)
    model = heads.scalar(model) if config.outputs == 1 else model
    embed = partial(compositional.embed, config=config, table=table)
    return Network(model, embed, loss, learning_rate, 0.1, settings, warmup=True, config=config)


def _published(table: Array, loss: ExampleLoss) -> Network:
    """phi and rho of three hidden layers of 300, a latent of 300, the amount as a feature; Adam at 1e-3, batches of 32.

    The original pads to 12 elements without a mask, so that phi(0) enters its sums; here padding adds nothing.
    """
    config = deep_sets.Config(table.shape[1] + 1, phi=(300,) * 4, rho=(300,) * 3, activate_latent=False)

    def as_set(amounts: Array) -> WeightedSet:
        largest, indices = jax.lax.top_k(amounts, SLOTS)
        elements = jnp.concatenate([table[indices], largest[:, None]], axis=1)
        return WeightedSet(elements, (largest > 0).astype(amounts.dtype))

    base = heads.scalar(deep_sets.model(config))
    model = Model(base.init, lambda params, amounts: base.apply(params, as_set(amounts)))

    def embed(params: Params, amounts: Array) -> Array:
        return deep_sets.embed(params, as_set(amounts), config)

    def batched(params: Params, amounts: Array) -> Array:
        return _packed(params, amounts, config, table, jax.vmap(embed, in_axes=(None, 0)))

    settings = Settings(epochs=60, batch_size=32, patience=15)
    return Network(model, embed, loss, 1e-3, 0.0, settings, warmup=False, config=config, batched=batched)


def _packed(
    params: Params,
    amounts: Array,
    config: deep_sets.Config,
    table: Array,
    padded: Callable[[Params, Array], Array],
) -> Array:
    """Outputs of a batch of compositions [batch, 96] whose elements lie one after another without padding: [batch].

    That is three eighths of the work of padding to 12. A batch with more elements than the capacity is padded: the result is the same.
    """
    batch = amounts.shape[0]
    capacity = math.ceil(_CAPACITY * batch)
    mask = amounts > 0
    number = jnp.sum(mask)

    def packed() -> Array:
        segment_ids, elements = jnp.nonzero(mask, size=capacity, fill_value=0)
        features = jnp.concatenate([table[elements], amounts[segment_ids, elements][:, None]], axis=1)
        weights = (jnp.arange(capacity) < number).astype(amounts.dtype)
        return deep_sets.embed_many(params, WeightedSet(features, weights), segment_ids, batch, config)

    pooled = jax.lax.cond(number <= capacity, packed, lambda: padded(params, amounts))
    act = layers.activation(config.activation)
    return layers.apply_stack(params["rho"], pooled, act, config.compute_dtype)[:, 0]
