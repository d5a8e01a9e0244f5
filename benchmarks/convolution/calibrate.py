"""What Winograd's transformations cost on this machine: the numbers of JAXSCI_CONVOLUTION, for a CPU unlike those measured."""

import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from benchmarks.convolution.implementations import OPERATIONS, convolutions, jax_call
from benchmarks.convolution.shapes import Shape, smaller
from jaxsci.ops.convolution._cpu import winograd

# A layer for each number, with channels near those from which Winograd is faster.
LAYERS = {
    "images": ("forward", Shape(64, (28, 28), 24, 32, 3)),
    "volumes": ("forward", Shape(16, (16, 16, 16), 8, 8, 3)),
    "kernels": ("kernel gradient", Shape(32, (20, 20), 64, 64, 3)),
}
DIRECT, WINOGRAD = "direct", "0,0,0"
ROUNDS = 15


def calibrate(quick: bool = False) -> str:
    """The three numbers as JAXSCI_CONVOLUTION takes them, measured in about ten seconds."""
    return ",".join(f"{measured(operation, smaller(s) if quick else s):.3g}" for operation, s in LAYERS.values())


def measured(operation: str, shape: Shape) -> float:
    """Multiply-adds a transformed number costs at this layer, from the ratio of the two times.

    With s products directly and w by Winograd for each pair of the i and o channels, and a cost c, the times are as s i o to
    w (i o + c (i + o)).
    """
    arrays = jax.device_put(shape.arrays(1, "float32"))
    calls = [_compiled(choice, operation, shape, arrays) for choice in (DIRECT, WINOGRAD)]
    ratios = []
    for _ in range(ROUNDS):
        direct, fewer = (_seconds(call) for call in calls)
        ratios.append(direct / fewer)
    window, ones = (shape.window,) * len(shape.size), (1,) * len(shape.size)
    saving = math.prod(window) * math.prod(shape.size) / winograd.products(shape.size, window, ones)
    harmonic = shape.inputs * shape.outputs / (shape.inputs + shape.outputs)
    return max(0.0, harmonic * (saving / statistics.median(ratios) - 1))


def _compiled(choice: str, operation: str, shape: Shape, arrays: Any) -> Callable[[], Any]:
    """A call of the operation as JAXSCI_CONVOLUTION=choice compiles it."""
    before = os.environ.get("JAXSCI_CONVOLUTION")
    os.environ["JAXSCI_CONVOLUTION"] = choice
    try:
        call, _ = jax_call(OPERATIONS[operation], convolutions(shape)["jaxsci"], arrays)
    finally:
        del os.environ["JAXSCI_CONVOLUTION"]
        if before is not None:
            os.environ["JAXSCI_CONVOLUTION"] = before
    return call


def _seconds(call: Callable[[], Any]) -> float:
    """Of the second of two calls: the first meets the caches that another program has left behind."""
    call()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
