"""Doors for flax: a linen module becomes a `Model`, or with batch statistics and dropout a `StatefulModel`."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Inputs, Key, Model, Params, StatefulModel
from jaxsci.errors import InputError

if TYPE_CHECKING:
    from flax import linen

__all__ = ["from_linen", "stateful_from_linen"]

_TRAINING = ("train", "training", "is_training")  # what modules call their switch
_EVALUATION = ("deterministic", "use_running_average", "inference", "eval")


def from_linen(module: "linen.Module", example: Inputs) -> Model:
    """Wrap a flax.linen module of one example as a Model.

    Args:
        module: called as `module(x)`; its only variable collection is "params" (no batch statistics, no dropout).
        example: the input of one example (shapes and dtypes count, values do not).

    Raises:
        ValueError: at `init`, where the module has other variable collections than "params".
    """

    def init(key: Key) -> Params:
        variables = module.init(key, example)
        if set(variables) - {"params"}:
            raise InputError(
                f"module: expected one with parameters only, got the collections {sorted(variables)}; "
                "use stateful_from_linen, which keeps them, or replace batch statistics by LayerNorm"
            )
        return dict(variables.get("params", {}))

    def apply(params: Params, x: Inputs) -> Array:
        outputs: Any = module.apply({"params": params}, x)
        return outputs

    return Model(init, apply)


def stateful_from_linen(module: "linen.Module", example: Inputs) -> StatefulModel:
    """Wrap any flax.linen module of a batch as a StatefulModel: batch statistics, dropout and other collections included.

    The statistics of `linen.BatchNorm` are those of the examples that count: padded ones are masked. Every collection but "params"
    is state; random numbers of any name come from the key of the step.

    Args:
        module: called as `module(x)` with x [batch, ...]. Where it behaves differently in training, its call has a switch
            `train` (or `training`, `is_training`), or the opposite, `deterministic` (or `use_running_average`, `inference`, `eval`).
        example: the input of ONE example (shapes and dtypes count, values do not).

    Raises:
        InputError: when the model is used: a BatchNorm or Dropout without a switch, or whose first axis is not the batch's, or a state that
            changes its form.
    """
    switches = [name for name in inspect.signature(type(module).__call__).parameters if name in _TRAINING + _EVALUATION]

    def modes(training: bool) -> dict[str, Any]:
        return {name: training == (name in _TRAINING) for name in switches}

    def init(key: Key) -> Params:
        batch = jax.tree.map(lambda leaf: jnp.zeros((1, *jnp.shape(leaf)), jnp.result_type(leaf)), example)
        rngs = {"params": key, "dropout": jax.random.fold_in(key, 1)}
        with _as_flax_has_it():
            variables = dict(module.init(rngs, batch, **modes(training=False)))
        return {"params": dict(variables.pop("params", {})), "state": variables}

    def apply(variables: Params, x: Inputs, mask: Array, key: Key | None) -> tuple[Array, Params]:
        old, training = variables["state"], key is not None
        rngs = {"params": key, "dropout": jax.random.fold_in(key, 1)} if key is not None else None
        counted = mask | ~jnp.any(mask)  # of padding alone statistics are taken too, and thrown away
        with _as_flax_has_it(), _intercepting(_guard(counted, training)):
            outputs, new = module.apply(
                {"params": variables["params"], **old},
                x,
                rngs=rngs,
                mutable=list(old) if training else [],
                **modes(training),
            )
        if not training:
            return outputs, old
        if _form(new) != _form(old):
            raise InputError(
                f"module: expected a state of the form it had at first, got {sorted(new)} of another; sow nothing while training"
            )
        return outputs, jax.tree.map(lambda a, b: jnp.where(jnp.any(mask), a, b).astype(b.dtype), dict(new), dict(old))

    return StatefulModel(init, apply)


@contextlib.contextmanager
def _as_flax_has_it() -> Iterator[None]:
    """Promotion of types and ranks as JAX has it by default, on which layers of flax (`avg_pool`) and its users rely."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _form(state: Params) -> Any:
    return jax.tree_util.tree_structure(dict(state))


def _intercepting(guard: Callable[..., Any]) -> Any:
    from flax import linen

    return linen.intercept_methods(guard)


def _guard(mask: Array, training: bool) -> Callable[..., Any]:
    """What stands before the layers that look at a batch as a whole: masks for statistics, and no answers that depend on the batch."""
    from flax import linen

    def guarded(call: Callable[..., Any], args: Any, kwargs: dict[str, Any], context: Any) -> Any:
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        if isinstance(context.module, linen.Dropout) and not training and _drops(context.module, args[1:], kwargs):
            raise InputError(
                f"module: expected no dropout in evaluation, got it in {context.module.name}; give its call a switch train, and "
                "Dropout(..., deterministic=not train)"
            )
        if not isinstance(context.module, linen.BatchNorm):
            return call(*args, **kwargs)
        averaged = kwargs.get("use_running_average", args[1] if len(args) > 1 else None)
        averaged = context.module.use_running_average if averaged is None else averaged
        if not training and not averaged:
            raise InputError(
                f"module: expected running averages in evaluation, got statistics of the batch in {context.module.name}; give its call "
                "a switch train, and BatchNorm(use_running_average=not train)"
            )
        if not training or averaged:
            return call(*args, **kwargs)
        x = args[0]
        if x.shape[0] != mask.shape[0]:
            raise InputError(
                f"module: expected the batch of {mask.shape[0]} as the first axis of {context.module.name}, got the shape "
                f"{list(x.shape)}; keep it there, so that padded examples can be left out of the statistics"
            )
        counted = mask.reshape(-1, *(1,) * (x.ndim - 1))
        own = kwargs.get("mask")
        return call(*args, **{**kwargs, "mask": counted if own is None else counted & own.astype(bool)})

    return guarded


def _drops(layer: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    given = kwargs.get("deterministic", args[0] if args else None)
    return layer.rate > 0 and not (layer.deterministic if given is None else given)
