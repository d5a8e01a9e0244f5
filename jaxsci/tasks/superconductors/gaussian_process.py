"""A Gaussian process over chemical compositions: an average of measured materials, each weighted by its similarity.

Regression by a covariance k, k(x, x') high where two compositions are alike (Rasmussen and Williams 2006, chapter 2): the mean of the
process given n measured values y is f(x) = m + sum_j k(x, x_j) a_j with (K + noise) a = y - m. Its covariance is a sum of three,

    k = s_1 e^(-|f - f'|_1 / l_1) + s_2 e^(-|g - g'|_1 / l_2) + s_3 e^(-|u - u'|_2 / l_3),

of the atomic fractions f, of their square roots g, in which dopants weigh more, and of statistics u of the elements' properties, under
which similar elements may replace each other. Each falls off as e^-distance, so that f has the kinks of real phase diagrams. Pure
functions: `condition` finds a, `apply` evaluates f for ONE composition; `conditioned` and `mean` do so for a table of materials.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._numerics import safe_sqrt
from jaxsci._shapes import expect_example, expect_shapes
from jaxsci.core import Array, Params

MAX_MATERIALS = 20_000  # in the training set of a process, which takes 5 GB; larger sets are subsampled
_BATCH = 32  # materials whose covariances with all others stay in a CPU's cache
_ROWS = 256  # of the covariance that are computed at once
_ROUNDING = 64  # units of the last digit that a difference of squares may lose
_REFINEMENTS = 2  # of the solution: each takes the rounding of the factor in single precision down by its condition


@dataclass(frozen=True)
class Config:
    """The covariance function, in units of the variance of y."""

    amplitudes: tuple[float, float, float] = (0.3, 0.4, 0.3)  # s, of fractions, roots, statistics
    lengths: tuple[float, float, float] = (0.15, 1.5, 1.0)  # l
    noise: float = 0.015
    slots: int = 12  # the most elements of a composition to predict; of longer ones the largest fractions are used


class GP(NamedTuple):
    """A Gaussian process conditioned on measured materials."""

    config: Config
    params: Params  # as from `condition`
    materials: int  # how many it was conditioned on


def conditioned(
    config: Config,
    amounts: np.ndarray,
    target: np.ndarray,
    table: np.ndarray,
    seed: int,
    preferred: np.ndarray | None = None,
) -> GP:
    """Condition a process on measured materials, or on a random subset where there are more than `MAX_MATERIALS`.

    Args:
        config: the covariance.
        amounts: stoichiometric coefficients [material, element].
        target: [material], in the network's units.
        table: standardized features of the elements [element, feature].
        seed: of the random subset.
        preferred: bool [material], those that enter the subset before all others; None: no preference.
    """
    order = np.random.default_rng(seed).permutation(len(target))
    if preferred is not None:
        order = order[np.argsort(~preferred[order], kind="stable")]
    indices = np.sort(order[:MAX_MATERIALS])
    fit = jax.jit(partial(condition, config=config, table=jnp.asarray(table)))
    params = fit(jnp.asarray(amounts[indices]), jnp.asarray(target[indices], jnp.float32))
    return GP(config, params, len(indices))


def posterior(gp: GP, amounts: Array, table: Array) -> tuple[Array, Array]:
    """Posterior mean and novelty for any number of materials, each [material], also a number that `jax.export` leaves open.

    The novelty of a material is 1 - max_j k(x, x_j) / k(x, x): 0 for one of the measured materials, toward 1 for what is like none of
    them, under the covariance of the process.

    Args:
        gp: the conditioned process.
        amounts: stoichiometric coefficients [material, element].
        table: the one it was conditioned with.
    """
    number = amounts.shape[0]
    batches = -(-number // _BATCH)
    padded = jnp.pad(amounts, ((0, batches * _BATCH - number), (0, 0)))

    def one(x: Array) -> tuple[Array, Array]:
        similar = covariances(gp.params, x, gp.config, table)
        nearest = jnp.max(similar) / sum(gp.config.amplitudes)
        return _mean(gp.params, similar), jnp.maximum(1 - nearest, 0)

    found = jax.lax.map(jax.vmap(one), padded.reshape(batches, _BATCH, -1))
    return found[0].reshape(-1)[:number], found[1].reshape(-1)[:number]


def mean(gp: GP, amounts: Array, table: Array) -> Array:
    """The posterior mean for any number of materials [material]; arguments as of `posterior`."""
    return posterior(gp, amounts, table)[0]


def best_weight(gp_mean: np.ndarray, ensemble: np.ndarray, target: np.ndarray) -> float:
    """The weight w in [0, 1] with which w gp_mean + (1 - w) ensemble has the smallest mean squared error, each [material]."""
    difference = gp_mean - ensemble
    squares = float(np.sum(difference**2))
    return 0.0 if squares == 0 else float(np.clip(np.sum(difference * (target - ensemble)) / squares, 0, 1))


def condition(amounts: Array, y: Array, config: Config, table: Array) -> Params:
    """Condition the process on measured materials. Takes about 12 n^2 bytes and n^3 / 3 operations.

    Args:
        amounts: [material, element], each with at least one element.
        y: [material].
        config: the covariance.
        table: [element, feature], standardized properties of the elements.

    Returns:
        What `apply` needs: square roots, statistics and weight a of each material, and the mean m.
    """
    expect_shapes("amounts [material, element], y [material], table [element, feature]", amounts, y, table)
    fractions = amounts / jnp.sum(amounts, axis=1, keepdims=True)
    raw = jax.vmap(_statistics, in_axes=(0, None))(fractions, table)
    shift, spread = jnp.mean(raw, axis=0), jnp.std(raw, axis=0)
    varies = spread > 1e-5
    # Divide by sqrt(number of features), so that the distance of two random materials is about sqrt(2).
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
    return params | {"weights": _solve(_matrix(params, amounts, config, table), y - params["mean"])}


def predictive(amounts: Array, y: Array, asked: Array, config: Config, table: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of a new measurement, of a process conditioned on the measured materials, each [asked].

        s^2 = (y - m)^T (K + noise)^-1 (y - m) / n,     variance = s^2 (k(x, x) + noise - k^T (K + noise)^-1 k),

    with the scale s of largest likelihood, since the covariance is in units of the variance of y.

    Args:
        amounts: [material, element], as for `condition`.
        y: [material].
        asked: [asked, element].
        config: the covariance.
        table: [element, feature].
    """
    params = condition(amounts, y, config, table)
    factor = jnp.linalg.cholesky(_matrix(params, amounts, config, table))
    square = (y - params["mean"]) @ params["weights"] / len(y)
    shared = jax.lax.map(lambda row: covariances(params, row, config, table), asked, batch_size=_ROWS)
    known = jax.scipy.linalg.solve_triangular(factor, shared.T, lower=True)
    left = jnp.maximum(sum(config.amplitudes) - jnp.sum(jnp.square(known), axis=0), 0)
    return params["mean"] + shared @ params["weights"], jnp.sqrt(square * (left + config.noise))


