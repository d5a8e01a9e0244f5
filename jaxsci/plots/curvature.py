"""What gradients say of a trained network: the spectrum of its curvature, and how hard single examples pull at it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["gradient_norms", "spectrum"]

DECADES = 7  # of the density below its highest point: beyond that single precision says nothing


@style.context()
def spectrum(grid: ArrayLike, density: ArrayLike, error: ArrayLike, eigenvalues: ArrayLike = ()) -> Figure:
    """The density of the eigenvalues of a Hessian on a logarithmic scale, with its error band and its largest eigenvalues as ticks.

    Args:
        grid: eigenvalues, [point].
        density: how many eigenvalues lie there per unit of eigenvalue, as a fraction of all, [point].
        error: its standard error, [point].
        eigenvalues: to mark, [eigenvalue].

    Raises:
        InputError: arrays of different shapes, or a density that is nowhere positive.
    """
    t, value, band = (np.asarray(a, np.float64) for a in (grid, density, error))
    if not (t.shape == value.shape == band.shape and t.ndim == 1):
        raise InputError(
            f"spectrum: expected three arrays [point], got shapes {t.shape}, {value.shape} and {band.shape}; pass what belongs together"
        )
    if not (np.isfinite(value).all() and value.max(initial=0) > 0):
        raise InputError(
            "spectrum: expected a density that is finite and somewhere positive, got another; widen the grid"
        )
    floor = value.max() / 10**DECADES
    figure = style.figure(3.2)
    axes = figure.subplots()
    axes.fill_between(
        t,
        np.maximum(value - band, floor),
        np.maximum(value + band, floor),
        color=style.color(0),
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(t, np.maximum(value, floor), color=style.color(0), label="density")
    marked = np.asarray(eigenvalues, np.float64)
    if marked.size:
        axes.plot(
            marked,
            np.full(marked.shape, floor * 3),
            "|",
            color=style.color(1),
            markersize=12,
            label="largest eigenvalues",
        )
    axes.set(yscale="log", ylim=(floor, 3 * value.max()), xlabel="Eigenvalue of the Hessian", ylabel="Density")
    axes.grid(True)
    style.legend_above(figure, axes)
    return figure


@style.context()
def gradient_norms(norms_by_class: Mapping[str, ArrayLike], *, bins: int = 50) -> Figure:
    """Distributions of the lengths of the gradients of single examples, a histogram a class, on a logarithmic axis.

    An example that is told with certainty and rightly does not pull at the network; one that is told wrongly pulls hardest.

    Args:
        norms_by_class: for each class the norms, [example]; those that are 0 are counted in the first bin.
        bins: how many.

    Raises:
        InputError: no class, or norms that are negative or not finite.
    """
    norms = {name: np.asarray(values, np.float64).ravel() for name, values in norms_by_class.items()}
    known = np.concatenate([*norms.values(), np.empty(0)])
    if not known.size or not (np.isfinite(known).all() and known.min() >= 0):
        raise InputError(
            "gradient norms: expected finite numbers of at least 0 in some class, got others; look at the losses"
        )
    positive = known[known > 0]
    high = positive.max(initial=1.0)
    low = max(positive.min(initial=high / 10), high * 1e-6)
    edges = np.geomspace(low, high * (1 + 1e-9), bins + 1) if low < high else np.geomspace(high / 2, high * 2, bins + 1)
    figure = style.figure(3.0)
    axes = figure.subplots()
    shared: dict[str, Any] = {"histtype": "step", "linewidth": 1.6, "density": False}
    for index, (name, values) in enumerate(norms.items()):
        weights = np.full(values.shape, 1 / max(values.size, 1))
        label = f"{style.literal(name)}, {style.counted(values.size, 'examples')}"
        axes.hist(
            np.maximum(values, edges[0]),
            edges.tolist(),
            weights=weights,
            color=style.color(index),
            label=label,
            **shared,
        )
    axes.set(xscale="log", xlabel="Length of the gradient of one example", ylabel="Fraction of the class")
    axes.grid(True)
    style.legend_above(figure, axes)
    return figure
