"""What is done with a convolution, and the ways to write one in JAX.

An operation takes a convolution f(x, k) of a batch and gives the function to time, of the arrays x, k, y with a leading axis of 1 or
8 copies. The loss is the sum of squares.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.convolution.shapes import Shape
from jaxsci.ops import conv, conv_transpose

Convolution: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]
COPIES = 8
STEP = 1e-6


class Operation(NamedTuple):
    """What to time."""

    make: Callable[[Convolution], Callable[..., Any]]  # from f(x, k) to a function of the arrays
    arrays: str  # which of x, k, y it takes
    work: float  # applications of the convolution or of a transpose of it
    copies: int = 1
    loops: bool = False  # called for each copy in turn
    beside: str = ""  # the operation it is compared with, measured in the same rounds


def _loss(f: Convolution, x: jax.Array, k: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(f(x, k).astype(jnp.promote_types(x.dtype, jnp.float32))))


def _first(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays without the axis of copies, given arrays with one of length 1."""
    return lambda *arrays: function(*(a[0] for a in arrays))


def _input_gradient(f: Convolution) -> Callable[..., Any]:
    return _first(lambda k, y, x: jax.linear_transpose(lambda x: f(x, k), x)(y)[0])


def _kernel_gradient(f: Convolution) -> Callable[..., Any]:
    return _first(lambda x, y, k: jax.linear_transpose(lambda k: f(x, k), k)(y)[0])


def _step(f: Convolution, k: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A step of training on the kernel, which needs the gradient of the input for the layers below as well."""
    value, (dx, dk) = jax.value_and_grad(partial(_loss, f), argnums=(0, 1))(x, k)
    return k - jnp.asarray(STEP, k.dtype) * dk, value + jnp.vdot(dx, dx).astype(value.dtype)


def _scan(f: Convolution) -> Callable[..., Any]:
    return lambda x, k: lax.scan(partial(_step, f), k[0], x)


def _kernel_grad(f: Convolution) -> Callable[..., Any]:
    return jax.grad(lambda k, x: _loss(f, x, k))


def _gauss_newton(f: Convolution) -> Callable[..., Any]:
    """J^T J v for the Jacobian J of the output by the kernel."""

    def product(x: jax.Array, k: jax.Array) -> jax.Array:
        output, pull = jax.vjp(lambda k: f(x, k), k)
        pushed = jax.jvp(lambda k: f(x, k), (k,), (k,))[1]
        return pull(pushed.astype(output.dtype))[0]

    return _first(product)


def _hessian(f: Convolution) -> Callable[..., Any]:
    """The Hessian of the loss by input and kernel, times the vector (x, k)."""
    gradient = jax.grad(partial(_loss, f), argnums=(0, 1))
    return _first(lambda x, k: jax.jvp(gradient, (x, k), (x, k))[1])


OPERATIONS = {
    "forward": Operation(lambda f: _first(f), "xk", 1),
    "input gradient": Operation(_input_gradient, "kyx", 1),
    "kernel gradient": Operation(_kernel_gradient, "xyk", 1),
    "forward+backward": Operation(lambda f: _first(jax.value_and_grad(partial(_loss, f), argnums=(0, 1))), "xk", 3),
    "8 steps": Operation(lambda f: _first(lambda x, k: _step(f, k, x)), "xk", 3 * COPIES, COPIES, loops=True),
    "8 steps in a scan": Operation(_scan, "xk", 3 * COPIES, COPIES, beside="8 steps"),
    "batch gradient": Operation(lambda f: _first(_kernel_grad(f)), "kx", 2),
    "per-example gradients": Operation(
        lambda f: _first(jax.vmap(lambda k, x: _kernel_grad(f)(k, x[None]), in_axes=(None, 0))),
        "kx",
        2,
        beside="batch gradient",
    ),
    "8 kernels in a row": Operation(lambda f: _first(_kernel_grad(f)), "kx", 2 * COPIES, COPIES, loops=True),
    "ensemble of 8": Operation(
        lambda f: jax.vmap(_kernel_grad(f)), "kx", 2 * COPIES, COPIES, beside="8 kernels in a row"
    ),
    "ensemble of 8, shared data": Operation(
        lambda f: lambda k, x: jax.vmap(_kernel_grad(f), in_axes=(0, None))(k, x[0]),
        "kx",
        2 * COPIES,
        COPIES,
        beside="8 kernels in a row",
    ),
    "Gauss-Newton product": Operation(_gauss_newton, "xk", 2),
    "Hessian-vector product": Operation(_hessian, "xk", 7),
}


def together(names: Iterable[str]) -> list[list[str]]:
    """These operations in groups, those that are compared with each other in one."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(OPERATIONS[name].beside or name, []).append(name)
    return list(groups.values())


def convolutions(shape: Shape) -> dict[str, Convolution]:
    """Ours, XLA's convolution with JAX's own derivatives, and columns written plainly where they apply."""
    ways = {"jaxsci": partial(_ours, shape), "lax": partial(_lax, shape)}
    if shape.groups == 1 and not shape.transposed:
        ways["im2col"] = partial(_im2col, shape)
    return ways


def _ours(shape: Shape, x: jax.Array, k: jax.Array) -> jax.Array:
    function = conv_transpose if shape.transposed else conv
    return function(x, k, strides=shape.stride, dilation=shape.dilation, groups=shape.groups)


def _lax(shape: Shape, x: jax.Array, k: jax.Array) -> jax.Array:
    rank = len(shape.size)
    space = "HWD"[:rank]
    numbers = (f"N{space}C", f"{space}IO", f"N{space}C")
    strides = (shape.stride,) * rank
    if shape.transposed:
        return lax.conv_transpose(x, k, strides, "SAME", dimension_numbers=numbers, transpose_kernel=True)
    return lax.conv_general_dilated(
        x,
        k,
        strides,
        "SAME",
        rhs_dilation=(shape.dilation,) * rank,
        dimension_numbers=numbers,
        feature_group_count=shape.groups,
    )


def _im2col(shape: Shape, x: jax.Array, k: jax.Array) -> jax.Array:
    """Pad, slice, concatenate, one matrix product: as anyone would write it."""
    rank, s, d, w = len(shape.size), shape.stride, shape.dilation, shape.window
    total = [max((o - 1) * s + (w - 1) * d + 1 - n, 0) for n, o in zip(shape.size, shape.convolved, strict=True)]
    x = jnp.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)])
    columns = [
        x[
            (
                slice(None),
                *(slice(d * i, d * i + (o - 1) * s + 1, s) for i, o in zip(offset, shape.convolved, strict=True)),
            )
        ]
        for offset in itertools.product(range(w), repeat=rank)
    ]
    return jnp.concatenate(columns, axis=-1) @ k.reshape(-1, k.shape[-1])


def jax_call(operation: Operation, f: Convolution, arrays: Mapping[str, jax.Array]) -> tuple[Callable[[], Any], Any]:
    """A call that waits for its result, and the compiled program."""
    given = [arrays[name] for name in operation.arrays]
    one = [a[:1] for a in given]
    compiled = jax.jit(operation.make(f)).lower(*(one if operation.loops else given)).compile()
    if not operation.loops:
        return lambda: jax.block_until_ready(compiled(*given)), compiled
    each = [jax.block_until_ready([a[i : i + 1] for a in given]) for i in range(operation.copies)]
    return lambda: jax.block_until_ready([compiled(*arrays) for arrays in each]), compiled
