"""What the measured terms of a step would make of it on many accelerators, on paper."""

import math
from typing import NamedTuple


class Accelerator(NamedTuple):
    """What its maker says of a chip and of its links."""

    name: str
    peak: float  # operations a second in bfloat16 products
    link: float  # bytes a second that a chip sends while it receives as many


# Google's pages, docs.cloud.google.com/tpu/docs/v5e and v5p: 197 and 459 TFLOP/s; 400 and 1,200 GB/s, both ways together.
ACCELERATORS = (Accelerator("TPU v5e", 197e12, 200e9), Accelerator("TPU v5p", 459e12, 600e9))
SHARE = 0.3  # of the peak that a step reaches: an assumption, and a high one for networks this small
LATENCY = 1e-6  # seconds from a chip to its neighbor: an assumption


def seconds_of_exchange(number: int, size: int, chip: Accelerator) -> float:
    """Of a sum over `number` chips on a ring: each sends 2 (n - 1) / n times `size` bytes, in 2 (n - 1) messages."""
    return 2 * (number - 1) / number * size / chip.link + 2 * (number - 1) * LATENCY


def efficiency(number: int, share: int, operations: float, size: int, chip: Accelerator) -> float:
    """The part of a step in which a chip computes, if nothing is exchanged meanwhile.

    Args:
        number: of chips.
        share: examples of a chip in a batch.
        operations: of an example, forward and backward.
        size: bytes of the gradient.
        chip: the accelerator.
    """
    computing = share * operations / (SHARE * chip.peak)
    return computing / (computing + seconds_of_exchange(number, size, chip))


def share_for(wanted: float, number: int, operations: float, size: int, chip: Accelerator) -> int:
    """The smallest number of examples of a chip with that efficiency."""
    seconds = seconds_of_exchange(number, size, chip) * wanted / (1 - wanted)
    return math.ceil(seconds * SHARE * chip.peak / operations)
