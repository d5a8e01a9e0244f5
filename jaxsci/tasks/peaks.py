"""The acoustic peaks of a power spectrum: where they are and how high, by a fit with errors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Batch, Params
from jaxsci.fit import errors, gaussian, minimise, require_minimum, total
from jaxsci.losses import objective

HALF_WINDOW = 0.25  # of the distance between neighbouring peaks


class Peak(NamedTuple):
    """A maximum of D_l."""

    place: float  # l
    place_error: float
    height: float  # the unit of the spectrum
    height_error: float
    chi2: float
    dof: int
    window: tuple[float, float]
    shape_bias: float  # the place that the same fit finds on the best-fit curve, minus the curve's true maximum


def shape(params: Params, degree: Array) -> Array:
    """h - c x^2 + d x^3 with x = (l - l0) / 100: the cubic whose maximum is at l0 with the height h."""
    x = (degree - params["place"]) / 100
    return params["height"] - params["curvature"] * x**2 + params["skew"] * x**3


def fit(degree: np.ndarray, power: np.ndarray, error: np.ndarray, curve: np.ndarray, number: int = 5) -> list[Peak]:
    """The first peaks of a spectrum.

    Args:
        degree: [l].
        power: D_l [l].
        error: of D_l [l], taken as Gaussian and independent.
        curve: a smooth best fit at the same degrees, which gives the windows; around a peak of it the spectrum is fitted.
        number: of peaks at most.
    """
    tops = [i for i in range(50, len(curve) - 50) if curve[i] == curve[i - 50 : i + 51].max()][:number]
    spacing = np.diff(degree[tops]).mean() if len(tops) > 1 else 300.0
    return [_one(degree, power, error, curve, top, HALF_WINDOW * spacing) for top in tops]


def _one(degree: np.ndarray, power: np.ndarray, error: np.ndarray, curve: np.ndarray, top: int, half: float) -> Peak:
    inside = np.abs(degree - degree[top]) <= half
    weight = jnp.asarray(1 / error[inside] ** 2)
    x = jnp.asarray(degree[inside], weight.dtype)
    start = {
        "place": jnp.asarray(degree[top], weight.dtype),
        "height": jnp.asarray(curve[top], weight.dtype),
        "curvature": jnp.asarray(curve[top] / 4, weight.dtype),
        "skew": jnp.zeros((), weight.dtype),
    }
    found = jax.jit(lambda y: minimise(total(objective(shape, gaussian), Batch(x, y, weight)), start))
    result, smooth = found(jnp.asarray(power[inside])), found(jnp.asarray(curve[inside]))
    require_minimum(result)
    error_of = errors(result.covariance, result.params)
    return Peak(
        float(result.params["place"]),
        float(error_of["place"]),
        float(result.params["height"]),
        float(error_of["height"]),
        2 * float(result.value),
        int(inside.sum()) - len(start),
        (float(degree[inside][0]), float(degree[inside][-1])),
        float(smooth.params["place"]) - float(degree[top]),
    )
