"""Operations and bytes of every form of a contraction, and the least time they take at the published rates of a device."""

import math
from typing import Any, NamedTuple

from jaxsci.ops.convolution._accelerators import Form, Sizes
from jaxsci.ops.convolution._sizes import ConvGeometry


class Device(NamedTuple):
    """Published rates, without sparsity."""

    name: str
    source: str
    operations: dict[str, float]  # a second, of matrix products, by number format
    bytes: float  # a second, of its memory
    start: float  # seconds in which an operation is started: assumed, not published


DEVICES = {
    "h100": Device(
        "NVIDIA H100 SXM",
        "nvidia.com/en-us/data-center/h100; half of the rates given with sparsity",
        {"bfloat16": 989e12, "tf32": 494e12, "float32": 67e12, "float64": 67e12},
        3.35e12,
        1e-5,
    ),
    "v5e": Device(
        "TPU v5e", "docs.cloud.google.com/tpu/docs/v5e", {"bfloat16": 197e12, "float32": 197e12 / 6}, 819e9, 2e-6
    ),
}


class Counts(NamedTuple):
    """What a form of a contraction does."""

    operations: float
    bytes: float  # read or written, if every array is passed over once by each step that needs it
    starts: int


def counts(role: str, form: Form, first: Any, second: Any, geometry: ConvGeometry) -> Counts:
    """Count a form for operands of these shapes.

    Each array is read or written once. Groups in turn are cut out first and put back, two further passes; patches are written and read, in
    float32 where they are to be added up, for the input at strides or with fewer channels than the output.
    """
    sizes, groups, itemsize = Sizes.of(role, first, second, geometry), first.shape[0], first.dtype.itemsize
    images = sizes.batch * (math.prod(sizes.input) * sizes.inputs + math.prod(sizes.output) * sizes.outputs)
    window = math.prod(sizes.window)
    once = groups * (images + window * sizes.inputs * sizes.outputs) * itemsize
    products = groups * sizes.batch * math.prod(sizes.output) * window * sizes.inputs * sizes.outputs
    if form == "in turn":
        return Counts(2.0 * products, 3.0 * once, 4 * groups)
    if form == "patches":
        scattered = role == "input" if not sizes.exchanged(geometry) else role == "output"
        wide = max(itemsize, 4) if scattered else itemsize
        return Counts(2.0 * products, once + 2.0 * groups * sizes.patches(geometry) * wide, 3)
    return Counts(2.0 * products, float(once), 1)


def predicted(found: Counts, device: Device, number_format: str) -> float:
    """Seconds: starts, and the longer of arithmetic and memory."""
    return found.starts * device.start + max(
        found.operations / device.operations[number_format], found.bytes / device.bytes
    )
