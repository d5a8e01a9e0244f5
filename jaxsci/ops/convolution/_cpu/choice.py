"""What the environment's JAXSCI_CONVOLUTION says, and how long Winograd takes: four numbers in which processors may differ."""

import math
import os
from typing import NamedTuple

from jaxsci.errors import InputError


class Costs(NamedTuple):
    """Multiply-adds of direct sums that take as long as transforming one number for Winograd, for its uses.

    Measured on 1 and 2 cores of a Zen 4; they lie within the thresholds found on a Zen 3, which multiplies and adds as many numbers, 23,
    while it reads and writes one. `python -m benchmarks.convolution --calibrate` measures them elsewhere.
    """

    images: float = 30  # outputs and inputs in two dimensions
    volumes: float = 16  # in three
    kernels: float = 50  # gradients by kernels
    rows: float = 11  # the same, along rows alone


DIRECT = Costs(*[math.inf] * 4)


def costs() -> Costs | None:
    """JAXSCI_CONVOLUTION, which is read whenever a program is compiled; None for the forms of other processors.

    auto (or nothing): the costs above; direct: never Winograd; four numbers: these costs, so that 0,0,0,0 takes Winograd wherever it
    can; xla: the forms of other processors, XLA's own convolution for one group, for a CPU unlike those measured.

    Raises:
        InputError: anything else.
    """
    value = os.environ.get("JAXSCI_CONVOLUTION") or "auto"
    named = {"auto": Costs(), "direct": DIRECT, "xla": None}
    if value in named:
        return named[value]
    try:
        numbers = [float(number) for number in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(Costs._fields) or not all(number >= 0 for number in numbers):
        raise InputError(
            f"JAXSCI_CONVOLUTION: expected auto, direct, xla, four numbers from 0 (such as {','.join(map(str, Costs()))}) or nothing, "
            f"got {value}; unset it"
        )
    return Costs(*numbers)


def time(products: int, channels: tuple[int, ...], cost: float = 0) -> float:
    """Of so many products for each pair of channels and, by Winograd, for each of them the transformation of one number of each channel.

    In multiply-adds of direct sums.
    """
    return products * (math.prod(channels) + cost * sum(channels))
