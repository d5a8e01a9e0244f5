"""Curvature as linear operators: pure functions from a tree of parameters to another, over a whole data set in microbatches."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, Union

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from jaxsci.core import Array, Batch, ExampleLoss, Inputs, Key, LossFn, Params
from jaxsci.errors import InputError
from jaxsci.gradients._curvature.data import add_up, check_params, in_microbatches, require_mean
from jaxsci.gradients._curvature.likelihoods import likelihood_of
from jaxsci.gradients._examples import check

Apply: TypeAlias = Callable[[Params, Inputs], Array]
Vector: TypeAlias = Params  # a tree in the structure of the parameters


@partial(jax.tree_util.register_dataclass, data_fields=["like", "arguments"], meta_fields=["function"])
@dataclass(frozen=True, eq=False)
class Operator:
    """A symmetric linear map of parameter trees, v -> A v: called like a function, added and multiplied like a matrix.

    `A + 0.1` is A + 0.1 I (damping), `A + B` and `0.5 * A` are what they say, `A @ B` is the product v -> A (B v). An operator is a
    tree of arrays, so that it passes through `jit` and `vmap` as an argument: the data it sums over are not compiled in.
    Everything that takes a function v -> A v takes an operator: `jax.scipy.sparse.linalg.cg(A, b)`, the estimators of matfree, and
    `lineax.FunctionLinearOperator(A, A.structure)`.

    Fields:
        function: (vector, *arguments) -> vector, linear in the vector. A new function is a new program: make it once.
        like: a vector, for its structure, shapes and dtype; the values are not used.
        arguments: what else the function reads.
    """

    function: Callable[..., Vector]
    like: Vector
    arguments: tuple[Any, ...] = ()

    def __call__(self, vector: Vector) -> Vector:
        """A v, in the structure of `like`."""
        return _apply(self, vector)

    @property
    def size(self) -> int:
        """How many numbers a vector holds, the number of rows."""
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.like))

    @property
    def structure(self) -> Any:
        """Shapes and dtypes of a vector, as a tree of `jax.ShapeDtypeStruct`."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), leaf.dtype), self.like)

    def dense(self) -> Array:
        """The matrix [size, size], rows and columns in the order of `jax.flatten_util.ravel_pytree`."""
        return _dense(self)

    def __add__(self, other: Union["Operator", ArrayLike]) -> "Operator":
        if isinstance(other, Operator):
            return Operator(_sum, self.like, (self, other))
        return Operator(_damped, self.like, (self, other))

    __radd__ = __add__

    def __mul__(self, factor: ArrayLike) -> "Operator":
        return Operator(_scaled, self.like, (self, factor))

    __rmul__ = __mul__

    def __matmul__(self, other: "Operator") -> "Operator":
        return Operator(_composed, self.like, (self, other))


def flat(operator: Operator) -> tuple[Callable[[Array], Array], Callable[[Array], Vector], Any]:
    """The operator on vectors [size], how such a vector becomes a tree, and its dtype."""
    check_params(operator.like)
    like, unravel = ravel_pytree(operator.like)
    return lambda vector: ravel_pytree(operator(unravel(vector)))[0], unravel, like.dtype


@jax.jit
def _apply(operator: Operator, vector: Vector) -> Vector:
    return operator.function(vector, *operator.arguments)


@jax.jit
def _dense(operator: Operator) -> Array:
    product, _, dtype = flat(operator)
    return jax.lax.map(product, jnp.eye(operator.size, dtype=dtype), batch_size=16).T


def _sum(vector: Vector, a: Operator, b: Operator) -> Vector:
    return jax.tree.map(jnp.add, a(vector), b(vector))


def _damped(vector: Vector, a: Operator, damping: ArrayLike) -> Vector:
    return jax.tree.map(lambda av, v: av + jnp.asarray(damping, v.dtype) * v, a(vector), vector)


def _scaled(vector: Vector, a: Operator, factor: ArrayLike) -> Vector:
    return jax.tree.map(lambda av: jnp.asarray(factor, av.dtype) * av, a(vector))


def _composed(vector: Vector, a: Operator, b: Operator) -> Vector:
    return a(b(vector))


def hessian(loss: LossFn, params: Params, data: Batch, *, batch_size: int = 256) -> Operator:
    """The second derivatives of the mean loss over `data`: H v by a forward derivative of the gradient.

        H = d^2 L / d params^2,     H v = d/dt grad L(params + t v) at t = 0.

    The data may be split over devices along their leading axis: each adds up its share of every microbatch.

    Args:
        loss: a mean over the batch by `batch.weight`, with or without a penalty, such as `losses.objective` makes.
        params: where the derivatives are taken.
        data: [example, ...]; examples of weight 0 count for nothing.
        batch_size: examples at a time, which bounds the memory; the result does not depend on it.

    Raises:
        InputError: parameters that are not real floating numbers, a loss that is no mean by the weights (as seen on two halves of a
            microbatch), or data whose weights add up to nothing.

    Source: Pearlmutter 1994, Neural Computation 6, 147.
    """
    check(loss, params, data)
    check_params(params)
    chunks = in_microbatches(data, batch_size)
    require_mean(loss, params, chunks)
    return Operator(_Hessian(loss), params, (params, chunks))


