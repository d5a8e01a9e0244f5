"""Predictions for many examples in batches of one fixed shape."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Inputs, Params


def predict(
    apply: Callable[[Params, Inputs], Array], params: Params, x: Inputs, *, batch_size: int = 1024
) -> np.ndarray:
    """`apply(params, example)` for every example of `x`, as a numpy array [example, ...].

    Every batch has the same shape (the last is padded and cut), so one program serves all of them, whatever their number.
    """
    examples = jax.tree.leaves(x)[0].shape[0]
    if examples == 0:
        raise ValueError("at least one example is expected, got none")
    outputs = []
    for first in range(0, examples, batch_size):
        part = jax.tree.map(lambda leaf, first=first: _padded(leaf[first : first + batch_size], batch_size), x)
        outputs.append(_apply_batch(apply, params, part))
    return np.concatenate([np.asarray(output) for output in outputs])[:examples]


def _padded(leaf: np.ndarray, size: int) -> np.ndarray:
    return np.pad(np.asarray(leaf), [(0, size - leaf.shape[0])] + [(0, 0)] * (leaf.ndim - 1))


@partial(jax.jit, static_argnums=0)
def _apply_batch(apply: Callable[[Params, Inputs], Array], params: Params, x: Inputs) -> Array:
    return jax.vmap(apply, in_axes=(None, 0))(params, jax.tree.map(jnp.asarray, x))
