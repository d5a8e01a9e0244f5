"""One optimization step: the body of `lax.scan`, and what it needs."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsci._numerics import accumulator, as_real
from jaxsci.core import (
    Array,
    Batch,
    Inputs,
    Key,
    LossFn,
    Metrics,
    Model,
    Params,
    StatefulLossFn,
    StatefulModel,
)
from jaxsci.errors import InputError
from jaxsci.training import _mesh as exchange
from jaxsci.training._mesh import AxisName


class Recipe(NamedTuple):
    """All that defines a training besides the data: pure functions, so that a recipe may close over traced hyperparameters."""

    model: Model | StatefulModel
    loss: LossFn | StatefulLossFn  # of the kind of the model
    optimizer: optax.GradientTransformation
    augment: Callable[[Key, Inputs], Inputs] | None = None  # a random change of ONE example that keeps its label
    microbatches: int = 1  # split each batch and accumulate the gradients
    # (optimizer state, parameters) -> what is evaluated and kept, such as `ema_params` or optax.contrib.schedule_free_eval_params
    eval_params: Callable[[Any, Params], Params] | None = None
    # (evaluated parameters, validation part) -> what is recorded after every epoch beside the metrics, such as `gradients.noise_scale`
    measure: Callable[[Params, Batch], Metrics] | None = None


class TrainState(NamedTuple):
    """What one step reads and writes. The key never changes: step t uses fold_in(key, t), so any step can be replayed."""

    step: Array  # int32
    key: Key
    params: Params  # of a model with state its variables, {"params": ..., "state": ...}
    opt_state: Any


Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(recipe: Recipe, key: Key) -> TrainState:
    """The state before the first step; parameters and later randomness come from `key`."""
    init_key, step_key = jax.random.split(key)
    params = recipe.model.init(init_key)
    return TrainState(jnp.zeros((), jnp.int32), step_key, params, recipe.optimizer.init(_parts(recipe, params)[0]))


def _parts(recipe: Recipe, variables: Params) -> tuple[Params, Params | None]:
    """What the gradient moves, and the state of the model's layers; None for a model without."""
    if isinstance(recipe.model, StatefulModel):
        return variables["params"], variables["state"]
    return variables, None


def _joined(params: Params, state: Params | None) -> Params:
    return params if state is None else {"params": params, "state": state}


# Of (parameters, state, batch, key): what the step differentiates. A model without state has the state None, and is given no key.
_GeneralLoss = Callable[[Params, Any, Batch, Key | None], tuple[Array, tuple[Metrics, Any]]]


def _general(recipe: Recipe) -> _GeneralLoss:
    loss: Any = recipe.loss
    if isinstance(recipe.model, StatefulModel):
        return lambda params, state, batch, key: loss(_joined(params, state), batch, key)
    return _without_state(loss)


def _without_state(loss: LossFn) -> _GeneralLoss:
    def general(params: Params, state: None, batch: Batch, key: Key | None) -> tuple[Array, tuple[Metrics, None]]:
        value, metrics = loss(params, batch)
        return value, (metrics, None)

    return general


def evaluation_loss(recipe: Recipe) -> LossFn:
    """The loss of the recipe as it is evaluated: nothing is drawn, and the state of the layers stays."""
    loss: Any = recipe.loss
    if not isinstance(recipe.model, StatefulModel):
        plain: LossFn = loss
        return plain

    def evaluated(variables: Params, batch: Batch) -> tuple[Array, Metrics]:
        value, (metrics, _) = loss(variables, batch, None)
        return value, metrics

    return evaluated


def evaluated_params(recipe: Recipe, state: TrainState) -> Params:
    """The parameters that are evaluated and kept; of a model with state its variables."""
    if recipe.eval_params is None:
        return state.params
    params, layers = _parts(recipe, state.params)
    with jax.numpy_dtype_promotion("standard"):
        return _joined(recipe.eval_params(state.opt_state, params), layers)


