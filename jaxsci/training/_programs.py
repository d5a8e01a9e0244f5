"""The compiled functions of a training, made once for a recipe and used by every `fit` with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxsci._numerics import as_real
from jaxsci.core import Array, Batch, Key
from jaxsci.errors import InputError
from jaxsci.training import _epoch as epochs
from jaxsci.training._early_stopping import FitState, init, is_active, update_best
from jaxsci.training._epoch import BatchIndices
from jaxsci.training._mesh import AxisName, Layout, mean_of_all
from jaxsci.training._step import Recipe, evaluated_params, evaluation_loss, init_state

Hyper = Mapping[str, Array]  # what a sweep varies: each [member]
Recipes = Callable[[Hyper], Recipe]
# Of the compiler, for a program of random numbers, whose loops over dozens of operations each take longer to optimize than to run. The
# numbers are the same; at level 0 they would not be.
RUN_ONCE = {"xla_backend_optimization_level": 1}


@dataclass(frozen=True)
class Always:
    """The recipe of a training without hyperparameters; equal for equal recipes, which a lambda is not."""

    recipe: Recipe

    def __call__(self, hyper: Hyper) -> Recipe:
        """The recipe, whatever the hyperparameters."""
        return self.recipe


class Plan(NamedTuple):
    """What the programs depend on besides the recipe and the shapes."""

    batch_size: int
    patience: int | None
    split_data: bool = False
    layout: Layout | None = None
    ensemble: bool = False
    sequential: bool = False
    streamed: bool = False  # the training part comes in blocks, of which every device has its share

    @property
    def axis(self) -> AxisName | None:
        """The mesh axis over which batches are split; None where they are not."""
        return None if self.layout is None else self.layout.axis

    @property
    def data(self) -> PartitionSpec:
        """How the examples are split over a mesh."""
        return PartitionSpec(self.layout.axis) if self.split_data and self.layout is not None else PartitionSpec()

    @property
    def train(self) -> PartitionSpec:
        """How those of the training part are."""
        return PartitionSpec(self.layout.axis) if self.streamed and self.layout is not None else self.data

    @property
    def members(self) -> PartitionSpec:
        """How the members are split over a mesh."""
        return PartitionSpec() if self.layout is None else self.layout.members


class Programs(NamedTuple):
    """The compiled functions of a training; under an ensemble each is one program for all members."""

    init: Callable[..., FitState]
    order: Callable[..., BatchIndices]  # (state, number of the block, its examples, those of a whole block or None)
    train: Callable[..., tuple[FitState, Any, Array]]
    close: Callable[..., tuple[FitState, Any]]
    active: Callable[..., Array]
    in_parts: Callable[..., tuple[Array, Array]]


def programs(recipe: Recipes, plan: Plan) -> Programs:
    """The programs of one training, or of an ensemble.

    The last 32 are kept: another training with the same functions, on data of the same shapes, compiles nothing.
    """
    try:
        hash(recipe)
    except TypeError:  # a function of the user's that cannot be told from others
        return _compile(recipe, plan)
    return _kept(recipe, plan)


def _compile(recipe: Recipes, plan: Plan) -> Programs:
    compiled = partial(_compiled, plan)

    @lru_cache(maxsize=8)
    def orders(examples: int, block: int | None) -> Callable[..., BatchIndices]:
        return compiled(partial(_order, plan, examples=examples, block=block), "member", "same")

    return Programs(
        init=compiled(partial(_started, recipe, plan), "member", "member", options=RUN_ONCE),
        order=lambda state, index, examples, block: orders(examples, block)(state, np.int32(index)),
        train=compiled(
            partial(_train, recipe, plan), "member", "member", "member", "member", "train", "same", donate=(0,)
        ),
        close=compiled(partial(_close, recipe, plan), "member", "member", "member", "data", donate=(0,)),
        active=compiled(lambda state: is_active(state, plan.patience), "member"),
        in_parts=jax.jit(partial(_in_parts, recipe)),
    )


def _started(recipe: Recipes, plan: Plan, key: Key, hyper: Hyper) -> FitState:
    one = recipe(hyper)
    if one.measure is not None and plan.axis is not None and plan.split_data:
        # Of its share alone a device would measure another thing, and the mean of ratios is not the ratio.
        raise InputError(
            "measure: expected data that every device holds whole, got data split over devices; leave split_data or measure out"
        )
    return init(one, key)


def _order(plan: Plan, state: FitState, index: Array, examples: int, block: int | None) -> BatchIndices:
    key = jax.random.fold_in(state.train.key, -1 - state.epoch)
    if block is not None:
        shards = 1 if plan.layout is None else plan.layout.shards
        return epochs.stratified_block(jax.random.fold_in(key, index), examples, block, plan.batch_size, shards)
    draw = epochs.stratified if plan.split_data else epochs.shuffled
    return draw(key, examples, plan.batch_size)


def _train(
    recipe: Recipes,
    plan: Plan,
    state: FitState,
    hyper: Hyper,
    active: Array,
    order: BatchIndices,
    data: Batch,
    span: tuple[Array, Array],
) -> tuple[FitState, Any, Array]:
    axis = plan.axis
    if axis is not None:
        first = jax.lax.axis_index(axis) * data.weight.shape[0] if plan.split_data or plan.streamed else 0
        order = epochs.own_share(order, axis, first)
    inner, still, metrics = epochs.train_steps(
        recipe(hyper), state.train, active & state.finite, data, order, span, axis
    )
    finite = state.finite & (still | ~active)
    return state._replace(train=inner, finite=finite), metrics, finite


def _close(
    recipe: Recipes, plan: Plan, state: FitState, hyper: Hyper, active: Array, data: Batch
) -> tuple[FitState, Any]:
    layout, axis = plan.layout, plan.axis
    one, examples = recipe(hyper), data.weight.shape[0]
    size = plan.batch_size // one.microbatches  # what bounds the memory of a step bounds that of the evaluation
    if axis is None or layout is None:
        order = epochs.in_order(examples, size)
    elif plan.split_data:
        order = epochs.in_order(examples, size // layout.shards)
    else:
        order = epochs.own_share(epochs.in_order(examples, size), axis, 0)
    params = evaluated_params(one, state.train)
    metrics = epochs.evaluate(evaluation_loss(one), params, data, order, axis)
    if one.measure is not None:
        measured = one.measure(params, data)
        if axis is not None:  # the same on every device: each holds all of the data
            measured, _ = mean_of_all(measured, jnp.sum(as_real(data.weight)), axis)
        metrics = {**measured, **metrics}
    return update_best(state, params, metrics["loss"], active), metrics


def _in_parts(recipe: Recipes, key: Key, hyper: Hyper, parts: Batch) -> tuple[Array, Array]:
    one = recipe(hyper)
    loss, params = evaluation_loss(one), evaluated_params(one, init_state(one, key))
    whole = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), parts)
    values = jax.lax.map(lambda part: loss(params, part)[0], parts)
    weight = as_real(parts.weight).sum(1)
    return loss(params, whole)[0], (as_real(values) * weight.astype(as_real(values).dtype)).sum() / weight.sum()


def _compiled(
    plan: Plan,
    function: Callable[..., Any],
    *kinds: str,
    donate: tuple[int, ...] = (),
    options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """The function over all members, compiled with these options; arguments of other kinds than "member" are the same for all of them."""
    axes = tuple(0 if kind == "member" else None for kind in kinds)
    if plan.ensemble:
        function = _sequential(function, axes) if plan.sequential else jax.vmap(function, in_axes=axes)
    layout = plan.layout
    if layout is None:
        return jax.jit(function, donate_argnums=donate, compiler_options=options)
    specs = tuple(
        {"member": layout.members, "train": plan.train, "data": plan.data, "same": PartitionSpec()}[kind]
        for kind in kinds
    )
    # The program of one device, on all of them: no kernel in it needs to know of the mesh, and nothing is exchanged but sums.
    function = jax.shard_map(function, mesh=layout.mesh, in_specs=specs, out_specs=layout.members, check_vma=False)
    place = NamedSharding(layout.mesh, layout.members)
    return jax.jit(function, donate_argnums=donate, out_shardings=place, compiler_options=options)


_kept = lru_cache(maxsize=32)(_compile)


def _sequential(function: Callable[..., Any], axes: tuple[int | None, ...]) -> Callable[..., Any]:
    """What `jax.vmap` gives, as a loop."""

    def loop(*arguments: Any) -> Any:
        each = [argument for argument, axis in zip(arguments, axes, strict=True) if axis == 0]

        def once(each: list[Any]) -> Any:
            rest = iter(each)
            return function(*(next(rest) if axis == 0 else a for a, axis in zip(arguments, axes, strict=True)))

        return jax.lax.map(once, each)

    return loop
