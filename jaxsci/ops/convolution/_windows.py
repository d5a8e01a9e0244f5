"""Pieces of the CPU's convolutions: padding, the taps of a window (columns of im2col), and the sizes of blocks that stay in the cache."""

import itertools
from collections.abc import Iterable

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution._sizes import ConvGeometry, Pairs

BLOCK_BYTES = 2**21  # stays in the cache of a core or two


def offsets(window: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    """All elements of the window, row by row."""
    return itertools.product(*map(range, window))


def output_size(
    size: tuple[int, ...], window: tuple[int, ...], geometry: ConvGeometry, lhs_dilation: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Size of the output for an input of `size` with lhs_dilation - 1 zeros between its elements."""
    inner = lhs_dilation or (1,) * len(size)
    return geometry.output_size(tuple(s * (n - 1) + 1 for n, s in zip(size, inner, strict=True)), window)


def transposed(geometry: ConvGeometry, window: tuple[int, ...]) -> ConvGeometry:
    """The geometry by which the output, its `lhs_dilation` being the strides, meets the mirrored kernel."""
    padding = tuple(
        (d * (k - 1) - before, d * (k - 1) - after)
        for k, d, (before, after) in zip(window, geometry.dilation, geometry.padding, strict=True)
    )
    return ConvGeometry((1,) * len(window), padding, geometry.dilation)


def pad(x: Array, first: int, padding: Pairs, dilation: tuple[int, ...] | None = None) -> Array:
    """Zeros before and after the axes from `first` on, and dilation - 1 between the elements; negative padding cuts elements off."""
    inner = dilation or (1,) * len(padding)
    space = [(before, after, d - 1) for (before, after), d in zip(padding, inner, strict=True)]
    rest = x.ndim - first - len(space)
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * first + space + [(0, 0, 0)] * rest)


def slices(x: Array, first: int, limits: Iterable[tuple[int, int | None, int]]) -> Array:
    """x[start:stop:step] along each axis from `first` on."""
    for axis, (start, stop, step) in enumerate(limits, start=first):
        x = lax.slice_in_dim(x, start, stop, step, axis)
    return x


def tap(
    x: Array, first: int, offset: tuple[int, ...], size: tuple[int, ...], geometry: ConvGeometry, skip: int = 0
) -> Array:
    """The elements of the padded x that one element (tap) of the window meets, for all outputs: a column of im2col.

    The axes from `first` on are the spatial axes from `skip` on, as many as the offset of the tap has.
    """
    steps = zip(offset, size, geometry.strides[skip:], geometry.dilation[skip:], strict=False)
    return slices(x, first, [(d * w, d * w + s * (o - 1) + 1, s) for w, o, s, d in steps])


def images(image_bytes: float, block_bytes: int, devices: int = 1) -> int:
    """How many images make a block, where the devices of a machine share its cache."""
    return max(1, int(block_bytes / devices / max(image_bytes, 1)))
