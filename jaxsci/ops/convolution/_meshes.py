"""What the primitives of the convolution know of meshes: axes over which values vary, shardings of explicit axes, plain lowering.

Inside `jax.shard_map` an abstract value carries the mesh axes over which its value varies; with axes of `AxisType.Explicit` it carries how
it is sharded. The primitives follow the rules of `jax.lax`; the kernels behind them never see a mesh.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import mlir
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from jaxsci.core import Array

NO_MESH = AbstractMesh((), ())


def vary_alike(*arrays: Array) -> tuple[Array, ...]:
    """The arrays, each of them varying over all mesh axes over which any of them varies."""
    axes = [jax.typeof(a).manual_axis_type.varying for a in arrays]
    union = frozenset().union(*axes)
    return tuple(
        lax.pcast(a, tuple(sorted(union - own)), to="varying") if union > own else a
        for a, own in zip(arrays, axes, strict=True)
    )


def zeros(like: Any) -> Array:
    """Zeros of an abstract value, sharded and varying as it is."""
    x = jnp.zeros(like.shape, like.dtype)
    varying = tuple(sorted(like.manual_axis_type.varying))
    return reshard_as(lax.pcast(x, varying, to="varying") if varying else x, like)


def reshard_as(x: Array, like: Any) -> Array:
    """x with the explicit sharding of an abstract value of the same shape."""
    return x if jax.typeof(x).sharding == like.sharding else jax.sharding.reshard(x, like.sharding)


def shared_sharding(operands: Iterable[Any], shared: Iterable[tuple[Any, int, int]], rank: int) -> NamedSharding:
    """The sharding of a result of `rank` axes, some of which are axes of an operand: (operand, its axis, the result's axis).

    No mesh axis may shard two axes of the result; the first of them keeps it. All other axes are not sharded: sums over a sharded axis are
    complete.
    """
    mesh = next((a.sharding.mesh for a in operands if not a.sharding.mesh.empty), NO_MESH)
    spec: list[Any] = [None] * rank
    used: set[str] = set()
    for operand, source, target in shared:
        names = operand.sharding.spec[source]
        names = names if isinstance(names, tuple) else () if names is None else (names,)
        if names and spec[target] is None and used.isdisjoint(names):
            spec[target] = names[0] if len(names) == 1 else names
            used.update(names)
    return NamedSharding(mesh, PartitionSpec(*spec))


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """x with two neighboring axes merged, or one split in two: the outer one is as sharded as the axis of both."""
    sharding = jax.typeof(x).sharding
    if not any(sharding.spec):
        return x.reshape(shape)
    axis = next(
        (d for d, (a, b) in enumerate(zip(x.shape, shape, strict=False)) if a != b), min(x.ndim, len(shape)) - 1
    )
    spec = list(sharding.spec)
    if len(shape) > x.ndim:
        outer = shape[axis]
        names = spec[axis] if isinstance(spec[axis], tuple) else (spec[axis],) if spec[axis] else ()
        devices = math.prod(sharding.mesh.shape[name] for name in names)
        spec[axis : axis + 1] = [spec[axis], None] if outer % devices == 0 else [None, spec[axis]]
    else:
        spec[axis : axis + 2] = [spec[axis] or spec[axis + 1]]
    return lax.reshape(x, shape, out_sharding=NamedSharding(sharding.mesh, PartitionSpec(*spec)))


def lowering(choose: Callable[[int], Callable[..., Array]]) -> Callable[..., Any]:
    """The lowering rule of a primitive with one result: `choose(devices)`, traced on plain arrays without a mesh.

    The loops and constants of a kernel then need not know over which axes its operands vary. `devices` are those over which the compiler
    may spread the program: of all mesh axes but those that `jax.shard_map` has taken.
    """

    def rule(ctx: Any, *operands: Any, **params: Any) -> Any:
        with jax.sharding.use_abstract_mesh(NO_MESH):
            plain = [jax.core.ShapedArray(a.shape, a.dtype) for a in ctx.avals_in]
            lower = mlir.lower_fun(choose(_devices(ctx)), multiple_results=False)
            return lower(ctx.replace(avals_in=plain), *operands, **params)

    return rule


def _devices(ctx: Any) -> int:
    context = ctx.module_context.axis_context
    if not hasattr(context, "manual_axes"):
        return context.num_devices
    return math.prod(size for name, size in context.mesh.shape.items() if name not in context.manual_axes)
