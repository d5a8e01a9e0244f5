"""The loss of a batch, and the loss with a penalty."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxsci._numerics import accumulator, fill_padding
from jaxsci._shapes import expect_shapes
from jaxsci.core import (
    Array,
    Batch,
    ExampleLoss,
    Inputs,
    Key,
    LossFn,
    Metrics,
    Model,
    Params,
    Penalty,
    StatefulLossFn,
    StatefulModel,
)
from jaxsci.errors import InputError


def objective(
    apply: Callable[[Params, Inputs], Array],
    example_loss: ExampleLoss,
    *,
    metrics: Mapping[str, ExampleLoss] | None = None,
    batched: bool = False,
) -> LossFn:
    """The loss of a batch: the mean of `example_loss` weighted by `batch.weight`.

    An example of weight 0 contributes exactly nothing to the value and to every derivative, whatever stands in it, NaN
    included. A batch of padding alone has loss 0, and zero gradients if the model has finite ones where its inputs are zero.

    Args:
        apply: a model of one example.
        example_loss: (output, target) -> scalar.
        metrics: further functions of the same form to report, such as {"accuracy": correct}.
        batched: whether `apply` takes [batch, ...] inputs; otherwise it is vmapped over the examples.

    Returns:
        A function (params, batch) -> (loss, metrics). The metrics are weighted means over the batch, "loss" and one for
        each of `metrics`, and "weight", the sum of the batch's weights w_b: the mean over many batches, sum_b w_b m_b / sum_b w_b,
        is then exact for batches of unequal weight.
    """
    functions = {**(metrics or {}), "loss": example_loss}

    def loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        x, y, _ = _filled(batch)
        outputs = apply(params, x) if batched else jax.vmap(functools.partial(apply, params))(x)
        return _means(functions, outputs, y, batch.weight)

    return loss


def stateful_objective(
    model: StatefulModel, example_loss: ExampleLoss, *, metrics: Mapping[str, ExampleLoss] | None = None
) -> StatefulLossFn:
    """The loss of a batch for a model with state: `objective`, and the state that the batch leaves.

    Args:
        model: of a batch; examples of weight 0 are masked.
        example_loss: (output, target) -> scalar.
        metrics: further functions of the same form to report.

    Returns:
        A function (variables, batch, key) -> (loss, (metrics, state)), for `training.Recipe`; without a key it evaluates.
    """
    functions = {**(metrics or {}), "loss": example_loss}

    def loss(variables: Params, batch: Batch, key: Key | None) -> tuple[Array, tuple[Metrics, Params]]:
        x, y, mask = _filled(batch)
        outputs, state = model.apply(variables, x, mask, key)
        value, means = _means(functions, outputs, y, batch.weight)
        return value, (means, state)

    return loss


def objective_for(
    model: Model | StatefulModel, example_loss: ExampleLoss, *, metrics: Mapping[str, ExampleLoss] | None = None
) -> LossFn | StatefulLossFn:
    """`objective` of a model of one example, `stateful_objective` of one with state: for who is given either."""
    if isinstance(model, StatefulModel):
        return stateful_objective(model, example_loss, metrics=metrics)
    return objective(model.apply, example_loss, metrics=metrics)


def _filled(batch: Batch) -> tuple[Inputs, Array, Array]:
    """Inputs and targets with what is padding filled, and the mask of what is not."""
    expect_shapes("batch.weight [example]", batch.weight)
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        if leaf.shape[:1] != batch.weight.shape:
            raise InputError(
                f"batch{jax.tree_util.keystr(path)}: expected [{batch.weight.shape[0]}, ...], an entry for every weight, "
                f"got shape {leaf.shape}; give one weight per example"
            )
    mask = jnp.asarray(batch.weight).astype(bool)
    return *fill_padding((batch.x, batch.y), mask), mask


def _means(
    functions: Mapping[str, ExampleLoss], outputs: Array, y: Array, weight: ArrayLike
) -> tuple[Array, dict[str, Array]]:
    """The weighted means of these functions over a batch, "loss" first."""

    def of_example(output: Array, y: Array) -> dict[str, Array]:
        return {name: function(output, y) for name, function in functions.items()}

    values = jax.vmap(of_example)(outputs, y)
    weight = jnp.asarray(weight).astype(accumulator(values["loss"].dtype))
    mask = weight.astype(bool)
    total = jnp.sum(weight)
    safe = jnp.where(total == 0, jnp.ones_like(total), total)

    def mean(value: Array) -> Array:
        return jnp.sum(jnp.where(mask, weight * value.astype(weight.dtype), jnp.zeros_like(weight))) / safe

    means = {name: mean(value) for name, value in values.items()}
    return means["loss"], {**means, "weight": total}


def regularized(loss: LossFn, penalty: Penalty, strength: ArrayLike) -> LossFn:
    """The loss plus strength * J(params).

    `strength` (lambda) may be a traced array. In the metrics "loss" is the sum, and "penalty" = strength * J its second
    part: the difference is what losses at different strengths are compared by.
    """

    def with_penalty(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        value, metrics = loss(params, batch)
        scaled = penalty(params).astype(value.dtype) * jnp.asarray(strength, value.dtype)
        return value + scaled, {**metrics, "loss": value + scaled, "penalty": scaled}

    return with_penalty
