"""The loss of one example, made of the loss of a batch, and its gradients."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxsci._numerics import fill_padding
from jaxsci.core import Array, Batch, LossFn, Params
from jaxsci.errors import InputError

ExampleLossFn = Callable[[Params, Batch], Array]  # of ONE example: leaves without the batch axis


def loss_of_example(loss: LossFn) -> ExampleLossFn:
    """The loss of a batch that holds one example alone; 0, and so is its gradient, where the weight of the example is 0."""

    def of_example(params: Params, example: Batch) -> Array:
        weight = jnp.asarray(example.weight)
        batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], example)
        x, y = fill_padding((batch.x, batch.y), weight[None].astype(bool))
        # A weight that is known: whatever the loss makes of it, parameters above all, is then the same for all examples.
        value = loss(params, Batch(x, y, jnp.ones((1,), weight.dtype)))[0]
        return jnp.where(weight != 0, value, jnp.zeros_like(value))

    return of_example


def check(loss: LossFn, params: Params, batch: Batch) -> None:
    """Raise InputError for parameters without a gradient, arrays of different lengths, and a loss that is no scalar of a batch."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise InputError(
                f"params{jax.tree_util.keystr(path)}: expected floating-point numbers, got {jnp.result_type(leaf)}; "
                "close over what is not trained"
            )
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or sizes == {()} or jnp.ndim(batch.weight) != 1:
        raise InputError(
            f"batch: expected arrays [batch, ...] of one length and weights [batch], got the lengths {sorted(sizes)}; "
            "give one entry per example"
        )
    value: Any = jax.eval_shape(loss, params, batch)
    if not isinstance(value, tuple) or len(value) != 2 or jnp.shape(value[0]) != ():
        raise InputError(
            "loss: expected a function (params, batch) -> (mean over the batch, metrics), got one that returns "
            f"{jax.tree.map(lambda leaf: list(leaf.shape), value)}; make it with losses.objective"
        )


def per_example_gradients(loss: LossFn, params: Params, batch: Batch) -> Params:
    """The gradient of the loss of every example, each with a leading batch axis: [batch, ...] for a parameter [...].

    g_b = d loss(example b alone) / d params. It stores examples x parameters numbers.

    Args:
        loss: a mean over the batch by `batch.weight`, such as from `losses.objective`.
        params: where the gradients are taken.
        batch: [batch, ...]; an example of weight 0 has the gradient 0, any other that of its loss, whatever the weight.

    Raises:
        InputError: integer parameters, arrays of different lengths, or a loss that is no scalar.
    """
    check(loss, params, batch)
    gradients: Params = jax.vmap(jax.grad(loss_of_example(loss)), in_axes=(None, 0))(params, batch)
    return gradients
