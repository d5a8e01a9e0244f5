"""The influence of each element: its latent number X in a Deep Set with a latent space of one dimension, over an ensemble."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Batch, Key
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.tasks.superconductors.networks import INFLUENCE_EPOCHS as EPOCHS
from jaxsci.tasks.superconductors.networks import Target, make_recipe, network
from jaxsci.training import EpochProgress, fit_ensemble


class Influence(NamedTuple):
    """X of the elements that occur in the training split, in units of its own spread over them; NaN for the others."""

    mean: np.ndarray  # [element], over the members
    spread: np.ndarray  # [element], standard deviation over the members; NaN where there is one alone


def influence(
    train: Batch,
    validation: Batch,
    target: Target,
    table: np.ndarray,
    *,
    keys: Key,
    epochs: int = EPOCHS,
    progress: Callable[[EpochProgress], None] | None = None,
) -> Influence:
    """Train x = sum_i n_i X_i, f = rho(x), once for each key, and read X off the elements.

    A rise of x may mean a rise or a fall of f, and its scale is free: X of each training is shifted to mean 0, scaled to spread 1 over
    the elements that occur, and given the sign that makes x of the training materials go with their target.

    Args:
        train: atomic fractions [material, 96], and targets.
        validation: decides which epoch is kept.
        target: what the targets are.
        table: standardized features of the elements [96, feature].
        keys: [member].
        epochs: passes over the training split.
        progress: called with stage, fraction and a few words, as for `fit_ensemble`.
    """
    net = network("influence", target, table)
    net = net._replace(settings=replace(net.settings, epochs=epochs))
    recipe = make_recipe(net, target, len(train.weight))
    sequential = jax.default_backend() == "cpu"
    result = fit_ensemble(
        lambda hyper: recipe,
        {},
        train,
        validation,
        keys=keys,
        settings=net.settings,
        sequential=sequential,
        progress=progress,
    )
    each = jnp.eye(len(table), dtype=jnp.float32)  # the latent number of an element alone is its X
    embed = jax.jit(jax.vmap(jax.vmap(net.embed, in_axes=(None, 0)), in_axes=(0, None)))
    raw = np.asarray(embed(result.params, each), np.float64)[..., 0]
    occurs = np.asarray(jnp.any(train.x > 0, axis=0))
    scaled = (raw - raw[:, occurs].mean(1, keepdims=True)) / raw[:, occurs].std(1, keepdims=True)
    x, y = np.asarray(train.x, np.float64), np.asarray(train.y, np.float64)
    signs = np.sign([np.corrcoef(x @ member, y)[0, 1] for member in scaled])
    aligned = scaled * signs[:, None]
    mean, spread = aligned.mean(0), aligned.std(0) if len(aligned) > 1 else np.full(len(table), np.nan)
    return Influence(*(np.where(occurs, values, np.nan) for values in (mean, spread)))


def as_record(found: Influence) -> dict[str, dict[str, float | None]]:
    """By symbol, ready for JSON; elements that do not occur are left out."""
    return {
        symbol: {"mean": round(float(mean), 4), "spread": round(float(spread), 4) if np.isfinite(spread) else None}
        for symbol, mean, spread in zip(SYMBOLS, *found, strict=False)
        if np.isfinite(mean)
    }


def from_record(record: dict[str, dict[str, float | None]]) -> Influence:
    """What `as_record` wrote."""
    missing: dict[str, float | None] = {"mean": np.nan, "spread": np.nan}
    rows = [record.get(symbol, missing) for symbol in SYMBOLS[:ELEMENTS]]
    return Influence(*(np.array([row[name] for row in rows], np.float64) for name in ("mean", "spread")))
