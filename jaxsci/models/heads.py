"""Output heads. Training always uses the linear outputs (logits); a head turns them into what a user reads."""

from collections.abc import Callable
from typing import overload

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Inputs, Key, Model, Params, StatefulModel

__all__ = ["inference", "linear", "scalar", "sigmoid", "softmax", "with_head"]


@overload
def scalar(model: Model) -> Model: ...


@overload
def scalar(model: StatefulModel) -> StatefulModel: ...


@overload
def scalar(model: Model | StatefulModel) -> Model | StatefulModel: ...


def scalar(model: Model | StatefulModel) -> Model | StatefulModel:
    """The same model with its single output as a scalar, as a regression of one number or a yes/no logit needs."""
    if isinstance(model, Model):
        return Model(model.init, lambda params, x: model.apply(params, x).reshape(()))

    def apply(variables: Params, x: Inputs, mask: Array, key: Key | None) -> tuple[Array, Params]:
        outputs, state = model.apply(variables, x, mask, key)
        return outputs.reshape(outputs.shape[:1]), state

    return StatefulModel(model.init, apply)


def linear(outputs: Array) -> Array:
    """The outputs as they are: a regression."""
    return outputs


def sigmoid(logit: Array) -> Array:
    """Probability of "yes" from its logit, 1 / (1 + exp(-z))."""
    return jax.nn.sigmoid(logit)


def softmax(logits: Array) -> Array:
    """Probabilities of the classes, exp(z_k) / sum_j exp(z_j) over the last axis."""
    return jax.nn.softmax(logits)


def with_head(model: Model, head: Callable[[Array], Array]) -> Model:
    """The model that predicts: its outputs passed through `head`. For use after training."""

    def apply(params: Params, x: Inputs) -> Array:
        return head(model.apply(params, x))

    return Model(model.init, apply)


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
