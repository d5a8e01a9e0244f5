"""The CPU's ways to the kernel k[w, i, o]: sums over images and pixels.

im2col and one matrix product: row v of the left factor is x shifted by the window tap v, the columns of the right factor are the channels
of y. Along the outer axes y is shifted by the taps u instead, in the other direction: u + v shifted copies of an image are written instead
of u v, and the factors of the product are more nearly square. With one outer and one inner axis, at strides of 1,

    k[u, v, i, o] = sum_{b, n, t} x[b, n, t + v - p, i] y[b, n + p - u, t, o]

With a stride s along an outer axis, x is split into polyphase components: component r holds the pixels s n + r, and the tap s q + r meets
component r, shifted by q.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution._cpu import blockwise
from jaxsci.ops.convolution._sizes import ConvGeometry

PARTS = 8  # independent products, which XLA computes at the same time; batched ones take one core each
PRODUCT_BYTES = 2**20  # of both factors: long sums, and some of them fit the cache at the same time
FLOPS_PER_WRITE = 32  # multiply-adds that cost as much as writing one number
COLUMN_WIDTH = 64  # columns of an im2col matrix from which its product is fast
MOST_COPIES = 64  # of an image; each is a step of the program to compile


class Axis(NamedTuple):
    """One spatial axis of x, y and the window."""

    size: int
    output: int
    window: int
    stride: int
    dilation: int
    before: int  # zeros before x

    @property
    def phases(self) -> int:
        """Polyphase components of x that the window meets, along an outer axis."""
        return min(self.stride, self.window)

    @property
    def shifts(self) -> int:
        """Shifted copies of y, along an outer axis."""
        return -(-self.window // self.phases)

    @property
    def phase_size(self) -> int:
        """Pixels of one polyphase component, enough to hold all of x."""
        return -(-(self.before % self.stride + self.size) // self.stride)


class Plan(NamedTuple):
    """Which array is shifted: y along the outer axes, which come first; x along the inner ones."""

    outer: Sequence[Axis]
    inner: Sequence[Axis]

    @property
    def pixels(self) -> int:
        """Length of the sums, per image."""
        return math.prod(a.phase_size for a in self.outer) * math.prod(a.output for a in self.inner)

    @property
    def rows(self) -> int:
        """Shifted copies of an image of x."""
        return math.prod(a.phases for a in self.outer) * math.prod(a.window for a in self.inner)

    @property
    def columns(self) -> int:
        """Shifted copies of an image of y."""
        return math.prod(a.shifts for a in self.outer)

    def factors_size(self, inputs: int, outputs: int) -> int:
        """Numbers in both factors of the product for one image."""
        return self.pixels * (self.rows * inputs + self.columns * outputs)


def plan(x: tuple[int, ...], y: tuple[int, ...], geometry: ConvGeometry) -> Plan:
    """The fastest plan for images x[n, i] and y[t, o]: the one that writes and multiplies least."""
    (*size, inputs), (*output, outputs) = x, y
    window = geometry.window(tuple(size), tuple(output))
    before = [pair[0] for pair in geometry.padding]
    axes = [*map(Axis, size, output, window, geometry.strides, geometry.dilation, before)]

    def work(p: Plan) -> tuple[int, float]:
        products = p.pixels * p.rows * inputs * p.columns * outputs
        return max(MOST_COPIES, p.rows + p.columns), p.factors_size(inputs, outputs) + products / FLOPS_PER_WRITE

    # A dilation d moves the tap s q + r to d (s q + r): still one polyphase component and a whole shift only for s = 1 or d = 1.
    splits = (n for n in range(len(axes) + 1) if all(1 in (a.stride, a.dilation) for a in axes[:n]))
    return min((Plan(axes[:n], axes[n:]) for n in splits), key=work)


def of_images(x: Array, y: Array, plan: Plan, devices: int) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o]: a few images a product, a few products at the same time."""
    images = windows.images(x.itemsize * plan.factors_size(x.shape[-1], y.shape[-1]), PRODUCT_BYTES)

    def block(x: Array, y: Array) -> Array:
        starts = range(0, x.shape[0], images)
        return functools.reduce(jnp.add, (_product(x[i : i + images], y[i : i + images], plan) for i in starts))

    return _arranged(blockwise.sum_over(block, x, y, length=_parts(devices) * images), plan)


