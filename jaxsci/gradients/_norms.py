"""Norms and inner products of the gradients of single examples, without storing the gradients."""

import jax
import jax.numpy as jnp

from jaxsci._numerics import as_real
from jaxsci.core import Array, Batch, LossFn, Params
from jaxsci.errors import InputError
from jaxsci.gradients._batches import MEMORY, block_size, mapped, microbatch_size
from jaxsci.gradients._capture import Capture, Records, capture, product_of
from jaxsci.gradients._examples import check, loss_of_example


def squared_norms(
    loss: LossFn, params: Params, batch: Batch, *, per_leaf: bool = False, memory: int = 200_000_000
) -> Array | Params:
    """The squared length of the gradient of every example, |g_b|^2, [batch]; no gradient is stored.

    A layer with input a and cotangent d of its output has the gradient sum_t a_t d_t^T over its T positions (1 in a dense network, the
    elements of a set, the pixels of an image), so

        |g|^2 = sum_{t, u} (a_t . a_u) (d_t . d_u),

    which is taken where 2 T^2 <= inputs x outputs; else the gradients of a few examples at a time are formed, squared and dropped.
    Parameters used more than once are summed before they are squared.

    Args:
        loss: a mean over the batch by `batch.weight`, such as from `losses.objective`.
        params: where the gradients are taken.
        batch: [batch, ...]; an example of weight 0 has norm 0, any other that of its own loss, whatever the weight.
        per_leaf: whether to return the norms for every parameter by itself, a tree like `params` of [batch].
        memory: bytes that activations and cotangents may take, about; larger batches go through in microbatches. These are not added
            up, so that small ones cost little time.

    Raises:
        InputError: as for `per_example_gradients`.

    Source: Goodfellow 2015, arXiv:1510.01799; Bu et al. 2022, arXiv:2205.10683.
    """
    check(loss, params, batch)

    def of_part(part: Batch) -> list[Array]:
        passes = capture(loss, params, part)
        _, records = passes(part)
        return norms_of(passes, records)

    found = mapped(of_part, microbatch_size(loss, params, batch, memory), batch)
    if per_leaf:
        tree: Params = jax.tree.unflatten(jax.tree.structure(params), found)
        return tree
    return jnp.asarray(sum(found))


def norms_of(passes: Capture, records: Records) -> list[Array]:
    """The squared norms [batch] of every leaf."""
    return [_of_leaf(passes, leaf, records, None)[0] for leaf in range(len(passes.parameters))]


def norms_and_gradients(passes: Capture, records: Records) -> tuple[list[Array], dict[int, Array]]:
    """The squared norms [batch] of every leaf, and of small leaves that have no ghost form the gradients [batch, ...], by their number."""
    norms, formed = [], {}
    for leaf, parameter in enumerate(passes.parameters):
        product = product_of(passes, leaf)
        ghost = product is not None and product.ghost
        if ghost or len(jax.tree.leaves(records)[0]) > block_size(parameter.size):
            norms.append(_of_leaf(passes, leaf, records, None)[0])
            continue
        formed[leaf] = jax.vmap(lambda one, leaf=leaf: passes.gradients_of_example(one, [leaf])[0])(records)
        norms.append(jnp.sum(as_real(formed[leaf]).reshape(len(formed[leaf]), -1) ** 2, axis=1))
    return norms, formed


def norms_and_products(passes: Capture, records: Records, direction: Params) -> tuple[list[Array], list[Array]]:
    """The squared norms, and the inner products with a direction, [batch] of every leaf."""
    found = [_of_leaf(passes, leaf, records, v) for leaf, v in enumerate(jax.tree.leaves(direction))]
    return [norm for norm, _ in found], [product for _, product in found]


def _of_leaf(passes: Capture, leaf: int, records: Records, direction: Array | None) -> tuple[Array, Array]:
    product = product_of(passes, leaf)
    if product is not None and product.ghost:
        m = None if direction is None else product.arrange(direction)
        return jax.vmap(lambda one: _ghost(*product.factors(one), m))(records)

    def formed(one: Records) -> tuple[Array, Array]:
        g = as_real(passes.gradients_of_example(one, [leaf])[0])
        return jnp.sum(g * g), jnp.sum(g * (jnp.zeros_like(g) if direction is None else as_real(direction)))

    return mapped(jax.vmap(formed), block_size(passes.parameters[leaf].size), records)


