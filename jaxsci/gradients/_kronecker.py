"""Kronecker-factored curvature: of every layer the second moments of its inputs and of the cotangents of its outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxsci._numerics import as_real
from jaxsci.core import Array, Batch, ExampleLoss, Inputs, Key, LossFn, Params
from jaxsci.errors import InputError
from jaxsci.gradients._batches import MEMORY, added_up, block_size, microbatch_size
from jaxsci.gradients._capture import Capture, Records, capture, product_of
from jaxsci.gradients._curvature.likelihoods import likelihood_of
from jaxsci.gradients._curvature.operators import Operator
from jaxsci.gradients._examples import check
from jaxsci.gradients._second_moments import second_moment
from jaxsci.losses import objective

DENSE = 1024  # numbers of a leaf without a product form up to which its block is a full matrix; beyond it is a diagonal


class Factors(NamedTuple):
    """The block A x S of one leaf, for its numbers in the arrangement [g, i, o]."""

    order: Array  # int32 [g, i, o], where each number stands in the raveled leaf
    inputs: Array  # A [g, i, i]
    outputs: Array  # S [g, o, o]


class Basis(NamedTuple):
    """The same by its eigenvectors: orthogonal matrices for factors, and an eigenvalue for every pair."""

    order: Array
    inputs: Array
    outputs: Array
    values: Array  # [g, i, o]


@partial(jax.tree_util.register_dataclass, data_fields=["blocks", "like"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Kronecker:
    """Kronecker-factored curvature, block by block; a tree of arrays, which passes through `jit` and `vmap`.

    Fields:
        blocks: one for each parameter leaf, in the order of `jax.tree.leaves(params)`.
        like: the parameters, for their structure.
    """

    blocks: list[Any]
    like: Params

    def power(self, exponent: ArrayLike, damping: ArrayLike = 0.0) -> Operator:
        """The operator v -> (F + damping I)^exponent v: -1 solves, -1/2 draws from the posterior, 1 multiplies.

        It decomposes the factors once, when it is called. As `preconditioner` of `solve` it is the inverse.

        Raises:
            InputError: a negative exponent where an eigenvalue plus the damping is not positive.
        """
        bases = self.bases()
        known = not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((bases, exponent, damping)))
        if known and np.any(np.asarray(exponent) < 0) and not _smallest(bases) + np.min(np.asarray(damping)) > 0:
            raise InputError(
                f"damping: expected a positive number for a singular curvature, got {float(np.min(np.asarray(damping))):g}; "
                "give one, such as 1e-3 of the largest eigenvalue"
            )
        return Operator(_powered, self.like, (bases, jnp.asarray(exponent), jnp.asarray(damping)))

    def bases(self) -> list[Basis]:
        """The eigenvectors and eigenvalues of every block."""
        return [_basis(block) for block in self.blocks]


def _smallest(bases: list[Basis]) -> float:
    return min(float(jnp.min(basis.values)) for basis in bases)


def _powered(vector: Params, bases: list[Basis], exponent: Array, damping: Array) -> Params:
    leaves, treedef = jax.tree.flatten(vector)
    done = [_powered_leaf(leaf, basis, exponent, damping) for leaf, basis in zip(leaves, bases, strict=True)]
    tree: Params = jax.tree.unflatten(treedef, done)
    return tree


def _powered_leaf(leaf: Array, basis: Basis, exponent: Array, damping: Array) -> Array:
    dtype = basis.values.dtype
    m = leaf.reshape(-1)[basis.order].astype(dtype)
    m = jnp.einsum("gik,gio,gol->gkl", basis.inputs, m, basis.outputs)
    m = m * (basis.values + damping.astype(dtype)) ** exponent.astype(dtype)
    m = jnp.einsum("gik,gkl,gol->gio", basis.inputs, m, basis.outputs)
    return (
        jnp.zeros(leaf.size, leaf.dtype)
        .at[basis.order.reshape(-1)]
        .set(m.reshape(-1).astype(leaf.dtype))
        .reshape(leaf.shape)
    )


def _basis(block: Factors | Basis) -> Basis:
    if isinstance(block, Basis):
        return block
    (a, q), (s, r) = (jnp.linalg.eigh(factor) for factor in (block.inputs, block.outputs))
    values = jnp.maximum(a, 0)[:, :, None] * jnp.maximum(s, 0)[:, None, :]
    return Basis(block.order, q, r, values)


def kfac(
    apply: Callable[[Params, Inputs], Array],
    example_loss: ExampleLoss,
    params: Params,
    batch: Batch,
    *,
    kind: Literal["exact", "sampled", "empirical"] = "exact",
    key: Key | None = None,
    corrected: bool = False,
    memory: int = MEMORY,
) -> Kronecker:
    """The Fisher information in Kronecker factors: for a layer with inputs a_t and cotangents d_t of its outputs at T positions

        F = E[g g^T] ~ A x S,    A = E[mean_t a_t a_t^T],    S = E[sum_t d_t d_t^T],

    exact for one position and independent a and d. Convolutions take their windows for a_t, sets their elements, of which one without a
    cotangent, such as padding, counts nothing. Biases and other leaves of at most 1024 numbers have their full
    block, larger ones its diagonal.

    Args:
        apply: a model of one example.
        example_loss: as for `fisher`.
        params: where the derivatives are taken.
        batch: [batch, ...], weighted by `batch.weight`.
        kind: over which targets, as for `fisher`: the model's own in closed form, at the cost of one backward pass for each output; one
            draw of them for each example; those of the batch.
        key: of the draws, for "sampled".
        corrected: whether to measure the eigenvalues in the eigenvectors of A x S anew, E[(Q^T g)^2] (EK-FAC), by a second pass.
        memory: as for `squared_norms`.

    Raises:
        InputError: as for `per_example_gradients`; a loss that is not a likelihood; no key for "sampled".

    Source: Martens and Grosse 2015, arXiv:1503.05671; Grosse and Martens 2016, arXiv:1602.01407; Eschenhagen et al. 2023, arXiv:2311.00636;
    George et al. 2018, arXiv:1806.03884.
    """
    loss, data, rows = _targets(apply, example_loss, params, batch, kind, key)
    check(loss, params, data)
    weight = as_real(batch.weight)
    shares = weight / jnp.sum(weight)
    size = microbatch_size(loss, params, data, memory)

    def over_targets(function: Callable[[Capture, Records, Array], Any]) -> Any:
        """The sum over microbatches, and over the rows of a root of the Hessian of the loss by the outputs."""

        def of_part(part: tuple[Batch, Array]) -> Any:
            passes = capture(loss, params, part[0])
            return function(passes, passes(part[0])[1], part[1])

        if rows is None:
            return added_up(of_part, size, (data, shares))

        def of_row(row: Array) -> Any:
            y = jnp.broadcast_to(row, data.weight.shape)
            return added_up(of_part, size, (data._replace(y=y), shares))

        return added_up(of_row, 1, jnp.arange(rows))

    shapes = capture(loss, params, data)
    leaves = range(len(shapes.parameters))
    sums = over_targets(lambda passes, records, p: [_sums(passes, leaf, records, p) for leaf in leaves])
    factors = []
    for leaf, (inputs, count, outputs) in zip(leaves, sums, strict=True):
        if count is None:  # dividing a large matrix by 1 is a pass over it
            mean = inputs if rows in (None, 1) else inputs / rows
        else:
            mean = inputs / jnp.where(count == 0, 1, count)[:, None, None]
        factors.append(Factors(_order(shapes, leaf), mean, outputs))
    if not corrected:
        return Kronecker(factors, params)
    bases = [_basis(block) for block in factors]
    values = over_targets(
        lambda passes, records, p: [_values(passes, leaf, records, p, basis) for leaf, basis in enumerate(bases)]
    )
    return Kronecker([basis._replace(values=value) for basis, value in zip(bases, values, strict=True)], params)


def _targets(
    apply: Callable[[Params, Inputs], Array],
    example_loss: ExampleLoss,
    params: Params,
    batch: Batch,
    kind: str,
    key: Key | None,
) -> tuple[LossFn, Batch, int | None]:
    """The loss whose gradients count, its batch, and the number of rows that stand for targets in `batch.y`."""
    if kind not in ("exact", "sampled", "empirical"):
        raise InputError(f'kind: expected "exact", "sampled" or "empirical", got {kind!r}; choose one')
    if (kind == "sampled") != (key is not None):
        raise InputError(f'key: expected one for kind="sampled" and for no other, got kind={kind!r}; change either')
    if kind == "empirical":
        return objective(apply, example_loss), batch, None
    likelihood = likelihood_of(example_loss)
    if key is not None:
        keys = jax.random.split(key, batch.weight.shape[0])
        y = jax.vmap(lambda key, x: likelihood.sample(key, apply(params, x)))(keys, batch.x)
        return objective(apply, example_loss), batch._replace(y=y), None

    def along_row(output: Array, row: Array) -> Array:
        root = jax.lax.stop_gradient(likelihood.root(output))
        return jnp.sum(root[row] * as_real(output).reshape(-1))

    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), batch.x)
    rows = jax.eval_shape(lambda x: likelihood.root(apply(params, x)), one).shape[0]
    return objective(apply, along_row), batch._replace(y=jnp.zeros(batch.weight.shape[0], jnp.int32)), rows


def _product(passes: Capture, leaf: int) -> Any:
    product = product_of(passes, leaf)
    return product if product is not None and product.whole else None


def _order(passes: Capture, leaf: int) -> Array:
    """Where each number of the arrangement stands in the raveled leaf."""
    parameter, product = passes.parameters[leaf], _product(passes, leaf)
    places = np.arange(parameter.size)
    if product is None:
        return jnp.asarray(places.reshape((1, 1, -1) if parameter.size <= DENSE else (-1, 1, 1)), jnp.int32)
    # Through the format of the leaf, in parts that it holds exactly.
    base = 2 ** (int(jnp.finfo(parameter.dtype).nmant) + 1)
    order, factor = jnp.zeros(product.sizes, jnp.int32), 1
    while factor < parameter.size:
        part = (places // factor % base).reshape(parameter.shape)
        order = order + product.arrange(jnp.asarray(part, parameter.dtype)).astype(jnp.int32) * factor
        factor *= base
    return order


def _sums(passes: Capture, leaf: int, records: Records, p: Array) -> tuple[Array, Array | None, Array]:
    """sum_b p_b of: A over active positions, their number (None: that of the rows, as p adds up to 1), and S."""
    product = _product(passes, leaf)
    if product is None:
        return _moments_of_other(passes, leaf, records, p)
    a, d = jax.vmap(product.factors)(records)  # [n, g, t, .]
    p = p.astype(a.dtype)[:, None, None]
    active = jnp.ones_like(d[..., 0])
    if product.matrix and product.positions > 1:
        active = jnp.any(d != 0, axis=-1).astype(a.dtype)
    weight = p * active
    outputs = second_moment(d, p * jnp.ones_like(active))
    known = product.second_moment
    inputs = second_moment(a, weight) if known is None else known(records, p[:, 0, 0])
    return inputs, jnp.sum(weight, axis=(0, 2)) if product.positions > 1 else None, outputs


def _moments_of_other(passes: Capture, leaf: int, records: Records, p: Array) -> tuple[Array, Array, Array]:
    size = passes.parameters[leaf].size

    def added(part: tuple[Records, Array]) -> Array:
        records, p = part
        g = jax.vmap(lambda one: as_real(passes.gradients_of_example(one, [leaf])[0]).reshape(-1))(records)
        scaled = g * p.astype(g.dtype)[:, None]
        return scaled.T @ g if size <= DENSE else jnp.sum(scaled * g, 0)

    found = added_up(added, block_size(size), (records, p))
    groups = 1 if size <= DENSE else size
    count = jnp.full(groups, jnp.sum(p).astype(found.dtype))
    return count[:, None, None], count, found.reshape(groups, size // groups, size // groups)  # A is 1


def _values(passes: Capture, leaf: int, records: Records, p: Array, basis: Basis) -> Array:
    """sum_b p_b (Q^T g_b)^2, [g, i, o]."""
    product = _product(passes, leaf)
    if product is None:
        g, _, o = basis.values.shape
        return _diagonals(_moments_of_other(passes, leaf, records, p)[2], basis.outputs).reshape(g, 1, o)

    def rotated(one: Records) -> tuple[Array, Array]:
        a, d = product.factors(one)
        return a @ basis.inputs, d @ basis.outputs

    if product.positions == 1:
        a, d = jax.vmap(rotated)(records)
        return jnp.einsum("ngti,ngto->gio", a**2 * p.astype(a.dtype)[:, None, None, None], d**2)

    def added(part: tuple[Records, Array]) -> Array:
        a, d = jax.vmap(rotated)(part[0])
        return jnp.einsum("ngio,n->gio", jnp.einsum("ngti,ngto->ngio", a, d) ** 2, part[1].astype(a.dtype))

    return added_up(added, block_size(basis.values.size), (records, p))


def _diagonals(matrix: Array, q: Array) -> Array:
    return jnp.einsum("gok,gop,gpk->gk", q, matrix, q)
