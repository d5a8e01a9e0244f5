"""Our side: the epoch that `fit` does, as one compiled program, in the order that both sides are given."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.tagger_peers.problems import Data, Problem, Side
from jaxsci.core import Batch, Params, WeightedSet
from jaxsci.losses import binary_cross_entropy, objective_for
from jaxsci.models.heads import inference
from jaxsci.runs.weights import number
from jaxsci.training import Recipe, TrainState, adamw, init_state, predict
from jaxsci.training._epoch import BatchIndices, train_steps

PREDICTED = 100  # jets at a time, whose intermediate arrays stay in a processor's cache


def side(problem: Problem, data: Data, seed: int) -> Side:
    """Our network before its training."""
    loss = objective_for(problem.model, binary_cross_entropy)
    answering = inference(problem.model).apply
    recipe = Recipe(problem.model, loss, adamw(problem.learning_rate), microbatches=problem.microbatches)
    jets = jax.device_put(Batch(data.x, data.y, np.ones(len(data.y), np.float32)))

    @jax.jit
    def program(state: TrainState, jets: Batch, order: BatchIndices) -> tuple[TrainState, jax.Array]:
        state, _, metrics = train_steps(recipe, state, jnp.ones((), bool), jets, order)
        return state, jnp.mean(metrics["loss"])

    held = [init_state(recipe, jax.random.key(seed))]

    def epoch(order: np.ndarray) -> float:
        indices = order.astype(np.int32).reshape(-1, problem.batch_size)
        held[0], loss = program(held[0], jets, BatchIndices(indices, np.ones(indices.shape, np.float32)))
        return float(jax.block_until_ready((held[0], loss))[1])

    def logits(jets: slice) -> np.ndarray:
        some = WeightedSet(*(leaf[jets] for leaf in data.asked))
        answers: np.ndarray = predict(answering, held[0].params, some, batch_size=PREDICTED)
        return answers

    def restore(weights: Params) -> None:
        held[0] = held[0]._replace(params=jax.tree.map(jnp.asarray, weights))

    return Side(epoch, logits, lambda: held[0].params, restore, number(problem.model))
