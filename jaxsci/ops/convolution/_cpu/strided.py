"""The input x of a strided convolution from its output y, as the input of one at stride 1 whose channels are the phases of a pixel.

Along an axis of stride s the element w = s q + r of the window writes y[t] to x[s (t + q) + r - p]: to phase r of the pixel t + q. So

    x[s u + r - p, i] = sum_{q, o} y[u - q, o] k[s q + r, i, o]

is the input of a convolution at stride 1 with the window q and the channels (r, i); no zeros are put between the elements of y. Its
products are those of the window rounded up to whole strides by zeros.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution._sizes import ConvGeometry


class Axis(NamedTuple):
    """One spatial axis: the window of `window` elements, `fill` - 1 zeros between them, in steps of `dilation`."""

    window: int
    stride: int
    fill: int
    dilation: int

    @property
    def extent(self) -> int:
        return self.fill * (self.window - 1) + 1

    @property
    def phases(self) -> int:
        """Those of a pixel that the window writes to."""
        return min(self.stride, self.extent)

    @property
    def elements(self) -> int:
        """Of the window at stride 1."""
        return -(-self.extent // self.phases)


def _axes(window: tuple[int, ...], geometry: ConvGeometry) -> list[Axis]:
    return [
        Axis(k, s, 1, d) if s == 1 else Axis(k, s, d, 1)
        for k, s, d in zip(window, geometry.strides, geometry.dilation, strict=True)
    ]


def excess(window: tuple[int, ...], geometry: ConvGeometry) -> float:
    """By how much the zeros in the window multiply the products."""
    return math.prod(a.elements * a.phases / a.window for a in _axes(window, geometry))


def input(contraction: Callable[..., Array], kernel: Array, y: Array, geometry: ConvGeometry) -> Array:
    """x[g, b, n, i] from k[g, w, i, o] and y[g, b, t, o] by a `contraction` of this kind at strides of 1."""
    groups, *window, channels, outputs = kernel.shape
    axes, rank = _axes(tuple(window), geometry), len(window)
    size = geometry.input_size(tuple(window), y.shape[2:-1])
    before = [low for low, _ in geometry.padding]

    missing = [(0, a.elements * a.phases - a.extent, a.fill - 1) for a in axes]
    k = lax.pad(kernel, jnp.zeros((), kernel.dtype), [(0, 0, 0), *missing, (0, 0, 0), (0, 0, 0)])
    k = k.reshape(groups, *(n for a in axes for n in (a.elements, a.phases)), channels, outputs)
    k = k.transpose(0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), -2, -1)
    k = k.reshape(groups, *(a.elements for a in axes), -1, outputs)

    # The pixels u from that of the first element of x to that of its last one.
    padding = tuple(
        (low // a.stride, t + a.dilation * (a.elements - 1) - 1 - (low + n - 1) // a.stride)
        for a, low, n, t in zip(axes, before, size, y.shape[2:-1], strict=True)
    )
    pixels = contraction(k, y, geometry=ConvGeometry((1,) * rank, padding, tuple(a.dilation for a in axes)))

    x = pixels.reshape(*pixels.shape[:-1], *(a.phases for a in axes), channels)
    untouched = [(0, a.stride - a.phases, 0) for a in axes]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * (2 + rank) + untouched + [(0, 0, 0)])
    x = x.transpose(0, 1, *(axis for d in range(rank) for axis in (2 + d, 2 + rank + d)), -1)
    sizes = (u * a.stride for u, a in zip(pixels.shape[2:-1], axes, strict=True))
    x = x.reshape(*pixels.shape[:2], *sizes, channels)
    return windows.slices(
        x, 2, [(low % a.stride, low % a.stride + n, 1) for a, low, n in zip(axes, before, size, strict=True)]
    )
