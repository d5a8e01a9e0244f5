"""A Gaussian process over chemical compositions: an average of measured materials, each counted by how alike it is.

Regression by a covariance k, k(x, x') high where two compositions are alike (Rasmussen and Williams 2006, chapter 2): the mean of the
process given n measured values y is f(x) = m + sum_j k(x, x_j) a_j with (K + noise) a = y - m. Its covariance is a sum of three,

    k = s_1 e^(-|f - f'|_1 / l_1) + s_2 e^(-|g - g'|_1 / l_2) + s_3 e^(-|u - u'|_2 / l_3),

of the atomic fractions f, of their roots g, in which dopants count for more, and of statistics u of the elements' properties, in which
elements that resemble each other may take each other's place. Each falls off as e^-distance, so that f has the kinks of real phase
diagrams. Pure functions: `condition` finds a, `apply` evaluates f for ONE composition.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from jaxsci.core import Array, Params

_ROWS = 256  # of the covariance that are computed together
_ROUNDING = 64  # units of the last digit that a difference of squares may lose
_REFINEMENTS = 2  # of the solution: each takes the rounding of the factor in single precision down by its condition


@dataclass(frozen=True)
class Config:
    """Covariance of the process, in units of the variance of y."""

    amplitudes: tuple[float, float, float] = (0.3, 0.4, 0.3)  # s, of fractions, roots, statistics
    lengths: tuple[float, float, float] = (0.15, 1.5, 1.0)  # l
    noise: float = 0.015
    slots: int = 12  # the most elements of a composition that is asked for; of longer ones the largest fractions


def condition(amounts: Array, y: Array, config: Config, table: Array) -> Params:
    """The process given measured materials. Takes about 12 n^2 bytes and n^3 / 3 operations.

    Args:
        amounts: [material, element], each with at least one element.
        y: [material].
        config: the covariance.
        table: [element, feature], standardized properties of the elements.

    Returns:
        What `apply` needs: of each material its roots and statistics, its weight a, and the mean m.
    """
    chex.assert_rank([amounts, y, table], [2, 1, 2])
    chex.assert_equal(amounts.shape, (y.shape[0], table.shape[0]))
    fractions = amounts / jnp.sum(amounts, axis=1, keepdims=True)
    raw = jax.vmap(_statistics, in_axes=(0, None))(fractions, table)
    shift, spread = jnp.mean(raw, axis=0), jnp.std(raw, axis=0)
    varies = spread > 1e-5
    # Divided by the root of their number, so that two materials drawn at random are about a root of 2 apart.
    number = jnp.maximum(jnp.sum(varies), 1).astype(raw.dtype)
    scale = varies.astype(raw.dtype) / (jnp.where(varies, spread, jnp.ones_like(spread)) * jnp.sqrt(number))
    statistics = (raw - shift[None]) * scale[None]
    roots = jnp.sqrt(fractions)
    params = {
        "roots": roots.T,  # [element, material]: an element's row is read at once
        "root_sums": jnp.sum(roots, axis=1),
        "statistics": statistics.T,
        "squares": jnp.sum(jnp.square(statistics), axis=1),
        "shift": shift,
        "scale": scale,
        "mean": jnp.mean(y),
    }
    covariance = jax.lax.map(lambda row: covariances(params, row, config, table), amounts, batch_size=_ROWS)
    covariance = covariance + config.noise * jnp.eye(len(y), dtype=covariance.dtype)
    return params | {"weights": _solve(covariance, y - params["mean"])}


def apply(params: Params, amounts: Array, config: Config, table: Array) -> Array:
    """The mean of the process for one composition, a scalar.

    Args:
        params: as from `condition`.
        amounts: [element].
        config: the one of `condition`.
        table: the one of `condition`.
    """
    return params["mean"] + covariances(params, amounts, config, table) @ params["weights"]


def covariances(params: Params, amounts: Array, config: Config, table: Array) -> Array:
    """k of one composition with each of the measured materials, [material].

    With fractions that sum to 1, |f - f'|_1 = 2 - 2 sum_i min(f_i, f'_i), which only the elements of both contribute to.
    """
    chex.assert_shape(amounts, (table.shape[0],))
    total = jnp.sum(amounts)
    fractions = amounts / jnp.where(total == 0, jnp.ones_like(total), total)
    largest, elements = jax.lax.top_k(fractions, min(config.slots, table.shape[0]))
    roots = _safe_root(largest)
    shared = jnp.minimum(params["roots"][elements], roots[:, None])
    of_fractions = 2 - 2 * jnp.sum(jnp.square(shared), axis=0)
    of_roots = jnp.sum(roots) + params["root_sums"] - 2 * jnp.sum(shared, axis=0)
    statistics = (_statistics(fractions, table) - params["shift"]) * params["scale"]
    squares = jnp.sum(jnp.square(statistics)) + params["squares"]
    square = squares - 2 * (statistics @ params["statistics"])
    # Of equal statistics rounding is left, whose root would be no small distance.
    square = jnp.where(square > _ROUNDING * jnp.finfo(square.dtype).eps * squares, square, jnp.zeros_like(square))
    distances = (of_fractions, of_roots, _safe_root(square))
    terms = [
        s * jnp.exp(-jnp.maximum(d, 0) / length)
        for s, d, length in zip(config.amplitudes, distances, config.lengths, strict=True)
    ]
    return terms[0] + terms[1] + terms[2]


def _statistics(fractions: Array, table: Array) -> Array:
    """Mean of each property over the atoms, and the mean absolute deviation from it: [2 * feature]."""
    mean = fractions @ table
    return jnp.concatenate([mean, fractions @ jnp.abs(table - mean[None])])


def _safe_root(square: Array) -> Array:
    """The root, and 0 with derivative 0 where the square is 0."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, jnp.ones_like(square))), jnp.zeros_like(square))


def _solve(matrix: Array, right: Array) -> Array:
    """matrix^-1 right by Cholesky's factor, with iterative refinement."""
    factor = jax.scipy.linalg.cho_factor(matrix, lower=True)
    solution = jax.scipy.linalg.cho_solve(factor, right)
    for _ in range(_REFINEMENTS):
        solution = solution + jax.scipy.linalg.cho_solve(factor, right - matrix @ solution)
    return solution
