"""The sum of clipped gradients, which differentially private training takes its steps along."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxsci.core import Array, Batch, Key, LossFn, Params
from jaxsci.errors import InputError
from jaxsci.gradients._batches import MEMORY, added_up, microbatch_size
from jaxsci.gradients._capture import capture, weighted_sum
from jaxsci.gradients._examples import check
from jaxsci.gradients._norms import norms_and_gradients


def clipped_sum(
    loss: LossFn,
    params: Params,
    batch: Batch,
    bound: ArrayLike,
    *,
    noise: ArrayLike = 0.0,
    key: Key | None = None,
    memory: int = MEMORY,
) -> Params:
    """The sum of the gradients of the examples, each scaled down to a length of at most `bound`, with noise on request.

        sum_b min(1, C / |g_b|) g_b + sigma C n,    n ~ N(0, 1),

    over the examples whose weight is not 0. Divided by the expected number of examples it is the gradient of differentially private
    training (DP-SGD); what privacy it buys, an accountant says, such as `dp-accounting`. The norms come from one backward pass
    (`squared_norms`), and the sum from its records; gradients of single examples are kept only of small leaves that need them for the norm.

    Args:
        loss: a mean over the batch by `batch.weight`, without a penalty (a penalty belongs to no example).
        params: where the gradients are taken.
        batch: [batch, ...].
        bound: C > 0; may be traced.
        noise: sigma, the noise multiplier; may be traced. Noise needs a key.
        key: of the noise. A step must not use the key of another.
        memory: as for `squared_norms`.

    Raises:
        InputError: as for `per_example_gradients`, or noise without a key.

    Source: Abadi et al. 2016, arXiv:1607.00133.
    """
    check(loss, params, batch)
    if key is None and (isinstance(noise, jax.core.Tracer) or np.any(np.asarray(noise) != 0)):
        raise InputError("noise: expected a key to draw it from, got none; give key=")

    def of_part(part: Batch) -> Params:
        passes = capture(loss, params, part)
        _, records = passes(part)
        norms, formed = norms_and_gradients(passes, records)
        squares = jnp.asarray(sum(norms))
        return weighted_sum(passes, records, shrinking(squares, jnp.asarray(bound, squares.dtype)), formed)

    total = added_up(of_part, microbatch_size(loss, params, batch, memory), batch)
    if key is None:
        return total
    leaves, treedef = jax.tree.flatten(total)
    scale = jnp.asarray(noise, jnp.float32) * jnp.asarray(bound, jnp.float32)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        leaf + scale.astype(leaf.dtype) * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    tree: Params = jax.tree.unflatten(treedef, noisy)
    return tree


def shrinking(squares: Array, bound: Array) -> Array:
    """min(1, C / |g|) of squared norms; 1 of a gradient of 0."""
    large = squares > bound**2
    return jnp.where(large, bound * jax.lax.rsqrt(jnp.where(large, squares, jnp.ones_like(squares))), 1)
