"""Penalties J(a) on the weights of a model, and which of its parameters are weights."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxsci._numerics import as_real
from jaxsci.core import Array, Mask, Params
from jaxsci.errors import InputError
from jaxsci.losses._examples import absolute


def l1(params: Params, *, mask: Mask = None) -> Array:
    """J(a) = sum |w| over the weights, biases left out (see `weights_of`)."""
    return functools.reduce(operator.add, [jnp.sum(absolute(as_real(w))) for w in weights_of(params, mask)])


def l2(params: Params, *, mask: Mask = None) -> Array:
    """J(a) = sum w^2 over the weights, biases left out (see `weights_of`). No factor 1/2."""
    return functools.reduce(operator.add, [jnp.sum(jnp.square(as_real(w))) for w in weights_of(params, mask)])


def elastic_net(params: Params, *, l1_ratio: ArrayLike = 0.5, mask: Mask = None) -> Array:
    """J(a) = r sum |w| + (1 - r) sum w^2, r = `l1_ratio`: from `l2` at 0 to `l1` at 1.

    scikit-learn's ElasticNet has a further 1/2 on the squares. Source: Zou and Hastie 2005, J. R. Stat. Soc. B 67, 301.
    """
    absolute, squares = l1(params, mask=mask), l2(params, mask=mask)
    ratio = jnp.asarray(l1_ratio, absolute.dtype)
    return ratio * absolute + (1 - ratio) * squares


def weights_of(params: Params, mask: Mask = None) -> list[Array]:
    """The leaves that a penalty or a weight decay acts on.

    Args:
        params: any tree of arrays.
        mask: a tree of the same structure with True for the leaves that are meant, or a function that makes one of the
            parameters; none: `is_weight`.

    Raises:
        InputError: there is no such leaf, so that a penalty would be 0 whatever the model does.
    """
    chosen = weight_mask(params, mask)
    return [leaf for leaf, wanted in zip(jax.tree.leaves(params), jax.tree.leaves(chosen), strict=True) if wanted]


def is_weight(params: Params) -> Params:
    """True for the weights of layers, False for the rest: a tree of the structure of `params`.

    A weight is an array of two or more axes, whatever its name and the kind of container. Arrays of one axis (biases,
    scales of a normalization) are not, and neither is what is called "bias" or "embedding" and has more.
    """

    def decide(path: tuple[Any, ...], leaf: Array) -> bool:
        words = [
            word for word in (getattr(entry, "key", getattr(entry, "name", None)) for entry in path) if word != "value"
        ]
        return jnp.ndim(leaf) >= 2 and words[-1:] not in (["bias"], ["embedding"])

    return jax.tree_util.tree_map_with_path(decide, params)


def weight_mask(params: Params, mask: Mask = None) -> Params:
    """The leaves meant by `mask` (see `weights_of`), as a tree of True and False of which at least one is True.

    Raises:
        InputError: none is, or the mask has another structure.
    """
    chosen = is_weight(params) if mask is None else mask(params) if callable(mask) else mask
    try:
        jax.tree.map(lambda wanted, leaf: None, chosen, params)
    except ValueError:
        raise InputError(
            "mask: expected a tree of the structure of the parameters, got another; make it with jax.tree.map"
        ) from None
    if not any(jax.tree.leaves(chosen)):
        found = [
            f"{jax.tree_util.keystr(path)} {list(jnp.shape(leaf))}"
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        ]
        raise InputError(
            "penalty or weight decay: expected parameters with two or more axes, or a mask that chooses some, got "
            f"{', '.join(found[:6]) or 'no parameters'}; give mask=, or no weight "
            "decay (--weight-decay 0)"
        )
    return chosen
