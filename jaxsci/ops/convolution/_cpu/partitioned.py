"""The contractions in programs of several CPU devices, which XLA partitions: every device computes its share of the groups and the batch.

The kernels loop over blocks of images and over groups, and XLA's partitioner cannot split a loop: it would gather what the loop runs over.
So groups and batch are split here into as many parts as there may be devices, along axes of their own outside of the loops (`jax.vmap`). A
sharded batch stays where it is, and the sum of the parts of a kernel gradient is the one all-reduce.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jaxsci.core import Array
from jaxsci.ops.convolution import _accelerators, choice
from jaxsci.ops.convolution._cpu import dispatch
from jaxsci.ops.convolution._sizes import ConvGeometry

ROLES = ("input", "kernel", "output")


def contraction(role: str, devices: int) -> Callable[..., Array]:
    """The contraction of `role` for a program that XLA may spread over so many devices."""
    if choice.costs() is None:
        return _accelerators.contraction(role, devices)
    function = getattr(dispatch, role)
    return function if devices == 1 else partial(_in_parts, role, function, devices)


def _in_parts(
    role: str,
    function: Callable[..., Array],
    devices: int,
    first: Array,
    second: Array,
    *,
    geometry: ConvGeometry,
    precision: Any,
) -> Array:
    operands = [r for r in ROLES if r != role]
    batched = [r != "kernel" for r in operands]
    images = next(x.shape[1] for x, has_batch in zip((first, second), batched, strict=True) if has_batch)
    groups, batch = _parts(first.shape[0], devices), _parts(images, devices)
    method = dispatch.Method(devices, products=groups > 1)
    one = partial(function, geometry=geometry, precision=precision, method=method)

    def split(x: Array, has_batch: bool) -> Array:
        shape = (groups, x.shape[0] // groups)
        return (
            x.reshape(*shape, batch, x.shape[1] // batch, *x.shape[2:])
            if has_batch
            else x.reshape(*shape, *x.shape[1:])
        )

    dtype = first.dtype
    arrays = [split(x, has_batch) for x, has_batch in zip(dispatch.widen(first, second), batched, strict=True)]
    over_batch = jax.vmap(one, [1 if has_batch else None for has_batch in batched], 0 if role == "kernel" else 1)
    y = jax.vmap(lambda a, b: over_batch(a, b).sum(0) if role == "kernel" else over_batch(a, b))(*arrays)
    merged = (y.shape[0] * y.shape[1],) if role == "kernel" else (y.shape[0] * y.shape[1], y.shape[2] * y.shape[3])
    return y.reshape(*merged, *y.shape[2 if role == "kernel" else 4 :]).astype(dtype)


def _parts(size: int, devices: int) -> int:
    """A symbolic size is in one part."""
    return math.gcd(size, devices) if isinstance(size, int) else 1
