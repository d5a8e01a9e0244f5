"""Training: a step, the epoch as its scan, the host loop around it, and ensembles of it under `vmap`."""

from jaxsci.errors import StopTraining
from jaxsci.training import checkpoint, optimizers
from jaxsci.training._checks import TrainingDivergedError
from jaxsci.training._epoch import steps_per_epoch
from jaxsci.training._fit import Fit, Settings, fit, fit_ensemble
from jaxsci.training._fit_programs import FitPrograms, Program, fit_programs, microbatches_for
from jaxsci.training._loop import EpochProgress
from jaxsci.training._mesh import device_mesh
from jaxsci.training._predict import predict
from jaxsci.training._step import Recipe, TrainState, init_state, make_step
from jaxsci.training._unroll import unroll
from jaxsci.training.optimizers import adamw, ema_params, warmup_cosine, with_ema
from jaxsci.training.profile import Profile

__all__ = [
    "EpochProgress",
    "Fit",
    "FitPrograms",
    "Profile",
    "Program",
    "Recipe",
    "Settings",
    "StopTraining",
    "TrainState",
    "TrainingDivergedError",
    "adamw",
    "checkpoint",
    "device_mesh",
    "ema_params",
    "fit",
    "fit_ensemble",
    "fit_programs",
    "init_state",
    "make_step",
    "microbatches_for",
    "optimizers",
    "predict",
    "steps_per_epoch",
    "unroll",
    "warmup_cosine",
    "with_ema",
]
