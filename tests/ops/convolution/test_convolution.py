"""Convolution and the contractions of its gradient against plain loops and against XLA."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsci.errors import InputError
from jaxsci.ops import conv, conv_patches, conv_transpose
from jaxsci.ops.convolution import _windows as windows
from jaxsci.ops.convolution import xla as convolution_lax
from jaxsci.ops.convolution._cpu import dispatch as convolution_cpu
from jaxsci.ops.convolution._cpu import forward as convolution_cpu_output
from jaxsci.ops.convolution._cpu import kernel_gradient as convolution_cpu_kernel
from jaxsci.ops.convolution._cpu import strided
from jaxsci.ops.convolution._sizes import conv_geometry
from tests.ops.convolution.cases import CASES, cases, draws, forget, input_fails_in_xla
from tests.ops.convolution.definition import loops

CASE = settings(max_examples=CASES)


@CASE
@given(cases(), st.sampled_from(["float32", "float64"]))
def test_the_three_contractions_equal_loops_and_xla(case, dtype):
    options, groups, x_shape, kernel_shape = case
    shape, output = conv_geometry(x_shape[1:-1], kernel_shape[:-2], **options)
    shapes = {
        "input": (groups, *x_shape),
        "kernel": (groups, *kernel_shape),
        "output": (groups, x_shape[0], *output, kernel_shape[-1]),
    }
    with jax.enable_x64(True):
        arrays = dict(zip(shapes, draws(*shapes.values(), dtype=dtype), strict=True))
        pairs = {role: [arrays[r] for r in shapes if r != role] for role in shapes}

        # XLA's own transposition aborts the process at some of the shapes, and is wrong at others.
        peers = {role: [convolution_cpu, convolution_lax] for role in shapes}
        if input_fails_in_xla(shape, kernel_shape[:-2], output):
            peers["input"].pop()

        @jax.jit
        def compute(pairs):
            return {
                role: [getattr(module, role)(*pair, geometry=shape, precision=None) for module in peers[role]]
                for role, pair in pairs.items()
            }

        for role, results in compute(pairs).items():
            expected = loops(role, *pairs[role], shape, shapes[role])
            # Sums of up to some thousand products of order 1.
            tolerance = 1e-12 if dtype == "float64" else 1e-4
            for result in results:
                assert result.dtype == dtype
                np.testing.assert_allclose(result, expected, rtol=tolerance, atol=10 * tolerance)
    forget()


@pytest.mark.parametrize(
    ("size", "window", "options", "output"),
    [
        ((7, 4), (3, 2), {"strides": (3, 2), "padding": 1, "dilation": (2, 1)}, (2, 3)),
        ((2,), (2,), {"padding": ((2, 0),)}, (3,)),
        ((5, 4), (2, 3), {"padding": ((3, 0), (1, 1))}, (7, 4)),
    ],
)
def test_transposes_at_which_xla_aborts_the_process_or_is_wrong(size, window, options, output):
    shape, got = conv_geometry(size, window, **({"strides": (1,) * len(size), "dilation": (1,) * len(size)} | options))
    assert got == output
    assert input_fails_in_xla(shape, window, output)
    kernel, y = draws((1, *window, 17, 9), (1, 8, *output, 9), dtype=jnp.float32)
    ours = jax.jit(partial(convolution_cpu.input, geometry=shape, precision=None))(kernel, y)
    expected = loops("input", kernel, y, shape, ours.shape)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_strided_inputs_of_dilated_windows_multiply_few_zeros():
    """Each pair of strides and dilations: with and without a common factor, a window shorter and longer than the stride."""
    for strides, dilation, window, padding in (
        ((2, 3), (3, 2), (3, 4), "SAME"),
        ((4, 6), (2, 4), (3, 5), ((1, 3), (0, 2))),
        ((3, 4), (5, 3), (2, 3), "FULL"),
    ):
        shape, output = conv_geometry((17, 19), window, strides, padding, dilation)
        assert strided.excess(window, shape) < 2 * 2  # the window rounded up to whole phases, in each of two dimensions
        kernel, y = draws((1, *window, 3, 2), (1, 2, *output, 2), dtype=jnp.float32)
        contraction = partial(convolution_cpu.input, precision=None)
        ours = jax.jit(partial(strided.input, contraction, geometry=shape))(kernel, y)
        np.testing.assert_allclose(ours, loops("input", kernel, y, shape, ours.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("strides", [(3, 2), (1, 1)])
@pytest.mark.parametrize(
    ("groups", "batch", "inputs", "outputs"),
    [(1, 37, 5, 6), (2, 19, 1, 5), (1, 32, 6, 1), (1, 37, 6, 3), (2, 3, 5, 4), (1, 5, 5, 17), (1, 19, 17, 5)],
)
def test_parts_and_blocks_add_up(monkeypatch, dtype, strides, groups, batch, inputs, outputs):
    # Limits so small that small arrays meet what large ones do: parts, blocks, and images left over.
    monkeypatch.setattr(convolution_cpu, "FEW_PRODUCTS", 1)
    monkeypatch.setattr(convolution_cpu, "SMALL_FACTORS", 1)
    monkeypatch.setattr(convolution_cpu_output, "PART_PRODUCTS", 1)
    monkeypatch.setattr(convolution_cpu_kernel, "PARTS", 2)
    monkeypatch.setattr(convolution_cpu_kernel, "MOST_COPIES", 2)
    monkeypatch.setattr(windows, "BLOCK_BYTES", 2**15)
    monkeypatch.setattr(convolution_cpu_kernel, "PRODUCT_BYTES", 2**15)
    shape, output = conv_geometry((7, 6), (3, 2), strides, "SAME", (1, 2))
    shapes = {
        "input": (groups, batch, 7, 6, inputs),
        "kernel": (groups, 3, 2, inputs, outputs),
        "output": (groups, batch, *output, outputs),
    }
    with jax.enable_x64(True):
        arrays = dict(zip(shapes, draws(*shapes.values(), dtype=dtype), strict=True))
        for role in shapes:
            pair = [arrays[r] for r in shapes if r != role]
            ours, xla = (
                jax.jit(partial(getattr(module, role), geometry=shape, precision=None))(*pair)
                for module in (convolution_cpu, convolution_lax)
            )
            tolerance = 1e-12 if dtype == "float64" else 1e-4  # sums of up to 37 * 42 products of order 1
            np.testing.assert_allclose(ours, xla, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.usefixtures("x64")
def test_patches_times_kernel_is_the_convolution():
    x, kernel = draws((2, 7, 6, 3), (3, 2, 3, 4))
    options = {"strides": (2, 1), "padding": "FULL", "dilation": (1, 2)}
    patches = conv_patches(x, (3, 2), **options)
    np.testing.assert_allclose(jnp.tensordot(patches, kernel, 3), conv(x, kernel, **options), rtol=1e-13, atol=1e-13)


def test_the_example_of_the_paper():
    x = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
    kernel = jnp.asarray([[0, 1, 2], [2, 2, 0], [0, 1, 2]], jnp.float32)[..., None, None]
    x = jnp.asarray(x, jnp.float32)[None, ..., None]
    valid = conv(x, kernel, padding="VALID")[0, ..., 0]
    strided = conv(x, kernel, strides=2, padding=1)[0, ..., 0]
    np.testing.assert_array_equal(valid, [[12, 12, 17], [10, 17, 19], [9, 6, 14]])
    np.testing.assert_array_equal(strided, [[6, 17, 3], [8, 17, 13], [6, 4, 4]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_adds_up_in_float32(dtype):
    # 4,000 ones: bfloat16 sums stop at 256, float16 sums at 2,048.
    size, channels = 1000, 4
    for inputs, outputs in ((channels, 1), (1, channels)):
        x, kernel = jnp.ones((1, size, inputs), dtype), jnp.ones((size, inputs, outputs), dtype)
        y = conv(x, kernel, padding="VALID")
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.astype(jnp.float32), dtype(size * inputs))
    x, kernel = jnp.ones((4, size, 3), dtype), jnp.ones((1, 3, 2), dtype)
    gradient = jax.grad(lambda kernel: conv(x, kernel).sum())(kernel)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(gradient.astype(jnp.float32), 4 * size)
    back = conv_transpose(jnp.ones((1, 1, 2 * size), dtype), jnp.ones((1, 1, 2 * size), dtype))
    np.testing.assert_array_equal(back.astype(jnp.float32), 2 * size)


@pytest.mark.parametrize(
    ("x", "kernel", "options", "message"),
    [
        ((5, 6, 3), (3, 3, 3, 4), {}, r"kernel: .* 1 window dimensions .* got shape \(3, 3, 3, 4\)"),
        ((6, 3), (3, 3, 4), {}, r"x: expected \[batch, \*space, channel\].*x\[None\]"),
        ((1, 5, 6, 2), (3, 3, 3, 4), {}, "x: expected 3 channels last .* move the channels last"),
        ((1, 5, 6, 4), (3, 3, 2, 3), {"groups": 2}, "groups: expected a divisor of the 3 output channels"),
        ((1, 5, 6, 4), (3, 3, 4, 3), {"groups": 0}, "groups: expected a divisor"),
        ((1, 2, 6, 4), (3, 3, 4, 3), {"padding": "VALID"}, "use a smaller window or more padding"),
        ((1, 5, 6, 4), (3, 3, 4, 3), {"padding": "valid"}, "got 'valid'"),
        ((1, 5, 6, 4), (3, 3, 4, 3), {"strides": (1, 1, 1)}, "strides: .* 2 of them"),
    ],
)
def test_errors_name_what_came_and_the_remedy(x, kernel, options, message):
    with pytest.raises(InputError, match=message) as error:
        conv(jnp.ones(x), jnp.ones(kernel), **options)
    assert "\n" not in str(error.value)


def test_dtypes_must_agree():
    with pytest.raises(
        InputError, match=r"kernel: expected one floating dtype .* got float32 and bfloat16; convert with .astype"
    ):
        conv(jnp.ones((1, 4, 1)), jnp.ones((3, 1, 1), jnp.bfloat16))
    with pytest.raises(InputError, match=r"y: expected the 2 output channels of the kernel .* last"):
        conv_transpose(jnp.ones((1, 4, 1)), jnp.ones((3, 1, 2)))
    with pytest.raises(InputError, match="add the missing axes"):
        conv_patches(jnp.ones((4, 4)), 3)
