"""The compiled functions of a training, made once for a recipe and used by every `fit` with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from jaxsci.core import Array, Batch
from jaxsci.training._early_stopping import FitState, init, is_active, update_best
from jaxsci.training._epoch import BatchIndices, evaluate, shuffled, train_steps
from jaxsci.training._step import Recipe, evaluated_params, evaluation_loss

Hyper = Mapping[str, Array]  # what a sweep varies: each [member]


@dataclass(frozen=True)
class Always:
    """The recipe of a training without hyperparameters; equal for equal recipes, which a lambda is not."""

    recipe: Recipe

    def __call__(self, hyper: Hyper) -> Recipe:
        """The recipe, whatever the hyperparameters."""
        return self.recipe


class Programs(NamedTuple):
    """The compiled functions of a training; under an ensemble each is one program for all members."""

    init: Callable[..., FitState]
    order: Callable[..., BatchIndices]
    train: Callable[..., tuple[FitState, Any, Array]]
    close: Callable[..., tuple[FitState, Any]]
    active: Callable[..., Array]


def programs(
    recipe: Callable[[Hyper], Recipe],
    batch_size: int,
    patience: int | None,
    members: Sharding | None = None,
    sequential: bool = False,
) -> Programs:
    """The programs of one training, or of an ensemble whose members lie as `members` says.

    The last 32 are kept: another training with the same functions, on data of the same shapes, compiles nothing.
    """
    try:
        hash(recipe)
    except TypeError:  # a function of the user's that cannot be told from others
        return _compile(recipe, batch_size, patience, members, sequential)
    return _kept(recipe, batch_size, patience, members, sequential)


def _compile(
    recipe: Callable[[Hyper], Recipe],
    batch_size: int,
    patience: int | None,
    members: Sharding | None,
    sequential: bool,
) -> Programs:
    def order(state: FitState, examples: int) -> BatchIndices:
        return shuffled(jax.random.fold_in(state.train.key, -1 - state.epoch), examples, batch_size)

    def train(
        state: FitState, hyper: Hyper, active: Array, order: BatchIndices, data: Batch
    ) -> tuple[FitState, Any, Array]:
        inner, still, metrics = train_steps(recipe(hyper), state.train, active & state.finite, data, order)
        finite = state.finite & (still | ~active)
        return state._replace(train=inner, finite=finite), metrics, finite

    def close(state: FitState, hyper: Hyper, active: Array, data: Batch) -> tuple[FitState, Any]:
        one = recipe(hyper)
        params = evaluated_params(one, state.train)
        metrics = evaluate(evaluation_loss(one), params, data, batch_size)
        return update_best(state, params, metrics["loss"], active), metrics

    def mapped(function: Callable[..., Any], *axes: int | None) -> Callable[..., Any]:
        if members is None:
            return function
        return _sequential(function, axes, members) if sequential else jax.vmap(function, in_axes=axes)

    # All results have a leading member axis, and stay where their member is.
    compiled = partial(jax.jit, out_shardings=members) if isinstance(members, NamedSharding) else jax.jit
    return Programs(
        init=compiled(mapped(lambda key, hyper: init(recipe(hyper), key), 0, 0)),
        order=compiled(lambda state, examples: mapped(partial(order, examples=examples), 0)(state), static_argnums=1),
        train=compiled(mapped(train, 0, 0, 0, 0, None), donate_argnums=0),
        close=compiled(mapped(close, 0, 0, 0, None), donate_argnums=0),
        active=compiled(mapped(lambda state: is_active(state, patience), 0)),
    )


_kept = lru_cache(maxsize=32)(_compile)


def _sequential(function: Callable[..., Any], axes: tuple[int | None, ...], members: Sharding) -> Callable[..., Any]:
    """What `jax.vmap` gives, as a loop over the members of each device."""

    def loop(*arguments: Any) -> Any:
        each = [argument for argument, axis in zip(arguments, axes, strict=True) if axis == 0]

        def once(each: list[Any]) -> Any:
            rest = iter(each)
            return function(*(next(rest) if axis == 0 else a for a, axis in zip(arguments, axes, strict=True)))

        return jax.lax.map(once, each)

    if not isinstance(members, NamedSharding):
        return loop
    specs = tuple(members.spec if axis == 0 else PartitionSpec() for axis in axes)
    return jax.shard_map(loop, mesh=members.mesh, in_specs=specs, out_specs=members.spec, check_vma=False)
