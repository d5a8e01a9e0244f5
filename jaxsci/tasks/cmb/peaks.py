"""The acoustic peaks of a power spectrum: where they are and how high, by a fit with errors."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Batch, Params
from jaxsci.errors import InputError
from jaxsci.fitting import LikelihoodFit, errors, gaussian, minimize, require_minimum, total
from jaxsci.losses import objective

HALF_WINDOW = 0.25  # of the distance between neighboring peaks


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


def of_spectrum(measured: np.ndarray, best: np.ndarray) -> list[Peak]:
    """The first peaks of a table of rows l, D_l, errors below and above, with the best fit in rows l, D_l."""
    degree, power = measured[:, 0], measured[:, 1]
    return fit(degree, power, measured[:, 2:4].mean(1), np.interp(degree, best[:, 0], best[:, 1]))


def fit(degree: np.ndarray, power: np.ndarray, error: np.ndarray, curve: np.ndarray, number: int = 5) -> list[Peak]:
    """The first peaks of a spectrum.

    Args:
        degree: [l].
        power: D_l [l].
        error: of D_l [l], taken as Gaussian and independent.
        curve: a smooth best fit at the same degrees, which gives the windows; around a peak of it the spectrum is fitted.
        number: of peaks at most.

    Raises:
        InputError: the best fit has no maximum.
    """
    tops = [i for i in range(50, len(curve) - 50) if curve[i] == curve[i - 50 : i + 51].max()][:number]
    if not tops:
        raise InputError(
            "acoustic peaks: expected a best fit with a maximum, found none; give a table of D_l that reaches the peaks"
        )
    half = HALF_WINDOW * (np.diff(degree[tops]).mean() if len(tops) > 1 else 300.0)
    inside = np.abs(degree - degree[tops][:, None]) <= half  # [peak, l]
    heights = jnp.asarray(curve[tops])
    starts = {
        "place": jnp.asarray(degree[tops], float),
        "height": heights,
        "curvature": heights / 4,
        "skew": 0 * heights,
    }
    weights = jnp.asarray(np.where(inside, 1 / error**2, 0))
    x = jnp.asarray(degree, float)
    found, smooth = (_minima(x, jnp.asarray(y), weights, starts) for y in (power, curve))
    errors_of = jax.vmap(errors)(found.covariance, found.params)
    result = []
    for i, top in enumerate(tops):
        require_minimum(jax.tree.map(lambda leaf, i=i: leaf[i], found))
        place, height = (float(found.params[name][i]) for name in ("place", "height"))
        window = degree[inside[i]]
        result.append(
            Peak(
                place,
                float(errors_of["place"][i]),
                height,
                float(errors_of["height"][i]),
                chi2=2 * float(found.value[i]),
                dof=len(window) - len(starts),
                window=(float(window[0]), float(window[-1])),
                shape_bias=float(smooth.params["place"][i]) - float(degree[top]),
            )
        )
    return result


@jax.jit
@partial(jax.vmap, in_axes=(None, None, 0, 0))
def _minima(degree: Array, power: Array, weight: Array, start: Params) -> LikelihoodFit:
    return minimize(total(objective(shape, gaussian), Batch(degree, power, weight)), start)
