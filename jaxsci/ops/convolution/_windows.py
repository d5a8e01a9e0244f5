"""Pieces of the CPU's convolutions: padding, what an offset of the window sees, and blocks of images that stay in the cache."""

import itertools
from collections.abc import Iterable

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution._sizes import Geometry

BLOCK_BYTES = 2**21  # stays in the cache of a core or two


def offsets(window: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    """All elements of the window, row by row."""
    return itertools.product(*map(range, window))


def output_size(
    size: tuple[int, ...], window: tuple[int, ...], geometry: Geometry, spread: tuple[int, ...]
) -> tuple[int, ...]:
    """Size of the output for an input of `size` with spread - 1 zeros between its elements."""
    return geometry.output_size(tuple(s * (n - 1) + 1 for n, s in zip(size, spread, strict=True)), window)


def transposed(geometry: Geometry, window: tuple[int, ...]) -> Geometry:
    """The geometry by which the output, spread by the strides, meets the mirrored kernel."""
    padding = tuple(
        (d * (k - 1) - before, d * (k - 1) - after)
        for k, d, (before, after) in zip(window, geometry.dilation, geometry.padding, strict=True)
    )
    return Geometry((1,) * len(window), padding, geometry.dilation)


def pad(x: Array, first: int, geometry: Geometry, spread: tuple[int, ...]) -> Array:
    """x padded and spread along its spatial axes, which begin at `first`."""
    space = [(before, after, s - 1) for (before, after), s in zip(geometry.padding, spread, strict=True)]
    rest = x.ndim - first - len(space)
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * first + space + [(0, 0, 0)] * rest)


def seen(
    x: Array, first: int, offset: tuple[int, ...], size: tuple[int, ...], geometry: Geometry, skip: int = 0
) -> Array:
    """What one offset of the window sees along the axes from `first`: the spatial axes from `skip`, as many as the offset has."""
    steps = zip(offset, size, geometry.strides[skip:], geometry.dilation[skip:], strict=False)
    for axis, (w, o, s, d) in enumerate(steps, start=first):
        x = lax.slice_in_dim(x, d * w, d * w + s * (o - 1) + 1, s, axis)
    return x


def images(image_bytes: float, block_bytes: int) -> int:
    """How many images make a block."""
    return max(1, int(block_bytes / max(image_bytes, 1)))
