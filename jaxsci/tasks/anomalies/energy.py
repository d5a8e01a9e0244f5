"""What the normalized autoencoders share: an energy, points drawn from it by Langevin dynamics, and two losses.

A normalized autoencoder (arXiv:2105.05735, for jets arXiv:2206.14225) is the density p(x) proportional to exp(-E(x) / T), with E(x) the
error of a reconstruction. Either the energy is lowered at jets and raised at points drawn from p, the gradient of -log p; or the optimal
transport between jets and these points is made cheap, the gradient running through the walks (arXiv:2510.02168). Nothing is kept between
steps: each walk is short and begins at a draw from a wide distribution that knows no jet.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxsci._numerics import fill_padding, product
from jaxsci.core import Array, Batch, Key, LossFn, Metrics, Model, Params

Energy: TypeAlias = Callable[[Array], Array]  # of one point


class Walks(NamedTuple):
    """Where walks live and how they move. Coordinates are those of the walk, of order 1."""

    begin: Callable[[Key], Array]  # the random start of one walk -> [...coordinate]
    place: Callable[[Params, Array], Array]  # coordinates -> the point, an input of the detector
    steps: int
    step: float  # factor of the energy's gradient
    temperature: float  # the noise of a step has variance 2 `step` `temperature`
    low: Any = -math.inf  # coordinates are kept between them
    high: Any = math.inf
    scale: Any = 1.0  # of the coordinates: a step goes with its square, its noise with itself


def walk(energy: Energy, start: Array, noise: Array, walks: Walks) -> Array:
    """Coordinates after Langevin dynamics in the energy of coordinates.

    Args:
        energy: of coordinates.
        start: coordinates [...].
        noise: standard normal draws [step, ...].
        walks: how to move.
    """
    low, high, scale = (jnp.asarray(of, start.dtype) for of in (walks.low, walks.high, walks.scale))
    wide = math.sqrt(2 * walks.step * walks.temperature)

    def step(place: Array, draw: Array) -> tuple[Array, None]:
        moved = place - walks.step * scale**2 * jax.grad(energy)(place) + wide * scale * draw
        return jnp.clip(moved, low, high), None

    return jax.lax.scan(step, jnp.clip(start, low, high), noise)[0]


def augment(walks: Walks) -> Callable[[Key, Array], tuple[Array, Array, Array]]:
    """The random change of a jet for `contrastive` and `transport`: the jet, the start of a walk, and its noise."""

    def drawn(key: Key, x: Array) -> tuple[Array, Array, Array]:
        of_start, of_steps = jax.random.split(key)
        start = walks.begin(of_start)
        return x, start, jax.random.normal(of_steps, (walks.steps, *start.shape))

    return drawn


def contrastive(model: Model, walks: Walks, balance: float) -> LossFn:
    """E(jets) - E(drawn points) + `balance` / 2 (E^2 + E^2): the gradient of -log p, none through the walks, with energies kept finite.

    Args:
        model: whose output is the energy.
        walks: how points are drawn.
        balance: energies of drawn points are raised to 1 / `balance` at most.
    """

    def loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        x, points = _jets_and_points(model, walks, jax.lax.stop_gradient(params), batch)
        low, high = (jax.vmap(model.apply, (None, 0))(params, of) for of in (x, points))
        weight = jnp.asarray(batch.weight)
        value = _mean(low - high + balance * (low**2 + high**2) / 2, weight)
        return value, _metrics(value, low, high, weight)

    return loss


def transport(model: Model, walks: Walks, describe: Callable[[Params, Array], Array]) -> LossFn:
    """The optimal transport between jets and drawn points; the gradient runs through the walks and nowhere else.

    Args:
        model: whose output is the energy.
        walks: how points are drawn.
        describe: (params, point) -> vector [feature], whose mean squared differences are the costs.
    """

    def loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        x, points = _jets_and_points(model, walks, params, batch)
        seen, drawn = (jax.vmap(describe, (None, 0))(params, of) for of in (x, points))
        distance = transport_cost(_costs(seen, drawn), jnp.asarray(batch.weight))
        low, high = (jax.vmap(model.apply, (None, 0))(params, of) for of in (x, points))
        return distance, _metrics(distance, low, high, jnp.asarray(batch.weight))

    return loss


SHARPNESS = 0.02  # of a plan's entropy, in units of the mean cost
ROUNDS = 60  # of Sinkhorn's iteration
_NOTHING = -1e9  # the logarithm of no weight, finite so that a batch of padding alone has a plan


def transport_cost(costs: Array, weight: Array) -> Array:
    """The mean cost sum_ij P_ij c_ij of the plan P that moves the weights of the rows to those of the columns almost at least cost.

    The plan is that of Sinkhorn's iteration in logarithms (arXiv:1306.0895), whose entropy has the price `SHARPNESS` times the mean cost:
    above the least cost by at most that times log(rows). Its derivative is that of the costs at a fixed plan, as at the least cost.

    Args:
        costs: [n, n], not negative.
        weight: [n] of the rows and of the columns alike; those of weight 0 take no part, whatever stands there.
    """
    real = weight > 0
    pairs = real[:, None] & real[None, :]
    costs = jnp.where(pairs, costs, 0)
    share = weight / jnp.maximum(jnp.sum(weight), 1e-12)
    fixed, log_share = jax.lax.stop_gradient(costs), jnp.where(real, jnp.log(jnp.where(real, share, 1)), _NOTHING)
    price = SHARPNESS * jnp.maximum(share @ fixed @ share, 1e-12)

    def rows_of(columns: Array) -> Array:
        return -price * jax.nn.logsumexp((columns[None, :] - fixed) / price + log_share[None, :], axis=1)

    def round_of(columns: Array, _: None) -> tuple[Array, None]:
        rows = rows_of(columns)
        return -price * jax.nn.logsumexp((rows[:, None] - fixed) / price + log_share[:, None], axis=0), None

    columns, _ = jax.lax.scan(round_of, jnp.zeros_like(share), None, length=ROUNDS)
    rows = rows_of(columns)  # last, so that the weights of the rows are met exactly
    plan = jnp.exp((rows[:, None] + columns[None, :] - fixed) / price + log_share[:, None] + log_share[None, :])
    return jnp.sum(jax.lax.stop_gradient(plan) * costs)


def _costs(seen: Array, drawn: Array) -> Array:
    """Mean squared differences [row of seen, row of drawn], by one product of matrices."""
    squares = jnp.sum(seen**2, axis=1)[:, None] + jnp.sum(drawn**2, axis=1)[None, :] - 2 * seen @ drawn.T
    return jnp.maximum(squares, 0) / seen.shape[1]


def _jets_and_points(model: Model, walks: Walks, params: Params, batch: Batch) -> tuple[Array, Array]:
    drawn = batch.x if isinstance(batch.x, tuple) else _same_draws(walks, batch.x)
    x, start, noise = fill_padding(drawn, jnp.asarray(batch.weight) > 0)

    def end(start: Array, noise: Array) -> Array:
        place = walk(lambda of: model.apply(params, walks.place(params, of)), start, noise, walks)
        return walks.place(params, place)

    return x, jax.vmap(end)(start, noise)


def _same_draws(walks: Walks, x: Array) -> tuple[Array, Array, Array]:  # at every evaluation
    return jax.vmap(augment(walks))(jax.random.split(jax.random.key(0), len(x)), x)


def _mean(values: Array, weight: Array) -> Array:
    return jnp.sum(product(weight, values)) / jnp.maximum(jnp.sum(weight), 1e-12)


def _metrics(value: Array, low: Array, high: Array, weight: Array) -> Metrics:
    of_jets, of_samples = _mean(low, weight), _mean(high, weight)
    return {
        "loss": value,
        "energy_of_jets": of_jets,
        "energy_of_samples": of_samples,
        "weight": jnp.sum(weight),
    }
