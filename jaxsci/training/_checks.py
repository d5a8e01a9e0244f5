"""What must hold of the data of a training, and what is said when a loss is no number."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsci.core import Array, Batch
from jaxsci.errors import InputError
from jaxsci.training.checkpoint import latest


class TrainingDivergedError(ArithmeticError):
    """A loss became NaN or infinite; the message names the step, the metric and the last good checkpoint."""


def check_data(part: str, data: Batch) -> None:
    """Raise InputError unless all arrays have as many examples as there are weights, and the weights have a positive sum."""
    if np.ndim(data.weight) != 1:
        raise InputError(f"{part}: expected weights [example], got an array of {np.ndim(data.weight)} axes")
    examples = data.weight.shape[0]
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        if np.shape(leaf)[:1] != (examples,):
            raise InputError(
                f"{part}{jax.tree_util.keystr(path)}: expected [{examples}, ...], an entry for every weight, got the shape "
                f"{list(np.shape(leaf))}; give one weight per example"
            )
    if examples == 0:
        raise InputError(f"{part}: expected at least one example, got none; a mean over nothing is not a loss")
    weight = np.asarray(data.weight).astype(np.float64)
    if not np.all(np.isfinite(weight)):
        row = int(np.argmin(np.isfinite(weight)))
        raise InputError(
            f"{part}.weight: expected finite numbers, got {weight[row]} in row {row}; 0 leaves an example out"
        )
    if not weight.sum() > 0:
        raise InputError(
            f"{part}: expected weights with a positive sum, got {weight.sum():g}; a mean over nothing is not a loss"
        )


def check_finite(
    metrics: Any, finite: Array, *, epoch: int, first_step: int, checkpoints: Path | None, data: dict[str, Batch]
) -> None:
    """Raise when no member is left whose losses are finite; `metrics` are [..., step] from `first_step` of the epoch on.

    Raises:
        InputError: an example that counts is not finite itself.
        TrainingDivergedError: the data are finite, the loss is not.
    """
    if np.any(finite):
        return
    for part, batch in data.items():
        _check_rows(part, batch)
    name, values = next((name, np.asarray(value)) for name, value in metrics.items() if name.endswith("loss"))
    bad = ~np.isfinite(values).reshape(-1, values.shape[-1])
    step = int(np.argmax(bad.any(axis=0)))
    value = values.reshape(bad.shape)[np.argmax(bad[:, step]), step]
    saved = None if checkpoints is None else latest(checkpoints)
    good = "no checkpoint was written" if saved is None else f"the last good checkpoint is {checkpoints}/{saved}"
    raise TrainingDivergedError(
        f"{name} became {value} in epoch {epoch}, step {first_step + step}; {good}; "
        "lower the learning rate or clip the gradient"
    )


def _check_rows(part: str, data: Batch) -> None:
    counts = np.asarray(data.weight) != 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        values = np.asarray(leaf)
        if not jax.dtypes.issubdtype(values.dtype, np.inexact):
            continue
        wrong = counts & ~np.isfinite(values).reshape(counts.size, -1).all(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            bad = values[row][~np.isfinite(values[row])].flat[0] if values.ndim > 1 else values[row]
            raise InputError(
                f"{part}{jax.tree_util.keystr(path)}: expected finite numbers, got {bad} in row {row}, the first of "
                f"{int(wrong.sum())}; repair these examples, leave them out, or give them the weight 0"
            )
