"""What the environment's JAXSCI_CONVOLUTION says, and whether Winograd pays: three numbers in which processors may differ."""

import math
import os
from functools import lru_cache
from typing import NamedTuple

import jax

from jaxsci.errors import InputError


class Costs(NamedTuple):
    """Multiply-adds of direct sums that take as long as transforming one number for Winograd, for three uses.

    Measured on 2 cores of a Zen 4; they lie within the thresholds found on a Zen 3, which multiplies and adds as many numbers (23) while it
    reads and writes one. `python -m benchmarks.convolution --calibrate` measures them elsewhere.
    """

    images: float = 30  # outputs and inputs in two dimensions
    volumes: float = 16  # in three
    kernels: float = 70  # gradients by kernels


DIRECT = Costs(math.inf, math.inf, math.inf)


def named_choice() -> str:
    """JAXSCI_CONVOLUTION as runs and benchmarks record it: auto where it is not set."""
    return os.environ.get("JAXSCI_CONVOLUTION") or "auto"


def costs() -> Costs | None:
    """JAXSCI_CONVOLUTION, which is read whenever a program is compiled (see `settle`); None for the forms of other processors.

    auto (or nothing): the costs above; direct: never Winograd; three numbers: these costs, so that 0,0,0 takes Winograd wherever it
    can; xla: the forms of other processors, XLA's own convolution for one group, for a CPU unlike those measured.

    Raises:
        InputError: anything else.
    """
    value = named_choice()
    named = {"auto": Costs(), "direct": DIRECT, "xla": None}
    if value in named:
        return named[value]
    try:
        numbers = [float(number) for number in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(Costs._fields) or not all(number >= 0 for number in numbers):
        raise InputError(
            f"JAXSCI_CONVOLUTION: expected auto, direct, xla, three numbers from 0 (such as {','.join(map(str, Costs()))}) or nothing, "
            f"got {value}; unset it"
        )
    return Costs(*numbers)


def settle() -> None:
    """Have programs compiled anew where JAXSCI_CONVOLUTION is another than at the last call: JAX would take the old ones.

    Called where a run begins, and where one is resumed, evaluated, studied, loaded or asked: all of that goes by today's value.

    Raises:
        InputError: as `costs`.
    """
    _forget(costs())


@lru_cache(maxsize=1)
def _forget(chosen: Costs | None) -> None:
    jax.clear_caches()


def pays(cost: float, direct: int, fewer: int, channels: tuple[int, ...]) -> bool:
    """Whether `fewer` products for each pair of channels and the transformations of both arrays take less time than `direct` ones."""
    pairs, both = math.prod(channels), sum(channels)
    return direct * pairs >= fewer * (pairs + cost * both)
