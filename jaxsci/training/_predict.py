"""Predictions for many examples in batches of one fixed shape."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Inputs, Params
from jaxsci.errors import InputError
from jaxsci.training import _mesh as meshes


def predict(
    apply: Callable[[Params, Inputs], Any],
    params: Params,
    x: Inputs,
    *,
    batch_size: int = 1024,
    batched: bool = False,
    mesh: Mesh | None = None,
) -> Any:
    """`apply(params, example)` for every example of `x`, as numpy arrays [example, ...] in the structure of its result.

    Every batch has the same shape (the last is padded and cut), so one program serves all of them, whatever their number. The program
    is kept for the function `apply`: define it once, not in a loop.

    Args:
        apply: of one example; of a whole batch [batch, ...] where `batched`.
        params: its parameters.
        x: the examples, each array [example, ...].
        batch_size: examples at a time.
        batched: whether `apply` takes whole batches; otherwise it is vmapped.
        mesh: from `device_mesh()`; every batch is split over its devices, all of them.

    Raises:
        InputError: no examples, or a batch size that is not a multiple of the number of devices.
    """
    examples = jax.tree.leaves(x)[0].shape[0]
    if examples == 0:
        raise InputError("predict: expected at least one example, got none; check what was read")
    if mesh is not None:
        if batch_size % mesh.size:
            raise InputError(
                f"batch_size: expected a multiple of the {mesh.size} devices of the mesh, got {batch_size}; choose another"
            )
        params = meshes.put(params, NamedSharding(mesh, PartitionSpec()))
    outputs = []
    for first in range(0, examples, batch_size):
        part = jax.tree.map(lambda leaf, first=first: _padded(leaf[first : first + batch_size], batch_size), x)
        if mesh is not None:
            part = meshes.put(part, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))
        outputs.append(_apply_batch(apply, batched, mesh, params, part))
    return jax.tree.map(lambda *parts: np.concatenate([meshes.to_host(part) for part in parts])[:examples], *outputs)


def _padded(leaf: np.ndarray, size: int) -> np.ndarray:
    return np.pad(np.asarray(leaf), [(0, size - leaf.shape[0])] + [(0, 0)] * (leaf.ndim - 1))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _apply_batch(
    apply: Callable[[Params, Inputs], Any], batched: bool, mesh: Mesh | None, params: Params, x: Inputs
) -> Any:
    whole = apply if batched else jax.vmap(apply, in_axes=(None, 0))
    if mesh is not None:
        rows = PartitionSpec(mesh.axis_names)
        whole = jax.shard_map(whole, mesh=mesh, in_specs=(PartitionSpec(), rows), out_specs=rows, check_vma=False)
    return whole(params, jax.tree.map(jnp.asarray, x))