def apply(params: Params, amounts: Array, config: Config, table: Array) -> Array:
    """The posterior mean for one composition, a scalar.

    Args:
        params: as from `condition`.
        amounts: [element].
        config: the one of `condition`.
        table: the one of `condition`.
    """
    return _mean(params, covariances(params, amounts, config, table))


def _mean(params: Params, similar: Array) -> Array:
    return params["mean"] + similar @ params["weights"]


def covariances(params: Params, amounts: Array, config: Config, table: Array) -> Array:
    """The covariance k of one composition with each of the measured materials, [material].

    With fractions that sum to 1, |f - f'|_1 = 2 - 2 sum_i min(f_i, f'_i), so that only elements of both contribute.
    """
    expect_example("table [element, feature], amounts [element]", table, amounts)
    total = jnp.sum(amounts)
    fractions = amounts / jnp.where(total == 0, jnp.ones_like(total), total)
    largest, elements = jax.lax.top_k(fractions, min(config.slots, table.shape[0]))
    roots = safe_sqrt(largest)
    shared = jnp.minimum(params["roots"][elements], roots[:, None])
    of_fractions = 2 - 2 * jnp.sum(jnp.square(shared), axis=0)
    of_roots = jnp.sum(roots) + params["root_sums"] - 2 * jnp.sum(shared, axis=0)
    statistics = (_statistics(fractions, table) - params["shift"]) * params["scale"]
    squares = jnp.sum(jnp.square(statistics)) + params["squares"]
    square = squares - 2 * (statistics @ params["statistics"])
    # Equal statistics leave rounding errors, whose square root would be a spurious distance.
    square = jnp.where(square > _ROUNDING * jnp.finfo(square.dtype).eps * squares, square, jnp.zeros_like(square))
    distances = (of_fractions, of_roots, safe_sqrt(square))
    terms = [
        s * jnp.exp(-jnp.maximum(d, 0) / length)
        for s, d, length in zip(config.amplitudes, distances, config.lengths, strict=True)
    ]
    return terms[0] + terms[1] + terms[2]


def _statistics(fractions: Array, table: Array) -> Array:
    """Mean of each property over the atoms, and the mean absolute deviation from it: [2 * feature]."""
    mean = fractions @ table
    return jnp.concatenate([mean, fractions @ jnp.abs(table - mean[None])])


def _matrix(params: Params, amounts: Array, config: Config, table: Array) -> Array:
    """K + noise of the measured materials."""
    covariance = jax.lax.map(lambda row: covariances(params, row, config, table), amounts, batch_size=_ROWS)
    return covariance + config.noise * jnp.eye(len(amounts), dtype=covariance.dtype)


def _solve(matrix: Array, right: Array) -> Array:
    """matrix^-1 right by Cholesky's factor, with iterative refinement."""
    factor = jax.scipy.linalg.cho_factor(matrix, lower=True)
    solution = jax.scipy.linalg.cho_solve(factor, right)
    for _ in range(_REFINEMENTS):
        solution = solution + jax.scipy.linalg.cho_solve(factor, right - matrix @ solution)
    return solution
