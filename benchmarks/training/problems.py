"""The trainings that are measured: a network, its loss, and jets of the sample that comes with the package."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.core import Batch, ExampleLoss, Model
from jaxsci.data import jets
from jaxsci.losses import binary_cross_entropy, objective, squared_error
from jaxsci.models import autoencoder, deep_sets, dense, heads
from jaxsci.tasks.top_tagging import taggers
from jaxsci.training import Recipe, adamw

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2  # on weights, not on biases
SMALL_EXAMPLES = 512
SMALL = deep_sets.Config(7, phi=(32, 32, 32), rho=(32, 32))  # of the ensemble


class Problem(NamedTuple):
    """What is trained, on what, and in what batches."""

    model: Model
    example_loss: ExampleLoss
    data: Batch  # numpy; a whole number of batches
    batch_size: int
    microbatches: int = 1  # of a batch, as in `Recipe`


def recipe(problem: Problem) -> Recipe:
    """The library's own training of the problem, by AdamW."""
    loss = objective(problem.model.apply, problem.example_loss)
    optimizer = adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    return Recipe(problem.model, loss, optimizer, microbatches=problem.microbatches)


def forward_flops(problem: Problem) -> float:
    """Floating-point operations of the network on one example, as XLA counts them."""
    params = jax.eval_shape(problem.model.init, jax.random.key(0))
    example = jax.tree.map(lambda leaf: leaf[0], problem.data.x)
    counted: Any = jax.jit(problem.model.apply).lower(params, example).cost_analysis()
    return counted["flops"]


class Jets(NamedTuple):
    """Simulated jets."""

    constituents: np.ndarray  # [jet, constituent, 4]
    labels: np.ndarray  # [jet]


def sample(examples: int) -> Jets:
    """So many jets, spread evenly over the embedded sample."""
    everything = _embedded()
    rows = np.linspace(0, len(everything.labels), examples, endpoint=False).astype(np.int64)
    return Jets(everything.constituents[rows], everything.labels[rows])


@functools.cache
def _embedded() -> Jets:
    found = jets.read(jets.embedded())
    assert found.constituents is not None
    assert found.labels is not None
    return Jets(found.constituents, found.labels)


def _tagger(name: str, chosen: Jets) -> Problem:
    tagger = taggers.tagger(name)
    data = _labeled(tagger.inputs(chosen.constituents), chosen.labels)
    return Problem(tagger.model, binary_cross_entropy, data, tagger.defaults.batch_size, tagger.defaults.microbatches)


def _labeled(x: object, labels: np.ndarray) -> Batch:
    x = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), x)
    return _batch(x, labels.astype(np.float32))


def _batch(x: Any, y: Any) -> Batch:
    weight: Any = np.ones(len(y), np.float32)  # numpy here, an array of JAX once it is on the device
    return Batch(x, y, weight)


def dense_narrow(chosen: Jets) -> Problem:
    """90-300-102-12-6-1 (arXiv:1704.02124)."""
    return _tagger("topodnn", chosen)


def dense_wide(chosen: Jets) -> Problem:
    """The same inputs, 90-512-512-512-1."""
    model = heads.scalar(dense.model(dense.Config(90, hidden=(512, 512, 512))))
    return dense_narrow(chosen)._replace(model=model)


def cnn(chosen: Jets) -> Problem:
    """The library's default tagger, on jet images of 40 x 40 pixels."""
    return _tagger("cnn", chosen)


def pfn(chosen: Jets) -> Problem:
    """The Particle Flow Network: Phi 100, 100, 256 and F 100, 100, 100 on 7 features of up to 100 constituents (arXiv:1810.05165)."""
    return _tagger("pfn", chosen)


def dense_autoencoder(chosen: Jets) -> Problem:
    """1600-128-32-8-32-128-1600 on jet images."""
    x = taggers.image_inputs(chosen.constituents).astype(np.float32)
    model = autoencoder.model(autoencoder.Config(x.shape[1:]))
    return Problem(model, squared_error, _batch(x, x), batch_size=128)


def small_set(chosen: Jets) -> Problem:
    """A member of the ensemble: a Deep Set with Phi 32, 32, 32 and F 32, 32 on the inputs of the `pfn`."""
    return pfn(chosen)._replace(model=heads.scalar(deep_sets.model(SMALL)), batch_size=128, microbatches=1)


class Entry(NamedTuple):
    """A problem, and so many of its examples that an epoch takes some tenths of a second on two cores."""

    make: Callable[[Jets], Problem]
    examples: int


PROBLEMS = {
    "dense": Entry(dense_narrow, 128 * 200),
    "dense-wide": Entry(dense_wide, 128 * 64),
    "cnn": Entry(cnn, 128 * 16),
    "pfn": Entry(pfn, 200 * 10),
    "autoencoder": Entry(dense_autoencoder, 128 * 64),
}
