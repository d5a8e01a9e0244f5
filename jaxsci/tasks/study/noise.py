"""The noise of the gradients, recorded after every epoch of a training."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxsci import gradients
from jaxsci.core import Array, Batch, Metrics, Params, StatefulModel
from jaxsci.errors import InputError
from jaxsci.training import Recipe

EXAMPLES = 256  # of the validation part: their gradients cost little beside an epoch of many thousand examples


def recorded(recipe: Recipe) -> Recipe:
    """The recipe that records the noise of the gradients after every epoch, from the first validation examples.

    "noise_scale" is tr(Sigma) / |G|^2 in examples, of the mean gradient G and the covariance Sigma of single gradients;
    "gradient_norm" is |G|, unbiased in the square; and "noise_of_LAYER" is the share of a layer in tr(Sigma).

    Raises:
        InputError: a network with state, whose loss is no mean over examples.
    """
    if isinstance(recipe.model, StatefulModel):
        raise InputError(
            "--gradient-noise: expected a network without state, got one with batch statistics or dropout; leave it out"
        )
    return recipe._replace(measure=_measure(recipe.loss))  # type: ignore[arg-type]  # a loss without state, as its model


def _measure(loss: Callable[[Params, Batch], tuple[Array, Metrics]]) -> Callable[[Params, Batch], Metrics]:
    def measure(params: Params, validation: Batch) -> Metrics:
        some = jax.tree.map(lambda leaf: leaf[:EXAMPLES], validation)
        scatters: dict[str, Array] = {}
        signals = []
        found = gradients.noise_scale(loss, params, some, per_leaf=True)
        for path, noise in jax.tree_util.tree_flatten_with_path(found, is_leaf=lambda x: hasattr(x, "scatter"))[0]:
            layer = jax.tree_util.keystr(path[:-1] or path, simple=True, separator="_")
            scatters[layer] = scatters.get(layer, jnp.zeros_like(noise.scatter)) + noise.scatter
            signals.append(noise.signal)
        scatter, signal = jnp.sum(jnp.stack(list(scatters.values()))), jnp.sum(jnp.stack(signals))
        known = signal > 0
        scale = jnp.where(known, scatter / jnp.where(known, signal, jnp.ones_like(signal)), jnp.inf)
        shares = {f"noise_of_{layer}": value / scatter for layer, value in scatters.items()}
        return {"noise_scale": scale, "gradient_norm": jnp.sqrt(jnp.maximum(signal, 0)), **shares}

    return measure
