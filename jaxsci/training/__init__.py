"""Training: a step, the epoch as its scan, the host loop around it, and ensembles of it under `vmap`."""

from jaxsci.training._fit import Fit, Progress, Settings, TrainingDivergedError, fit, fit_ensemble
from jaxsci.training._predict import predict
from jaxsci.training._step import Recipe, TrainState, init_state, make_step

__all__ = [
    "Fit",
    "Progress",
    "Recipe",
    "Settings",
    "TrainState",
    "TrainingDivergedError",
    "fit",
    "fit_ensemble",
    "init_state",
    "make_step",
    "predict",
]
