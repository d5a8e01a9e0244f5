"""Where a training runs: a mesh of devices with the axes `member` and `data`, the place of every array on it, and what is exchanged."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from jaxsci._numerics import accumulator
from jaxsci.core import Array, Batch, Key, Params, Stream
from jaxsci.errors import InputError

MEMBER, DATA = "member", "data"
AxisName: TypeAlias = str | tuple[str, ...]  # of a mesh, over which batches are split


def device_mesh(*, member: int = 1, data: int | None = None, devices: Sequence[Any] | None = None) -> Mesh:
    """Arranges the devices at hand, of all processes, as the mesh that `fit` and `fit_ensemble` take.

    Args:
        member: over so many devices the members of an ensemble are split.
        data: over so many devices every batch is split; by default all that `member` leaves. The mesh has `member` times `data` devices.
        devices: by default `jax.devices()`.

    Raises:
        InputError: there are fewer devices than asked for.
    """
    devices = jax.devices() if devices is None else list(devices)
    for name, value in (("member", member), ("data", data)):
        if value is not None and value < 1:
            raise InputError(f"{name}: expected a number of devices, at least 1, got {value}; give a larger one")
    data = max(len(devices) // member, 1) if data is None else data
    if member * data > len(devices):
        raise InputError(
            f"mesh: expected at most {len(devices)} devices, those at hand, got {member} (member) times {data} (data); ask for fewer"
        )
    return jax.make_mesh((member, data), (MEMBER, DATA), (AxisType.Auto,) * 2, devices=devices[: member * data])


class Layout(NamedTuple):
    """What of a training is split over which axis of a mesh."""

    mesh: Mesh
    members: PartitionSpec  # of what an ensemble has for each member; empty for one training
    axis: AxisName | None  # over which batches are split; None where they are not

    @property
    def shards(self) -> int:
        """The number of parts of every batch."""
        names = (self.axis,) if isinstance(self.axis, str) else self.axis or ()
        return int(np.prod([self.mesh.shape[name] for name in names], dtype=int))

    @property
    def own(self) -> tuple[int, ...]:
        """Which of these parts the devices of this process have."""
        if self.axis is None:
            return (0,)
        places = NamedSharding(self.mesh, PartitionSpec(self.axis)).addressable_devices_indices_map((self.shards,))
        return tuple(sorted({index[0].start or 0 for index in places.values() if index is not None}))

    @property
    def waits(self) -> bool:
        """Whether a program must end before the next is started: those of processors that exchange sums may wait for each other forever."""
        return self.axis is not None and self.mesh.devices.flat[0].platform == "cpu"


def layout(mesh: Mesh | None, key: Key, data: Batch | Stream, batch_size: int) -> Layout | None:
    """The layout on the mesh that was asked for; without one, as keys and data lie. None: JAX's default device.

    Raises:
        InputError: a mesh with other axes, or one that divides neither the members nor the batches.
    """
    if mesh is None:
        return _as_they_lie(key, data.weight if isinstance(data, Batch) else None, batch_size)
    if not {*mesh.axis_names} <= {MEMBER, DATA}:
        raise InputError(
            f"mesh: expected the axes member and data, got {', '.join(map(str, mesh.axis_names))}; make it by training.device_mesh"
        )
    across = mesh.shape.get(MEMBER, 1)
    if not key.ndim and across > 1:
        raise InputError(
            f"mesh: expected no axis member for one training, got {across} devices along it; use data, or fit_ensemble"
        )
    members = PartitionSpec(MEMBER) if key.ndim and across > 1 else PartitionSpec()
    if key.ndim and key.shape[0] % across:
        raise InputError(
            f"mesh: expected a divisor of the {key.shape[0]} members, got {across} devices along member; choose another"
        )
    return _divided(Layout(mesh, members, DATA if mesh.shape.get(DATA, 1) > 1 else None), batch_size)


def _as_they_lie(key: Key, weight: Any, batch_size: int) -> Layout | None:
    if isinstance(key.sharding, NamedSharding):
        return Layout(_concrete(key.sharding), key.sharding.spec if key.ndim else PartitionSpec(), None)
    sharding = weight.sharding if isinstance(weight, jax.Array) else None
    if isinstance(sharding, NamedSharding) and len(sharding.device_set) > 1:
        axis = sharding.spec[0] if len(sharding.spec) else None
        return _divided(Layout(_concrete(sharding), PartitionSpec(), axis), batch_size)
    return None


def _concrete(sharding: NamedSharding) -> Mesh:
    assert isinstance(sharding.mesh, Mesh)  # of an array that exists
    return sharding.mesh


def _divided(layout: Layout, batch_size: int) -> Layout:
    if batch_size % layout.shards:
        raise InputError(
            f"batch_size: expected a multiple of the {layout.shards} devices that every batch is split over, got {batch_size}; "
            "choose another, or fewer devices"
        )
    return layout


def put(tree: Any, sharding: Sharding | None) -> Any:
    """The arrays on their devices. Of a mesh of several processes each process fills its own part, from the same whole arrays."""
    if sharding is None or sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(leaf: Any) -> Array:
        if isinstance(leaf, jax.Array):
            if leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
                return leaf
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(one(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        whole = to_host(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(one, tree)


def put_shares(shares: Mapping[int, Any], count: int, sharding: Sharding | None) -> Any:
    """The arrays whose equal parts along the first axis are `shares`, of which those of other processes may be missing."""
    if sharding is None:
        return jax.device_put(shares[0])

    def one(*leaves: np.ndarray) -> Array:
        length = len(leaves[0])
        by_row = {number * length: leaf for number, leaf in zip(shares, leaves, strict=True)}
        whole = (count * length, *leaves[0].shape[1:])

        def of_device(index: tuple[slice, ...] | None) -> np.ndarray:
            return by_row[0 if index is None else index[0].start or 0]

        return jax.make_array_from_callback(whole, sharding, of_device)

    return jax.tree.map(one, *shares.values())


def to_host(tree: Any) -> Any:
    """The arrays, whole, as numpy arrays in every process."""

    def one(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            from jax.experimental import multihost_utils

            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(one, tree)


def agreed(layout: Layout | None, *values: int) -> tuple[int, ...]:
    """The largest of each of these numbers over the processes of a mesh, which must all do the same next."""
    if layout is None or layout.mesh.is_multi_process is False:
        return values
    from jax.experimental import multihost_utils

    return tuple(int(value) for value in multihost_utils.process_allgather(np.array(values, np.int32)).max(axis=0))


def padded(part: str, data: Batch, batch_size: int) -> Batch:
    """The data with examples of weight 0 at the end, so that they are a whole number of batches."""
    missing = -data.weight.shape[0] % batch_size
    if not missing:
        return data
    if any(isinstance(leaf, jax.Array) and not leaf.is_fully_addressable for leaf in jax.tree.leaves(data)):
        raise InputError(
            f"{part}: expected a multiple of the batch size {batch_size} where every process has placed its share, got "
            f"{data.weight.shape[0]} examples; add {missing} of weight 0"
        )
    return jax.tree.map(lambda leaf: np.pad(np.asarray(leaf), [(0, missing)] + [(0, 0)] * (np.ndim(leaf) - 1)), data)


# Inside of `jax.shard_map`: the only exchange of a step whose batch is split, one sum over the devices.


def mean_of_all(means: Any, weight: Array, axis: AxisName) -> tuple[Any, Array]:
    """sum_p W_p m_p / W of each of these means m_p over the part p with the sum of weights W_p, and W; a part of weight 0 may hold NaN."""

    def share(leaf: Array) -> Array:
        leaf = leaf.astype(accumulator(leaf.dtype))
        return jnp.where(weight != 0, weight.astype(leaf.dtype) * leaf, jnp.zeros_like(leaf))

    sums, total = lax.psum((jax.tree.map(share, means), weight), axis)
    safe = jnp.where(total == 0, jnp.ones_like(total), total)
    return jax.tree.map(lambda leaf, like: (leaf / safe.astype(leaf.dtype)).astype(like.dtype), sums, means), total


def differentiable_mean(value: Array, weight: Array, axis: AxisName) -> Array:
    """The mean of all; its derivative by what went through `shared` is the derivative of the mean."""
    total = lax.psum(weight, axis)
    fraction = weight / jnp.where(total == 0, jnp.ones_like(total), total)
    return _sum(jnp.where(fraction != 0, fraction.astype(value.dtype) * value, jnp.zeros_like(value)), axis)


# A sum over devices is its own transpose only where every device has another cotangent. Here the value is the same on all of them, so the
# sum belongs to the parameters, which all of them share.
@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sum(value: Array, axis: AxisName) -> Array:
    return lax.psum(value, axis)


_sum.defvjp(lambda value, axis: (lax.psum(value, axis), None), lambda axis, _, cotangent: (cotangent,))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def shared(params: Params, axis: AxisName) -> Params:
    """The parameters; their cotangents are added up over the devices."""
    return params


shared.defvjp(lambda params, axis: (params, None), lambda axis, _, cotangent: (lax.psum(cotangent, axis),))


def keys_of_examples(key: Key, examples: int, axis: AxisName | None) -> Key:
    """A key for each of the `examples` of this device: those they have where the whole batch lies on one."""
    if axis is None:
        return jax.random.split(key, examples)
    keys = jax.random.split(key, examples * lax.axis_size(axis))
    return lax.dynamic_slice_in_dim(keys, lax.axis_index(axis) * examples, examples)
