"""The optimizers the tasks use, composed from optax so that learning rate and weight decay may be traced arrays of a sweep."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsci.core import Array, Mask, Params
from jaxsci.losses import weight_mask

__all__ = ["EmaState", "adamw", "ema_params", "warmup_cosine", "with_ema"]


def warmup_cosine(steps: int, warmup: float = 0.05) -> optax.Schedule:
    """A factor on the learning rate: linear from 0 to 1 over the first `warmup` of the steps, then half a cosine down to 0."""
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, max(1, round(warmup * steps)), max(2, steps))


def adamw(
    learning_rate: float | Array,
    *,
    weight_decay: float | Array = 0.0,
    schedule: optax.Schedule | None = None,
    clip: float | None = None,
    mask: Mask = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101) on weights, not on biases.

    Args:
        learning_rate: scalar, may be traced.
        weight_decay: scalar, may be traced; multiplied by the learning rate, as is usual.
        schedule: factor on the learning rate as a function of the step, such as `warmup_cosine`.
        clip: largest global norm of the gradient; None does not clip.
        mask: which parameters decay, as a tree of True and False or a function that makes one; none: arrays of two or more axes
            (`losses.is_weight`).

    Raises:
        InputError: at the optimizer's `init`, if there is a weight decay and no parameter that it acts on.
    """
    none = not isinstance(weight_decay, jax.core.Tracer) and float(weight_decay) == 0

    def decayed(params: Params) -> Params:
        return jax.tree.map(lambda _: False, params) if none else weight_mask(params, mask)

    return optax.chain(
        optax.identity() if clip is None else optax.clip_by_global_norm(clip),
        optax.scale_by_adam(),
        optax.add_decayed_weights(weight_decay, mask=decayed),
        optax.identity() if schedule is None else optax.scale_by_schedule(schedule),
        optax.scale_by_learning_rate(learning_rate),
    )


class EmaState(NamedTuple):
    """The state of an optimizer, and the running average of the parameters it made."""

    average: Params
    inner: Any


def with_ema(optimizer: optax.GradientTransformation, decay: float | Array = 0.999) -> optax.GradientTransformation:
    """The optimizer with an exponential moving average of the parameters beside it: m <- decay m + (1 - decay) a after every step.

    `Recipe(..., with_ema(adamw(1e-3)), eval_params=ema_params)` evaluates and keeps the average, which starts at the
    initial parameters. Source: Polyak and Juditsky 1992, SIAM J. Control Optim. 30, 838.

    Args:
        optimizer: makes the updates, unchanged.
        decay: scalar in [0, 1), may be traced; the average is over about 1 / (1 - decay) steps.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params: Params) -> EmaState:
        return EmaState(jax.tree.map(jnp.copy, params), optimizer.init(params))

    def update(
        updates: Params, state: EmaState, params: Params | None = None, **further: Any
    ) -> tuple[Params, EmaState]:
        updates, inner = optimizer.update(updates, state.inner, params, **further)
        new = optax.apply_updates(params, updates)
        keep = jnp.asarray(decay)
        average = jax.tree.map(
            lambda m, a: keep.astype(m.dtype) * m + (1 - keep).astype(m.dtype) * a, state.average, new
        )
        return updates, EmaState(average, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def ema_params(state: EmaState, params: Params) -> Params:
    """The averaged parameters in the state of an optimizer from `with_ema`; for `Recipe.eval_params`."""
    del params
    return state.average