def make_step(recipe: Recipe, *, axis_name: AxisName | None = None) -> Step:
    """The step a <- a - update(grad L(a)) on one batch.

    Args:
        recipe: model, loss, optimizer.
        axis_name: where the step runs inside of `jax.shard_map(..., check_vma=False)`, the mesh axis over which the batch is split. Every
            device then sees its share of the batch, and all that they exchange are gradients and metrics.

    Returns:
        `(state, batch) -> (state, metrics)`, pure: ready for jit, scan and vmap. The metrics hold "loss" and whatever the loss
        function reports, as means over the batch, before the update. Transforms of optax whose update needs the value, the gradient or
        the loss as a function (L-BFGS, Polyak steps, reduce on plateau, opaque SAM) get them.

    Raises:
        InputError: `axis_name` for a model with state, whose statistics are those of a whole batch.
    """
    if axis_name is not None and isinstance(recipe.model, StatefulModel):
        raise InputError(
            "mesh: expected one device for each batch of a model with state, whose statistics are those of a whole batch; split the "
            "members of an ensemble instead"
        )
    optimizer = optax.with_extra_args_support(
        recipe.optimizer.gradient_transformation()
        if isinstance(recipe.optimizer, optax.MultiSteps)
        else recipe.optimizer
    )
    loss = _general(recipe)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        if recipe.augment is not None:
            keys = exchange.keys_of_examples(key, batch.weight.shape[0], axis_name)
            batch = batch._replace(x=jax.vmap(recipe.augment)(keys, batch.x))
        params, layers = _parts(recipe, state.params)
        # Keys of examples are fold_in(key, 0), fold_in(key, 1), ...: that of the layers is none of them.
        drawn = None if layers is None else jax.random.fold_in(key, _LAST)
        ((value, metrics), gradient), after = _accumulate(loss, (params, layers), batch, drawn, recipe.microbatches)
        weight = total = metrics["weight"]
        metrics = {name: mean for name, mean in metrics.items() if name != "weight"}
        if axis_name is not None:
            (value, gradient, metrics), total = exchange.mean_of_all((value, gradient, metrics), weight, axis_name)

        def value_of(params: Params) -> Array:
            if axis_name is None:
                return loss(params, layers, batch, drawn)[0]
            part = loss(exchange.shared(params, axis_name), layers, batch, drawn)[0]
            return exchange.differentiable_mean(part, weight, axis_name)

        updates, opt_state = _update(
            optimizer,
            (gradient, state.opt_state, params),
            {"value": value, "grad": gradient, "value_fn": value_of},
            {"grad_fn": lambda params, _: jax.grad(value_of)(params)},
        )
        variables = _joined(optax.apply_updates(params, updates), after)
        return TrainState(state.step + 1, state.key, variables, opt_state), {**metrics, "weight": total, "loss": value}

    return step


_LAST = np.uint32(2**32 - 1)


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
    return _accumulate(_without_state(loss), (params, None), batch, None, microbatches)[0]


def _accumulate(
    loss: _GeneralLoss, variables: tuple[Params, Params | None], batch: Batch, key: Key | None, microbatches: int
) -> tuple[tuple[tuple[Array, Metrics], Params], Params | None]:
    """What `loss_and_gradient` gives, and the state that the layers are left in; it goes through the microbatches one by one."""
    params, state = variables
    value_and_gradient = jax.value_and_grad(loss, has_aux=True)
    if microbatches == 1:
        (value, (metrics, state)), gradient = value_and_gradient(params, state, batch, key)
        return ((value, {"weight": jnp.sum(as_real(batch.weight)), **metrics}), gradient), state
    size = batch.weight.shape[0]
    if size % microbatches:
        raise InputError(
            f"microbatches: expected a divisor of the batch size {size}, got {microbatches}; choose another"
        )
    chunks = jax.tree.map(lambda leaf: leaf.reshape(microbatches, size // microbatches, *leaf.shape[1:]), batch)
    weight = jnp.sum(as_real(chunks.weight), axis=1)
    total = jnp.sum(weight)
    fractions = weight / jnp.where(total > 0, total, jnp.ones_like(total))

    def add(carry: tuple[Params, Any], chunk: tuple[Batch, Array, Array]) -> tuple[tuple[Params, Any], Metrics]:
        (gradient, state), (part, fraction, number) = carry, chunk
        drawn = None if key is None else jax.random.fold_in(key, number)
        (value, (metrics, state)), terms = value_and_gradient(params, state, part, drawn)
        gradient = jax.tree.map(partial(_plus, fraction), gradient, terms)
        return (gradient, state), {"weight": jnp.sum(as_real(part.weight)), **metrics, "loss": value}

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, accumulator(leaf.dtype)), params)
    (gradient, state), metrics = jax.lax.scan(add, (zeros, state), (chunks, fractions, jnp.arange(microbatches)))
    means = mean_metrics(metrics)
    gradient = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), gradient, params)
    return ((means["loss"], {**means, "weight": total}), gradient), state


def _plus(fraction: Array, total: Array, term: Array) -> Array:
    """The sum and a part of the term; nothing of it, though it be NaN, where the part is 0: of padding alone a model may make NaN."""
    part = fraction.astype(total.dtype) * term.astype(total.dtype)
    return total + jnp.where(fraction == 0, jnp.zeros_like(part), part)  # NaN weights stay NaN


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
