"""Bases on a line as models that are linear in their coefficients, f(x, a) = sum_k a_k B_k(x), fitted by the same calls as networks.

A basis is a frozen description: how many functions there are, and their values at one x. `model(basis)` is the pair (init, apply) of it,

    least_squares(predictions(model.apply, x), y, 1 / sigma**2, like=model.init(key))

its fit with error bars (`jaxsci.fitting`), and any loss and training takes it as well. Spherical harmonics are in
`jaxsci.models.harmonics`, mixtures of Gaussians, which are not linear in their parameters, in `jaxsci.models.mixture`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params
from jaxsci.errors import InputError

__all__ = [
    "BSplines",
    "Basis",
    "Chebyshev",
    "Fourier",
    "Legendre",
    "RadialBasis",
    "apply",
    "init",
    "model",
]


class Basis(Protocol):
    """Some functions of one example."""

    @property
    def size(self) -> int:
        """Their number."""
        ...

    def values(self, x: Array) -> Array:
        """All functions at one x: [function], of the dtype of x."""
        ...


def init(key: Key, basis: Basis) -> Params:
    """`coefficients` [function], zeros: the problem is linear, and the start does not matter."""
    return {"coefficients": jnp.zeros(basis.size, jnp.result_type(float))}


def apply(params: Params, x: Array, basis: Basis) -> Array:
    """The sum at one x; scalar."""
    return basis.values(x) @ params["coefficients"]


def model(basis: Basis) -> Model:
    """The pair (init, apply) of this basis."""
    return Model(partial(init, basis=basis), partial(apply, basis=basis))


@dataclass(frozen=True)
class _Polynomials:
    """Of every degree up to the highest, on a window mapped to -1 <= t <= 1."""

    degree: int
    window: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        _check(self.degree, self.window)

    @property
    def size(self) -> int:
        """The number of polynomials."""
        return self.degree + 1


@dataclass(frozen=True)
class Chebyshev(_Polynomials):
    """T_k(t) = cos(k arccos t), k = 0 ... degree, with the window mapped to -1 <= t <= 1: T_k+1 = 2 t T_k - T_k-1."""

    def values(self, x: Array) -> Array:
        """T_k at one x [], polynomials outside the window too: [k]."""
        return _by_recursion(_mapped(x, self.window), self.degree, lambda k: (2.0, 1.0))


@dataclass(frozen=True)
class Legendre(_Polynomials):
    """P_k(t), k = 0 ... degree, orthogonal on -1 <= t <= 1: (k + 1) P_k+1 = (2k + 1) t P_k - k P_k-1."""

    def values(self, x: Array) -> Array:
        """P_k at one x []: [k]."""
        return _by_recursion(_mapped(x, self.window), self.degree, lambda k: ((2 * k + 1) / (k + 1), k / (k + 1)))


@dataclass(frozen=True)
class Fourier:
    """1, cos t, sin t, cos 2t, sin 2t, ... to `harmonics`, with t = 2 pi x / period."""

    harmonics: int
    period: float = 2 * np.pi

    def __post_init__(self) -> None:
        _check(self.harmonics, (0.0, self.period))

    @property
    def size(self) -> int:
        """The number of waves, the constant included."""
        return 2 * self.harmonics + 1

    def values(self, x: Array) -> Array:
        """The waves at one x []: [2 harmonics + 1]."""
        expect_example("x []", x)
        angle = jnp.arange(1, self.harmonics + 1, dtype=x.dtype) * (x * (2 * np.pi / self.period))
        return jnp.concatenate([jnp.ones(1, x.dtype), jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1).reshape(-1)])


@dataclass(frozen=True)
class BSplines:
    """Piecewise polynomials of one degree on equal intervals, as smooth as they can be; they are positive and add up to 1.

    The recursion of Cox and de Boor (de Boor 1972, J. Approx. Theory 6, 50) on the clamped knots, the ends repeated degree + 1 times.
    """

    intervals: int
    window: tuple[float, float] = (0.0, 1.0)
    degree: int = 3

    def __post_init__(self) -> None:
        _check(self.degree, self.window)
        if self.intervals < 1:
            raise InputError(f"B-splines: expected at least one interval, got {self.intervals}")

    @property
    def size(self) -> int:
        """The number of splines."""
        return self.intervals + self.degree

    @property
    def knots(self) -> np.ndarray:
        """[size + degree + 1]."""
        low, high = self.window
        inner = np.linspace(low, high, self.intervals + 1)
        return np.concatenate([[low] * self.degree, inner, [high] * self.degree])

    def values(self, x: Array) -> Array:
        """All splines at one x [], outside the window those of the interval at its end: [size]."""
        expect_example("x []", x)
        knots = jnp.asarray(self.knots, x.dtype)
        inner = knots[self.degree + 1 : self.degree + self.intervals]
        interval = self.degree + jnp.sum(x >= inner)
        splines = (jnp.arange(len(self.knots) - 1) == interval).astype(x.dtype)
        for degree in range(1, self.degree + 1):
            width = jnp.asarray(self.knots[degree:] - self.knots[:-degree], x.dtype)
            ratio = jnp.where(width > 0, 1 / jnp.where(width > 0, width, 1.0), 0.0)
            rising = (x - knots[: -degree - 1]) * ratio[:-1]
            falling = (knots[degree + 1 :] - x) * ratio[1:]
            splines = rising * splines[:-1] + falling * splines[1:]
        return splines


@dataclass(frozen=True)
class RadialBasis:
    """exp(-|x - c|^2 / (2 width^2)) around every center c, in any number of dimensions."""

    centers: tuple[tuple[float, ...], ...]
    width: float

    def __post_init__(self) -> None:
        _check(len(self.centers), (0.0, self.width))
        if len({len(center) for center in self.centers}) != 1:
            raise InputError("radial basis: expected centers of one dimension, got none or several")

    @classmethod
    def on_grid(cls, *axes: tuple[float, float, int], overlap: float = 1.0) -> "RadialBasis":
        """Centers on a grid, each axis (first, last, number); the width is `overlap` times the largest step."""
        lines = [np.linspace(*axis) for axis in axes]
        if any(len(line) < 2 for line in lines):
            raise InputError(f"radial basis: expected two centers or more along every axis, got {axes}")
        points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(lines))
        return cls(tuple(map(tuple, points.tolist())), overlap * float(max(line[1] - line[0] for line in lines)))

    @property
    def size(self) -> int:
        """The number of centers."""
        return len(self.centers)

    def values(self, x: Array) -> Array:
        """The Gaussians at one point x [dimension], or [] if there is one: [center]."""
        centers = jnp.asarray(self.centers, x.dtype)
        point = x[None] if x.ndim == 0 else x
        expect_example("x [dimension]", point, dimension=centers.shape[1])
        away = (point[None, :] - centers) / self.width
        return jnp.exp(-jnp.sum(away**2, axis=1) / 2)


def _check(degree: int, window: tuple[float, float]) -> None:
    if degree < 0 or not window[0] < window[1]:
        raise InputError(f"basis: expected a degree >= 0 and a window of positive width, got {degree} and {window}")


def _mapped(x: Array, window: tuple[float, float]) -> Array:
    """The window to -1 <= t <= 1."""
    expect_example("x []", x)
    return (2 * x - (window[0] + window[1])) / (window[1] - window[0])


def _by_recursion(t: Array, degree: int, step: Callable[[int], tuple[float, float]]) -> Array:
    """p_k+1 = a_k t p_k - b_k p_k-1 from p_0 = 1 and p_1 = t, with (a_k, b_k) = step(k): [degree + 1]."""
    factors = jnp.asarray([step(k) for k in range(1, degree)], t.dtype).reshape(-1, 2)

    def rise(last: tuple[Array, Array], factor: Array) -> tuple[tuple[Array, Array], Array]:
        new = factor[0] * t * last[0] - factor[1] * last[1]
        return (new, last[0]), new

    one = jnp.ones((), t.dtype)
    higher = jax.lax.scan(rise, (t, one), factors)[1]
    return jnp.concatenate([jnp.stack([one, t]), higher])[: degree + 1]
