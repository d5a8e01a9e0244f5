"""Training: a step, the epoch as its scan, the host loop around it, and ensembles of it under `vmap`."""

from jaxsci.training._epoch import steps_per_epoch
from jaxsci.training._fit import EpochProgress, Fit, Settings, TrainingDivergedError, fit, fit_ensemble
from jaxsci.training._predict import predict
from jaxsci.training._step import Recipe, TrainState, init_state, make_step
from jaxsci.training.optimizers import adamw, warmup_cosine

__all__ = [
    "EpochProgress",
    "Fit",
    "Recipe",
    "Settings",
    "TrainState",
    "TrainingDivergedError",
    "adamw",
    "fit",
    "fit_ensemble",
    "init_state",
    "make_step",
    "predict",
    "steps_per_epoch",
    "warmup_cosine",
]
