"""Convolution, its transpose and its patches: channels last, for 1, 2 and 3 spatial dimensions."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.errors import InputError
from jaxsci.ops.convolution._primitives import contract
from jaxsci.ops.convolution._sizes import Padding, Sizes, conv_geometry, conv_transpose_output_size, spatial

DTYPES = (jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64)


def conv(
    x: Array,
    kernel: Array,
    *,
    strides: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    groups: int = 1,
    precision: Any = None,
) -> Array:
    """Convolves images, signals or volumes with a kernel, as neural networks do: without mirroring the kernel (a cross-correlation).

    y[b, t, o] = sum_{w, i} x[b, s t + d w - p, i] k[w, i, o], with x = 0 outside; for every spatial dimension, stride s, dilation d,
    padding p. Closed under `jvp`, `vjp`, `vmap`, `jit`, `scan`, `checkpoint` and their nestings, to any order.

    Args:
        x: [batch, *space, in] with 1, 2 or 3 spatial dimensions; bfloat16, float16 (both add up in float32), float32 or float64.
        kernel: [*window, in / groups, out] in the dtype of `x`.
        strides: distance between neighboring windows; like `dilation` an integer, or one for each spatial dimension.
        padding: zeros around `x`: "SAME" (o = ceil(i/s)), "VALID" (none), "HALF" (half the window), "FULL" (window - 1), an integer, or
            pairs (before, after), one per dimension.
        dilation: distance between neighboring elements of the window.
        groups: the channels are divided into so many groups; group g of the outputs sees group g of the inputs alone.
        precision: of the products on accelerators, as in `jax.lax.dot_general`; by default `jax.default_matmul_precision`. On a CPU
            "highest" turns off Winograd, which needs fewer multiplications but rounds more: in float32 the largest of many errors is up to
            four times that of direct sums. Images in which a value exceeds 32 root mean squares of the image (volumes: 10), such as
            a hot pixel, get direct sums anyway. Where a dark region of an image touches a bright one, Winograd errs relative to the
            bright values within five steps of the window (pixels, times its dilation); ask for "highest" if this matters. The gradient
            by `x` of a strided convolution is computed as one at stride 1 whose steps are whole strides, so that this holds for it too.

    Returns:
        [batch, *space', out] in the dtype of `x`, with o = floor((i + 2p - k - (k-1)(d-1)) / s) + 1 (relation 15 of arXiv:1603.07285; its
        relations 1 to 6 are the cases).

    Raises:
        InputError: shapes, dtypes or options that do not fit each other.
    """
    rank = _check("x", x, kernel, groups)
    if x.shape[-1] != kernel.shape[-2] * groups:
        raise InputError(
            f"x: expected {kernel.shape[-2] * groups} channels last for a kernel {kernel.shape} in {groups} groups, "
            f"got shape {x.shape}; move the channels last or change the kernel to [*window, in / groups, out]"
        )
    window = kernel.shape[:rank]
    strides, dilation = spatial(strides, rank, "strides"), spatial(dilation, rank, "dilation")
    geometry, _ = conv_geometry(x.shape[1:-1], window, strides, padding, dilation)
    return _merge(
        contract(
            "output", {"input": _split(x, groups), "kernel": _split(kernel, groups)}, geometry, _default(precision)
        )
    )


def conv_transpose(
    y: Array,
    kernel: Array,
    *,
    strides: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    groups: int = 1,
    output_size: Sizes | None = None,
    precision: Any = None,
) -> Array:
    """Applies the exact transpose of `conv` with the same kernel and options: <conv(x, k), y> = <x, conv_transpose(y, k)>.

    x[b, n, i] = sum y[b, t, o] k[w, i, o] over all t, w with s t + d w - p = n, and over o. The kernel is neither mirrored nor are its
    channels exchanged: what `conv` reads from, `conv_transpose` writes to.

    Args:
        y: [batch, *space', out].
        kernel: [*window, in / groups, out] in the dtype of `y`.
        strides: of the convolution that is transposed, as are the next arguments.
        padding: as for `conv`.
        dilation: as for `conv`.
        groups: as for `conv`.
        output_size: of the spatial dimensions of the result, which a stride s > 1 leaves ambiguous: o' = s(i'-1) + a + k - 2p with
            0 <= a < s (relation 14 of arXiv:1603.07285; 8 to 13 are the cases). By default a = 0, or o' = s i' for "SAME".
        precision: as for `conv`.

    Returns:
        [batch, *space, in] in the dtype of `y`.

    Raises:
        InputError: shapes, dtypes or options that do not fit each other, or an impossible `output_size`.
    """
    rank = _check("y", y, kernel, groups)
    if y.shape[-1] != kernel.shape[-1]:
        raise InputError(
            f"y: expected the {kernel.shape[-1]} output channels of the kernel {kernel.shape} last, got shape {y.shape}; "
            "the kernel is that of the convolution, [*window, in / groups, out]"
        )
    window, output = kernel.shape[:rank], y.shape[1:-1]
    options = {"strides": spatial(strides, rank, "strides"), "dilation": spatial(dilation, rank, "dilation")}
    size = conv_transpose_output_size(output, window, padding=padding, output_size=output_size, **options)
    geometry, _ = conv_geometry(size, window, padding=padding, **options)
    return _merge(
        contract(
            "input", {"kernel": _split(kernel, groups), "output": _split(y, groups)}, geometry, _default(precision)
        )
    )


def conv_patches(
    x: Array, window: int | Sequence[int], *, strides: Sizes = 1, padding: Padding = "SAME", dilation: Sizes = 1
) -> Array:
    """Cuts out the patch under every position of a sliding window (im2col): p[b, t, w, i] = x[b, s t + d w - p, i], with x = 0 outside.

    `conv(x, kernel)` is the product of the patches with the kernel over the axes w and i.

    Args:
        x: [batch, *space, channel], any number of spatial dimensions, any dtype.
        window: an integer for all spatial dimensions, or one for each; like `strides` and `dilation`.
        strides: as for `conv`.
        padding: as for `conv`.
        dilation: as for `conv`.

    Returns:
        [batch, *space', *window, channel].

    Raises:
        InputError: no spatial dimension, or a window larger than the padded input.
    """
    rank = x.ndim - 2
    if rank < 1:
        raise InputError(
            f"x: expected [batch, *space, channel], got shape {x.shape}; add the missing axes with x[None] or x[..., None]"
        )
    window, strides, dilation = (
        spatial(v, rank, n) for v, n in ((window, "window"), (strides, "strides"), (dilation, "dilation"))
    )
    geometry, output = conv_geometry(x.shape[1:-1], window, strides, padding, dilation)
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*pair, 0) for pair in geometry.padding), (0, 0, 0)))
    for axis, (k, o, s, d) in enumerate(zip(window, output, strides, dilation, strict=True), start=1):
        slices = [lax.slice_in_dim(x, d * w, d * w + s * (o - 1) + 1, s, axis) for w in range(k)]
        x = jnp.stack(slices, axis=rank + axis)
    return x


def _check(name: str, x: Array, kernel: Array, groups: int) -> int:
    """The number of spatial dimensions, once ranks, dtypes and groups fit."""
    rank = x.ndim - 2
    if rank not in (1, 2, 3):
        raise InputError(
            f"{name}: expected [batch, *space, channel] with 1, 2 or 3 spatial dimensions, got shape {x.shape}; "
            f"add a missing batch or channel axis with {name}[None] or {name}[..., None]"
        )
    if kernel.ndim != x.ndim:
        raise InputError(
            f"kernel: expected [*window, in / groups, out] with {rank} window dimensions for {name} of shape {x.shape}, "
            f"got shape {kernel.shape}; reshape it"
        )
    if x.dtype != kernel.dtype or x.dtype not in DTYPES:
        raise InputError(
            f"kernel: expected one floating dtype for {name} and kernel, got {x.dtype} and {kernel.dtype}; convert with .astype"
        )
    if not isinstance(groups, int) or groups < 1 or kernel.shape[-1] % groups:
        raise InputError(
            f"groups: expected a divisor of the {kernel.shape[-1]} output channels, got {groups!r}; choose another"
        )
    return rank


def _default(precision: Any) -> Any:
    """JAX's own default where none is given: the rules of the kernels see it then as well."""
    return jax.config.jax_default_matmul_precision if precision is None else precision  # type: ignore[attr-defined]


def _merge(x: Array) -> Array:
    """[group, ..., channel] -> [..., group * channel], as a product with one.

    XLA removes the product. Tools that know the products of `jax.lax` by name see the result of a convolution by it: `jax.checkpoint` with
    the policy `dots_saveable` keeps it, and `checkify` looks for NaN in it.
    """
    if x.shape[0] == 1:
        x = x[0]
    else:
        x = jnp.moveaxis(x, 0, -2)
        x = x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    return lax.dot_general(x, jnp.ones((), x.dtype), (((), ()), ((), ())), precision=lax.Precision.HIGHEST)


def _split(x: Array, groups: int) -> Array:
    """[..., group * channel] -> [group, ..., channel]."""
    if groups == 1:
        return x[None]
    return jnp.moveaxis(x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), -2, 0)
