"""Arithmetic of windows that slide: sizes and paddings, with the relation numbers of Dumoulin and Visin, arXiv:1603.07285."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias, overload

from jaxsci.errors import InputError

Sizes: TypeAlias = int | Sequence[int]  # one number for every spatial dimension, or one for each
Pairs: TypeAlias = tuple[tuple[int, int], ...]  # (before, after) for each spatial dimension
Padding: TypeAlias = Literal["SAME", "VALID", "FULL", "HALF"] | int | Sequence[tuple[int, int]]


def spatial(value: Sizes, rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One integer for each of `rank` spatial dimensions, each at least `least`.

    Raises:
        InputError: another number of values, or a value below `least`.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank or any(not isinstance(v, Integral) or isinstance(v, bool) or v < least for v in values):
        raise InputError(
            f"{name}: expected an integer of at least {least}, or {rank} of them (one per spatial dimension), got {value!r}; change it"
        )
    return tuple(int(v) for v in values)


def padding_pairs(
    padding: Padding,
    size: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Pairs:
    """The zeros before and after each spatial dimension.

    With the window's extent e = k + (k-1)(d-1): "VALID" pads nothing, "HALF" e//2 on both sides, "FULL" e-1 on both sides, "SAME" so
    many in total that o = ceil(i/s), the odd one after; an integer is the padding of both sides of every dimension.

    Raises:
        InputError: another name, a negative number, or another count of pairs.
    """
    extents = tuple(d * (k - 1) + 1 for k, d in zip(window, dilation, strict=True))
    if padding == "SAME":
        totals = [max((-(-i // s) - 1) * s + e - i, 0) for i, e, s in zip(size, extents, strides, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        named = {
            "VALID": (0,) * len(size),
            "HALF": tuple(e // 2 for e in extents),
            "FULL": tuple(e - 1 for e in extents),
        }
        if padding not in named:
            raise InputError(
                f'padding: expected "SAME", "VALID", "FULL", "HALF", an integer or pairs, got {padding!r}; choose one of these'
            )
        return tuple((p, p) for p in named[padding])
    if not isinstance(padding, Sequence):
        return tuple((p, p) for p in spatial(padding, len(size), "padding", least=0))
    pairs: list[tuple[Any, ...]] = [tuple(pair) if isinstance(pair, Sequence) else (pair,) for pair in padding]
    if len(pairs) != len(size) or any(len(pair) != 2 for pair in pairs):
        raise InputError(
            f"padding: expected {len(size)} pairs (before, after), one per spatial dimension, got {padding!r}; give one for each"
        )
    before, after = (spatial([pair[end] for pair in pairs], len(size), "padding", least=0) for end in (0, 1))
    return tuple(zip(before, after, strict=True))


def windows_that_fit(
    size: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...], pairs: Pairs, dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """Relation 15 with a padding for each side: o = floor((i + p + p' - k - (k-1)(d-1)) / s) + 1.

    Raises:
        InputError: the window is larger than the padded input.
    """
    spare = [i + sum(p) - d * (k - 1) - 1 for i, k, p, d in zip(size, window, pairs, dilation, strict=True)]
    if min(spare) < 0:
        raise InputError(
            f"window: expected one that fits an input of {size} with padding {pairs}, got {window} with dilation {dilation}; "
            'use a smaller window or more padding ("SAME" always fits)'
        )
    return tuple(r // s + 1 for r, s in zip(spare, strides, strict=True))


@overload
def conv_output_size(
    size: int, window: Sizes, *, strides: Sizes = 1, padding: Padding = "SAME", dilation: Sizes = 1
) -> int: ...


@overload
def conv_output_size(
    size: Sequence[int], window: Sizes, *, strides: Sizes = 1, padding: Padding = "SAME", dilation: Sizes = 1
) -> tuple[int, ...]: ...


def conv_output_size(
    size: Sizes, window: Sizes, *, strides: Sizes = 1, padding: Padding = "SAME", dilation: Sizes = 1
) -> int | tuple[int, ...]:
    """Output size of a convolution or a pooling along its spatial dimensions.

    Relations 1 to 7 and 15: o = floor((i + 2p - k - (k-1)(d-1)) / s) + 1 for input i, window k, stride s, padding p and dilation d.

    >>> conv_output_size(5, 3, strides=2, padding=1)
    3
    >>> conv_output_size((40, 40), 4, padding="VALID")
    (37, 37)

    Args:
        size: of the input, an integer (one dimension) or one for each dimension.
        window: of the kernel; like the next arguments an integer for all dimensions, or one for each.
        strides: distance between neighboring windows.
        padding: "SAME" (o = ceil(i/s)), "VALID" (p = 0), "HALF" (p = half the window), "FULL" (p = window - 1), an integer, or pairs
            (before, after), one per dimension.
        dilation: distance between neighboring elements of the window.

    Returns:
        An integer if `size` is one, else a tuple.

    Raises:
        InputError: sizes that are not positive, or a window larger than the padded input.
    """
    sizes = tuple(size) if isinstance(size, Sequence) else (size,)
    sizes, window, strides, dilation = _all_spatial(sizes, window, strides, dilation)
    pairs = padding_pairs(padding, sizes, window, strides, dilation)
    result = windows_that_fit(sizes, window, strides, pairs, dilation)
    return result if isinstance(size, Sequence) else result[0]


@overload
def conv_transpose_output_size(
    size: int,
    window: Sizes,
    *,
    strides: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    output_size: int | None = None,
) -> int: ...


@overload
def conv_transpose_output_size(
    size: Sequence[int],
    window: Sizes,
    *,
    strides: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    output_size: Sizes | None = None,
) -> tuple[int, ...]: ...


def conv_transpose_output_size(
    size: Sizes,
    window: Sizes,
    *,
    strides: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    output_size: Sizes | None = None,
) -> int | tuple[int, ...]:
    """Output size of a transposed convolution: an input size i whose convolution with the same arguments has size `size`.

    Relations 8 to 14: o' = s (i' - 1) + a + k - 2p, for a dilated window with its extent k + (k-1)(d-1) in place of k. For a stride
    s > 1 the size is ambiguous, 0 <= a < s.

    >>> conv_transpose_output_size(3, 3, strides=2, padding=1)
    5

    Args:
        size: i', of the input of the transposed convolution.
        window: as for `conv_output_size`, as are the next arguments.
        strides: of the convolution that is transposed.
        padding: of the convolution that is transposed.
        dilation: of the convolution that is transposed.
        output_size: the wanted size, which selects a. By default a = 0, or o' = s i' for "SAME".

    Returns:
        An integer if `size` is one, else a tuple.

    Raises:
        InputError: an `output_size` whose convolution has another size than `size`; the message names the sizes that are possible.
    """
    sizes = tuple(size) if isinstance(size, Sequence) else (size,)
    sizes, window, strides, dilation = _all_spatial(sizes, window, strides, dilation)
    if output_size is not None:
        wanted = spatial(output_size, len(sizes), "output_size")
    elif padding == "SAME":
        wanted = tuple(i * s for i, s in zip(sizes, strides, strict=True))
    else:
        # Only the padding of "SAME" depends on the size itself.
        pairs = padding_pairs(padding, sizes, window, strides, dilation)
        wanted = _smallest_transpose(sizes, window, strides, pairs, dilation)
    _check_transpose(sizes, wanted, window, strides, padding, dilation)
    return wanted if isinstance(size, Sequence) else wanted[0]


def _all_spatial(sizes: tuple[int, ...], *values: Sizes) -> tuple[tuple[int, ...], ...]:
    names = ("window", "strides", "dilation")
    rank = len(sizes)
    return spatial(sizes, rank, "size"), *(spatial(v, rank, n) for v, n in zip(values, names, strict=True))


def _smallest_transpose(
    sizes: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...], pairs: Pairs, dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """Relation 14 with a = 0."""
    return tuple(
        s * (i - 1) + d * (k - 1) + 1 - sum(p)
        for i, k, s, p, d in zip(sizes, window, strides, pairs, dilation, strict=True)
    )


def _check_transpose(
    sizes: tuple[int, ...],
    wanted: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
) -> None:
    if min(wanted) > 0:
        pairs = padding_pairs(padding, wanted, window, strides, dilation)
        smallest = (
            tuple(s * (i - 1) + 1 for i, s in zip(sizes, strides, strict=True))
            if padding == "SAME"
            else _smallest_transpose(sizes, window, strides, pairs, dilation)
        )
        if all(0 <= w - least < s for w, least, s in zip(wanted, smallest, strides, strict=True)):
            return
        possible = [f"{max(least, 1)} to {least + s - 1}" for least, s in zip(smallest, strides, strict=True)]
        raise InputError(
            f"output_size: expected a size whose convolution has size {sizes} ({' by '.join(possible)}), got {wanted}; choose one of these"
        )
    raise InputError(
        f"the padding {padding!r} leaves nothing of a transposed convolution of {sizes} by a window of {window}; use less padding"
    )


class ConvGeometry(NamedTuple):
    """How the window slides, in full: input, window and output sizes obey i + p + p' = s (o-1) + d (k-1) + 1 exactly.

    Any two of the three sizes give the third. A padding after the input is negative where the last elements reach no window.
    """

    strides: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]

    def input_size(self, window: tuple[int, ...], output: tuple[int, ...]) -> tuple[int, ...]:
        """Size i of the input from those of the window and the output."""
        return tuple(
            s * (o - 1) + d * (k - 1) + 1 - sum(p)
            for k, o, s, p, d in zip(window, output, self.strides, self.padding, self.dilation, strict=True)
        )

    def window(self, size: tuple[int, ...], output: tuple[int, ...]) -> tuple[int, ...]:
        """Size k of the window from those of the input and the output."""
        return tuple(
            (i + sum(p) - 1 - s * (o - 1)) // d + 1
            for i, o, s, p, d in zip(size, output, self.strides, self.padding, self.dilation, strict=True)
        )

    def output_size(self, size: tuple[int, ...], window: tuple[int, ...]) -> tuple[int, ...]:
        """Size o of the output from those of the input and the window."""
        return windows_that_fit(size, window, self.strides, self.padding, self.dilation)


def conv_geometry(
    size: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
) -> tuple[ConvGeometry, tuple[int, ...]]:
    """The exact geometry of a convolution, and its output size."""
    pairs = padding_pairs(padding, size, window, strides, dilation)
    output = windows_that_fit(size, window, strides, pairs, dilation)
    exact = tuple(
        (before, s * (o - 1) + d * (k - 1) + 1 - i - before)
        for i, k, s, (before, _), d, o in zip(size, window, strides, pairs, dilation, output, strict=True)
    )
    return ConvGeometry(strides, exact, dilation), output
