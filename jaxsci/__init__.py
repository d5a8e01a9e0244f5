"""Machine learning for the natural sciences as pure functions in JAX.

    import jaxsci as js

Everything is loaded on first use: `import jaxsci` alone is instant and does not import JAX.
"""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci import (
        core,
        data,
        errors,
        fitting,
        gradients,
        healpix,
        losses,
        memory,
        metrics,
        models,
        ops,
        plots,
        runs,
        training,
    )
    from jaxsci.core import Batch, Model, WeightedSet
    from jaxsci.errors import InputError
    from jaxsci.tasks.table import load
    from jaxsci.training import Fit, Recipe, Settings, fit, fit_ensemble, predict

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Fit",
    "InputError",
    "Model",
    "Recipe",
    "Settings",
    "WeightedSet",
    "core",
    "data",
    "errors",
    "fit",
    "fit_ensemble",
    "fitting",
    "gradients",
    "healpix",
    "load",
    "losses",
    "memory",
    "metrics",
    "models",
    "ops",
    "plots",
    "predict",
    "runs",
    "training",
]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use(
        "jaxsci",
        [
            *("core", "data", "errors", "fitting", "gradients", "healpix", "losses"),
            *("memory", "metrics", "models", "ops", "plots", "runs", "training"),
        ],
        dict.fromkeys(("Batch", "Model", "WeightedSet"), "jaxsci.core")
        | {"InputError": "jaxsci.errors", "load": "jaxsci.tasks.table"}
        | dict.fromkeys(("Fit", "Recipe", "Settings", "fit", "fit_ensemble", "predict"), "jaxsci.training"),
    )