def of_each_group(x: Array, y: Array, plan: Plan, devices: int) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o]: a product for each of many small groups."""

    def block(x: Array, y: Array) -> Array:
        return jnp.stack([_arranged(_product(*pair, plan), plan) for pair in zip(x, y, strict=True)])

    return blockwise.map_over(block, x, y, length=_parts(devices))


def _parts(devices: int) -> int:
    """Products at the same time on each of the devices that share the machine's cores."""
    return max(1, PARTS // devices)


def _product(x: Array, y: Array, p: Plan) -> Array:
    """[(r, v), i, q, o] for the polyphase components r, the taps v along the inner axes and the shifts q."""
    pixels, inputs, outputs = x.shape[0] * p.pixels, x.shape[-1], y.shape[-1]
    rows, columns = jnp.stack(_taps(x, p)), jnp.stack(_shifted(y, p), axis=-2)
    product = rows.reshape(-1, pixels) @ columns.reshape(pixels, -1)
    return product.reshape(p.rows, inputs, p.columns, outputs)


def _taps(x: Array, p: Plan) -> list[Array]:
    """The pixels of x[b, n, i] that each polyphase component r and tap v meets: [i, b, pixel]."""
    axes = (*p.outer, *p.inner)
    before = [a.before % a.stride for a in p.outer] + [a.before for a in p.inner]
    padded = [a.phase_size for a in p.outer] + [a.output + a.dilation * (a.window - 1) // a.stride for a in p.inner]
    padding = [(low, a.stride * n - low - a.size) for a, low, n in zip(axes, before, padded, strict=True)]
    x = windows.pad(jnp.moveaxis(x, -1, 0), 2, tuple(padding))

    # The shift and the polyphase component of each tap.
    steps = [[(0, r) for r in range(a.phases)] for a in p.outer]
    steps += [[divmod(a.dilation * v, a.stride) for v in range(a.window)] for a in p.inner]
    shifts, phases = zip(*(zip(*pairs, strict=True) for pairs in itertools.product(*steps)), strict=True)
    parts = {
        r: windows.slices(x, 2, [(start, None, a.stride) for start, a in zip(r, axes, strict=True)]) for r in phases
    }
    parts = lax.optimization_barrier(parts)  # keeps the padding out of the slices, which it would slow down
    sizes = [a.phase_size for a in p.outer] + [a.output for a in p.inner]
    return [
        windows.slices(parts[r], 2, [(q, q + n, 1) for q, n in zip(shift, sizes, strict=True)])
        for shift, r in zip(shifts, phases, strict=True)
    ]


def _shifted(y: Array, p: Plan) -> list[Array]:
    """y[b, t, o] aligned with a polyphase component of x, for each shift q: [b, pixel, o]."""
    start = [
        a.before // a.stride for a in p.outer
    ]  # the pixel of the component that the first pixel of y meets at q = 0
    most = [a.dilation * (a.shifts - 1) for a in p.outer]
    padding = [(q - m, a.phase_size + m - a.output) for q, m, a in zip(most, start, p.outer, strict=True)]
    y = lax.optimization_barrier(windows.pad(y, 1, tuple(padding)))
    starts = itertools.product(*(range(q, -1, -a.dilation) for q, a in zip(most, p.outer, strict=True)))
    return [windows.slices(y, 1, [(q, q + a.phase_size, 1) for q, a in zip(s, p.outer, strict=True)]) for s in starts]


def _arranged(product: Array, p: Plan) -> Array:
    """[(r, v), i, q, o] -> k[w, i, o], with w = s q + r along the outer axes."""
    _, inputs, _, outputs = product.shape
    rank, inner = len(p.outer), [a.window for a in p.inner]
    k = product.reshape(*(a.phases for a in p.outer), math.prod(inner) * inputs, *(a.shifts for a in p.outer), outputs)
    order = [axis for d in range(rank) for axis in (rank + 1 + d, d)]
    k = k.transpose(*order, rank, 2 * rank + 1)
    k = k.reshape(*(a.shifts * a.phases for a in p.outer), *inner, inputs, outputs)
    return k[tuple(slice(a.window) for a in p.outer)]


def by_columns(x: Array, y: Array, geometry: ConvGeometry, devices: int) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o]: im2col of the inner taps, one product for each outer tap."""
    window, size = geometry.window(x.shape[1:-1], y.shape[1:-1]), y.shape[1:-1]
    widths = [math.prod(window[-n:]) * x.shape[-1] for n in range(1, len(window) + 1)]
    unrolled = next((n for n, width in enumerate(widths, start=1) if width >= COLUMN_WIDTH), len(window))
    split = len(window) - unrolled
    outer, inner = window[:split], window[split:]

    def block(x: Array, y: Array) -> Array:
        x = windows.pad(x, 1, geometry.padding)
        rows = [windows.tap(x, 1 + split, offset, size[split:], geometry, split) for offset in windows.offsets(inner)]
        columns = jnp.concatenate(rows, axis=-1)
        y = y.reshape(math.prod(y.shape[:-1]), y.shape[-1])

        def product(offset: tuple[int, ...]) -> Array:
            part = windows.tap(columns, 1, offset, size[:split], geometry).reshape(y.shape[0], columns.shape[-1])
            # The narrow operand first: its transposition, which the product needs, is the cheaper one.
            return lax.dot_general(y, part, (((0,), (0,)), ((), ())))

        products = jnp.stack([product(offset) for offset in windows.offsets(outer)])
        return jnp.moveaxis(products.reshape(*outer, y.shape[-1], *inner, x.shape[-1]), split, -1)

    width = math.prod(inner) * x.shape[-1]
    images = windows.images(math.prod(size) * width * x.itemsize, windows.BLOCK_BYTES, devices)
    return blockwise.sum_over(block, x, y, length=images)


def depthwise(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """One channel a group: elementwise arithmetic with the groups last, row by row into sums that stay in the cache.

    XLA adds up the leading axes of an array in a slow order, so the loop over them is written out.
    """
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    x, y = (jnp.moveaxis(a[..., 0], 0, -1) for a in (x, y))  # [b, n, g]
    x = lax.optimization_barrier(windows.pad(x, 1, geometry.padding))
    *rows, length, groups = y.shape
    split = len(rows) - 1  # spatial axes outside of a row

    def row(a: Array, index: Sequence[Any]) -> Array:
        return lax.dynamic_slice(a, (*index, 0, 0), (1,) * len(rows) + a.shape[-2:]).reshape(a.shape[-2:])

    def add(index: Array, sums: list[Array]) -> list[Array]:
        image, *pixel = jnp.unravel_index(index, rows)
        y_row = row(y, (image, *pixel))
        parts = []
        for offset in windows.offsets(window[:split]):
            steps = zip(pixel, offset, geometry.strides, geometry.dilation, strict=False)
            x_row = row(x, (image, *(s * t + d * w for t, w, s, d in steps)))
            taps = (windows.tap(x_row, 0, (w,), (length,), geometry, split) for w in range(window[-1]))
            parts += [part * y_row for part in taps]
        return [total + part for total, part in zip(sums, parts, strict=True)]

    zeros = [jnp.zeros((length, groups), x.dtype)] * math.prod(window)
    sums = lax.fori_loop(0, math.prod(rows), add, zeros)
    return jnp.stack(sums).sum(1).T.reshape(groups, *window, 1, 1)
