"""The contractions on GPUs and TPUs: XLA's convolution (cuDNN on a GPU) for one group, other forms where it is slow.

Both operands of an ensemble's convolutions are mapped, and those of a per-example gradient: as many groups as members or examples. XLA's
convolutions of several groups are slow on GPUs, above all their derivatives (github.com/jax-ml/jax/issues/13800, and 31662 for a volume
under `vmap`). The forms of a contraction are

    whole     one convolution: of one group
    in turn   a convolution for each group: as fast as these, but each of them has to be started
    patches   one batched matrix product with what the window sees at each position: written and read once, window times the array
    taps      a sum over the elements of the window: of one channel a group (depthwise), which has no matrix product
    grouped   XLA's convolution of several groups, to compare with

Work is the same in all of them, so bytes and starts decide: groups of which the patches take longer to write and read than a convolution
takes to start are computed in turn. `python -m benchmarks.gpu` measures every form on the device at hand and says where the rule is wrong.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution import xla
from jaxsci.ops.convolution._cpu import dispatch, forward
from jaxsci.ops.convolution._cpu.blockwise import map_over
from jaxsci.ops.convolution._sizes import ConvGeometry

Form: TypeAlias = Literal["whole", "in turn", "patches", "taps", "grouped"]

# 10 microseconds, in which a convolution is started, at 3.35 TB/s of an H100 (nvidia.com/en-us/data-center/h100), written and read.
START_BYTES = 2**24
PATCHES_BYTES = 2**30  # of all groups that are computed together


def contraction(role: str, devices: int = 1) -> Callable[..., Array]:
    """The contraction of `role` for a program that XLA may spread over so many devices."""

    def contract(first: Array, second: Array, *, geometry: ConvGeometry, precision: Any) -> Array:
        return FORMS[choose(role, first, second, geometry, devices)](role, first, second, geometry, precision)

    return contract


def choose(role: str, first: Any, second: Any, geometry: ConvGeometry, devices: int = 1) -> Form:
    """The form for operands of these shapes.

    Several devices may share the groups. A loop over them would gather what it runs over, so that it is left to one device.
    """
    groups = first.shape[0]
    if isinstance(groups, int) and groups == 1:
        return "whole"
    sizes = Sizes.of(role, first, second, geometry)
    if sizes.inputs == sizes.outputs == 1:
        return "taps"
    large = isinstance(sizes.batch, int) and sizes.patches(geometry) * first.dtype.itemsize > START_BYTES
    return "in turn" if devices == 1 and large else "patches"


class Sizes(NamedTuple):
    """Of the three arrays of one group."""

    batch: Any  # an integer, or symbolic
    input: tuple[int, ...]
    window: tuple[int, ...]
    output: tuple[int, ...]
    inputs: int  # channels
    outputs: int

    @classmethod
    def of(cls, role: str, first: Any, second: Any, geometry: ConvGeometry) -> "Sizes":
        """From the two operands of a contraction."""
        if role == "output":
            (_, batch, *size, inputs), (_, *window, _, outputs) = first.shape, second.shape
            return cls(batch, (*size,), (*window,), geometry.output_size((*size,), (*window,)), inputs, outputs)
        if role == "input":
            (_, *window, inputs, outputs), (_, batch, *output, _) = first.shape, second.shape
            return cls(batch, geometry.input_size((*window,), (*output,)), (*window,), (*output,), inputs, outputs)
        (_, batch, *size, inputs), (_, _, *output, outputs) = first.shape, second.shape
        return cls(batch, (*size,), geometry.window((*size,), (*output,)), (*output,), inputs, outputs)

    def exchanged(self, geometry: ConvGeometry) -> bool:
        """Whether the patches are those of the output: at stride 1, where it has fewer channels."""
        return max(geometry.strides) == 1 and self.outputs < self.inputs

    def patches(self, geometry: ConvGeometry) -> Any:
        """The number of elements of the patches."""
        positions, width = (self.input, self.outputs) if self.exchanged(geometry) else (self.output, self.inputs)
        return self.batch * math.prod(positions) * math.prod(self.window) * width


def groups_together(sizes: Sizes, geometry: ConvGeometry, itemsize: int) -> int:
    """So many groups whose patches fit into PATCHES_BYTES."""
    return int(PATCHES_BYTES // max(1, sizes.patches(geometry) * itemsize))


def whole(role: str, first: Array, second: Array, geometry: ConvGeometry, precision: Any) -> Array:
    """XLA's convolution; of several groups it is `grouped`."""
    return getattr(xla, role)(first, second, geometry=geometry, precision=precision)


def in_turn(role: str, first: Array, second: Array, geometry: ConvGeometry, precision: Any) -> Array:
    """A convolution for each group."""

    def one(pair: tuple[Array, Array]) -> Array:
        return whole(role, pair[0][None], pair[1][None], geometry, precision)[0]

    return lax.map(one, (first, second))


