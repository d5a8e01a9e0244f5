"""Networks to first order in their parameters: tangent kernels, and the loss along directions."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxsci.core import Array, Inputs, Key, Params
from jaxsci.errors import InputError
from jaxsci.gradients._curvature.data import check_params
from jaxsci.gradients._curvature.operators import Apply


def tangent_kernel(
    apply: Apply, params: Params, x: Inputs, other: Inputs | None = None, *, traced: bool = False
) -> Array:
    """Inner products of the outputs' gradients, between the examples of two batches: the empirical neural tangent kernel.

        K_ij^ab = sum_p d f_a(x_i) / d p  d f_b(x'_j) / d p,     traced: K_ij = sum_a K_ij^aa.

    Training the linearized network with squared loss is regression with this kernel. Of two ways to add it up, the Jacobians of both
    batches multiplied, and derivatives of one batch along the gradients of the other, the one with fewer operations (as XLA counts
    them) is taken.

    Args:
        apply: a model of one example.
        params: where the gradients are taken.
        x: [example, ...].
        other: the second batch; none: x.
        traced: sum over equal outputs instead of all pairs.

    Returns:
        [example, example of other, *output, *output], output being the shape of a single one; [example, example of other] if traced.

    Raises:
        InputError: parameters that are not real floating numbers of one type.

    Source: Jacot, Gabriel and Hongler 2018, arXiv:1806.07572; Novak, Sohl-Dickstein and Schoenholz 2022, arXiv:2206.08720.
    """
    check_params(params)
    other = x if other is None else other
    shape = _shape(apply, params, x)
    along = _operations(apply, params, x, other, traced)
    kernel = _along_gradients if along[1] < along[0] else _from_jacobians
    result = kernel(apply, params, x, other, traced)
    return result if traced else result.reshape(*result.shape[:2], *shape, *shape)


def landscape(
    value: Callable[[Params], Array],
    params: Params,
    directions: Sequence[Params | Key],
    coordinates: Sequence[Array],
    *,
    points: int = 16,
) -> Array:
    """A number such as the loss on a grid of parameters: along a line, in a plane, or between two trained networks.

        value(params + sum_k t_k d_k) for all t_1 in coordinates[0], t_2 in coordinates[1], ...

    Args:
        value: params -> a number.
        params: the origin.
        directions: one for each axis of the grid: a tree like `params`, such as the difference of two members of an ensemble, or a random
            key, which draws a normal direction with every filter (the weights of one output of a layer) as long as that of `params`,
            and 0 for biases and scales, so that landscapes of different networks compare.
        coordinates: t, for each axis [point].
        points: evaluated at a time, as one program under `vmap`.

    Returns:
        [point of the first axis, point of the second axis, ...].

    Raises:
        InputError: as many coordinates as directions are needed.

    Source: Li et al. 2018, arXiv:1712.09913.
    """
    check_params(params)
    if not 1 <= len(directions) == len(coordinates):
        raise InputError(
            f"directions: expected one for each of {len(coordinates)} axes of the grid, got {len(directions)}; give as many as coordinates"
        )
    trees = [_direction(d, params) for d in directions]
    grid = jnp.stack([axis.reshape(-1) for axis in jnp.meshgrid(*map(jnp.asarray, coordinates), indexing="ij")], axis=1)
    found = _on_grid(value, params, trees, grid, points)
    return found.reshape([len(axis) for axis in coordinates])


def _outputs(apply: Apply, x: Inputs, params: Params) -> Array:
    """[example, output], the outputs raveled."""
    outputs = jax.vmap(partial(apply, params))(x)
    return outputs.reshape(len(outputs), -1)


def _shape(apply: Apply, params: Params, x: Inputs) -> tuple[int, ...]:
    return jax.eval_shape(jax.vmap(apply, in_axes=(None, 0)), params, x).shape[1:]


def _jacobians(apply: Apply, params: Params, x: Inputs) -> Array:
    """[example, output, parameter]."""
    vector, unravel = ravel_pytree(params)

    def one(x: Inputs) -> Array:
        output, pull = jax.vjp(lambda v: apply(unravel(v), x).reshape(-1), vector)
        return jax.vmap(lambda cotangent: pull(cotangent)[0])(jnp.eye(output.size, dtype=output.dtype))

    return jax.vmap(one)(x)


@partial(jax.jit, static_argnums=(0, 4))
def _from_jacobians(apply: Apply, params: Params, x: Inputs, other: Inputs, traced: bool) -> Array:
    left, right = _jacobians(apply, params, x), _jacobians(apply, params, other)
    return jnp.einsum("iap,jap->ij" if traced else "iap,jbp->ijab", left, right)


@partial(jax.jit, static_argnums=(0, 4))
def _along_gradients(apply: Apply, params: Params, x: Inputs, other: Inputs, traced: bool) -> Array:
    _, push = jax.linearize(partial(_outputs, apply, x), params)
    _, unravel = ravel_pytree(params)

    def of_example(one: Inputs) -> Array:
        gradients = _jacobians(apply, params, jax.tree.map(lambda leaf: leaf[None], one))[0]
        changes = jax.vmap(lambda g: push(unravel(g)))(gradients)  # [b, i, a]
        return jnp.einsum("aia->i", changes) if traced else jnp.moveaxis(changes, 0, 2)

    return jnp.moveaxis(jax.lax.map(of_example, other), 0, 1)


def _operations(apply: Apply, params: Params, x: Inputs, other: Inputs, traced: bool) -> tuple[float, float]:
    """Floating-point operations of both ways, from those that XLA counts for one example."""
    first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], leaf.dtype), x)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), leaf.dtype), params)
    outputs = 1
    for side in _shape(apply, params, x):
        outputs *= side
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    rows, columns = (jax.tree.leaves(batch)[0].shape[0] for batch in (x, other))

    def pushed(params: Params, tangent: Params, x: Inputs) -> Array:
        return jax.jvp(lambda p: apply(p, x), (params,), (tangent,))[1]

    forward, both = _counted(apply, shapes, first), _counted(pushed, shapes, shapes, first)
    gradients = 3 * outputs * forward  # a backward pass is two forward ones
    pairs = rows * columns * outputs
    jacobians = (rows + columns) * gradients + 2 * pairs * size * (1 if traced else outputs)
    return jacobians, columns * gradients + pairs * (both - forward)


def _counted(function: Callable[..., Array], *shapes: object) -> float:
    analysis = jax.jit(function).lower(*shapes).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))


def _direction(given: Any, params: Params) -> Params:
    """The tree that is given, or a normal one with filters of the lengths of those of `params`."""
    if not (isinstance(given, jax.Array) and jax.dtypes.issubdtype(given.dtype, jax.dtypes.prng_key)):
        return given
    leaves, structure = jax.tree.flatten(params)

    def draw(key: Key, leaf: Array) -> Array:
        if jnp.ndim(leaf) < 2:
            return jnp.zeros_like(leaf)
        normal = jax.random.normal(key, leaf.shape, leaf.dtype)
        axes = tuple(range(leaf.ndim - 1))
        length, drawn = (jnp.sqrt(jnp.sum(a**2, axis=axes, keepdims=True)) for a in (leaf, normal))
        return normal * jnp.broadcast_to(length / drawn, leaf.shape)

    return jax.tree.unflatten(structure, [draw(jax.random.fold_in(given, i), leaf) for i, leaf in enumerate(leaves)])


@partial(jax.jit, static_argnums=(0, 4))
def _on_grid(
    value: Callable[[Params], Array], params: Params, directions: list[Params], grid: Array, points: int
) -> Array:
    def at(t: Array) -> Array:
        moved = params
        for k, direction in enumerate(directions):
            moved = jax.tree.map(lambda p, d, k=k: p + t[k].astype(p.dtype) * d, moved, direction)
        return value(moved)

    return jax.lax.map(at, grid, batch_size=points)
