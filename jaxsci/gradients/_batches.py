"""Large batches in parts of bounded memory; the last part may be smaller, and nothing is padded."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxsci.core import Batch, LossFn, Params
from jaxsci.gradients._capture import capture

MEMORY = 2**30  # bytes
BLOCK = 2**22  # numbers that gradients of single examples may take at once while a result is made of them

T = TypeVar("T")


def microbatch_size(loss: LossFn, params: Params, batch: Batch, memory: int) -> int:
    """The number of examples whose activations and cotangents take at most `memory` bytes, about; at least 1.

    Somewhat less where that divides the batch, since a rest is a program of its own.
    """
    bytes_ = 2 * capture(loss, params, batch).bytes_per_example()
    most = max(1, memory // max(bytes_, 1))
    length = jnp.shape(jax.tree.leaves(batch)[0])[0]
    fitting = (size for size in range(min(most, length), most // 2, -1) if length % size == 0)
    return next(fitting, most)


def block_size(numbers: int) -> int:
    """How many examples may be treated at once that take so many numbers each."""
    return max(1, BLOCK // max(numbers, 1))


def mapped(function: Callable[[Any], T], size: int, data: Any) -> T:
    """`function` of the data [batch, ...], whose results are [batch, ...], `size` examples at a time."""
    parts, rest = _split(data, size)
    if parts is None:
        return function(data)
    found = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.lax.map(function, parts))
    if rest is None:
        return found
    whole: T = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), found, function(rest))
    return whole


def added_up(function: Callable[[Any], T], size: int, data: Any) -> T:
    """The sum of what `function` makes of the data [batch, ...], `size` examples at a time."""
    parts, rest = _split(data, size)
    if parts is None:
        return function(data)
    shapes = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], parts))
    first = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes) if rest is None else function(rest)

    def add(total: T, part: Any) -> tuple[T, None]:
        return jax.tree.map(jnp.add, total, function(part)), None

    total: T = jax.lax.scan(add, first, parts)[0]
    return total


def _split(data: Any, size: int) -> tuple[Any | None, Any | None]:
    """Whole parts [part, size, ...], none where all is one part; and what is left over."""
    length = jnp.shape(jax.tree.leaves(data)[0])[0]
    if size >= length:
        return None, None
    whole = length // size * size
    parts = jax.tree.map(lambda leaf: jnp.asarray(leaf)[:whole].reshape(-1, size, *jnp.shape(leaf)[1:]), data)
    return parts, None if whole == length else jax.tree.map(lambda leaf: leaf[whole:], data)