def patches(role: str, first: Array, second: Array, geometry: ConvGeometry, precision: Any) -> Array:
    """One batched matrix product with the patches of the input or, where `exchanged`, of the output; in blocks of groups."""
    sizes = Sizes.of(role, first, second, geometry)
    if sizes.exchanged(geometry):
        return _exchanged(role, first, second, geometry, sizes.window, precision)

    def product(first: Array, second: Array) -> Array:
        return _product(role, first, second, geometry, sizes, precision)

    groups, batch = first.shape[0], sizes.batch
    if not isinstance(groups, int) or not isinstance(batch, int):
        return product(first, second)
    return map_over(product, first, second, length=max(1, groups_together(sizes, geometry, first.dtype.itemsize)))


def taps(role: str, first: Array, second: Array, geometry: ConvGeometry, precision: Any) -> Array:
    """Elementwise arithmetic, which XLA fuses into one pass over the arrays; half precision is added up in float32."""
    del precision
    ones = (1,) * len(geometry.strides)
    one = _transposed(role, lambda x, k: forward.depthwise(x, k, geometry, ones), geometry)
    return one(*dispatch.widen(first, second)).astype(first.dtype)


FORMS: dict[Form, Callable[..., Array]] = {
    "whole": whole,
    "in turn": in_turn,
    "patches": patches,
    "taps": taps,
    "grouped": whole,
}


def _product(role: str, first: Array, second: Array, geometry: ConvGeometry, sizes: Sizes, precision: Any) -> Array:
    """With the patches [g, b t, w i]; all sums are float32 at least."""
    wide = first.dtype if first.dtype.itemsize >= 4 else jnp.float32
    groups = first.shape[0]

    def columns(x: Array) -> Array:
        x = windows.pad(x, 2, geometry.padding)
        found = [windows.tap(x, 2, w, sizes.output, geometry) for w in windows.offsets(sizes.window)]
        return jnp.concatenate(found, axis=-1)

    def dot(a: Array, b: Array, over: tuple[int, int]) -> Array:
        numbers = (((over[0],), (over[1],)), ((0,), (0,)))
        return lax.dot_general(a, b, numbers, precision=precision, preferred_element_type=wide)

    def flat(x: Array) -> Array:
        return x.reshape(groups, -1, x.shape[-1])

    if role == "output":
        y = dot(columns(first), flat(second), (first.ndim - 1, 1))
        return y.astype(first.dtype)
    if role == "kernel":
        k = dot(flat(columns(first)), flat(second), (1, 1))
        return k.reshape(groups, *sizes.window, sizes.inputs, sizes.outputs).astype(first.dtype)
    found = dot(second, flat(first), (second.ndim - 1, 2))
    x = jax.ShapeDtypeStruct((groups, sizes.batch, *sizes.input, sizes.inputs), wide)
    return jax.linear_transpose(columns, x)(found)[0].astype(first.dtype)


def _transposed(
    role: str, function: Callable[[Array, Array], Array], geometry: ConvGeometry
) -> Callable[[Array, Array], Array]:
    """The contraction of `role` from that of the output, y(x, k)."""

    def input(kernel: Array, y: Array) -> Array:
        size = geometry.input_size(kernel.shape[1:-2], y.shape[2:-1])
        x = jax.ShapeDtypeStruct((*y.shape[:2], *size, kernel.shape[-2]), y.dtype)
        return jax.linear_transpose(lambda x: function(x, kernel), x)(y)[0]

    def kernel(x: Array, y: Array) -> Array:
        window = geometry.window(x.shape[2:-1], y.shape[2:-1])
        k = jax.ShapeDtypeStruct((x.shape[0], *window, x.shape[-1], y.shape[-1]), x.dtype)
        return jax.linear_transpose(lambda k: function(x, k), k)(y)[0]

    return {"output": function, "input": input, "kernel": kernel}[role]


def _exchanged(
    role: str, first: Array, second: Array, geometry: ConvGeometry, window: tuple[int, ...], precision: Any
) -> Array:
    """Input and output exchanged, the kernel mirrored: at stride 1 the transpose of a convolution is one, of the other's channels."""
    back = windows.transposed(geometry, window)
    if role == "kernel":
        return _mirrored(patches("kernel", second, first, back, precision))
    if role == "output":
        return patches("input", _mirrored(second), first, back, precision)
    return patches("output", second, _mirrored(first), back, precision)


def _mirrored(kernel: Array) -> Array:
    """The window reversed and the channels exchanged."""
    return jnp.flip(kernel, range(1, kernel.ndim - 2)).swapaxes(-1, -2)
