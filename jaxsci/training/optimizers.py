"""The optimizers the tasks use, composed from optax so that learning rate and weight decay may be traced arrays of a sweep."""

import jax
import optax

from jaxsci.core import Array, Params

__all__ = ["adamw", "is_weight", "warmup_cosine"]


def is_weight(params: Params) -> Params:
    """True for weights, False for biases: the mask of a weight decay. Weights are the leaves named `kernel`."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1] == jax.tree_util.DictKey("kernel"), params)


def warmup_cosine(steps: int, warmup: float = 0.05) -> optax.Schedule:
    """A factor on the learning rate: linear from 0 to 1 over the first `warmup` of the steps, then half a cosine down to 0."""
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, max(1, round(warmup * steps)), max(2, steps))


def adamw(
    learning_rate: float | Array,
    *,
    weight_decay: float | Array = 0.0,
    schedule: optax.Schedule | None = None,
    clip: float | None = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101) on weights, not on biases.

    Args:
        learning_rate: scalar, may be traced.
        weight_decay: scalar, may be traced; multiplied by the learning rate, as is usual.
        schedule: factor on the learning rate as a function of the step, such as `warmup_cosine`.
        clip: largest global norm of the gradient; None does not clip.
    """
    return optax.chain(
        optax.identity() if clip is None else optax.clip_by_global_norm(clip),
        optax.scale_by_adam(),
        optax.add_decayed_weights(weight_decay, mask=is_weight),
        optax.identity() if schedule is None else optax.scale_by_schedule(schedule),
        optax.scale_by_learning_rate(learning_rate),
    )
