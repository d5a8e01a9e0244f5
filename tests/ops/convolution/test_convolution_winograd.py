import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxsci.ops import conv
from jaxsci.ops.convolution import xla as convolution_lax
from jaxsci.ops.convolution._cpu import dispatch as convolution_cpu
from jaxsci.ops.convolution._cpu import winograd
from jaxsci.ops.convolution._sizes import conv_geometry


def draws(*shapes, dtype=np.float64):
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)


@pytest.mark.parametrize("window", [2, 3, 4, 5])
def test_the_matrices_of_one_dimension_are_the_filter(window):
    at, g, bt = winograd.matrices(window)
    tile = winograd.tile(window)
    assert at.shape[0] == tile == 7 - window
    d, k = draws(6, window)
    expected = [sum(d[t + w] * k[w] for w in range(window)) for t in range(tile)]
    np.testing.assert_allclose(at @ ((g @ k) * (bt @ d)), expected, rtol=1e-12, atol=1e-13)  # float64 roundings


@pytest.mark.parametrize(
    ("size", "window", "dilation"),
    [
        ((7, 10), (3, 5), (1, 1)),
        ((6, 6), (4, 4), (1, 1)),
        ((5, 4, 7), (3, 3, 2), (1, 1, 1)),
        ((9, 14), (3, 4), (2, 3)),  # grids that differ by a pixel
        ((7, 6, 5), (3, 2, 3), (2, 1, 2)),
    ],
)
def test_tiles_of_any_number_grids_and_blocks_that_overlap(monkeypatch, size, window, dilation):
    monkeypatch.setattr(winograd, "OUTPUT_BYTES", 2**15)
    monkeypatch.setattr(winograd, "KERNEL_BYTES", 2**15)
    ones = (1,) * len(size)
    shape, output = conv_geometry(size, window, ones, "SAME", dilation)
    with jax.enable_x64(True):
        x, k, y = draws((11, *size, 3), (*window, 3, 2), (11, *output, 2))
        whole = jax.jit(partial(winograd.convolve, geometry=shape))(x, k)
        expected = convolution_lax.convolve(x, k, shape)
        np.testing.assert_allclose(whole, expected, rtol=1e-12, atol=1e-11)  # sums of up to 100 products
        gradient = jax.jit(partial(winograd.kernel, geometry=shape))(x, y)
        expected = jax.linear_transpose(lambda k: convolution_lax.convolve(x, k, shape), k)(y)[0]
        np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-11)


@pytest.mark.slow
def test_rounding_is_as_documented_and_the_highest_precision_asks_for_direct_sums():
    x, k, y = draws((8, 13, 13, 96), (3, 3, 96, 96), (8, 13, 13, 96), dtype=np.float32)
    with jax.enable_x64(True):
        wide = [jnp.asarray(a, jnp.float64) for a in (x, k, y)]
        exact = np.asarray(conv(wide[0], wide[1]))
        exact_kernel = np.asarray(jax.linear_transpose(partial(conv, wide[0]), wide[1])(wide[2])[0])

    def errors(precision):
        apply = partial(conv, precision=precision)
        kernel = jax.jit(lambda x, y: jax.linear_transpose(partial(apply, x), k)(y)[0])
        pairs = ((np.asarray(jax.jit(apply)(x, k)), exact), (np.asarray(kernel(x, y)), exact_kernel))
        return [np.abs(ours - truth) / np.std(truth) for ours, truth in pairs]

    few, direct = errors(None), errors("highest")
    assert max(map(np.max, few)) < 2e-5  # the documented 7e-6, with room for another machine's order of summation
    # Sums of n products, one after another, err by sqrt(n / 24) units of the last digit, in standard deviations of the sum: each partial
    # sum is rounded. Any other order errs less; twice that for the fluctuation of a mean over thousands of sums that share their data.
    for few_products, direct_sums, n in zip(few, direct, (3 * 3 * 96, 8 * 13 * 13), strict=True):
        rms = np.sqrt(np.mean(direct_sums**2))
        assert rms < 2 * np.sqrt(n / 24) * np.finfo(np.float32).eps
        assert rms < np.sqrt(np.mean(few_products**2))  # so these were indeed two ways
    with jax.default_matmul_precision("highest"):
        for again, direct_sums in zip(errors(None), direct, strict=True):
            np.testing.assert_array_equal(again, direct_sums)


@pytest.mark.parametrize(
    ("role", "n", "stride", "dilation", "window"),
    [
        ("output", 8, 1, 1, 3),
        ("input", 8, 1, 1, 3),
        ("kernel", 8, 1, 1, 3),
        ("output", 16, 1, 2, 3),
        ("input", 22, 2, 1, 5),
    ],
)
def test_few_products_are_used_for_any_mapped_operand(monkeypatch, role, n, stride, dilation, window):
    # An ensemble whose channels fold together must not lose the fast way, nor its correctness.
    monkeypatch.setattr(convolution_cpu, "SMALL_FACTORS", 1)
    used = []
    for name in ("convolve", "kernel"):
        method = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *a, method=method, **k: used.append(role) or method(*a, **k))
    shape, output = conv_geometry((n, n), (window,) * 2, (stride,) * 2, "SAME", (dilation,) * 2)
    x, k, y = draws((3, 2, n, n, 96), (3, window, window, 96, 96), (3, 2, *output, 96), dtype=np.float32)
    arrays = {"input": x, "kernel": k, "output": y}
    pair = [array for name, array in arrays.items() if name != role]
    ours, xla = (
        jax.jit(partial(getattr(module, role), geometry=shape, precision=None))(*pair)
        for module in (convolution_cpu, convolution_lax)
    )
    assert used
    np.testing.assert_allclose(ours, xla, rtol=1e-3, atol=1e-3)  # float32, sums of up to 2,400 products


def test_every_window_of_three_to_five_may_be_asked_for():
    # 2 x 3 tiles at least, with enough channels for the rule to take them.
    for window in itertools.product((3, 5), repeat=2):
        x, k = draws((2, 11, 13, 32), (*window, 32, 32), dtype=np.float32)
        expected = lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        np.testing.assert_allclose(jax.jit(conv)(x, k), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("hot", [30.0, 1e2, 1e4, 1e7, np.inf, np.nan])
@pytest.mark.parametrize(
    ("size", "window", "channels"), [((17, 20), (3, 3), 32), ((17, 20), (5, 3), 64), ((9, 9, 9), (3, 3, 3), 8)]
)
def test_a_hot_pixel_is_seen_by_its_windows_alone(size, window, channels, hot):
    x, k = draws((2, *size, channels), (*window, channels, channels), dtype=np.float32)
    at = (1, *(n // 2 for n in size), 0)
    x[at] = hot
    calm = x.copy()
    calm[at] = 0
    with jax.enable_x64(True):
        exact = np.asarray(jax.jit(conv)(calm.astype(np.float64), k.astype(np.float64)))
    near = (1, *(slice(n // 2 - w // 2, n // 2 + w // 2 + 1) for n, w in zip(size, window, strict=True)))
    far = np.ones(exact.shape, bool)
    far[near] = False
    few, direct = (
        np.abs(np.asarray(jax.jit(partial(conv, precision=p))(x, k)) - exact)[far].max() for p in (None, "highest")
    )
    assert few < 6 * direct  # the documented four, with room for the fluctuation of two largest errors
