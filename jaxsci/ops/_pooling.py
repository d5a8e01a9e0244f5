"""Maximum and average over sliding windows, one spatial dimension after the other."""

from functools import reduce

import jax.numpy as jnp
from jax import lax

from jaxsci.core import Array
from jaxsci.errors import InputError
from jaxsci.ops.convolution._sizes import Padding, Sizes, padding_pairs, spatial, windows_that_fit


def max_pool(x: Array, window: Sizes, *, strides: Sizes | None = None, padding: Padding = "VALID") -> Array:
    """Maximum over sliding windows of each channel.

    y[b, t, c] = max_w x[b, s t + w - p, c]; padding never wins. Where several elements of a window are the maximum they share its
    derivative, so that the derivatives of a window always add up to 1.

    Args:
        x: [batch, *space, channel] with any number of spatial dimensions, any real dtype.
        window: its size, an integer for all spatial dimensions, or one for each.
        strides: distance between neighboring windows; by default the window itself, which then do not overlap.
        padding: as for `conv`; less than the window on each side.

    Returns:
        [batch, *space', channel] with o = floor((i + 2p - k) / s) + 1 (relation 7 of arXiv:1603.07285).

    Raises:
        InputError: no spatial dimension, a window larger than the padded input, or one that may see padding alone.
    """
    window, strides, pairs = _check(x, window, strides, padding)
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    x = _pad(x, pairs, lowest)
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], window, strides, strict=True)]
    apart = all(k == s or size == 1 for k, s, size in zip(window, strides, sizes, strict=True))
    # XLA's CPU compiler of jaxlib 0.10 gives wrong numbers for the derivative of a maximum over one axis of an array of many under
    # `jit(vmap(jvp))`, not for that over several: along one axis maxima are taken by `jnp.maximum` alone.
    if apart and sum(k > 1 for k in window) > 1:
        for axis in range(len(window), 0, -1):  # one by one, which arrays on explicit meshes allow
            x = _folded_axis(x, axis, sizes[axis - 1], window[axis - 1])
        return jnp.max(x, axis=tuple(range(2, 2 * len(window) + 1, 2)))
    for axis, (k, s) in enumerate(zip(window, strides, strict=True), start=1):
        x = _largest_axis(x, axis, k, s)
    return x


def average_pool(x: Array, window: Sizes, *, strides: Sizes | None = None, padding: Padding = "VALID") -> Array:
    """Mean over sliding windows of each channel.

    y[b, t, c] = sum_w x[b, s t + w - p, c] / n[t], where n[t] counts the elements of the window that lie in `x`: padding takes no part.

    Args:
        x: [batch, *space, channel] with any number of spatial dimensions; bfloat16 and float16 add up in float32.
        window: its size, an integer for all spatial dimensions, or one for each.
        strides: distance between neighboring windows; by default the window itself, which then do not overlap.
        padding: as for `conv`; less than the window on each side.

    Returns:
        [batch, *space', channel] with o = floor((i + 2p - k) / s) + 1 (relation 7 of arXiv:1603.07285).

    Raises:
        InputError: no spatial dimension, a window larger than the padded input, or one that may see padding alone.
    """
    window, strides, pairs = _check(x, window, strides, padding)
    dtype = x.dtype
    x = x.astype(jnp.float32 if dtype.itemsize < 4 else dtype)
    inside = jnp.ones((1, *x.shape[1:-1], 1), x.dtype)
    x, inside = _pad(x, pairs, 0), _pad(inside, pairs, 0)
    for axis, (k, s) in enumerate(zip(window, strides, strict=True), start=1):
        x, inside = (_sum_axis(a, axis, k, s) for a in (x, inside))
    return (x / inside).astype(dtype)


def _check(
    x: Array, window: Sizes, strides: Sizes | None, padding: Padding
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Window, strides and padding pairs, one a spatial dimension."""
    rank = x.ndim - 2
    if rank < 1:
        raise InputError(
            f"x: [batch, *space, channel] is expected, got shape {x.shape}; add the missing axes with x[None] or x[..., None]"
        )
    window = spatial(window, rank, "window")
    strides = window if strides is None else spatial(strides, rank, "strides")
    size, dilation = x.shape[1:-1], (1,) * rank
    pairs = padding_pairs(padding, size, window, strides, dilation)
    windows_that_fit(size, window, strides, pairs, dilation)
    if any(p >= k for pair, k in zip(pairs, window, strict=True) for p in pair):
        raise InputError(
            f"padding: less than the window {window} is expected on each side, got {pairs}: a window would see padding alone"
        )
    return window, strides, pairs


def _pad(x: Array, pairs: tuple[tuple[int, int], ...], value: float) -> Array:
    if not any(map(any, pairs)):
        return x
    return jnp.pad(x, ((0, 0), *pairs, (0, 0)), constant_values=value)


def _sum_axis(x: Array, axis: int, window: int, stride: int) -> Array:
    """Sums of the windows along one axis. Windows that do not overlap are a reshape, whose derivative is elementwise."""
    size = (x.shape[axis] - window) // stride + 1
    if stride == window or size == 1:
        return jnp.sum(_folded_axis(x, axis, size, window), axis=axis + 1)
    return reduce(jnp.add, _elements(x, axis, window, stride))


def _largest_axis(x: Array, axis: int, window: int, stride: int) -> Array:
    """Maxima of the windows along one axis; those that do not overlap are folded in halves, which costs few passes over the array."""
    size = (x.shape[axis] - window) // stride + 1
    if stride != window and size > 1:
        return reduce(jnp.maximum, _elements(x, axis, window, stride))
    x = _folded_axis(x, axis, size, window)
    while (left := x.shape[axis + 1]) > 1:
        # Two halves; of an odd number both hold the middle one, which counts once in their maximum and in its derivative.
        half = (left + 1) // 2
        first, second = (lax.slice_in_dim(x, start, start + half, axis=axis + 1) for start in (0, left - half))
        x = jnp.maximum(first, second)
    return jnp.squeeze(x, axis + 1)


def _folded_axis(x: Array, axis: int, size: int, window: int) -> Array:
    """The first `size` windows, one beside the other, as an axis of their own after that of their places."""
    x = lax.slice_in_dim(x, 0, size * window, axis=axis)
    return x.reshape(*x.shape[:axis], size, window, *x.shape[axis + 1 :])


def _elements(x: Array, axis: int, window: int, stride: int) -> list[Array]:
    """The first elements of all windows, the second ones, and so on, each a slice."""
    last = stride * ((x.shape[axis] - window) // stride)
    return [lax.slice_in_dim(x, w, w + last + 1, stride, axis) for w in range(window)]
