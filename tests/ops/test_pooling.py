"""Pooling against XLA's windowed reductions, in value and derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxsci.errors import InputError
from jaxsci.ops import average_pool, conv, max_pool

PAPER_INPUT = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]


def distinct(shape, seed=0):
    """Values without ties, so that the derivative of a maximum is unique; small integers, so that sums are exact."""
    return jnp.asarray(np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape), jnp.float32)


@st.composite
def windows(draw):
    rank = draw(st.integers(1, 3))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    window = each(1, 3)
    strides = window if draw(st.booleans()) else each(1, 3)
    pairs = tuple(tuple(draw(st.integers(0, k - 1)) for _ in range(2)) for k in window)
    return (draw(st.integers(1, 2)), *each(3, 6), draw(st.integers(1, 2))), window, strides, pairs


def reduced(x, window, strides, pairs, initial, operation):
    full = [(1, *window, 1), (1, *strides, 1), ((0, 0), *pairs, (0, 0))]
    return lax.reduce_window(x, initial, operation, *full)


@settings(max_examples=settings.default.max_examples // 5)
@given(windows())
def test_value_and_derivative_equal_the_windowed_reduction(case):
    shape, window, strides, pairs = case
    x = distinct(shape)
    ones = jnp.ones((1, *shape[1:-1], 1))

    def reference(x):
        largest = reduced(x, window, strides, pairs, -jnp.inf, lax.max)
        count = reduced(ones, window, strides, pairs, 0.0, lax.add)
        return largest, reduced(x, window, strides, pairs, 0.0, lax.add) / count

    def ours(x):
        options = {"strides": strides, "padding": pairs}
        return max_pool(x, window, **options), average_pool(x, window, **options)

    @jax.jit
    def both(x):
        (expected, transpose), (got, our_transpose) = jax.vjp(reference, x), jax.vjp(ours, x)
        cotangents = jax.tree.map(lambda y: jnp.arange(y.size, dtype=y.dtype).reshape(y.shape), expected)
        return (expected, transpose(cotangents)), (got, our_transpose(cotangents))

    # The sums of integers are exact; the divisions of the average round in another order.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *both(x))


def test_the_example_of_the_paper():
    x = jnp.asarray(PAPER_INPUT, jnp.float32)[None, ..., None]
    largest, mean = max_pool(x, 3, strides=1)[0, ..., 0], average_pool(x, 3, strides=1)[0, ..., 0]
    np.testing.assert_array_equal(largest, [[3, 3, 3], [3, 3, 3], [3, 2, 3]])
    one_decimal = np.round(np.asarray(mean, np.float64), 1)
    np.testing.assert_array_equal(one_decimal, [[1.7, 1.7, 1.7], [1.0, 1.2, 1.8], [1.1, 0.8, 1.3]])


@pytest.mark.parametrize("strides", [None, 1])
def test_equal_maxima_share_the_derivative(strides):
    gradient = jax.grad(lambda x: max_pool(x, 2, strides=strides).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient, np.full((1, 2, 2, 1), 0.25))


def test_incomplete_windows_are_left_out():
    x = distinct((1, 5, 5, 1))
    np.testing.assert_array_equal(max_pool(x, 2), max_pool(x[:, :4, :4], 2))
    gradient = jax.grad(lambda x: average_pool(x, 2).sum())(x)
    assert not gradient[:, 4].any()
    assert not gradient[:, :, 4].any()


def test_padding_takes_no_part():
    x = -jnp.ones((1, 3, 3, 1))
    np.testing.assert_array_equal(max_pool(x, 2, padding=1), -jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(average_pool(x, 2, padding="SAME"), -jnp.ones((1, 2, 2, 1)))


def test_vmap_equals_a_loop_to_second_order():
    x = jax.random.normal(jax.random.key(0), (3, 2, 4, 6, 2))

    def value(x):
        return jnp.sum(jnp.tanh(max_pool(x, (2, 3)) * average_pool(x, 2, strides=(2, 3))))

    def product(x):
        return jax.jvp(jax.grad(value), (x,), (jnp.cos(x),))[1]

    alone = jax.jit(product)
    np.testing.assert_allclose(jax.jit(jax.vmap(product))(x), [alone(one) for one in x], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [2, 5, pytest.param(8, marks=pytest.mark.slow)])
def test_long_windows_and_their_ties(window):
    x = distinct((2, 2 * window + 1, 3))
    for stride, size in ((window, 2), (window + 2, 1), (1, window + 2)):
        starts = stride * np.arange(size)
        expected = np.stack([np.asarray(x)[:, start : start + window].max(axis=1) for start in starts], axis=1)

        @jax.jit
        def there_and_back(x, stride=stride):
            pooled, transpose = jax.vjp(partial(max_pool, window=window, strides=stride), x)
            return pooled, transpose(pooled)[0]

        pooled, back = map(np.asarray, there_and_back(x))
        np.testing.assert_array_equal(pooled, expected)
        np.testing.assert_array_equal(back.sum(axis=1), pooled.sum(axis=1))
    # Whatever the ties, the derivatives of a window add up to 1.
    slopes = jax.jit(jax.grad(lambda x: jnp.sum(max_pool(x, window))))(jnp.zeros((1, 3 * window, 1)))
    np.testing.assert_allclose(np.asarray(slopes).reshape(3, window).sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("window", [(2, 2), (5, 1), (1, 2), (2, 4)])
def test_derivatives_of_single_images_along_several_directions(window):
    """That of a maximum over one axis is wrong here, by 90 % and more, where XLA's CPU compiler of jaxlib 0.10 sees it."""
    x = jax.random.normal(jax.random.key(0), (100, 40, 40, 1))
    kernel, *directions = jax.random.normal(jax.random.key(1), (4, 3, 3, 1, 16))

    def network(kernel):
        return jax.vmap(lambda image: max_pool(image[None], window)[0])(conv(x, kernel))

    # XLA computes such a convolution, of sums of products, once where the maximum is taken and again where it is compared: at level 0,
    # with which tests compile, these are rounded apart, nothing equals the maximum, 0 / 0. Whole numbers have no such NaN.
    compiled = jax.jit(
        jax.vmap(lambda v: jax.jvp(network, (kernel,), (v,))[1]), compiler_options={"xla_backend_optimization_level": 1}
    )
    derivatives = compiled(jnp.stack(directions))

    def windows(y):
        rows, columns = (40 // k for k in window)
        y = np.asarray(y).reshape(100, rows, window[0], columns, window[1], 16)
        return np.moveaxis(y, (2, 4), (-2, -1)).reshape(100, rows, columns, 16, -1)

    # The convolution is linear in its kernel: the derivative of a maximum is the convolved direction where the maximum lies.
    place = windows(conv(x, kernel)).argmax(axis=-1)[..., None]
    for direction, derivative in zip(directions, derivatives, strict=True):
        expected = np.take_along_axis(windows(conv(x, direction)), place, axis=-1)[..., 0]
        np.testing.assert_allclose(derivative, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", [2, (2, 1), (3, 9)])
def test_images_on_an_explicit_mesh(window):
    x = jnp.arange(2 * 6 * 9, dtype=jnp.float32).reshape(2, 6, 9, 1)
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        pooled = jax.jit(partial(max_pool, window=window))(
            jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
        )
    np.testing.assert_array_equal(pooled, max_pool(x, window))


def test_integers_have_a_maximum():
    x = jnp.arange(-16, 0, dtype=jnp.int32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(max_pool(x, 2, padding=1)[0, ..., 0], [[-16, -14, -13], [-8, -6, -5], [-4, -2, -1]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_the_dtype_is_kept(dtype):
    x = jnp.ones((1, 4, 4, 1), dtype)
    assert max_pool(x, 2, padding=1).dtype == average_pool(x, 2, padding=1).dtype == dtype


def test_the_average_adds_up_in_float32():
    # In bfloat16 a sum of ones stops at 256.
    assert average_pool(jnp.ones((1, 1000, 1), jnp.bfloat16), 1000, strides=1).item() == 1


@pytest.mark.parametrize("pool", [max_pool, average_pool])
@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 4), {"window": 2}, r"\[batch, \*space, channel\] is expected.*x\[None\]"),
        ((1, 4, 4, 1), {"window": (2, 2, 2)}, "window: .* 2 of them"),
        ((1, 4, 4, 1), {"window": 5}, "use a smaller window"),
        ((1, 4, 4, 1), {"window": 2, "padding": 2}, "see padding alone"),
        ((1, 4, 4, 1), {"window": 2, "strides": 0}, "strides: .* at least 1"),
    ],
)
def test_errors_name_the_remedy(pool, shape, options, message):
    with pytest.raises(InputError, match=message):
        pool(jnp.ones(shape), **options)
