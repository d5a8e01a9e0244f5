"""The input x of a strided convolution from its output y, as the input of one at stride 1 whose channels are the phases of a pixel.

Along an axis of stride s and dilation d, with g = gcd(s, d), the element w = (s / g) q + r of the window writes y[t] to
x[s (t + (d / g) q) + d r - p]: all q of one r to the same phase (d r) mod s of pixels, and no two r to the same one. So

    x[s u + d r - p, i] = sum_{q, o} y[u - (d / g) q, o] k[(s / g) q + r, i, o]

is the input of a convolution at stride 1 and dilation d / g with the window q and the channels (r, i); no zeros are put between the
elements of y. Its products are those of the window rounded up to a multiple of s / g by zeros.
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
    """One spatial axis."""

    window: int
    stride: int
    spacing: int  # of the elements of the window

    @property
    def phases(self) -> int:
        """Those of a pixel that the window writes to."""
        return min(self.window, self.stride // math.gcd(self.stride, self.spacing))

    @property
    def elements(self) -> int:
        """Of the window at stride 1."""
        return -(-self.window // self.phases)

    @property
    def dilation(self) -> int:
        """Of the window at stride 1."""
        return self.spacing // math.gcd(self.stride, self.spacing)

    @property
    def reach(self) -> int:
        """Pixels by which the last phase lies ahead of the first."""
        return self.spacing * (self.phases - 1) // self.stride


def _axes(window: tuple[int, ...], geometry: ConvGeometry) -> list[Axis]:
    return [Axis(*each) for each in zip(window, geometry.strides, geometry.dilation, strict=True)]


def excess(window: tuple[int, ...], geometry: ConvGeometry) -> float:
    """By how much the zeros in the window multiply the products."""
    return math.prod(a.elements * a.phases / a.window for a in _axes(window, geometry))


def input(contraction: Callable[..., Array], kernel: Array, y: Array, geometry: ConvGeometry) -> Array:
    """x[g, b, n, i] from k[g, w, i, o] and y[g, b, t, o] by a `contraction` of this kind at strides of 1."""
    groups, *window, channels, outputs = kernel.shape
    axes, rank = _axes(tuple(window), geometry), len(window)
    size = geometry.input_size(tuple(window), y.shape[2:-1])
    before = [low for low, _ in geometry.padding]

    missing = [(0, a.elements * a.phases - a.window, 0) for a in axes]
    k = lax.pad(kernel, jnp.zeros((), kernel.dtype), [(0, 0, 0), *missing, (0, 0, 0), (0, 0, 0)])
    k = k.reshape(groups, *(n for a in axes for n in (a.elements, a.phases)), channels, outputs)
    k = k.transpose(0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), -2, -1)
    k = k.reshape(groups, *(a.elements for a in axes), -1, outputs)

    # The pixels u from that of the first element of x to that of its last one, and for phases that lie ahead those before.
    padding = tuple(
        (low // a.stride - a.reach, t + a.dilation * (a.elements - 1) - 1 - (low + n - 1) // a.stride)
        for a, low, n, t in zip(axes, before, size, y.shape[2:-1], strict=True)
    )
    pixels = contraction(k, y, geometry=ConvGeometry((1,) * rank, padding, tuple(a.dilation for a in axes)))

    x = pixels.reshape(*pixels.shape[:-1], *(a.phases for a in axes), channels)
    for d, a in enumerate(axes):
        x = _whole_pixels(x, 2 + d, 2 + rank + d, a)
    x = x.transpose(0, 1, *(axis for d in range(rank) for axis in (2 + d, 2 + rank + d)), -1)
    sizes = ((u - a.reach) * a.stride for u, a in zip(pixels.shape[2:-1], axes, strict=True))
    x = x.reshape(*pixels.shape[:2], *sizes, channels)
    return windows.slices(
        x, 2, [(low % a.stride, low % a.stride + n, 1) for a, low, n in zip(axes, before, size, strict=True)]
    )


def _whole_pixels(x: Array, pixel: int, phase: int, a: Axis) -> Array:
    """All phases of a pixel in their order, zeros where the window does not write, from the pixels and phases of these two axes."""
    if a.spacing == 1 or a.phases == 1:
        rest = [(0, a.stride - a.phases if axis == phase else 0, 0) for axis in range(x.ndim)]
        return lax.pad(x, jnp.zeros((), x.dtype), rest)
    pixels = x.shape[pixel] - a.reach
    found = {}
    for r in range(a.phases):
        ahead, place = divmod(a.spacing * r, a.stride)
        part = lax.slice_in_dim(x, r, r + 1, axis=phase)
        found[place] = lax.slice_in_dim(part, a.reach - ahead, a.reach - ahead + pixels, axis=pixel)
    zeros = jnp.zeros_like(found[0])
    return jnp.concatenate([found.get(place, zeros) for place in range(a.stride)], axis=phase)
