"""The CPU's ways to the kernel k[w, i, o]: sums over images and pixels.

What an offset v of the window sees of a channel of x is a row of a matrix, and the product of its rows with the columns of y is the kernel.
Along some axes it is better to shift y by the offsets u, the other way: u + v copies of an image are written instead of u v, and the
factors are more nearly square. In one dimension each, at strides of 1,

    k[u, v, i, o] = sum_{b, n, t} x[b, n, t + v - p, i] y[b, n + p - u, t, o]

With a stride s every s-th pixel of x is a phase of its own: the offset s q + r sees the phase r, q further on.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as blocks
from jaxsci.ops.convolution._cpu import blockwise
from jaxsci.ops.convolution._sizes import Geometry

PARTS = 8  # independent products, which XLA computes at the same time; batched ones take one core each
PRODUCT_BYTES = 2**20  # of both factors: long sums, and some of them fit the cache at the same time
NUMBER = 32  # products that take as long as one number that is written
COLUMN_WIDTH = 64  # wide enough for a product of columns
MOST_COPIES = 64  # each is a step of the program to compile


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
        """Of x, where y is shifted."""
        return min(self.stride, self.window)

    @property
    def shifts(self) -> int:
        """Of y."""
        return -(-self.window // self.phases)

    @property
    def places(self) -> int:
        """Pixels of a phase that hold all of x."""
        return -(-(self.before % self.stride + self.size) // self.stride)


class Plan(NamedTuple):
    """Along the outer axes, which come first, y is shifted; along the inner ones x."""

    outer: Sequence[Axis]
    inner: Sequence[Axis]

    @property
    def pixels(self) -> int:
        """Of one image, over which is summed."""
        return math.prod(a.places for a in self.outer) * math.prod(a.output for a in self.inner)

    @property
    def rows(self) -> int:
        """Copies of an image of x."""
        return math.prod(a.phases for a in self.outer) * math.prod(a.window for a in self.inner)

    @property
    def columns(self) -> int:
        """Copies of an image of y."""
        return math.prod(a.shifts for a in self.outer)

    def factors_size(self, inputs: int, outputs: int) -> int:
        """Numbers in both factors of the product for one image."""
        return self.pixels * (self.rows * inputs + self.columns * outputs)


def plan(x: tuple[int, ...], y: tuple[int, ...], geometry: Geometry) -> Plan:
    """What is fastest for images x[n, i] and y[t, o]: where the least is written and multiplied."""
    (*size, inputs), (*output, outputs) = x, y
    window = geometry.window(tuple(size), tuple(output))
    before = [pair[0] for pair in geometry.padding]
    axes = [*map(Axis, size, output, window, geometry.strides, geometry.dilation, before)]

    def work(p: Plan) -> tuple[int, float]:
        products = p.pixels * p.rows * inputs * p.columns * outputs
        return max(MOST_COPIES, p.rows + p.columns), p.factors_size(inputs, outputs) + products / NUMBER

    # By a dilation d the offset s q + r is d (s q + r): a number of whole shifts and a phase of its own only for s = 1 or d = 1.
    splits = (n for n in range(len(axes) + 1) if all(1 in (a.stride, a.dilation) for a in axes[:n]))
    return min((Plan(axes[:n], axes[n:]) for n in splits), key=work)


def of_images(x: Array, y: Array, plan: Plan) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o]: a few images a product, a few products at the same time."""
    images = blocks.images(x.itemsize * plan.factors_size(x.shape[-1], y.shape[-1]), PRODUCT_BYTES)

    def block(x: Array, y: Array) -> Array:
        starts = range(0, x.shape[0], images)
        return functools.reduce(jnp.add, (_product(x[i : i + images], y[i : i + images], plan) for i in starts))

    return _arranged(blockwise.sum_over(block, x, y, length=PARTS * images), plan)


