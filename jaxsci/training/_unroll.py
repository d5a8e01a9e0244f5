"""A training as one differentiable function of all that enters it."""

import math

import jax
import jax.numpy as jnp

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.training._epoch import BatchIndices, shuffled, steps_per_epoch, take
from jaxsci.training._step import Recipe, TrainState, make_step


def unroll(recipe: Recipe, state: TrainState, data: Batch, *, steps: int, batch_size: int) -> TrainState:
    """The state after so many steps, as a pure function whose derivatives are those of the whole training.

    With hyperparameters closed over by the recipe, examples weighted by `data.weight` and initial parameters in the state,

        jax.jacfwd(lambda h: loss(unroll(recipe(h), init_state(recipe(h), key), data, ...).params, validation)[0])

    is the slope of the validation loss after training with respect to any of them: in forward mode in the memory of a training for
    each number of h, in reverse mode (`jax.grad`, for many numbers such as the weights of the examples) in that of about
    2 sqrt(steps) states, because steps between every sqrt(steps)-th one are done again.

    The order of the examples is that of `fit` from the same key, epoch after epoch; so is the result, up to rounding, without early
    stopping. Adam divides by the root of the mean squared gradient, whose slope at 0 is infinite: where a gradient can be exactly 0
    (a unit of ReLU that never fires), take an optimizer with a positive `eps_root`.

    Args:
        recipe: model, loss, optimizer; may close over traced numbers.
        state: at the beginning of an epoch, as from `init_state`.
        data: the training part [example, ...].
        steps: how many.
        batch_size: of each.

    Raises:
        InputError: fewer than one step, or a batch size below 1.

    Source: Franceschi et al. 2017, arXiv:1703.01785; Chen et al. 2016, arXiv:1604.06174 for the checkpoints.
    """
    if steps < 1 or batch_size < 1:
        raise InputError(f"steps, batch_size: expected at least 1 of each, got {steps} and {batch_size}; give more")
    data = jax.tree.map(jnp.asarray, data)
    size = data.weight.shape[0]
    each = steps_per_epoch(size, batch_size)
    first = state.step // each
    epochs = first + jnp.arange(-(-steps // each), dtype=first.dtype)
    keys = jax.vmap(lambda epoch: jax.random.fold_in(state.key, -1 - epoch))(epochs)
    orders = jax.vmap(lambda key: shuffled(key, size, batch_size))(keys)
    order = BatchIndices(*(leaf.reshape(-1, leaf.shape[-1])[:steps] for leaf in orders))
    step = make_step(recipe)

    def one(state: TrainState, minibatch: BatchIndices) -> tuple[TrainState, None]:
        return step(state, take(data, *minibatch))[0], None

    @jax.checkpoint
    def several(state: TrainState, minibatches: BatchIndices) -> tuple[TrainState, None]:
        return jax.lax.scan(one, state, minibatches)

    length = math.isqrt(steps)
    whole = steps // length * length
    blocks = BatchIndices(*(leaf[:whole].reshape(-1, length, leaf.shape[-1]) for leaf in order))
    state, _ = jax.lax.scan(several, state, blocks)
    if whole < steps:
        state, _ = several(state, BatchIndices(*(leaf[whole:] for leaf in order)))
    return state
