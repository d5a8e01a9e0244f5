"""What must hold of the data of a training, and what is said when a loss is no number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxsci.core import Array, Batch, Key, Stream
from jaxsci.errors import InputError
from jaxsci.training._mesh import to_host
from jaxsci.training._programs import Plan
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
    weight = to_host(data.weight).astype(np.float64)
    if not np.all(np.isfinite(weight)):
        row = int(np.argmin(np.isfinite(weight)))
        raise InputError(
            f"{part}.weight: expected finite numbers, got {weight[row]} in row {row}; 0 leaves an example out"
        )
    if not weight.sum() > 0:
        raise InputError(
            f"{part}: expected weights with a positive sum, got {weight.sum():g}; a mean over nothing is not a loss"
        )


def check_stream(stream: Stream, plan: Plan) -> None:
    """Raise InputError unless the blocks of the stream are whole minibatches that every device can hold."""
    if stream.examples < 1:
        raise InputError("train: expected at least one example, got none; a mean over nothing is not a loss")
    if stream.block % plan.batch_size:
        raise InputError(
            f"train: expected blocks of a multiple of the batch size {plan.batch_size}, got {stream.block} examples; choose another"
        )
    if plan.split_data:
        raise InputError(
            "split_data: expected data in memory, got a stream, whose blocks every device holds; leave it out"
        )


def check_parts(in_parts: Callable[..., tuple[Array, Array]], key: Key, hyper: Any, train: Batch, shards: int) -> None:
    """Raise InputError unless the loss of a small batch is the weighted mean of the losses of its parts, one for each device.

    A loss that compares examples with each other, such as a contrastive one, is not: split over devices it would be another loss.
    """
    rows = np.resize(np.flatnonzero(to_host(train.weight))[: 2 * shards], 2 * shards)
    parts = jax.tree.map(lambda leaf: to_host(_rows(leaf, rows)).reshape(shards, 2, *leaf.shape[1:]), train)
    if key.ndim:
        key, hyper = key[0], jax.tree.map(lambda leaf: leaf[0], hyper)
    whole, mean = (float(value) for value in in_parts(key, hyper, parts))
    if abs(whole - mean) > 1e-2 * max(abs(whole), abs(mean)) and np.isfinite([whole, mean]).all():
        raise InputError(
            f"mesh: expected a loss that is the mean over a batch of the losses of its examples, got one that is {whole:g} on "
            f"{2 * shards} examples and {mean:g} in the mean of {shards} parts of them; train on one device"
        )


def _rows(leaf: Array | np.ndarray, rows: np.ndarray) -> Array | np.ndarray:
    if isinstance(leaf, np.ndarray):
        return leaf[rows]
    # Of a mesh with explicit axes the place of what is gathered must be said.
    place = leaf.sharding
    if isinstance(place, NamedSharding) and AxisType.Explicit in place.mesh.axis_types:
        return leaf.at[rows].get(out_sharding=NamedSharding(place.mesh, PartitionSpec()))
    return leaf[rows]


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
    counts = to_host(data.weight) != 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        values = to_host(leaf)
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
