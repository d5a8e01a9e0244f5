"""Parameters as one vector: the order of a covariance matrix, the names of its rows, errors in the shape of the parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxsci.core import Array, Params
from jaxsci.errors import InputError


def as_vector(params: Params) -> tuple[Array, Callable[[Array], Params]]:
    """All parameters as one vector [parameter], and the function back; leaves in the order of `jax.tree.leaves`.

    Raises:
        InputError: a parameter is not real floating, or two of them are of different dtypes.
    """
    dtypes = {jnp.dtype(leaf.dtype).name for leaf in map(jnp.asarray, jax.tree.leaves(params))}
    if len(dtypes) != 1 or not jnp.issubdtype(dtypes.copy().pop(), jnp.floating):
        raise InputError(
            f"parameters of a fit: expected real numbers of one floating type, got {', '.join(sorted(dtypes))}"
        )
    return ravel_pytree(params)


def names(params: Params) -> list[str]:
    """A name for every number in `params`, in the order of the covariance: "mass", "coefficients[3]"."""
    result = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = ".".join(str(getattr(entry, "key", getattr(entry, "idx", entry))) for entry in path)
        shape = np.shape(leaf)
        result += [name] if not shape else [f"{name}{list(index)}" for index in np.ndindex(*shape)]
    return result


def errors(covariance: Array, params: Params) -> Params:
    """Standard errors sqrt(diag(covariance)) in the shape of `params`."""
    return as_vector(params)[1](jnp.sqrt(jnp.diagonal(covariance)))


def listed(items: Sequence[Any], most: int = 6) -> str:
    """The first few items as text, and how many more there are."""
    shown = ", ".join(map(str, items[:most]))
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
