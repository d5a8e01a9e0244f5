"""Convolution and its two transposes: three bilinear primitives, each the derivative of the others.

The number <y, k * x> is linear in the input x, the kernel k and the output y. Leaving one of the three out gives the three primitives:

    output: y[g, b, t, o] = sum_{w, i} x[g, b, s t + d w - p, i] k[g, w, i, o]
    input:  x[g, b, n, i] = sum_{t, w, o: s t + d w - p = n} y[g, b, t, o] k[g, w, i, o]
    kernel: k[g, w, i, o] = sum_{b, t} x[g, b, s t + d w - p, i] y[g, b, t, o]

so the derivative of any of them with respect to any operand is again one of them. Any two of the arrays share one axis (batch b,
channels i or o) that the third lacks. If `vmap` maps one operand, the mapped axis is folded into the axis that this operand shares with the
result; if it maps both, into the group axis g. No transformation, nor any nesting of them, leaves the family.

Meshes concern the primitives alone, as in `_meshes`: abstract values carry shardings and the mesh axes over which a value varies, and the
lowering traces the kernels on plain arrays.
"""

from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.experimental import jet
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxsci.core import Array
from jaxsci.ops.convolution import _accelerators, _meshes
from jaxsci.ops.convolution._cpu import partitioned
from jaxsci.ops.convolution._sizes import ConvGeometry

Role: TypeAlias = Literal["input", "kernel", "output"]
ROLES: tuple[Role, ...] = ("input", "kernel", "output")

Axes: TypeAlias = dict[Role, int]

# Where the axis lies that two roles share and the third lacks.
BATCH: Axes = {"input": 1, "output": 1}
INPUT_CHANNELS: Axes = {"input": -1, "kernel": -2}
OUTPUT_CHANNELS: Axes = {"kernel": -1, "output": -1}
GROUPS: Axes = dict.fromkeys(ROLES, 0)


def contract(role: Role, arrays: dict[Role, Array], geometry: ConvGeometry, precision: Any = None) -> Array:
    """The array of `role` from the two others, in the shapes of the module's formulas."""
    first, second = _meshes.vary_alike(*(arrays[r] for r in _operands(role)))
    if 0 in (first.size, second.size):  # a sum over nothing, which the kernels need not know
        result = _abstract(role, jax.typeof(first), jax.typeof(second), geometry=geometry, precision=precision)
        return _meshes.zeros(result)
    return PRIMITIVES[role].bind(first, second, geometry=geometry, precision=precision)


def _operands(role: Role) -> tuple[Role, Role]:
    first, second = (r for r in ROLES if r != role)
    return first, second


def _shape(role: Role, first: tuple[int, ...], second: tuple[int, ...], geometry: ConvGeometry) -> tuple[int, ...]:
    if role == "output":
        (groups, batch, *size, _), (_, *window, _, channels) = first, second
        return groups, batch, *geometry.output_size(tuple(size), tuple(window)), channels
    if role == "input":
        (_, *window, channels, _), (groups, batch, *output, _) = first, second
        return groups, batch, *geometry.input_size(tuple(window), tuple(output)), channels
    (groups, _, *size, inputs), (_, _, *output, outputs) = first, second
    return groups, *geometry.window(tuple(size), tuple(output)), inputs, outputs


def _abstract(role: Role, first: Any, second: Any, *, geometry: ConvGeometry, precision: Any) -> Any:
    """Shape, dtype and sharding of the result: along an axis that it shares with an operand, it is sharded as that operand is."""
    del precision
    shape = _shape(role, first.shape, second.shape, geometry)
    shared = [
        (operand, axes[r] % operand.ndim, axes[role] % len(shape))
        for axes in (GROUPS, BATCH, INPUT_CHANNELS, OUTPUT_CHANNELS)
        for r, operand in zip(_operands(role), (first, second), strict=True)
        if {r, role} <= axes.keys()
    ]
    return first.update(shape=shape, sharding=_meshes.shared_sharding((first, second), shared, len(shape)))


def _transpose(role: Role, wanted: Role, cotangent: Array, first: Any, second: Any, **params: Any) -> Array:
    """The derivative by the operand `wanted`, from the cotangent of the result and the other operand."""
    operands: dict[Role, Any] = dict(zip(_operands(role), (first, second), strict=True))
    return _meshes.reshard_as(contract(wanted, operands | {role: cotangent}, **params), operands[wanted].aval)


def _fold(x: Array, mapped: int, axis: int) -> tuple[Array, int]:
    """Merge the mapped axis into `axis` (counted without the mapped one), and the size that `axis` had."""
    axis %= x.ndim - 1
    x = jnp.moveaxis(x, mapped, axis)
    outer, inner = x.shape[axis : axis + 2]
    return _meshes.reshape(x, (*x.shape[:axis], outer * inner, *x.shape[axis + 2 :])), inner


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
    return _meshes.reshape(result, (*result.shape[:axis], size, inner, *result.shape[axis + 1 :])), axis


def _apply(primitive: Primitive) -> Any:
    """The primitive outside of `jit`, compiled even where `jax.disable_jit` asks for one operation after another: this is one."""
    compiled = jax.jit(primitive.bind, static_argnames=("geometry", "precision"))

    def apply(*operands: Array, **params: Any) -> Array:
        with jax.disable_jit(False):
            return compiled(*operands, **params)

    return apply


def _taylor(primitive: Primitive, primals: Any, series: Any, **params: Any) -> tuple[Array, list[Array]]:
    """The rule of `jax.experimental.jet`: the product of two truncated Taylor series."""
    first, second = ([primal, *terms] for primal, terms in zip(primals, series, strict=True))
    value, *terms = (
        sum(primitive.bind(first[m], second[n - m], **params) for m in range(n + 1)) for n in range(len(first))
    )
    return value, terms


def _primitive(role: Role) -> Primitive:
    primitive = Primitive(f"convolution_{role}")
    primitive.def_impl(_apply(primitive))
    primitive.def_abstract_eval(partial(_abstract, role))
    ad.defbilinear(primitive, *(partial(_transpose, role, wanted) for wanted in _operands(role)))
    batching.primitive_batchers[primitive] = partial(_batch, role)
    jet.jet_rules[primitive] = partial(_taylor, primitive)
    mlir.register_lowering(primitive, _meshes.lowering(partial(_accelerators.contraction, role)))
    mlir.register_lowering(primitive, _meshes.lowering(partial(partitioned.contraction, role)), platform="cpu")
    return primitive


PRIMITIVES: dict[Role, Primitive] = {role: _primitive(role) for role in ROLES}
