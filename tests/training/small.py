"""A small training: what the tests of this room share."""

from functools import partial

import jax
import numpy as np

from jaxsci.core import Batch
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import dense, heads
from jaxsci.training import Recipe, Settings, fit, init_state
from jaxsci.training.optimizers import adamw

MODEL = heads.scalar(dense.model(dense.Config(4, hidden=(8, 8))))
LOSS = objective(MODEL.apply, binary_cross_entropy)
KEY = jax.random.key(0)
SHORT = Settings(epochs=3, batch_size=32)


def data(examples, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, 4)).astype(np.float32)
    return Batch(x, (x[:, 0] * x[:, 1] > 0).astype(np.float32), np.ones(examples, np.float32))


def recipe(learning_rate=1e-2, **changes):
    return Recipe(MODEL, LOSS, adamw(learning_rate))._replace(**changes)


def start(recipe):
    """Where a training of it begins."""
    return jax.jit(partial(init_state, recipe))(KEY)


def train(recipe, settings=SHORT, **options):
    return fit(recipe, data(100), data(50, seed=1), key=KEY, settings=settings, **options)
