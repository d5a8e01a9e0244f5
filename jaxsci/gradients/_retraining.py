"""Trainings on parts of the training examples, all of them as one program."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Batch, Key, Params, StatefulModel
from jaxsci.errors import InputError
from jaxsci.training import Recipe, Settings, fit_ensemble


def retrained(
    recipe: Recipe,
    train: Batch,
    validation: Batch,
    measure: Callable[[Params], Array],
    kept: Array,
    *,
    key: Key,
    settings: Settings,
    seeds: int = 1,
    sequential: bool = False,
) -> Array:
    """What is measured after trainings on some of the examples each: [part, seed, *measured].

    Args:
        recipe: model, loss and optimizer of a training; its loss is a mean by `batch.weight`.
        train: [example, ...].
        validation: decides on early stopping, if the settings have it; the last parameters of every training are measured.
        measure: params -> an array.
        kept: [part, example], 1 for the examples that a training sees and 0 for the others.
        key: of the trainings.
        settings: epochs and batch size of a training.
        seeds: trainings on each part.
        sequential: as for `fit_ensemble`.

    Raises:
        InputError: a model with state, whose statistics would count examples that are left out.
    """
    require_stateless(recipe)
    # The number of an example is carried beside its input; those of the validation part are in no part and count fully.
    size = kept.shape[1]
    train = train._replace(x=(train.x, np.arange(size, dtype=np.int32)))
    validation = validation._replace(x=(validation.x, np.full(np.shape(validation.weight), size, np.int32)))
    of_batch: Any = recipe.loss

    def member(hyper: Any) -> Recipe:
        """The recipe whose loss weights a training example by whether the member has it."""

        def loss(params: Params, batch: Batch) -> Any:
            x, index = batch.x
            share = hyper["kept"].at[index].get(mode="fill", fill_value=1).astype(batch.weight.dtype)
            return of_batch(params, Batch(x, batch.y, batch.weight * share))

        augment = recipe.augment
        with_number = None if augment is None else lambda key, x: (augment(key, x[0]), x[1])
        return recipe._replace(loss=loss, augment=with_number)

    repeated = jnp.repeat(kept, seeds, axis=0)
    keys = jax.random.split(key, len(repeated))
    fitted = fit_ensemble(
        member, {"kept": repeated}, train, validation, keys=keys, settings=settings, sequential=sequential
    )
    found = jax.jit(jax.vmap(measure))(fitted.last_params)
    return found.reshape(len(kept), seeds, *found.shape[1:])


def require_stateless(recipe: Recipe) -> None:
    """Raise InputError for a model with state, whose statistics would count examples that are left out."""
    if isinstance(recipe.model, StatefulModel):
        raise InputError(
            "recipe: expected a Model, got a StatefulModel; leave examples out of networks without a state"
        )
