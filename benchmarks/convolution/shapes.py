"""The shapes a convolution is measured at."""

import math
from typing import NamedTuple

import numpy as np

from jaxsci.ops import conv_output_size


class Shape(NamedTuple):
    """One convolution with padding SAME; `transposed` goes from its output to its input."""

    batch: int
    size: tuple[int, ...]
    inputs: int
    outputs: int
    window: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False

    @property
    def convolved(self) -> tuple[int, ...]:
        """Size after the convolution."""
        return conv_output_size(self.size, self.window, strides=self.stride, dilation=self.dilation)

    @property
    def flops(self) -> float:
        """Operations of one application by direct sums: two for each product."""
        pixels = self.batch * math.prod(self.convolved)
        return 2.0 * pixels * self.window ** len(self.size) * self.inputs * self.outputs / self.groups

    @property
    def numbers(self) -> int:
        """Of input, kernel and output together: one application reads two of the three and writes the third."""
        images = self.batch * (math.prod(self.size) * self.inputs + math.prod(self.convolved) * self.outputs)
        return images + self.window ** len(self.size) * self.inputs * self.outputs // self.groups

    def arrays(self, copies: int, dtype: str) -> dict[str, np.ndarray]:
        """Random x and y [copy, batch, *space, channel] and kernels k [copy, *window, in / groups, out] in this dtype."""
        rng = np.random.default_rng(0)
        fan = self.window ** len(self.size) * self.inputs / self.groups
        window = (self.window,) * len(self.size)
        x = rng.normal(size=(copies, self.batch, *self.size, self.inputs))
        y = rng.normal(size=(copies, self.batch, *self.convolved, self.outputs))
        k = rng.normal(size=(copies, *window, self.inputs // self.groups, self.outputs)) / math.sqrt(fan)
        x, k, y = (a.astype(dtype) for a in (x, k, y))
        return {"x": y, "k": k, "y": x} if self.transposed else {"x": x, "k": k, "y": y}

    def __str__(self) -> str:
        space = "x".join(map(str, self.size))
        extras = [f"/{self.stride}"] * (self.stride > 1) + [f" dilated {self.dilation}"] * (self.dilation > 1)
        extras += [f" {self.groups} groups"] * (self.groups > 1) + [" transposed"] * self.transposed
        window = "x".join([str(self.window)] * len(self.size))
        return f"{self.batch}, {space}, {self.inputs}->{self.outputs}, {window}{''.join(extras)}"


# Layers of small networks on jet images and the like, on which the library compares itself with others.
LAYERS = {
    "first": Shape(128, (40, 40), 1, 64, 4),
    "wide": Shape(128, (40, 40), 64, 32, 4),
    "narrow": Shape(128, (20, 20), 32, 32, 4),
    "square": Shape(128, (20, 20), 64, 64, 3),
    "thin": Shape(128, (28, 28), 16, 32, 3),
    "strided": Shape(64, (40, 40), 32, 64, 3, 2),
    "deep": Shape(64, (14, 14), 128, 128, 3),
}

OTHERS = {
    # The CNN of arXiv:1902.09914.
    "landscape-1": Shape(64, (40, 40), 1, 128, 4),
    "landscape-2": Shape(64, (40, 40), 128, 64, 4),
    "landscape-3": Shape(64, (20, 20), 64, 64, 4),
    "signal": Shape(64, (1024,), 32, 64, 5),
    "signal-strided": Shape(64, (1024,), 16, 32, 9, 4),
    "volume": Shape(8, (16, 16, 16), 16, 32, 3),
    "volume-first": Shape(8, (16, 16, 16), 1, 16, 3),
    "transposed": Shape(64, (28, 28), 32, 64, 4, 2, transposed=True),
    "depthwise": Shape(64, (28, 28), 64, 64, 3, groups=64),
    "dilated": Shape(64, (28, 28), 32, 32, 3, dilation=2),
}

SHAPES = LAYERS | OTHERS


def smaller(shape: Shape) -> Shape:
    """The same with few images and pixels, to see that all runs."""
    return shape._replace(batch=2, size=tuple(min(n, 6) for n in shape.size))
