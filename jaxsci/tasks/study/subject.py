"""What a task gives to its study: a trained network, its examples, and how these are called and drawn."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.core import Array, Batch, ExampleLoss, Inputs, Key, Model, Params, StatefulModel
from jaxsci.errors import InputError
from jaxsci.runs.page import Drawing
from jaxsci.runs.task import OnProgress
from jaxsci.training import Recipe, checkpoint, init_state

# "harmful", "helpful", "least expected" -> numbers of examples in the batch of training examples
Rows = dict[str, np.ndarray]
Entry = dict[str, Any]  # what is said of one example: column -> words, a whole number or a number


class Subject(NamedTuple):
    """A trained network with the examples its gradients are taken of."""

    task: str
    name: str  # of the network, for titles
    noun: str  # what examples are called, in the plural
    apply: Callable[[Params, Inputs], Array]  # of ONE example
    example_loss: ExampleLoss
    params: Params  # of the best epoch; of an ensemble those of its first member
    others: Mapping[str, Params]  # at other moments of the same training, as from `other_weights`
    train: Batch
    validation: Batch
    classes: Mapping[str, np.ndarray]  # bool [training example]
    entries: Callable[[np.ndarray, np.ndarray], Sequence[Entry]]  # (numbers of training examples, outputs for them)
    draw: Callable[[Rows, np.ndarray], Sequence[Drawing]]  # (numbers, outputs for all training examples)
    seed: int = 0
    convex: bool = True  # whether the loss has a curvature in the outputs; a quantile loss has none
    about: str = ""  # words on what is studied, such as that it is one of several members
    intervals: Callable[[OnProgress], dict[str, Any]] | None = None  # of the predictions, by several methods


def require(folder: Path, model: Model | StatefulModel) -> None:
    """Raise InputError where a network has a state, whose loss is no mean over examples."""
    if isinstance(model, StatefulModel):
        raise InputError(
            f"{folder}: expected a network without state, got one with batch statistics or dropout, whose training loss is no mean of "
            "losses of single examples; study one without"
        )


def require_one(folder: Path, members: int) -> None:
    """Raise InputError where a run has several networks."""
    if members > 1:
        raise InputError(
            f"{folder}: expected a run of one network, got an ensemble of {members}, whose loss has as many curvatures; study one"
        )


def some(numbers: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of these numbers, drawn at random and in their order.

    Raises:
        InputError: fewer than 2 are asked for.
    """
    if most < 2:
        raise InputError(f"--max-examples: expected at least 2, got {most}; give more, or leave it out")
    chosen = np.random.default_rng(seed).permutation(len(numbers))[:most]
    return numbers[np.sort(chosen)]


def other_weights(folder: Path, recipe: Recipe, key: Key) -> dict[str, Params]:
    """The parameters of a run before its training, and after the last epoch where its checkpoint is still there.

    Args:
        folder: of the run.
        recipe: of its training.
        key: of its training; for an ensemble [member], of which the first is returned.
    """
    first = key[0] if key.ndim else key
    found = {"before the training": init_state(recipe, first).params}
    checkpoints = folder / "checkpoints"
    if checkpoint.latest(checkpoints) is not None:
        last = checkpoint.restore(checkpoints, checkpoint.abstract_state(recipe, key)).state.train.params
        found["after the last epoch"] = first_member(last) if key.ndim else jax.tree.map(np.asarray, last)
    return found


def first_member(params: Params) -> Params:
    """Of an ensemble's parameters [member, ...]."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], params)
