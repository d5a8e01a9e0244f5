"""Profile likelihood: what one parameter costs with all others at their best. Intervals and pulls where no parabola would do.

The errors of the Hessian are those of a quadratic likelihood. Few events, a boundary, or a parameter on which the likelihood depends
in another way make it skew; twice its rise to a value, minimized over the others, still has the distribution of chi^2 with one
degree of freedom to a higher order in the number of events, and does not care how the parameters are written.
Source: Wilks 1938, Ann. Math. Stat. 9, 60; James and Roos 1975, Comput. Phys. Commun. 10, 343 (MINOS).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Params
from jaxsci.errors import InputError
from jaxsci.fitting._likelihood import Function, LikelihoodFit
from jaxsci.fitting._minimizers import newton
from jaxsci.fitting._parameters import as_vector, listed, names

_CLOSE = 1e-4  # of the root of the rise at the end of an interval, in standard errors
_FARTHEST = 100.0  # standard errors, where the search for an end gives up


class Profile(NamedTuple):
    """A scan of one parameter with all others at their best."""

    values: Array  # [point]
    rise: Array  # [point], 2 (L - L_min): 1 at the ends of the 68.3 % interval, 4 at those of the 95.4 % interval
    lower: Array  # ends of the 68.3 % interval; NaN where the scan does not reach them
    upper: Array


def profiles(
    function: Function, fit: LikelihoodFit, scanned: Sequence[str], *, points: int = 31, reach: float = 3.0
) -> dict[str, Profile]:
    """Scan parameters over +- `reach` standard errors, minimizing over the others at each point; all points are one `vmap`.

    Args:
        function: as given to `minimize`.
        fit: its result.
        scanned: names of parameters, among `parameters.names(fit.params)`; one or more.
        points: of each scan, odd.
        reach: half of its length in standard errors.

    Raises:
        InputError: there is no such parameter.
    """
    known = names(fit.params)
    unknown = [name for name in scanned if name not in known]
    if unknown or not scanned:
        raise InputError(f"profiles: expected some of the parameters {listed(known)}, got {listed(unknown) or 'none'}")
    vector, _ = as_vector(fit.params)
    steps = jnp.linspace(-reach, reach, points, dtype=vector.dtype)

    def scan(order: Array) -> Profile:
        best = vector[order[0]]
        moves = steps * jnp.sqrt(fit.covariance[order[0], order[0]])
        rise = jax.vmap(lambda move: _rise(function, fit, order, best + move))(moves)
        # The signed root of the rise is nearly linear in the parameter, so that its interpolation is accurate.
        signed = jnp.sign(moves) * _root(rise)
        ends = jnp.interp(jnp.asarray([-1.0, 1.0], moves.dtype), signed, moves, left=jnp.nan, right=jnp.nan)
        return Profile(best + moves, rise, best + ends[0], best + ends[1])

    orders = _orders(vector.size)[jnp.asarray([known.index(name) for name in scanned])]
    found = jax.vmap(scan)(orders)
    return {name: jax.tree.map(lambda leaf, i=i: leaf[i], found) for i, name in enumerate(scanned)}


def intervals(function: Function, fit: LikelihoodFit) -> tuple[Params, Params]:
    """Lower and upper ends of the 68.3 % interval of every parameter: where 2 (L - L_min), minimized over all others, is 1.

    Pure: jit and vmap. An end at a boundary, beyond which the function is not finite, is that boundary.

    Args:
        function: as given to `minimize`.
        fit: its result.

    Returns:
        Both in the shape of the parameters; -+ infinity where the rise is below 1 as far as 100 standard errors.
    """
    vector, unravel = as_vector(fit.params)
    orders = _orders(vector.size)
    error = jnp.sqrt(jnp.diagonal(fit.covariance))

    def ends(side: Array) -> Array:
        def one(order: Array) -> Array:
            best, step = vector[order[0]], side * error[order[0]]
            return best + step * _where_one(lambda t: _root(_rise(function, fit, order, best + t * step)), step.dtype)

        return jax.vmap(one)(orders)

    # Both sides at once: the search, whose compilation takes seconds, is in the program once.
    lower, upper = jax.vmap(ends)(jnp.asarray([-1.0, 1.0], vector.dtype))
    return unravel(lower), unravel(upper)


def signed_roots(function: Function, fit: LikelihoodFit, values: Params) -> Params:
    """The pull of every parameter a against a value v: sign(a - v) sqrt(2 (L(v) - L_min)), L(v) minimized over all others.

    (a - v) / error where L is quadratic; between -1 and 1 where v is in the 68.3 % interval of `intervals`.

    Args:
        function: as given to `minimize`.
        fit: its result.
        values: v, in the structure of the parameters: the truth of a simulation, or a hypothesis.

    Returns:
        In the shape of the parameters; NaN where v is not allowed.
    """
    wanted, got = (str(jax.tree.structure(tree)) for tree in (fit.params, values))
    if wanted != got:
        raise InputError(f"values: expected a number for each parameter, {wanted}, got {got}; give those of the fit")
    (vector, unravel), (at, _) = as_vector(fit.params), as_vector(values)
    rises = jax.vmap(lambda order: _rise(function, fit, order, at[order[0]]))(_orders(vector.size))
    return unravel(jnp.sign(vector - at) * _root(rises))


def _orders(size: int) -> Array:
    """[i, parameter]: parameter i first, then the others."""
    return jnp.asarray([[i, *(j for j in range(size) if j != i)] for i in range(size)])


def _rise(function: Function, fit: LikelihoodFit, order: Array, value: Array) -> Array:
    """2 (L - L_min) with parameter `order[0]` at `value`, minimized over the others."""
    vector, unravel = as_vector(fit.params)

    def reduced(rest: Array) -> Array:
        return function(unravel(vector.at[order].set(jnp.concatenate([value[None], rest]))))

    best = vector[order[1:]]
    slope = fit.covariance[order[1:], order[0]] / fit.covariance[order[0], order[0]]
    along = best + slope * (value - vector[order[0]])
    start = jnp.where(jnp.isfinite(reduced(along)), along, best)  # the straight line may lead into the forbidden
    return 2 * (reduced(newton(reduced, start) if start.size else start) - fit.value)


def _root(rise: Array) -> Array:
    return jnp.sqrt(jnp.maximum(rise, 0.0))  # rounding may leave less than 0 at the minimum


class _Search(NamedTuple):
    step: Array
    t: Array  # to be tried next
    low: tuple[Array, Array]  # the largest t seen with a value below 1, and the value
    high: tuple[Array, Array]  # the smallest with a value above 1 or none, which counts as infinite; infinite at first
    miss: Array  # of the value at the last t from 1


def _where_one(function: Callable[[Array], Array], dtype: Any) -> Array:
    """Where a function that rises from 0 at 0, nearly in proportion, is 1: by secants, with halves in between.

    The largest allowed t where the value does not reach 1 before it becomes NaN, infinity where it never does.
    """

    def running(s: _Search) -> Array:
        return (s.step < 60) & (s.miss > _CLOSE) & (s.high[0] - s.low[0] > _CLOSE) & (s.low[0] < _FARTHEST)

    def advance(s: _Search) -> _Search:
        found = function(s.t)
        value = jnp.where(jnp.isfinite(found), found, jnp.inf)
        here, below = (s.t, value), value < 1
        low = jax.tree.map(lambda new, old: jnp.where(below, new, old), here, s.low)
        high = jax.tree.map(lambda new, old: jnp.where(below, old, new), here, s.high)
        further = jnp.clip(low[0] / low[1], 1.1 * low[0], 3 * low[0])
        secant = low[0] + (1 - low[1]) * (high[0] - low[0]) / (high[1] - low[1])
        between = jnp.where(jnp.isfinite(high[1]) & (s.step % 3 < 2), secant, (low[0] + high[0]) / 2)
        return _Search(s.step + 1, jnp.where(jnp.isfinite(high[0]), between, further), low, high, jnp.abs(value - 1))

    zero, one, infinite = (jnp.asarray(number, dtype) for number in (0, 1, jnp.inf))
    begin = _Search(jnp.zeros((), jnp.int32), one, (zero, zero), (infinite, infinite), infinite)
    end = jax.lax.while_loop(running, advance, begin)
    edge = jnp.where(end.low[0] < _FARTHEST, end.low[0], infinite)
    return jnp.where(end.miss <= _CLOSE, end.t, edge)
