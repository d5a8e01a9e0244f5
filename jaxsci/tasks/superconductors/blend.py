"""The Gaussian process beside an ensemble of networks: conditioned on the same materials, it answers for a share of the mean."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.tasks.superconductors import gaussian_process

MOST = 20_000  # materials that a process is conditioned on, which takes 5 GB; of more, so many drawn at random
_TOGETHER = 32  # materials whose covariances with all others stay in a processor's cache

Mean = Callable[[Array], Array]  # of amounts [material, element] to [material]


class Share(NamedTuple):
    """A process and its part of the answer, the other part being the ensemble's."""

    mean: Mean
    share: float


def conditioned(
    config: gaussian_process.Config,
    amounts: np.ndarray,
    target: np.ndarray,
    table: np.ndarray,
    seed: int,
    first: np.ndarray | None = None,
) -> tuple[Mean, int]:
    """The mean of the process for any number of materials, also a number that `jax.export` leaves open; and how many it stands on.

    Args:
        config: the covariance.
        amounts: measured materials [material, element].
        target: [material], in the network's units.
        table: standardized features of the elements [element, feature].
        seed: of the draw where there are more than MOST.
        first: bool [material], those that are drawn before the others; None: all alike.
    """
    order = np.random.default_rng(seed).permutation(len(target))
    if first is not None:
        order = order[np.argsort(~first[order], kind="stable")]
    rows = np.sort(order[:MOST])
    elements = jnp.asarray(table)
    condition = jax.jit(partial(gaussian_process.condition, config=config, table=elements))
    params = condition(jnp.asarray(amounts[rows]), jnp.asarray(target[rows], jnp.float32))

    def mean(amounts: Array) -> Array:
        number = amounts.shape[0]
        batches = -(-number // _TOGETHER)
        padded = jnp.pad(amounts, ((0, batches * _TOGETHER - number), (0, 0)))
        each = jax.vmap(lambda x: gaussian_process.apply(params, x, config, elements))
        return jax.lax.map(each, padded.reshape(batches, _TOGETHER, -1)).reshape(-1)[:number]

    return mean, len(rows)


def best_share(process: np.ndarray, ensemble: np.ndarray, target: np.ndarray) -> float:
    """The share w, 0 to 1, with which w process + (1 - w) ensemble has the smallest mean square error on these materials."""
    difference = process - ensemble
    squares = float(np.sum(difference**2))
    return 0.0 if squares == 0 else float(np.clip(np.sum(difference * (target - ensemble)) / squares, 0, 1))
