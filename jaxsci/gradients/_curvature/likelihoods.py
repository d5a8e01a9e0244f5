"""Which losses of one example are negative log-likelihoods, p(y | output) ~ exp(-loss), and what follows from that."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsci._numerics import as_real
from jaxsci.core import Array, ExampleLoss, Key
from jaxsci.errors import InputError
from jaxsci.losses import binary_cross_entropy, cross_entropy, squared_error


class Likelihood(NamedTuple):
    """Of one example, as functions of its output."""

    sample: Callable[[Key, Array], Array]  # a target that the model expects
    root: Callable[[Array], Array]  # [row, output]: S with S^T S = d^2 loss / d output^2, the output raveled


def likelihood_of(loss: ExampleLoss) -> Likelihood:
    """The likelihood of a loss of the library.

    Raises:
        InputError: the loss is another, or has options: class weights and smoothed labels are no likelihood.
    """
    if loss not in _LIKELIHOODS:
        names = ", ".join(function.__name__ for function in _LIKELIHOODS)
        got = getattr(loss, "__name__", repr(loss))
        raise InputError(
            f"loss: expected a likelihood, one of {names} without options, got {got}; train with one, or use gauss_newton"
        )
    return _LIKELIHOODS[loss]


def _normal(key: Key, output: Array) -> Array:
    output = as_real(output)
    return output + jnp.sqrt(output.size / 2).astype(output.dtype) * jax.random.normal(key, output.shape, output.dtype)


def _normal_root(output: Array) -> Array:
    output = as_real(output)
    return jnp.sqrt(2 / output.size).astype(output.dtype) * jnp.eye(output.size, dtype=output.dtype)


def _class(key: Key, logits: Array) -> Array:
    return jax.random.categorical(key, as_real(logits))


def _class_root(logits: Array) -> Array:
    """diag(p) - p p^T = S^T S with S = diag(sqrt(p)) (1 - 1 p^T)."""
    p = jax.nn.softmax(as_real(logits))
    return jnp.sqrt(p)[:, None] * (jnp.eye(p.size, dtype=p.dtype) - p[None, :])


def _answer(key: Key, logit: Array) -> Array:
    logit = as_real(logit)
    return jax.random.bernoulli(key, jax.nn.sigmoid(logit)).astype(logit.dtype)


def _answer_root(logit: Array) -> Array:
    logit = as_real(logit).reshape(1, 1)
    return jnp.exp((jax.nn.log_sigmoid(logit) + jax.nn.log_sigmoid(-logit)) / 2)


_LIKELIHOODS: dict[ExampleLoss, Likelihood] = {
    squared_error: Likelihood(_normal, _normal_root),
    cross_entropy: Likelihood(_class, _class_root),
    binary_cross_entropy: Likelihood(_answer, _answer_root),
}
