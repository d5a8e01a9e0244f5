"""Models: each module has a frozen `Config`, `init(key, config)`, `apply(params, x, config)` on ONE example, and `model(config)`."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci.models import (
        autoencoder,
        basis,
        compositional,
        convolutional,
        convolutional_autoencoder,
        deep_sets,
        dense,
        harmonics,
        heads,
        jets,
        layers,
        linen,
        mixture,
    )

__all__ = [
    "autoencoder",
    "basis",
    "compositional",
    "convolutional",
    "convolutional_autoencoder",
    "deep_sets",
    "dense",
    "harmonics",
    "heads",
    "jets",
    "layers",
    "linen",
    "mixture",
]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.models", __all__)
