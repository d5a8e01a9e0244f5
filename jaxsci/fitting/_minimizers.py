"""Minimizers of a function of a vector, as loops inside one compiled program."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxsci.core import Array

Solver: TypeAlias = Callable[[Callable[[Array], Array], Array], Array]  # (function, start) -> where it is smallest


class _State(NamedTuple):
    step: Array
    point: Array
    value: Array
    gradient: Array
    hessian: Array
    damping: Array
    distance: Array  # expected decrease by the next step


def newton(
    function: Callable[[Array], Array], start: Array, *, iterations: int = 100, tolerance: float = 1e-6
) -> Array:
    """Damped Newton steps a <- a - (|H| + mu D)^(-1) g with the exact Hessian: for a handful of parameters.

    |H| has the absolute eigenvalues of the Hessian in units of its diagonal D, so that saddle points repel and the scales of the
    parameters do not matter; mu grows by 10 whenever a step does not lead down, into the forbidden or to NaN, and shrinks after one
    that does. Ends when the expected decrease g^T |H|^(-1) g / 2 is below `tolerance`, with one more full step.
    """
    rounding = 8 * jnp.finfo(start.dtype).eps

    def at(point: Array) -> tuple[Array, Array, Array]:
        return function(point), jax.grad(function)(point), jax.hessian(function)(point)

    def direction(state: _State) -> tuple[Array, Array]:
        curvature = jnp.abs(jnp.diagonal(state.hessian))
        scale = jnp.sqrt(jnp.where(curvature > 0, curvature, 1.0))
        values, vectors = jnp.linalg.eigh(state.hessian / (scale[:, None] * scale[None, :]))
        values = jnp.maximum(jnp.abs(values), rounding)
        slope = vectors.T @ (state.gradient / scale)
        return -(vectors @ (slope / (values + state.damping))) / scale, jnp.sum(slope**2 / values) / 2

    def running(state: _State) -> Array:
        return (state.step < iterations) & ~(state.distance < tolerance) & (state.damping < 1e12)

    def advance(state: _State) -> _State:
        move, distance = direction(state)
        point = state.point + move
        value, gradient, hessian = at(point)
        allowed = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)) & jnp.all(jnp.isfinite(hessian))
        better = allowed & ~(value > state.value + rounding * jnp.abs(value))
        full = (state.step > 0) & (state.damping == 0)  # only then does the step end at the minimum if it was near
        distance = jnp.where(full, distance, jnp.inf)
        new = _State(state.step + 1, point, value, gradient, hessian, _shrunk(state.damping), distance)
        held = state._replace(step=state.step + 1, damping=jnp.maximum(10 * state.damping, 1e-2))
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, held)

    zero = jnp.zeros((), start.dtype)
    # The first step stands still and evaluates the start: the function is compiled once.
    flat = jnp.eye(start.size, dtype=start.dtype)
    first = _State(jnp.zeros((), jnp.int32), start, zero + jnp.inf, zero * start, flat, zero, zero + jnp.inf)
    return jax.lax.while_loop(running, advance, first).point


def _shrunk(damping: Array) -> Array:
    """A tenth, and nothing at all once it no longer matters: only undamped steps converge quadratically."""
    return jnp.where(damping > 1e-3, damping / 10, 0.0)


def lbfgs(
    function: Callable[[Array], Array], start: Array, *, iterations: int = 1000, tolerance: float = 1e-5
) -> Array:
    """optax's L-BFGS with its zoom line search, until the norm of the gradient falls below `tolerance` times its first."""
    optimizer = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(function)

    def advance(carry: tuple[Array, Array, optax.OptState, Array]) -> tuple[Array, Array, optax.OptState, Array]:
        step, point, state, _ = carry
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            value, gradient = value_and_gradient(point, state=state)
            updates, state = optimizer.update(gradient, state, point, value=value, grad=gradient, value_fn=function)
        return step + 1, optax.apply_updates(point, updates), state, jnp.linalg.norm(gradient)

    first = jnp.linalg.norm(jax.grad(function)(start))

    def running(carry: tuple[Array, Array, optax.OptState, Array]) -> Array:
        return (carry[0] < iterations) & (carry[3] > tolerance * first)

    with jax.numpy_dtype_promotion("standard"):
        begin = (jnp.zeros((), jnp.int32), start, optimizer.init(start), first)
    return jax.lax.while_loop(running, advance, begin)[1]