def gauss_newton(
    apply: Apply, example_loss: ExampleLoss, params: Params, data: Batch, *, batch_size: int = 256
) -> Operator:
    """The Hessian of the mean loss without the curvature of the network: positive semidefinite for a convex loss.

        G = sum_i (w_i / W) J_i^T (d^2 loss / d output^2)_i J_i,     J_i = d apply(params, x_i) / d params.

    Equal to the Hessian for a model that is linear in its parameters, and where every output is fitted exactly.

    Args:
        apply: a model of one example.
        example_loss: (output, target) -> scalar.
        params: where the derivatives are taken.
        data: as for `hessian`.
        batch_size: as for `hessian`.

    Raises:
        InputError: as for `hessian`.

    Source: Schraudolph 2002, Neural Computation 14, 1723.
    """
    check_params(params)
    return Operator(_GaussNewton(apply, example_loss), params, (params, in_microbatches(data, batch_size)))


def fisher(
    apply: Apply,
    example_loss: ExampleLoss,
    params: Params,
    data: Batch,
    *,
    kind: Literal["exact", "sampled", "empirical"] = "exact",
    key: Key | None = None,
    batch_size: int = 256,
) -> Operator:
    """The Fisher information: the mean outer product of gradients g of the loss, over targets y that the model itself expects.

        F = sum_i (w_i / W) E_y[g_i(y) g_i(y)^T],     p(y | x) ~ exp(-loss(output, y)).

    "exact" takes the expectation in closed form, where it equals `gauss_newton`; "sampled" one draw of y per example, the same in every
    product, unbiased; "empirical" the targets of the data, which is another matrix (Kunstner et al. 2019, arXiv:1905.12558).

    Args:
        apply: a model of one example.
        example_loss: for "exact" and "sampled" a negative log-likelihood: `squared_error` (of n outputs with variance n / 2),
            `cross_entropy` or `binary_cross_entropy`. "empirical" takes any.
        params: where the derivatives are taken.
        data: as for `hessian`.
        kind: which targets.
        key: of the draws, for "sampled".
        batch_size: as for `hessian`.

    Raises:
        InputError: as for `hessian`; a loss that is not a likelihood; no key for "sampled".
    """
    check_params(params)
    if kind not in ("exact", "sampled", "empirical"):
        raise InputError(f'kind: expected "exact", "sampled" or "empirical", got {kind!r}; choose one')
    if (kind == "sampled") != (key is not None):
        raise InputError(f'key: expected one for kind="sampled" and for no other, got kind={kind!r}; change either')
    if kind != "empirical":
        likelihood_of(example_loss)
    chunks = in_microbatches(data, batch_size)
    if kind == "exact":
        return Operator(_GaussNewton(apply, example_loss), params, (params, chunks))
    return Operator(_Fisher(apply, example_loss), params, (params, chunks, key))


@dataclass(frozen=True)
class _Hessian:
    loss: LossFn

    def __call__(self, vector: Vector, params: Params, data: Batch) -> Vector:
        def part(batch: Batch, share: Array, _: Array) -> Vector:
            product = jax.jvp(jax.grad(lambda p: self.loss(p, batch)[0]), (params,), (vector,))[1]
            return jax.tree.map(lambda leaf: jnp.sum(share).astype(leaf.dtype) * leaf, product)

        return add_up(part, data)


@dataclass(frozen=True)
class _GaussNewton:
    apply: Apply
    example_loss: ExampleLoss

    def __call__(self, vector: Vector, params: Params, data: Batch) -> Vector:
        def curve(output: Array, y: Array, tangent: Array, _: Array) -> Array:
            value_and_slope = jax.value_and_grad(lambda o: self.example_loss(o, y))
            (value, _), (_, curved) = jax.jvp(value_and_slope, (output,), (tangent,))
            return _where_defined(value, curved)

        return add_up(partial(_through_outputs, self.apply, curve, params, vector), data)


@dataclass(frozen=True)
class _Fisher:
    apply: Apply
    example_loss: ExampleLoss

    def __call__(self, vector: Vector, params: Params, data: Batch, key: Key | None) -> Vector:
        def curve(output: Array, y: Array, tangent: Array, index: Array) -> Array:
            if key is not None:
                y = likelihood_of(self.example_loss).sample(jax.random.fold_in(key, index), output)
            value, slope = jax.value_and_grad(self.example_loss)(output, y)
            return _where_defined(value, slope * jnp.sum(slope * tangent))

        return add_up(partial(_through_outputs, self.apply, curve, params, vector), data)


def _where_defined(loss: Array, curved: Array) -> Array:
    """NaN where the loss is: an impossible label has no curvature, and its derivative alone would be 0."""
    return jnp.where(jnp.isnan(loss), jnp.nan, curved)


def _through_outputs(
    apply: Apply, curve: Callable[..., Array], params: Params, vector: Vector, batch: Batch, share: Array, index: Array
) -> Vector:
    """sum_i share_i J_i^T C_i J_i v, the map C_i on the outputs of one example being `curve`."""
    outputs, push = jax.linearize(lambda p: jax.vmap(partial(apply, p))(batch.x), params)
    curved = jax.vmap(curve)(outputs, batch.y, push(vector), index)
    weighted = jax.vmap(lambda c, share: share.astype(c.dtype) * c)(curved, share)
    return jax.linear_transpose(push, params)(weighted)[0]