def _ghost(a: Array, d: Array, m: Array | None) -> tuple[Array, Array]:
    if a.shape[1] == 1:
        norm = jnp.sum(jnp.sum(a * a, axis=(1, 2)) * jnp.sum(d * d, axis=(1, 2)))
    else:
        norm = jnp.sum(jnp.einsum("gti,gui->gtu", a, a) * jnp.einsum("gto,guo->gtu", d, d))
        norm = jnp.maximum(norm, jnp.zeros_like(norm))  # terms of both signs may leave a little less
    return norm, jnp.zeros_like(norm) if m is None else jnp.sum(jnp.einsum("gti,gio->gto", a, m) * d)


def inner_products(loss: LossFn, params: Params, batch: Batch, other: Params | Batch, *, memory: int = MEMORY) -> Array:
    """The inner products of the gradients of the examples of a batch with a direction, or with those of another batch.

    With a direction v, a tree like `params`, they are <g_b, v>, [batch]: the change of the loss of each example along v, by one
    forward-mode pass. With a batch they are <g_b, g_c>, [batch, other]: with itself, the Gram matrix. Of layers
    with one position that is (a_b . a_c) (d_b . d_c), of inputs and cotangents; gradients of other layers are formed leaf by leaf, few
    enough at a time.

    Args:
        loss: a mean over the batch by `batch.weight`.
        params: where the gradients are taken.
        batch: [batch, ...].
        other: the direction, or the other batch.
        memory: as for `squared_norms`.

    Raises:
        InputError: as for `per_example_gradients`, or a direction of another form than the parameters.
    """
    check(loss, params, batch)
    if not isinstance(other, Batch):
        return _along(loss, params, batch, other)
    check(loss, params, other)
    size = microbatch_size(loss, params, batch, memory // 2)

    def columns(part: Batch) -> Array:
        passes = capture(loss, params, part)
        _, records = passes(part)
        return mapped(lambda rows: _gram(passes, passes(rows)[1], records), size, batch).T

    return mapped(columns, size, other).T


def _along(loss: LossFn, params: Params, batch: Batch, direction: Params) -> Array:
    if jax.tree.map(jnp.shape, direction) != jax.tree.map(jnp.shape, params):
        raise InputError(
            "direction: expected a tree of the shapes of the parameters, got another; give one number for each"
        )
    tangent = jax.tree.map(lambda v, p: jnp.asarray(v).astype(jnp.result_type(p)), direction, params)
    one = loss_of_example(loss)

    def losses(params: Params) -> Array:
        return jax.vmap(lambda example: one(params, example))(jax.tree.map(jnp.asarray, batch))

    return jax.jvp(losses, (jax.tree.map(jnp.asarray, params),), (tangent,))[1]


def _gram(passes: Capture, rows: Records, columns: Records) -> Array:
    return jnp.asarray(sum(_gram_of_leaf(passes, leaf, rows, columns) for leaf in range(len(passes.parameters))))


def _gram_of_leaf(passes: Capture, leaf: int, rows: Records, columns: Records) -> Array:
    product = product_of(passes, leaf)
    if product is not None and product.positions == 1:
        (a, d), (b, e) = (jax.vmap(product.factors)(records) for records in (rows, columns))
        return jnp.sum(jnp.einsum("ngti,mgti->gnm", a, b) * jnp.einsum("ngto,mgto->gnm", d, e), 0)
    size = passes.parameters[leaf].size

    def flat(one: Records) -> Array:
        return as_real(passes.gradients_of_example(one, [leaf])[0]).reshape(-1)

    at_once = block_size(size)

    def column(one: Records) -> Array:
        g = flat(one)
        return mapped(jax.vmap(lambda row: flat(row) @ g), at_once, rows)

    return mapped(jax.vmap(column), at_once, columns).T
