"""Batch normalization of sets: statistics over all elements of a batch that exist, and running means for answers after training."""

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Params

BATCH = "examples of a batch"  # the axis of `jax.vmap` over which statistics are added up in training
_LEAST = 1e-5  # variance
_KEPT = 0.9  # of the running means in a step


def init_running(width: int) -> Params:
    """Running statistics before the first batch: `mean` [width] 0 and `variance` [width] 1."""
    return {"mean": jnp.zeros(width), "variance": jnp.ones(width)}


def normalize(params: Params, x: Array, exists: Array) -> tuple[Array, Params]:
    """(x - mean) / sqrt(variance + 1e-5) for each feature, times 1 + kernel, plus bias (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Args:
        params: `kernel` and `bias` [width], those of a change of nothing being 0; where they come with the running statistics, as from
            `with_running`, these are taken, and otherwise those of the batch: then of one example under `jax.vmap(..., axis_name=BATCH)`.
        x: [..., width], finite also where nothing exists.
        exists: [...], 1, and 0 for what leaves no trace in the statistics.

    Returns:
        [..., width], and the statistics taken, with `number`, of how many.
    """
    seen = params if "mean" in params else _statistics(x, exists)
    scale = (1 + params["kernel"]) * jax.lax.rsqrt(seen["variance"] + _LEAST)
    shift = params["bias"] - seen["mean"] * scale
    return x * jnp.broadcast_to(scale, x.shape) + jnp.broadcast_to(shift, x.shape), seen


def _statistics(x: Array, exists: Array) -> Params:
    rows, weight = x.reshape(-1, x.shape[-1]), exists.reshape(-1).astype(x.dtype)
    number = jax.lax.psum(jnp.sum(weight), BATCH)
    least_one = jnp.maximum(number, jnp.ones_like(number))

    def mean_of(rows: Array) -> Array:
        # A product, since XLA adds up short rows number by number on a processor.
        return jax.lax.psum(jnp.dot(weight, rows, precision="highest"), BATCH) / least_one

    mean = mean_of(rows)
    centered = rows - jnp.broadcast_to(mean, rows.shape)
    return {"mean": mean, "variance": mean_of(centered * centered), "number": number}


def with_running(params: Params, state: Params) -> Params:
    """The parameters with the running statistics beside those of their layers."""
    return {**params, **{name: _joined(params[name], inner) for name, inner in state.items()}}


def _joined(params: Params, state: Params) -> Params:
    return {**params, **state} if "mean" in state else with_running(params, state)


def moved(state: Params, seen: Params) -> Params:
    """The running statistics a tenth of the way to those of a batch; where it had nothing, as they were."""
    if "mean" not in state:
        return {name: moved(inner, seen[name]) for name, inner in state.items()}
    kept = jnp.where(seen["number"] > 0, _KEPT, 1.0)
    return {name: (kept * old + (1 - kept) * seen[name]).astype(old.dtype) for name, old in state.items()}
