"""Long arrays in blocks along their first axis, one after another, so that what is computed for one stays in the processor's cache."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array

T = TypeVar("T")


def map_over(block: Callable[..., Array], *arrays: Array, length: int) -> Array:
    """block(x, ...), whose rows are independent of each other, over blocks of so many rows; the last two may overlap.

    A symbolic number of rows (`jax.export`) is rounded up to whole blocks by rows of zeros.
    """
    rows = arrays[0].shape[0]
    if not isinstance(rows, int):
        arrays, count = _whole_blocks(arrays, length)
    elif rows <= length:
        return block(*arrays)
    else:
        count = -(-rows // length)
        length = -(-rows // count)
    padded = arrays[0].shape[0]

    def put(index: Array, y: Array) -> Array:
        start = jnp.minimum(index * length, padded - length)
        part = block(*(lax.dynamic_slice_in_dim(a, start, length) for a in arrays))
        return lax.dynamic_update_slice_in_dim(y, part, start, 0)

    part = jax.eval_shape(block, *(a[:length] for a in arrays))
    y = lax.fori_loop(0, count, put, jnp.zeros((padded, *part.shape[1:]), part.dtype))
    return y[:rows]


def sum_over(block: Callable[..., T], *arrays: Array, length: int) -> T:
    """The sum of block(x, ...), arrays in lists or one, over blocks of so many rows, and what is left.

    A symbolic number of rows (`jax.export`) is rounded up to whole blocks by rows of zeros, whose sum must be 0.
    """
    rows, rest = arrays[0].shape[0], 0
    if not isinstance(rows, int):
        arrays, count = _whole_blocks(arrays, length)
    elif rows <= length:
        return block(*arrays)
    else:
        count, rest = divmod(rows, length)

    def add(index: Array, total: T) -> T:
        part = block(*(lax.dynamic_slice_in_dim(a, index * length, length) for a in arrays))
        return jax.tree.map(jnp.add, total, part)

    part = jax.eval_shape(block, *(a[:length] for a in arrays))
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), part)
    first = block(*(a[-rest:] for a in arrays)) if rest else zeros
    return lax.fori_loop(0, count, add, first)


def _whole_blocks(arrays: tuple[Array, ...], length: int) -> tuple[tuple[Array, ...], Any]:
    """The arrays with rows of zeros up to a whole number of blocks, at least one, and that number."""
    rows = arrays[0].shape[0]
    count = (rows + length - 1) // length
    missing = count * length - rows
    return tuple(jnp.pad(a, ((0, missing), *((0, 0),) * (a.ndim - 1))) for a in arrays), count
