"""One optimization step: the body of `lax.scan`, and what it needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsci.core import Array, Batch, Inputs, Key, LossFn, Metrics, Model, Params
from jaxsci.errors import InputError
from jaxsci.ops._numerics import accumulator, as_real


class Recipe(NamedTuple):
    """All that defines a training besides the data: pure functions, so that a recipe may close over traced hyperparameters."""

    model: Model
    loss: LossFn
    optimizer: optax.GradientTransformation
    augment: Callable[[Key, Inputs], Inputs] | None = None  # a random change of ONE example that keeps its label
    microbatches: int = 1  # split each batch and accumulate the gradients
    # (optimizer state, parameters) -> what is evaluated and kept, such as `ema_params` or optax.contrib.schedule_free_eval_params
    eval_params: Callable[[Any, Params], Params] | None = None


class TrainState(NamedTuple):
    """What one step reads and writes. The key never changes: step t uses fold_in(key, t), so any step can be replayed."""

    step: Array  # int32
    key: Key
    params: Params
    opt_state: Any


Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(recipe: Recipe, key: Key) -> TrainState:
    """The state before the first step; parameters and later randomness come from `key`."""
    init_key, step_key = jax.random.split(key)
    params = recipe.model.init(init_key)
    return TrainState(jnp.zeros((), jnp.int32), step_key, params, recipe.optimizer.init(params))


def make_step(recipe: Recipe) -> Step:
    """The step a <- a - update(grad L(a)) on one batch.

    Returns:
        `(state, batch) -> (state, metrics)`, pure: ready for jit, scan and vmap. The metrics hold "loss" and whatever the loss
        function reports, as means over the batch, before the update. Transforms of optax whose update needs the value, the gradient or
        the loss as a function (L-BFGS, Polyak steps, reduce on plateau, opaque SAM) get them.
    """
    optimizer = optax.with_extra_args_support(
        recipe.optimizer.gradient_transformation()
        if isinstance(recipe.optimizer, optax.MultiSteps)
        else recipe.optimizer
    )

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        if recipe.augment is not None:
            keys = jax.random.split(jax.random.fold_in(state.key, state.step), batch.weight.shape[0])
            batch = batch._replace(x=jax.vmap(recipe.augment)(keys, batch.x))
        (value, metrics), gradient = loss_and_gradient(
            recipe.loss, state.params, batch, microbatches=recipe.microbatches
        )

        def value_of(params: Params) -> Array:
            return recipe.loss(params, batch)[0]

        updates, opt_state = _update(
            optimizer,
            (gradient, state.opt_state, state.params),
            {"value": value, "grad": gradient, "value_fn": value_of},
            {"grad_fn": lambda params, _: jax.grad(value_of)(params)},
        )
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, state.key, params, opt_state), {**metrics, "loss": value}

    return step


def _update(
    optimizer: optax.GradientTransformationExtraArgs, arguments: tuple[Any, Any, Params], *further: dict[str, Any]
) -> tuple[Params, Any]:
    """The optimizer's update with the first of these sets of further arguments that it accepts; some refuse what they do not use."""
    errors: list[TypeError] = []
    for keywords in further:
        try:
            # optax raises decay rates to an integer step count, and multiplies vectors by scalars.
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                return optimizer.update(*arguments, **keywords)
        except TypeError as error:
            errors.append(error)
    names = " or ".join(", ".join(keywords) for keywords in further)
    raise InputError(
        f"optimizer: expected a transform whose update takes {names}, got one that fails with {errors[0]}; wrap it"
    ) from errors[0]


def loss_and_gradient(
    loss: LossFn, params: Params, batch: Batch, *, microbatches: int = 1
) -> tuple[tuple[Array, Metrics], Params]:
    """Loss, metrics and gradient of a batch, added up over equal microbatches of it.

    L = sum_p (W_p / W) L_p with the weight sum W_p of microbatch p: the same number as at once, up to rounding. Microbatches whose
    activations stay in a processor's cache train a network of small matrices faster, and they bound the memory of a large batch.

    Args:
        loss: a mean over the batch by `batch.weight`, with or without a penalty.
        params: where the gradient is taken.
        batch: [batch, ...].
        microbatches: a divisor of the batch size.

    Raises:
        InputError: `microbatches` does not divide the batch size.
    """
    value_and_gradient = jax.value_and_grad(loss, has_aux=True)
    if microbatches == 1:
        (value, metrics), gradient = value_and_gradient(params, batch)
        return (value, {"weight": jnp.sum(as_real(batch.weight)), **metrics}), gradient
    size = batch.weight.shape[0]
    if size % microbatches:
        raise InputError(
            f"microbatches: expected a divisor of the batch size {size}, got {microbatches}; choose another"
        )
    chunks = jax.tree.map(lambda leaf: leaf.reshape(microbatches, size // microbatches, *leaf.shape[1:]), batch)
    weight = jnp.sum(as_real(chunks.weight), axis=1)
    total = jnp.sum(weight)
    fractions = weight / jnp.where(total > 0, total, jnp.ones_like(total))

    def add(gradient: Params, chunk: tuple[Batch, Array]) -> tuple[Params, Metrics]:
        fraction = chunk[1]
        (value, metrics), terms = value_and_gradient(params, chunk[0])
        gradient = jax.tree.map(lambda s, term: s + fraction.astype(s.dtype) * term.astype(s.dtype), gradient, terms)
        return gradient, {"weight": jnp.sum(as_real(chunk[0].weight)), **metrics, "loss": value}

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, accumulator(leaf.dtype)), params)
    gradient, metrics = jax.lax.scan(add, zeros, (chunks, fractions))
    means = mean_metrics(metrics)
    gradient = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), gradient, params)
    return (means["loss"], {**means, "weight": total}), gradient


def mean_metrics(metrics: Metrics) -> Metrics:
    """One set of metrics from those of many batches, jax or numpy, stacked along the last axis [..., batch].

    Each is the mean weighted by the batches' "weight", exact for batches of unequal weight, and 0 where all weights are 0; the
    "weight" itself is dropped.
    """
    weight = _at_least_float32(metrics["weight"])
    total = weight.sum(-1)
    safe = total + (total == 0).astype(weight.dtype)
    return {
        name: (_at_least_float32(value) * weight).sum(-1) / safe for name, value in metrics.items() if name != "weight"
    }


def _at_least_float32(values: Array) -> Array:
    return values.astype(accumulator(values.dtype))