def of_each_group(x: Array, y: Array, plan: Plan) -> Array:
    """k[g, w, i, o] from x[g, b, n, i] and y[g, b, t, o]: a product for each of many small groups."""

    def block(x: Array, y: Array) -> Array:
        return jnp.stack([_arranged(_product(*pair, plan), plan) for pair in zip(x, y, strict=True)])

    return blockwise.map_over(block, x, y, length=PARTS)


def _product(x: Array, y: Array, p: Plan) -> Array:
    """[(r, v), i, q, o] for the phases r, the offsets v along the inner axes and the shifts q."""
    pixels, inputs, outputs = x.shape[0] * p.pixels, x.shape[-1], y.shape[-1]
    rows, columns = jnp.stack(_seen(x, p)), jnp.stack(_shifted(y, p), axis=-2)
    product = rows.reshape(-1, pixels) @ columns.reshape(pixels, -1)
    return product.reshape(p.rows, inputs, p.columns, outputs)


def _seen(x: Array, p: Plan) -> list[Array]:
    """What each phase r and offset v sees of x[b, n, i]: [i, b, place]."""
    axes = (*p.outer, *p.inner)
    before = [a.before % a.stride for a in p.outer] + [a.before for a in p.inner]
    places = [a.places for a in p.outer] + [a.output + a.dilation * (a.window - 1) // a.stride for a in p.inner]
    padding = [(low, a.stride * n - low - a.size) for a, low, n in zip(axes, before, places, strict=True)]
    x = _pad(jnp.moveaxis(x, -1, 0), 2, padding)

    # The place and the phase of each offset.
    steps = [[(0, r) for r in range(a.phases)] for a in p.outer]
    steps += [[divmod(a.dilation * v, a.stride) for v in range(a.window)] for a in p.inner]
    places, phases = zip(*(zip(*pairs, strict=True) for pairs in itertools.product(*steps)), strict=True)
    parts = {r: _slice(x, 2, [(start, None, a.stride) for start, a in zip(r, axes, strict=True)]) for r in phases}
    parts = lax.optimization_barrier(parts)  # keeps the padding out of the slices, which it would slow down
    sizes = [a.places for a in p.outer] + [a.output for a in p.inner]
    return [
        _slice(parts[r], 2, [(q, q + n, 1) for q, n in zip(place, sizes, strict=True)])
        for place, r in zip(places, phases, strict=True)
    ]


def _shifted(y: Array, p: Plan) -> list[Array]:
    """y[b, t, o] as it meets the places of x, for each shift q: [b, place, o]."""
    start = [a.before // a.stride for a in p.outer]  # the place of x that the first pixel of y meets at q = 0
    most = [a.dilation * (a.shifts - 1) for a in p.outer]
    padding = [(q - m, a.places + m - a.output) for q, m, a in zip(most, start, p.outer, strict=True)]
    y = lax.optimization_barrier(_pad(y, 1, padding))
    starts = itertools.product(*(range(q, -1, -a.dilation) for q, a in zip(most, p.outer, strict=True)))
    return [_slice(y, 1, [(q, q + a.places, 1) for q, a in zip(s, p.outer, strict=True)]) for s in starts]


def _pad(x: Array, first: int, padding: Sequence[tuple[int, int]]) -> Array:
    rest = x.ndim - first - len(padding)
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * first + [(*p, 0) for p in padding] + [(0, 0, 0)] * rest)


def _slice(x: Array, first: int, slices: Sequence[tuple[int, int | None, int]]) -> Array:
    for axis, (start, end, step) in enumerate(slices, start=first):
        x = lax.slice_in_dim(x, start, end, step, axis)
    return x


def _arranged(product: Array, p: Plan) -> Array:
    """[(r, v), i, q, o] -> k[w, i, o], with w = s q + r along the outer axes."""
    _, inputs, _, outputs = product.shape
    rank, inner = len(p.outer), [a.window for a in p.inner]
    k = product.reshape(*(a.phases for a in p.outer), math.prod(inner) * inputs, *(a.shifts for a in p.outer), outputs)
    order = [axis for d in range(rank) for axis in (rank + 1 + d, d)]
    k = k.transpose(*order, rank, 2 * rank + 1)
    k = k.reshape(*(a.shifts * a.phases for a in p.outer), *inner, inputs, outputs)
    return k[tuple(slice(a.window) for a in p.outer)]


def by_columns(x: Array, y: Array, geometry: Geometry) -> Array:
    """k[w, i, o] from x[b, n, i] and y[b, t, o]: what a few offsets see of all channels side by side, a product for each of the others."""
    window, size = geometry.window(x.shape[1:-1], y.shape[1:-1]), y.shape[1:-1]
    widths = [math.prod(window[-n:]) * x.shape[-1] for n in range(1, len(window) + 1)]
    unrolled = next((n for n, width in enumerate(widths, start=1) if width >= COLUMN_WIDTH), len(window))
    split = len(window) - unrolled
    outer, inner = window[:split], window[split:]

    def block(x: Array, y: Array) -> Array:
        x = blocks.pad(x, 1, geometry, (1,) * len(window))
        rows = [blocks.seen(x, 1 + split, offset, size[split:], geometry, split) for offset in blocks.offsets(inner)]
        columns = jnp.concatenate(rows, axis=-1)
        y = y.reshape(math.prod(y.shape[:-1]), y.shape[-1])

        def product(offset: tuple[int, ...]) -> Array:
            part = blocks.seen(columns, 1, offset, size[:split], geometry).reshape(y.shape[0], columns.shape[-1])
            # The narrow operand first: its transposition, which the product needs, is the cheaper one.
            return lax.dot_general(y, part, (((0,), (0,)), ((), ())))

        products = jnp.stack([product(offset) for offset in blocks.offsets(outer)])
        return jnp.moveaxis(products.reshape(*outer, y.shape[-1], *inner, x.shape[-1]), split, -1)

    width = math.prod(inner) * x.shape[-1]
    images = blocks.images(math.prod(size) * width * x.itemsize, blocks.BLOCK_BYTES)
    return blockwise.sum_over(block, x, y, length=images)


def depthwise(x: Array, y: Array, geometry: Geometry) -> Array:
    """One channel a group: elementwise arithmetic with the groups last, row by row into sums that stay in the cache.

    XLA adds up the leading axes of an array in a slow order, so the loop over them is written out.
    """
    window = geometry.window(x.shape[2:-1], y.shape[2:-1])
    x, y = (jnp.moveaxis(a[..., 0], 0, -1) for a in (x, y))  # [b, n, g]
    x = lax.optimization_barrier(blocks.pad(x, 1, geometry, (1,) * len(window)))
    *rows, length, groups = y.shape
    split = len(rows) - 1  # spatial axes outside of a row

    def row(a: Array, place: Sequence[Any]) -> Array:
        return lax.dynamic_slice(a, (*place, 0, 0), (1,) * len(rows) + a.shape[-2:]).reshape(a.shape[-2:])

    def add(index: Array, sums: list[Array]) -> list[Array]:
        image, *place = jnp.unravel_index(index, rows)
        at_y = row(y, (image, *place))
        parts = []
        for offset in blocks.offsets(window[:split]):
            steps = zip(place, offset, geometry.strides, geometry.dilation, strict=False)
            at_x = row(x, (image, *(s * t + d * w for t, w, s, d in steps)))
            seen = (blocks.seen(at_x, 0, (w,), (length,), geometry, split) for w in range(window[-1]))
            parts += [part * at_y for part in seen]
        return [total + part for total, part in zip(sums, parts, strict=True)]

    zeros = [jnp.zeros((length, groups), x.dtype)] * math.prod(window)
    sums = lax.fori_loop(0, math.prod(rows), add, zeros)
    return jnp.stack(sums).sum(1).T.reshape(groups, *window, 1, 1)
