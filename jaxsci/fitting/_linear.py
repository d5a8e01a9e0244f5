"""Linear least squares with weights, masks and a quadratic penalty: the exact solution with its error bars.

A model that is linear in its parameters is fitted by solving the normal equations

    (F^T W F + P) a = F^T W y,      chi^2 = sum_i w_i (y_i - (F a)_i)^2,

with the design F, weights w = 1 / sigma^2 (0 masks a measurement) and a penalty a^T P a with P diagonal: lambda everywhere is ridge
regression; the inverse of a prior variance, 1 / C_l for spherical harmonics, is the Wiener filter. The inverse of the matrix is
the covariance of a: of the estimate without a penalty, of the truth given the data with a prior.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array, Inputs, Params
from jaxsci.errors import InputError
from jaxsci.fitting._parameters import as_vector, listed

Forward: TypeAlias = Callable[[Params], Array]  # a linear map from parameters to predictions [measurement, ...]

_DIGITS = 1e-3  # a coefficient is determined if rounding leaves it three digits


class LinearFit(NamedTuple):
    """The solution of a linear least-squares problem."""

    params: Params
    errors: Params  # standard errors, like the parameters; right also where their squares leave the range of the dtype
    covariance: Array  # [parameter, parameter], in the order of `parameters.names`
    chi2: Array  # at the solution, without the penalty
    dof: Array  # measurements of weight > 0 minus the effective number of parameters, n - sum_j P_j cov_jj
    pulls: Array  # (y - F a) / sigma, like y; 0 where masked
    inflation: (
        Array  # [parameter], variance over that of a parameter fitted alone; infinite if the data do not determine it
    )


def predictions(apply: Callable[[Params, Inputs], Array], x: Inputs) -> Forward:
    """The predictions of a model of one example for all of `x` [example, ...] as a function of its parameters."""
    return lambda params: jax.vmap(apply, in_axes=(None, 0))(params, x)


def least_squares(
    design: Forward | Array, y: Array, weight: Array, *, like: Params, precision: Params | Array | float | None = None
) -> LinearFit:
    """Minimize sum_i w_i (y_i - (F a)_i)^2 + sum_j P_j a_j^2 by a QR decomposition: for up to a few thousand parameters.

    Pure: jit, vmap (1,000 fits of one design cost one decomposition) and derivatives of any order, by implicit differentiation of
    the solution with respect to all that enters: y, weights, penalty, and what the design is made from. It cannot raise for
    numbers inside a compiled program: call `require_determined` on the result.

    Args:
        design: F as a matrix [measurement, parameter], its columns in the order of `parameters.names`; or as the linear (or affine)
            function from parameters to predictions, such as `predictions(model.apply, x)` or a synthesis.
        y: the measurements, the shape of the predictions; anything, NaN included, where the weight is 0.
        weight: 1 / sigma^2, like y; 0 masks.
        like: parameters whose structure, shapes and dtype the solution takes; the values are not used.
        precision: P_j >= 0, a number or in the structure of `like`; None: no penalty.

    Raises:
        InputError: the design is not linear, or there are fewer measurements than parameters and no penalty.
    """
    vector, unravel = as_vector(like)
    matrix, mask, y, weight = _matrix(design, y, weight, like)
    penalty = None if precision is None else as_vector(spread(precision, like))[0]
    if penalty is None and matrix.shape[0] < matrix.shape[1]:
        raise InputError(
            f"least squares: expected at least as many measurements as parameters, got {matrix.shape[0]} for {matrix.shape[1]}; "
            "take fewer parameters or give a penalty"
        )
    # In units of the largest entries: a column of squared frequencies in Hz, or its error, would leave the range when squared.
    heaviest, unit = jax.lax.stop_gradient(_units(matrix, weight, penalty))
    rooted = root(weight).reshape(-1) / heaviest
    rows, measured = rooted[:, None] * (matrix / unit[None, :]), rooted * y.reshape(-1)
    penalty = None if penalty is None else (penalty / (unit * heaviest)) / (unit * heaviest)
    triangle, scale, seen = _triangle(*jax.lax.stop_gradient((rows, penalty)))

    def normal(a: Array) -> Array:
        result = rows.T @ (rows @ a)
        return result if penalty is None else result + penalty * a

    # One LAPACK call after the other: two at once, of batches, wait for each other for ever where jaxlib has as many threads as calls.
    back = jax.scipy.linalg.solve_triangular(triangle, jnp.eye(vector.size, dtype=triangle.dtype))

    def solve(_: object, b: Array) -> Array:
        return back @ (back.T @ (b / scale)) / scale

    def inverse(b: Array) -> Array:
        return jax.lax.custom_linear_solve(normal, b, solve, symmetric=True)

    def downhill(a: Array) -> Array:
        """F^T W (y - F a) - P a, half of minus the gradient: 0 at the solution."""
        rise = rows.T @ (measured - rows @ a)
        return rise if penalty is None else rise - penalty * a

    # A first solution has the rounding of the squared condition number; its residual, taken on the data, corrects that.
    first = jax.lax.stop_gradient(solve(None, downhill(jnp.zeros_like(vector))))
    solution = first + inverse(downhill(first))
    covariance = jax.vmap(inverse)(jnp.eye(vector.size, dtype=vector.dtype))
    variance = jnp.diagonal(covariance)
    pulls = jnp.where(mask, heaviest * (measured - rows @ solution).reshape(y.shape), jnp.zeros_like(y))
    effective = vector.size - (0 if penalty is None else jnp.sum(penalty * variance))
    return LinearFit(
        params=unravel(solution / unit),
        errors=unravel(root(variance) / heaviest / unit),
        covariance=covariance / (heaviest * unit)[:, None] / (heaviest * unit)[None, :],
        chi2=jnp.sum(pulls**2),
        dof=jnp.sum(mask).astype(y.dtype) - effective,
        pulls=pulls,
        inflation=jnp.where(seen, variance * scale**2, jnp.inf),
    )


def _units(matrix: Array, weight: Array, penalty: Array | None) -> tuple[Array, Array]:
    """Powers of two, by which one divides without rounding: near the largest sqrt(w), and near what is largest in each column."""
    heaviest = _power_of_two(jnp.sqrt(jnp.max(weight, initial=0)))
    counted = jnp.where(weight.reshape(-1, 1) > 0, jnp.abs(matrix), 0.0)
    largest = jnp.max(counted, axis=0, initial=0)
    return heaviest, _power_of_two(largest if penalty is None else jnp.maximum(largest, jnp.sqrt(penalty) / heaviest))


def _power_of_two(x: Array) -> Array:
    found = jnp.exp2(jnp.round(jnp.log2(jnp.where(x > 0, x, 1.0))))
    return jnp.where((found > 0) & jnp.isfinite(found), found, 1.0)


def _matrix(design: Forward | Array, y: Array, weight: Array, like: Params) -> tuple[Array, Array, Array, Array]:
    """The design [measurement, parameter], which measurements count, what is left for them to explain, and their weights."""
    vector, unravel = as_vector(like)
    if not callable(design):
        expect_shapes("design [measurement, parameter]", design, measurement=y.size, parameter=vector.size)
        return design, *masked(y, weight)
    forward, mask, y, weight = prepared(design, y, weight, like)
    columns = jax.vmap(lambda e: forward(unravel(e)).reshape(-1), out_axes=1)
    return columns(jnp.eye(vector.size, dtype=vector.dtype)), mask, y, weight


def require_determined(fit: LinearFit, names: list[str]) -> None:
    """Raise InputError where the data and the penalty do not determine every parameter, naming those they leave open."""
    inflation = np.asarray(fit.inflation)
    largest = (_DIGITS / np.finfo(inflation.dtype).eps) ** 2
    open_ones = np.flatnonzero(~(inflation < largest))
    if open_ones.size:
        raise InputError(
            f"least squares: expected data that determine every coefficient, but {open_ones.size} are degenerate: "
            f"{listed([names[i] for i in open_ones])}; mask less, leave these out, or give a penalty"
        )


def spread(value: Params | Array | float, like: Params) -> Params:
    """A number for every parameter, or a tree that is already in the structure of `like`, with its shapes and dtypes."""
    if isinstance(value, float | int | np.ndarray | jax.Array) and not isinstance(like, np.ndarray | jax.Array):
        return jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(value, leaf.dtype), leaf.shape), like)
    return jax.tree.map(lambda leaf, v: jnp.broadcast_to(jnp.asarray(v, leaf.dtype), leaf.shape), like, value)


def prepared(forward: Forward, y: Array, weight: Array, like: Params) -> tuple[Forward, Array, Array, Array]:
    """The linear part of `forward`, which measurements count, what is left for them to explain, and their weights; zeros elsewhere."""
    _require_linear(forward, like)
    predicted = jax.eval_shape(forward, like)
    expect_shapes("predictions [*shape], y [*shape], weight [*shape]", predicted, y, weight)
    origin = jax.tree.map(jnp.zeros_like, like)
    mask, y, weight = masked(y, weight)

    def linear(params: Params) -> Array:
        return jax.jvp(forward, (origin,), (params,))[1]

    return linear, mask, jnp.where(mask, y - forward(origin), 0.0), weight


def masked(y: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Which measurements count, and the values and weights with zeros for the others."""
    expect_shapes("y [*shape], weight [*shape]", y, weight)
    mask = weight > 0
    return mask, jnp.where(mask, y, 0.0), jnp.where(mask, weight, 0.0)


