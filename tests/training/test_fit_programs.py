"""The programs of a training before it runs: their memory, their results in the place of their arguments, and microbatches that fit."""

import re

import jax
import numpy as np
import optax
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.training import Recipe, Settings, fit, fit_programs, microbatches_for

MODEL = heads.scalar(dense.model(dense.Config(8, hidden=(64, 64))))
RECIPE = Recipe(MODEL, objective(MODEL.apply, squared_error), optax.adam(1e-3))
OPTIONS = {"key": jax.random.key(0), "settings": Settings(1, 96)}


def data(examples):
    x = np.random.default_rng(0).normal(size=(examples, 8)).astype(np.float32)
    return Batch(x, x[:, 0], np.ones(examples, np.float32))


PARTS = data(192), data(96)


def test_a_step_writes_the_new_state_over_the_old():
    train, _ = fit_programs(RECIPE, *PARTS, **OPTIONS)
    compiled = train.lower().compile()
    state = jax.tree.leaves(jax.eval_shape(jax.random.key_data, train.arguments[0].train.key))
    leaves = [leaf for leaf in jax.tree.leaves(train.arguments[0]) if leaf is not train.arguments[0].train.key]
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves + state)
    assert compiled.memory_analysis().alias_size_in_bytes == held
    text = compiled.as_text()
    aliases = re.search(r"input_output_alias=\{(.*?)\}, \w+=", text)[1]
    assert len(re.findall(r"-alias\)", aliases)) == len(leaves + state)


def test_the_programs_are_those_that_a_training_runs():
    traced = []

    def apply(params, x):
        traced.append(x)
        return MODEL.apply(params, x)

    recipe = RECIPE._replace(model=MODEL._replace(apply=apply), loss=objective(apply, squared_error))
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), PARTS)
    for program in fit_programs(recipe, *abstract, **OPTIONS):
        program.lower()
    before = len(traced)
    fit(recipe, *PARTS, **OPTIONS)
    assert before == len(traced) > 0


@pytest.mark.slow
def test_microbatches_fit_the_memory_and_no_more_than_needed():
    def needed(microbatches):
        train, evaluate = fit_programs(RECIPE._replace(microbatches=microbatches), *PARTS, **OPTIONS)
        train_bytes, validation_bytes = (sum(leaf.nbytes for leaf in jax.tree.leaves(part)) for part in PARTS)
        return max(train.bytes() + validation_bytes, evaluate.bytes() + train_bytes)

    sizes = {microbatches: needed(microbatches) for microbatches in (1, 2, 3, 4)}
    assert sizes[1] > sizes[2] > sizes[4]
    assert microbatches_for(sizes[1], RECIPE, *PARTS, **OPTIONS) == 1
    assert microbatches_for(sizes[1] - 1, RECIPE, *PARTS, **OPTIONS) == 2
    assert microbatches_for(sizes[2] - 1, RECIPE, *PARTS, **OPTIONS) == 3
    assert microbatches_for(sizes[1], RECIPE._replace(microbatches=4), *PARTS, **OPTIONS) == 4
    with pytest.raises(
        InputError, match=r"fits into 0\.1 MB of a device, got one that needs .* MB with 96 microbatches"
    ):
        microbatches_for(100_000, RECIPE, *PARTS, **OPTIONS)
