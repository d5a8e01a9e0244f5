"""Eigenpairs and linear equations of an operator, from its products with vectors alone."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxsci.core import Array, Key, Params
from jaxsci.errors import InputError
from jaxsci.gradients._curvature.operators import Operator, Vector, flat


class Estimate(NamedTuple):
    """A value, and how far it may be from the true one; what kind of error it is, is said where it is made."""

    value: Any  # an array, or a tree of arrays
    error: Any  # of the same shape


class Krylov(NamedTuple):
    """A = Q T Q^T on the span of A^k q, k < step, with T tridiagonal."""

    diagonal: Array  # [step], of T
    beside: Array  # [step]; the last one couples to the next vector, which is left out
    basis: Array  # [step, size], orthonormal rows


def lanczos(product: Callable[[Array], Array], start: Array, key: Key, steps: int) -> Krylov:
    """The tridiagonal form of a symmetric map on vectors [size], orthogonalized against the whole basis twice at every step.

    Where the span is exhausted (a curvature of low rank, equal eigenvalues) it goes on from a random vector orthogonal to it, which
    couples to nothing. Source: Golub and Van Loan, Matrix Computations, section 10.1.
    """
    eps = jnp.finfo(start.dtype).eps

    def orthogonal(basis: Array, vector: Array) -> Array:
        for _ in range(2):
            vector = vector - basis.T @ (basis @ vector)
        return vector

    def body(carry: tuple[Array, Array, Array], i: Array) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        basis, q, scale = carry
        basis = basis.at[i].set(q)
        image = product(q)
        alpha = jnp.dot(q, image)
        rest = orthogonal(basis, image)
        beta = jnp.linalg.norm(rest)
        scale = jnp.maximum(scale, jnp.linalg.norm(image))
        exhausted = beta <= 10 * eps * scale
        fresh = jax.random.normal(jax.random.fold_in(key, i), q.shape, q.dtype)
        following = jnp.where(exhausted, fresh, rest)
        # Rounding leaves a small rest with parts along the basis: normalize, then take them out again.
        following = orthogonal(basis, following / _positive(jnp.linalg.norm(following)))
        following = following / _positive(jnp.linalg.norm(following))
        return (basis, following, scale), (alpha, jnp.where(exhausted, jnp.zeros_like(beta), beta))

    empty = jnp.zeros((steps, start.size), start.dtype)
    first = start / jnp.linalg.norm(start)
    (basis, _, _), (diagonal, beside) = jax.lax.scan(
        body, (empty, first, jnp.zeros((), start.dtype)), jnp.arange(steps, dtype=jnp.int32)
    )
    return Krylov(diagonal, beside, basis)


def ritz(krylov: Krylov) -> tuple[Array, Array]:
    """Eigenvalues [step] of T, ascending, and its eigenvectors [step, eigenvalue]."""
    return jnp.linalg.eigh(
        jnp.diag(krylov.diagonal) + jnp.diag(krylov.beside[:-1], 1) + jnp.diag(krylov.beside[:-1], -1)
    )


def _positive(norm: Array) -> Array:
    return jnp.where(norm > 0, norm, jnp.ones_like(norm))


def top_eigenpairs(
    operator: Operator, count: int, *, key: Key, steps: int | None = None, start: Vector | None = None
) -> tuple[Estimate, Params]:
    """The largest eigenvalues of a symmetric operator and their eigenvectors, by Lanczos with full orthogonalization.

        A u_k = lambda_k u_k,     |lambda - value_k| <= error_k = |A u_k - value_k u_k| for some eigenvalue lambda.

    The residual is all that the products prove. Most eigenvalues are better determined than that, to about residual^2 / gap, if nothing
    close was missed; but Lanczos cannot see an eigenvector that the start has no part of, nor tell two eigenvalues apart in fewer steps
    than their distance asks for. Value k is then near another eigenvalue than the k-th, and never above it but for rounding.
    Those of `-1.0 * A` are minus the smallest. Memory: `steps` vectors.

    No error is below (steps + 10) eps times the largest value. That the rounding within the products of A stays below this is experience
    with networks in float32, and not proven.

    Args:
        operator: A.
        count: how many.
        key: of the start.
        steps: products with A; none: 2 count + 20, at most the size. More make the errors smaller.
        start: a vector rich in the eigenvectors that are sought, which saves steps, such as the sum of those found on a part of the
            data; a hundredth of its length is added at random. An eigenvector it is poor in may be missed. None, or inside `jit` one of
            zeros or not finite: all at random.

    Returns:
        The eigenvalues [count] in descending order with their residuals, and the eigenvectors: a tree in the structure of the
        parameters, each leaf [count, ...], orthonormal.

    Raises:
        InputError: `count` is not between 1 and the size, there are fewer steps than that, or a start of another form, of zeros, or not
            finite.

    Source: Golub and Van Loan, Matrix Computations, section 10.1; the bound: Parlett 1998, The Symmetric Eigenvalue Problem, section 4.5.
    """
    if not 1 <= count <= operator.size:
        raise InputError(f"count: expected 1 to {operator.size}, the size of the operator, got {count}; ask for fewer")
    steps = min(2 * count + 20 if steps is None else steps, operator.size)
    if steps < count:
        raise InputError(f"steps: expected at least {count}, one for each eigenpair, got {steps}; give more")
    if start is not None:
        _check_start(start, operator)
    return _top_eigenpairs(operator, key, start, count, steps)


def _check_start(start: Vector, operator: Operator) -> None:
    if jax.tree.map(jnp.shape, start) != jax.tree.map(jnp.shape, operator.like):
        raise InputError(
            "start: expected a vector of the shapes of the parameters, got another; give one number for each"
        )
    leaves = jax.tree.leaves(start)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return
    largest = max(float(jnp.max(jnp.abs(leaf), initial=0)) for leaf in leaves)
    if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in leaves) or largest == 0:
        raise InputError("start: expected finite numbers, not all 0, got others; give another vector, or none")


@partial(jax.jit, static_argnums=(3, 4))
def _top_eigenpairs(
    operator: Operator, key: Key, start: Vector | None, count: int, steps: int
) -> tuple[Estimate, Params]:
    product, unravel, dtype = flat(operator)
    start_key, key = jax.random.split(key)
    first = jax.random.normal(start_key, (operator.size,), dtype)
    if start is not None:
        given = ravel_pytree(start)[0].astype(dtype)
        scale = jnp.max(jnp.abs(given))
        usable = jnp.isfinite(scale) & (scale > 0)
        given = given / jnp.where(usable, scale, jnp.ones_like(scale))  # so that no square is too large or small
        first = jnp.where(usable, given + 0.01 * jnp.linalg.norm(given) * first / jnp.linalg.norm(first), first)
    krylov = lanczos(product, first, key, steps)
    values, vectors = ritz(krylov)
    values, vectors = values[::-1], vectors[:, ::-1]
    residuals = jnp.abs(krylov.beside[-1] * vectors[-1])
    rounding = (steps + 10) * jnp.finfo(dtype).eps * jnp.max(jnp.abs(values))  # 10: as `lanczos`
    estimate = Estimate(values[:count], jnp.maximum(residuals, rounding)[:count])
    return estimate, jax.vmap(unravel)(vectors[:, :count].T @ krylov.basis)


def solve(
    operator: Operator,
    right: Vector,
    *,
    preconditioner: Operator | Callable[[Vector], Vector] | None = None,
    tolerance: float = 1e-5,
    iterations: int = 1000,
) -> Estimate:
    """The solution x of A x = b by conjugate gradients, for a positive definite A such as `gauss_newton(...) + damping`.

    Differentiable of any order, by implicit differentiation. Pure, so that it cannot raise inside `jit` or `vmap`: look at the error
    there.

    Args:
        operator: A, symmetric and positive definite.
        right: b, a vector.
        preconditioner: an approximation of the inverse of A, v -> M v, such as that of Kronecker factors.
        tolerance: of |A x - b| / |b|.
        iterations: at most.

    Returns:
        x, and the relative residual |A x - b| / |b|, a scalar.

    Raises:
        InputError: the residual did not come within 10 times the tolerance.

    Source: Hestenes and Stiefel 1952, J. Res. Natl. Bur. Stand. 49, 409; the iteration is that of JAX.
    """
    if preconditioner is not None and not isinstance(preconditioner, Operator):
        preconditioner = Operator(preconditioner, operator.like)
    solution = _solve(operator, right, preconditioner, tolerance, iterations)
    require_converged(solution.error, tolerance)
    return solution


@partial(jax.jit, static_argnums=4)
def _solve(operator: Operator, right: Vector, preconditioner: Operator | None, tolerance: float, most: int) -> Estimate:
    x, _ = jax.scipy.sparse.linalg.cg(operator, right, tol=tolerance, maxiter=most, M=preconditioner)
    rest = jax.tree.map(jnp.subtract, operator(x), right)
    return Estimate(x, _norm(rest) / _positive(_norm(right)))


def require_converged(residual: Array, tolerance: float) -> None:
    """Raise InputError where a relative residual, if it is known, is more than 10 times the tolerance."""
    if isinstance(residual, jax.core.Tracer):
        return
    worst = float(jnp.max(residual))
    if not worst <= 10 * tolerance:
        raise InputError(
            f"conjugate gradients: expected a relative residual below {10 * tolerance:.0e}, got {worst:.1e}; the curvature may be "
            "singular or not positive: give (more) damping, or allow more iterations"
        )


def _norm(tree: Vector) -> Array:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