def _require_linear(forward: Forward, like: Params) -> None:
    """Raise InputError unless `forward` is linear in the parameters; nothing is computed."""
    try:
        jax.eval_shape(lambda p: jax.linear_transpose(forward, p)(forward(p)), like)
    except InputError:
        raise  # the model refuses what it is given, linear or not
    except (NotImplementedError, TypeError, AssertionError, ValueError) as error:
        raise InputError(
            "least squares: expected a model that is linear in its parameters, got one that is not; train it with jaxsci.training"
        ) from error


def root(weight: Array) -> Array:
    """The square root, with the slope 0 at 0."""
    positive = weight > 0  # the slope of the square root at 0 is infinite
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, weight, jnp.ones_like(weight))), jnp.zeros_like(weight))


def _triangle(rows: Array, penalty: Array | None) -> tuple[Array, Array, Array]:
    """R and s with F^T W F + P = S R^T R S, S = diag(s), and columns of length 1 in R; and which parameters the data see at all."""
    below = jnp.zeros_like(rows[0]) if penalty is None else jnp.sqrt(penalty)
    scale = jnp.sqrt(jnp.sum(rows**2, axis=0) + below**2)
    seen = scale > 0
    # A row for each parameter: of the penalty, or a 1 for one that nothing sees, which makes it 0 and leaves the others alone.
    safe = jnp.where(seen, scale, 1.0)
    rows = jnp.concatenate([rows, jnp.diag(jnp.where(seen, below, 1.0))])
    triangle = jnp.linalg.qr(rows / safe[None, :], mode="r")
    # A singular design then gives huge numbers, which can be told, and not NaN, which cannot.
    diagonal = jnp.diagonal(triangle)
    least = jnp.finfo(rows.dtype).eps
    lifted = jnp.where(jnp.abs(diagonal) < least, least, diagonal)
    return triangle + jnp.diag(lifted - diagonal), safe, seen
