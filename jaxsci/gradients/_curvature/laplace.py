"""Laplace's approximation: the posterior of a trained network from the curvature of its training data."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from jaxsci._numerics import as_real
from jaxsci.core import Array, Batch, ExampleLoss, Inputs, Key, Mask, Params
from jaxsci.errors import InputError
from jaxsci.gradients._curvature.data import add_up, check_params, in_microbatches
from jaxsci.gradients._curvature.krylov import top_eigenpairs
from jaxsci.gradients._curvature.likelihoods import likelihood_of
from jaxsci.gradients._curvature.operators import Apply, gauss_newton
from jaxsci.gradients._curvature.posterior import Free, Laplace, output_and_jacobian, positive, split
from jaxsci.gradients._kronecker import kfac
from jaxsci.losses import squared_error, weight_mask

Structure: TypeAlias = Literal["full", "kronecker", "diagonal", "low_rank"]


def laplace(
    apply: Apply,
    example_loss: ExampleLoss,
    params: Params,
    data: Batch,
    *,
    prior_precision: ArrayLike = 1.0,
    noise: ArrayLike | None = None,
    structure: Structure = "full",
    rank: int = 20,
    key: Key | None = None,
    mask: Mask = None,
    batch_size: int = 64,
) -> Laplace:
    """The normal posterior of the parameters of a trained network, with the Gauss-Newton matrix of the training data as its curvature.

        p(params | data) ~ N(params, (H / noise^2 + prior_precision I)^-1),     H = sum_i w_i J_i^T L_i J_i,

    L_i the curvature of minus the log-likelihood in the outputs: 1 for a regression, diag(p) - p p^T for classes. Training with
    `regularized(loss, l2, strength)` has the prior precision 2 W strength / s, with the sum W of the weights and s = 1 for
    cross-entropies, n / (2 noise^2) for `squared_error` of n outputs.

    Args:
        apply: a model of one example, linear outputs.
        example_loss: `squared_error`, `cross_entropy` or `binary_cross_entropy`, without options.
        params: the trained parameters.
        data: what they were trained on, [example, ...].
        prior_precision: inverse variance of the prior, the same for every parameter; may be traced.
        noise: standard deviation of the targets, for a regression and for nothing else; may be traced.
        structure: "full" (to a few thousand parameters), the "kronecker" factors of every layer (`kfac`), the "diagonal" of H, or its
            `rank` largest eigenpairs, "low_rank".
        rank: number of eigenpairs, for "low_rank".
        key: of the start of Lanczos, for "low_rank".
        mask: which leaves have a posterior, as a tree of True and False or a function that makes one; none: all. True for the last
            layer alone is the last-layer posterior.
        batch_size: examples whose Jacobians are held at a time.

    Raises:
        InputError: a loss that is not a likelihood, a prior precision or noise that is not positive, a noise where there is none or none
            where there is, no key for "low_rank"; parameters or data as for `gauss_newton`.

    Source: Daxberger et al. 2021, arXiv:2106.14806.
    """
    _check(example_loss, params, noise, structure, key)
    everything = jax.tree.map(lambda _: True, params)
    chosen = tuple(bool(free) for free in jax.tree.leaves(weight_mask(params, everything if mask is None else mask)))
    model = Free(apply, chosen)
    chunks = in_microbatches(data, batch_size)
    loss, weight = _total_loss(apply, example_loss, params, chunks)
    numbers = 1
    if example_loss is squared_error:
        numbers = int(np.prod(jnp.shape(chunks.y)[2:]))
        loss, targets = loss * numbers / 2, weight * numbers
    else:
        targets = jnp.zeros_like(weight)
    # The loss is a mean over the outputs, of which H at noise 1 has the sum.
    scale = weight * (numbers / 2 if example_loss is squared_error else 1)
    eigenvalues, basis = _curvature(model, example_loss, params, data, structure, rank, key, batch_size)
    dtype = loss.dtype
    return Laplace(
        params=params,
        eigenvalues=scale * jnp.maximum(eigenvalues.astype(dtype), 0),
        basis=basis,
        loss=loss,
        targets=targets,
        prior_precision=positive("prior_precision", prior_precision, dtype),
        noise=positive("noise", 1.0 if noise is None else noise, dtype),
        apply=apply,
        example_loss=example_loss,
        chosen=chosen,
    )


def _check(example_loss: ExampleLoss, params: Params, noise: ArrayLike | None, structure: str, key: Key | None) -> None:
    likelihood_of(example_loss)
    check_params(params)
    if (example_loss is squared_error) == (noise is None):
        raise InputError("noise: expected a number for squared_error and for no other loss; give it or leave it out")
    if structure not in get_args(Structure):
        raise InputError(f"structure: expected one of {', '.join(get_args(Structure))}, got {structure!r}; choose one")
    if (structure == "low_rank") != (key is not None):
        raise InputError(
            f'key: expected one for structure="low_rank" and for no other, got {structure!r}; change either'
        )


def _curvature(
    model: Free,
    example_loss: ExampleLoss,
    params: Params,
    data: Batch,
    structure: Structure,
    rank: int,
    key: Key | None,
    batch_size: int,
) -> tuple[Array, Any]:
    """Eigenvalues of the Gauss-Newton matrix of the mean loss, and its eigenvectors as the field `basis` of `Laplace` holds them."""
    free: Any = split(params, model.chosen)
    if key is not None:
        operator = gauss_newton(partial(model, fixed=params), example_loss, free, data, batch_size=batch_size)
        rank = min(rank, operator.size)
        values, vectors = top_eigenpairs(operator, rank, key=key, steps=3 * rank + 20)
        return values.value, jax.vmap(lambda v: ravel_pytree(v)[0])(vectors)
    if structure == "kronecker":
        everywhere = kfac(model.apply, example_loss, params, data).bases()
        basis = [block for block, free in zip(everywhere, model.chosen, strict=True) if free]
        return jnp.concatenate([block.values.reshape(-1) for block in basis]), basis
    chunks = in_microbatches(data, batch_size)
    if structure == "full":
        return _eigenpairs(model, example_loss, free, params, chunks)
    return _diagonal(model, example_loss, free, params, chunks), None


@partial(jax.jit, static_argnums=(0, 1))
def _total_loss(apply: Apply, example_loss: ExampleLoss, params: Params, data: Batch) -> tuple[Array, Array]:
    def part(batch: Batch, share: Array, _: Array) -> Array:
        losses = jax.vmap(example_loss)(jax.vmap(partial(apply, params))(batch.x), jnp.asarray(batch.y))
        return jnp.sum(share.astype(losses.dtype) * losses)

    weight = jnp.sum(as_real(data.weight))
    mean = add_up(part, data)
    return weight.astype(mean.dtype) * mean, weight.astype(mean.dtype)


def _sum_of_rows(
    reduce: Callable[[Array], Array], model: Free, loss: ExampleLoss, free: Any, fixed: Params, data: Batch
) -> Array:
    """The sum over microbatches of `reduce` of the rows [row, parameter], the squares of which are the curvature of the mean loss."""
    vector, unravel = ravel_pytree(free)
    root = likelihood_of(loss).root

    def part(batch: Batch, share: Array, _: Array) -> Array:
        def rows(x: Inputs, share: Array) -> Array:
            output, jacobian = output_and_jacobian(lambda v: model(unravel(v), x, fixed=fixed), vector)
            found = root(output) @ jacobian.astype(as_real(output).dtype)
            return jnp.sqrt(share).astype(found.dtype) * found

        return reduce(jax.vmap(rows)(batch.x, share).reshape(-1, vector.size))

    return add_up(part, data)


@partial(jax.jit, static_argnums=(0, 1))
def _eigenpairs(*arguments: Any) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(_sum_of_rows(lambda rows: rows.T @ rows, *arguments))
    return values, vectors.T


@partial(jax.jit, static_argnums=(0, 1))
def _diagonal(*arguments: Any) -> Array:
    return _sum_of_rows(lambda rows: jnp.sum(rows**2, axis=0), *arguments)
