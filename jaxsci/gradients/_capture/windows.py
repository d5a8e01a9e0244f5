"""Windows that slide over images: what each of them sees, and the sum of their outer products."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops import conv

MANY_CHANNELS = 8  # from which correlations of whole images are as fast as products of windows


class Sliding(NamedTuple):
    """The geometry of a convolution; a number, or a pair of them, for each spatial dimension."""

    window: tuple[int, ...]
    strides: Sequence[int]
    padding: Sequence[tuple[int, int]]
    dilation: Sequence[int]
    output: tuple[int, ...]

    def windows(self, x: Array) -> Array:
        """[..., *size, channel] -> [..., *output, window, channel]: what each window sees."""
        lead = x.ndim - 1 - len(self.window)
        edges = [(0, 0, 0)] * lead + [(before, after, 0) for before, after in self.padding] + [(0, 0, 0)]
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), edges)
        seen = []
        for offset in itertools.product(*map(range, self.window)):
            start = [d * w for d, w in zip(self.dilation, offset, strict=True)]
            stop = [first + s * (n - 1) + 1 for first, s, n in zip(start, self.strides, self.output, strict=True)]
            limits = (*x.shape[:lead], *stop, x.shape[-1])
            seen.append(jax.lax.slice(x, (*(0,) * lead, *start, 0), limits, (*(1,) * lead, *self.strides, 1)))
        return jnp.stack(seen, axis=-2)

    def correlates(self, size: tuple[int, ...], channels: int) -> bool:
        """Whether `second_moment` is meant for these windows on images [*size, channel], and cheaper than their products."""
        if channels < MANY_CHANNELS or max(self.strides) > 1 or math.prod(self.window) == 1:
            return False
        numbers = math.prod(self.window) ** 2
        hanging = sum(math.prod(part.output) for part in self._hanging(size))
        first, *others = self.window
        correlation = first * math.prod(2 * k - 1 for k in others) * math.prod(size)
        return correlation + hanging * numbers < math.prod(self.output) * numbers

    def second_moment(self, x: Array, c: Array) -> Array:
        """sum_b c_b sum_t a_t a_t^T over the windows a_t of x[g, b, *size, i], without cutting them out: [g, w i, w i].

        Over ALL positions t, the product of two taps w and v of the window depends on their distance alone, and is an autocorrelation of
        the image, to which the gradient of a convolution by its kernel comes:

            sum_t x[t + w, i] x[t + v, j] = R[v - w, j, i],     R[u, j, i] = sum_n x[n + u, j] x[n, i].

        The windows beyond the edge of the output are few; their products are taken out again.
        """
        g, b, *size, _ = x.shape
        scaled = x * c.astype(x.dtype).reshape(1, b, *(1,) * (x.ndim - 2))
        total = self._all_positions(x, scaled)
        for part in self._hanging(tuple(size)):
            a, d = (part.windows(each).reshape(g, -1, total.shape[-1]) for each in (x, scaled))
            total = total - jnp.einsum("gti,gtj->gij", a, d)
        return total

    def _all_positions(self, x: Array, scaled: Array) -> Array:
        g, b, *size, i = x.shape
        x, scaled = (jnp.moveaxis(each, 0, -2).reshape(b, *size, g * i) for each in (x, scaled))
        first, *others = self.window
        # Half of the distances are enough: R[-u] is R[u], transposed.
        kernel = jax.ShapeDtypeStruct((first, *(2 * k - 1 for k in others), i, g * i), x.dtype)
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.window, strict=True)]
        padding = [(0, reach[0]), *((r, r) for r in reach[1:])]

        def convolved(kernel: Array) -> Array:
            return conv(x, kernel, padding=padding, dilation=tuple(self.dilation), groups=g, precision="highest")

        (half,) = jax.linear_transpose(convolved, kernel)(scaled)
        half = half.reshape(*half.shape[:-1], g, i)  # [*u, j, g, i]
        mirrored = jnp.flip(half[1:], range(len(size))).swapaxes(-3, -1)
        correlation = jnp.concatenate([mirrored, half])
        taps = [np.arange(k) for k in self.window]
        distances = np.ix_(*taps, *taps)
        count = len(taps)
        apart = [v - w + k - 1 for w, v, k in zip(distances[:count], distances[count:], self.window, strict=True)]
        found = correlation[tuple(apart)]  # [*w, *v, j, g, i]
        width = math.prod(self.window)
        found = found.reshape(width, width, i, g, i)
        return found.transpose(3, 0, 4, 1, 2).reshape(g, width * i, width * i)

    def _hanging(self, size: tuple[int, ...]) -> list["Sliding"]:
        """The windows beyond the output that see a pixel, in slabs that do not overlap."""
        inside = [(0, n) for n in self.output]
        reach = [
            (min(0, before - d * (k - 1)), max(n, m + before))
            for (before, _), d, k, n, m in zip(self.padding, self.dilation, self.window, self.output, size, strict=True)
        ]
        return [
            self._at([*inside[:axis], ends, *reach[axis + 1 :]], size)
            for axis, ((low, high), (_, n)) in enumerate(zip(reach, inside, strict=True))
            for ends in ((low, 0), (n, high))
            if ends[0] < ends[1]
        ]

    def _at(self, positions: list[tuple[int, int]], size: tuple[int, ...]) -> "Sliding":
        """The windows at other positions, from the first to before the last."""
        output = tuple(last - first for first, last in positions)
        padding = []
        for (first, _), (before, _), n, d, k, m in zip(
            positions, self.padding, output, self.dilation, self.window, size, strict=True
        ):
            low = before - first
            padding.append((low, n + d * (k - 1) - m - low))
        return self._replace(padding=padding, output=output)
