"""Pure functions from arrays to matplotlib figures, and the page that carries them."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci.plots import (
        anomalies,
        classification,
        curvature,
        fit,
        jets,
        materials,
        png,
        reconstruction,
        sphere,
        style,
        training,
    )

__all__ = [
    "anomalies",
    "classification",
    "curvature",
    "fit",
    "jets",
    "materials",
    "png",
    "reconstruction",
    "sphere",
    "style",
    "training",
]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.plots", __all__)
