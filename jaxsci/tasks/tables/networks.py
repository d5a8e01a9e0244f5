"""The network of a table: numbers and one-hot categories as they are, large categories by a learned vector each."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Key, Model, Params
from jaxsci.losses import correct, cross_entropy, objective, squared_error
from jaxsci.models import dense
from jaxsci.tasks.tables.encoding import Column, Rows
from jaxsci.tasks.tables.options import Options
from jaxsci.training import Recipe, adamw, steps_per_epoch, warmup_cosine

HIDDEN = (64, 64)
_EMBEDDING = 8  # numbers for each category of a large column


def keys(options: Options) -> Key:
    """The random keys of the members, [member]."""
    return jax.random.split(jax.random.key(options.seed), options.members)


def network(columns: Sequence[Column], classes: int | None, hidden: tuple[int, ...] = HIDDEN) -> Model:
    """A dense network of one row; without hidden layers it is linear in numbers and categories.

    Args:
        columns: what the inputs are.
        classes: how many; None for a regression, whose output is one number.
        hidden: sizes of the layers.
    """
    large = tuple(column.size for column in columns if column.embedded)
    flat = sum(1 + c.missing if c.categories is None else c.size for c in columns if not c.embedded)
    return _network(large, flat, classes, hidden)


@lru_cache(maxsize=32)  # of equal sizes one network, whose programs are compiled once
def _network(large: tuple[int, ...], flat: int, classes: int | None, hidden: tuple[int, ...]) -> Model:
    top = dense.model(dense.Config(flat + _EMBEDDING * len(large), outputs=classes or 1, hidden=hidden))

    def init(key: Key) -> Params:
        keys = jax.random.split(key, len(large) + 1)
        vectors = {
            f"column_{i}": jax.random.normal(keys[i + 1], (size, _EMBEDDING)) / np.float32(np.sqrt(_EMBEDDING))
            for i, size in enumerate(large)
        }
        return {"top": top.init(keys[0]), **({"embedding": vectors} if large else {})}

    def apply(params: Params, row: Rows) -> Array:
        vectors = [params["embedding"][f"column_{i}"][row.codes[i]] for i in range(len(large))]
        outputs = top.apply(params["top"], jnp.concatenate([jnp.asarray(row.numbers), *vectors]))
        return outputs[0] if classes is None else outputs

    return Model(init, apply)


def recipe(
    options: Options, model: Model, classes: int | None, examples: int, hyper: Mapping[str, Any] | None = None
) -> Recipe:
    """Cross entropy, or the squared error of the standardized target, by AdamW with warm-up and cosine decay.

    Args:
        options: of the run.
        model: to train.
        classes: how many; None for a regression.
        examples: rows of the training part.
        hyper: "learning_rate" and "weight_decay" of a trial, which may be traced; those that are absent are of the options.
    """
    steps = options.epochs * steps_per_epoch(examples, options.batch_size)
    rates = {"learning_rate": options.learning_rate, "weight_decay": options.weight_decay, **(hyper or {})}
    make = _recipe if hyper is None else _recipe.__wrapped__  # what is traced has no hash
    return make(model, classes is None, steps, **rates)


@lru_cache(maxsize=32)
def _recipe(model: Model, regression: bool, steps: int, learning_rate: Any, weight_decay: Any) -> Recipe:
    optimizer = adamw(learning_rate, weight_decay=weight_decay, schedule=warmup_cosine(steps), clip=1.0)
    if regression:
        return Recipe(model, objective(model.apply, squared_error), optimizer)
    return Recipe(model, objective(model.apply, cross_entropy, metrics={"accuracy": correct}), optimizer)
