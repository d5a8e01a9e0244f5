"""Arithmetic that stays finite and keeps its digits: no sums in half precision, no infinite slopes, no 0 times infinity."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxsci.core import Array, Inputs


def accumulator(dtype: Any) -> Any:
    """The dtype in which numbers of this one are added up: itself, but float32 for half precision, integers and booleans."""
    dtype = jnp.dtype(dtype)
    return dtype if jnp.issubdtype(dtype, jnp.inexact) and dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def as_real(values: ArrayLike | np.ndarray) -> Array:
    """The values on the device in a dtype that sums can be taken in: float32, or the float64 they already are."""
    values = jnp.asarray(values)
    return values.astype(accumulator(values.dtype))


def safe_sqrt(x: Array) -> Array:
    """The square root, 0 below 0, with the slope 0 where it is 0: the true slope there is infinite, and 0 times it is NaN."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, jnp.ones_like(x))), jnp.zeros_like(x))


def product(weight: Array, value: Array) -> Array:
    """weight * value, and 0 where the weight is 0 though the value be infinite: p log p of an impossible event."""
    ignored = (weight == 0) & jnp.isinf(value)
    return weight * jnp.where(ignored, jnp.zeros_like(value), value)


def fill_padding(arrays: Inputs, mask: Array) -> Inputs:
    """Padded examples replaced by a copy of the first counted one (zeros if there is none).

    Masking the losses alone is not enough: the derivative of a NaN times a cotangent of 0 is NaN. A model is as
    well-behaved on the copy as on the data, which zeros do not promise (one that divides an image by its sum).
    """
    first = jnp.argmax(mask)

    def fill(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)  # numpy cannot be indexed by a traced number
        of_leaf = mask.reshape((-1,) + (1,) * (leaf.ndim - 1))
        copy = jnp.where(mask[first], leaf[first], jnp.zeros_like(leaf[first]))
        return jnp.where(of_leaf, leaf, copy[None])

    return jax.tree.map(fill, arrays)
