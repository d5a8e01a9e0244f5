"""Convolution and its two transposes: three bilinear primitives, each the derivative of the others.

The number <y, k * x> is linear in the input x, the kernel k and the output y. Leaving one of the three out gives the three primitives:

    output: y[g, b, t, o] = sum_{w, i} x[g, b, s t + d w - p, i] k[g, w, i, o]
    input:  x[g, b, n, i] = sum_{t, w, o: s t + d w - p = n} y[g, b, t, o] k[g, w, i, o]
    kernel: k[g, w, i, o] = sum_{b, t} x[g, b, s t + d w - p, i] y[g, b, t, o]

so that the derivative of any of them with respect to any operand is again one of them. Any two of the arrays share one axis (batch b,
channels i or o) which the third lacks: the mapped axis of an operand that `vmap` maps alone folds into the axis which it shares with the
result, and those of two mapped operands into the group axis g. No transformation, nor any nesting of them, leads out of the family.
"""

from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxsci.core import Array
from jaxsci.ops.convolution import _xla as convolution_lax
from jaxsci.ops.convolution._cpu import dispatch as convolution_cpu
from jaxsci.ops.convolution._sizes import Geometry

Role: TypeAlias = Literal["input", "kernel", "output"]
ROLES: tuple[Role, ...] = ("input", "kernel", "output")

Axes: TypeAlias = dict[Role, int]

# Where the axis lies that two roles share and the third lacks.
BATCH: Axes = {"input": 1, "output": 1}
INPUT_CHANNELS: Axes = {"input": -1, "kernel": -2}
OUTPUT_CHANNELS: Axes = {"kernel": -1, "output": -1}
GROUPS: Axes = dict.fromkeys(ROLES, 0)


def contract(role: Role, arrays: dict[Role, Array], geometry: Geometry, precision: Any = None) -> Array:
    """The array of `role` from the two others, in the shapes of the module's formulas."""
    first, second = (arrays[r] for r in _operands(role))
    if 0 in (first.size, second.size):  # a sum over nothing, which the kernels need not know
        return jnp.zeros(_shape(role, first.shape, second.shape, geometry), first.dtype)
    return PRIMITIVES[role].bind(first, second, geometry=geometry, precision=precision)


def _operands(role: Role) -> tuple[Role, Role]:
    first, second = (r for r in ROLES if r != role)
    return first, second


def _shape(role: Role, first: tuple[int, ...], second: tuple[int, ...], geometry: Geometry) -> tuple[int, ...]:
    if role == "output":
        (groups, batch, *size, _), (_, *window, _, channels) = first, second
        return groups, batch, *geometry.output_size(tuple(size), tuple(window)), channels
    if role == "input":
        (_, *window, channels, _), (groups, batch, *output, _) = first, second
        return groups, batch, *geometry.input_size(tuple(window), tuple(output)), channels
    (groups, _, *size, inputs), (_, _, *output, outputs) = first, second
    return groups, *geometry.window(tuple(size), tuple(output)), inputs, outputs


def _abstract(role: Role, first: Any, second: Any, *, geometry: Geometry, precision: Any) -> Any:
    del precision
    return jax.core.ShapedArray(_shape(role, first.shape, second.shape, geometry), first.dtype)


def _transpose(role: Role, wanted: Role, cotangent: Array, first: Any, second: Any, **params: Any) -> Array:
    """The derivative by the operand `wanted`, from the cotangent of the result and the other operand."""
    arrays = dict(zip(_operands(role), (first, second), strict=True)) | {role: cotangent}
    return contract(wanted, arrays, **params)


def _fold(x: Array, mapped: int, axis: int) -> tuple[Array, int]:
    """Merge the mapped axis into `axis` (counted without the mapped one), and the size that `axis` had."""
    axis %= x.ndim - 1
    x = jnp.moveaxis(x, mapped, axis)
    outer, inner = x.shape[axis : axis + 2]
    return x.reshape(*x.shape[:axis], outer * inner, *x.shape[axis + 2 :]), inner


def _batch(role: Role, operands: Any, mapped: Any, **params: Any) -> tuple[Array, int]:
    """The batching rule: fold the mapped axis in, and take it out of the result."""
    roles = _operands(role)
    axes = GROUPS
    if None in mapped:
        lone = roles[mapped.index(None) - 1]
        axes = next(shared for shared in (BATCH, INPUT_CHANNELS, OUTPUT_CHANNELS) if {lone, role} == set(shared))
    arrays = dict(zip(roles, operands, strict=True))
    for r, axis in zip(roles, mapped, strict=True):
        if axis is not None:
            arrays[r], inner = _fold(arrays[r], axis, axes[r])
    result = contract(role, arrays, **params)
    axis = axes[role] % result.ndim
    size = next(x.shape[m] for x, m in zip(operands, mapped, strict=True) if m is not None)
    return result.reshape(*result.shape[:axis], size, inner, *result.shape[axis + 1 :]), axis


def _primitive(role: Role) -> Primitive:
    primitive = Primitive(f"convolution_{role}")
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("geometry", "precision")))
    primitive.def_abstract_eval(partial(_abstract, role))
    ad.defbilinear(primitive, *(partial(_transpose, role, wanted) for wanted in _operands(role)))
    batching.primitive_batchers[primitive] = partial(_batch, role)
    for module, platform in ((convolution_lax, None), (convolution_cpu, "cpu")):
        mlir.register_lowering(
            primitive, mlir.lower_fun(getattr(module, role), multiple_results=False), platform=platform
        )
    return primitive


PRIMITIVES: dict[Role, Primitive] = {role: _primitive(role) for role in ROLES}
