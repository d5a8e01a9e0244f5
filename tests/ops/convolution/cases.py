"""Convolutions drawn at random, and where XLA's own cannot be an oracle."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from jaxsci.ops.convolution import _windows as windows

# A case compiles a program of its own: 20 by default, 400 by night (tests/conftest.py).
CASES = settings.default.max_examples * 2 // 5


def forget():
    """Drop compiled programs: thousands of them use up the memory mappings a process may have."""
    if CASES > 100:
        jax.clear_caches()


@st.composite
def cases(draw):
    """Options of `conv` and shapes that fit them; channels on both sides of every limit of the CPU kernels."""
    rank = draw(st.sampled_from([1, 2, 3]))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    window, strides, dilation = each(1, 5 if rank < 3 else 3), each(1, 3), each(1, 2)
    size = tuple(max(i, d * (k - 1) + 1) for i, k, d in zip(each(2, 7), window, dilation, strict=True))
    pairs = tuple(zip(each(0, 2), each(0, 2), strict=True))
    padding = draw(st.sampled_from(["SAME", "VALID", "FULL", "HALF", 1, pairs]))
    options = {"strides": strides, "padding": padding, "dilation": dilation}
    groups, batch = draw(st.sampled_from([1, 1, 3])), draw(st.sampled_from([1, 2, 8, 17]))
    inputs, outputs = draw(st.sampled_from([1, 3, 5, 17, 32])), draw(st.sampled_from([1, 2, 3, 9, 32]))
    return options, groups, (batch, *size, inputs), (*window, inputs, outputs)


def draws(*shapes, dtype=jnp.float64, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def input_fails_in_xla(shape, window, output):
    """Where XLA's own transposition of a convolution cannot be trusted on a CPU.

    With negative padding before the input jaxlib 0.10.2 reads what lies before the array, a wrong result without a word. And up to 0.12 at
    least the compiler aborts the process where it exchanges the operands, which it does for a window larger than the input, but leaves
    an axis out whose window equals its stride, unpadded.
    """
    back = windows.transposed(shape, window)
    if min(before for before, _ in back.padding) < 0:
        return True
    extents = (d * (k - 1) + 1 for k, d in zip(window, shape.dilation, strict=True))
    left_out = zip(window, shape.strides, back.padding, strict=True)
    return any(map(operator.gt, extents, output)) and any(k == s > 1 and not any(pair) for k, s, pair in left_out)
