"""Taggers on a few of the simulated jets of the package, trained in seconds: what claims about examples are tested on."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Batch, Key, Params
from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.data.split import split
from jaxsci.runs.task import silent
from jaxsci.tasks.top_tagging import jobs, taggers
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.training import Recipe, Settings, init_state, steps_per_epoch, unroll

FRACTIONS = (0.8, 0.05, 0.15)  # training, validation, test


class Problem(NamedTuple):
    """A tagger with the jets it is trained on, and others that it is asked about."""

    recipe: Recipe
    settings: Settings
    train: Batch
    asked: Batch

    @property
    def apply(self) -> Any:
        """The network, of one jet."""
        return self.recipe.model.apply

    @property
    def parameters(self) -> int:
        """How many it has."""
        shapes = jax.eval_shape(self.recipe.model.init, jax.random.key(0))
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))

    def margins(self, params: Params) -> Array:
        """The logarithm of the odds for the right label of every jet asked about, [jet]."""
        return margins(self.apply, params, self.asked)


def problem(name: str, train: int, asked: int, *, epochs: int | None = None, pixels: int = 40) -> Problem:
    """A tagger as the command trains it, but on so many jets, without changing them at random.

    Args:
        name: of the tagger.
        train: training jets.
        asked: jets of the test part.
        epochs: of the training; None: the tagger's own.
        pixels: of a side of the images; fewer cost less.
    """
    sample, labels, parts = _jets()
    options = Options(tagger=name, augment=False, epochs=epochs)
    tagger = taggers.tagger(name, taggers.Spec(pixels=(pixels, pixels)))
    rows = [part[:size] for part, size in zip((parts[0], parts[2]), (train, asked), strict=True)]
    chosen = np.concatenate(rows)
    some = jobs.take(sample, chosen)
    if tagger.from_images is not None:
        assert some.constituents is not None
        some = jets.JetSample(None, jet_images.images(some.constituents, pixels=pixels), some.labels)
    inputs = jobs.make_inputs(tagger, some, silent)
    places = np.split(np.arange(len(chosen)), [train])
    batches = [jax.tree.map(jnp.asarray, jobs.as_batch(inputs, labels[chosen], place)) for place in places]
    recipe, settings = jobs.make_recipe(jobs.Job(options, tagger, some, (places[0], places[1], places[1])))
    return Problem(recipe, settings, *batches)


@lru_cache
def _jets() -> tuple[jets.JetSample, np.ndarray, Any]:
    sample = jets.read(jets.embedded())
    labels = jobs.labels_of(sample)
    return sample, labels, split(labels, seed=1, fractions=FRACTIONS)


def margins(apply: Any, params: Params, batch: Batch) -> Array:
    """The logarithm of the odds for the label of every jet, [jet]."""
    logits: Array = jax.vmap(apply, in_axes=(None, 0))(params, batch.x)
    return (2 * jnp.asarray(batch.y) - 1) * logits


def trajectory(problem: Problem, keys: Key) -> Params:
    """The parameters after every epoch of a training from each key: [key, epoch, ...]."""
    return _trajectory(problem.recipe, problem.settings, problem.train, keys)


@jax.jit(static_argnums=(0, 1))
def _trajectory(recipe: Recipe, settings: Settings, train: Batch, keys: Key) -> Params:
    steps = steps_per_epoch(train.weight.shape[0], settings.batch_size)

    def one(key: Key) -> Params:
        def epoch(state: Any, _: None) -> tuple[Any, Params]:
            state = unroll(recipe, state, train, steps=steps, batch_size=settings.batch_size)
            return state, state.params

        return jax.lax.scan(epoch, init_state(recipe, key), length=settings.epochs)[1]

    return jax.lax.map(one, keys)
