"""Models with state: how one is asked once it is trained."""

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Inputs, Model, Params, StatefulModel

__all__ = ["inference"]


def inference(model: Model | StatefulModel) -> Model:
    """The model as it answers after training: a `Model` of ONE example, whose parameters are the variables of the trained one.

    Without a key no example depends on another, so that one at a time and a batch are the same. Make it once: `predict` compiles
    for each function anew.

    Args:
        model: with state, or without, which is given back as it is.
    """
    if isinstance(model, Model):
        return model
    mask = jnp.ones(1, bool)

    def apply(variables: Params, x: Inputs) -> Array:
        outputs, _ = model.apply(variables, jax.tree.map(lambda leaf: leaf[None], x), mask, None)
        return outputs[0]

    return Model(model.init, apply)
