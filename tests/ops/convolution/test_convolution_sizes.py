"""The arithmetic of arXiv:1603.07285, relation by relation, and against the shapes that `conv` really gives."""

import itertools

import jax
import jax.numpy as jnp
import pytest

from jaxsci.errors import InputError
from jaxsci.ops import average_pool, conv, conv_output_size, conv_transpose, conv_transpose_output_size, max_pool

SIZES, WINDOWS, PADDINGS, STRIDES = range(1, 12), range(1, 6), range(4), range(1, 4)


def test_relations_1_to_4_unit_strides():
    for i, k in itertools.product(SIZES, WINDOWS):
        if k <= i:
            assert conv_output_size(i, k, padding=0) == conv_output_size(i, k, padding="VALID") == i - k + 1
        for p in PADDINGS:
            if k <= i + 2 * p:
                assert conv_output_size(i, k, padding=p) == i - k + 2 * p + 1
        if k % 2:
            assert conv_output_size(i, k, padding="HALF") == i
        assert conv_output_size(i, k, padding="SAME") == i
        assert conv_output_size(i, k, padding="FULL") == i + k - 1


def test_relations_5_to_7_strides_and_pooling():
    for i, k, s in itertools.product(SIZES, WINDOWS, STRIDES):
        if k <= i:
            o = (i - k) // s + 1
            assert conv_output_size(i, k, strides=s, padding=0) == o
            x = jax.ShapeDtypeStruct((1, i, 2), jnp.float32)
            for pool in (max_pool, average_pool):
                assert jax.eval_shape(lambda x, pool=pool, k=k, s=s: pool(x, k, strides=s), x).shape == (1, o, 2)
        for p in PADDINGS:
            if k <= i + 2 * p:
                assert conv_output_size(i, k, strides=s, padding=p) == (i + 2 * p - k) // s + 1
        assert conv_output_size(i, k, strides=s, padding="SAME") == -(-i // s)


def test_relations_8_to_11_transposes_of_unit_strides():
    for i, k in itertools.product(SIZES, WINDOWS):
        assert conv_transpose_output_size(i, k, padding=0) == i + k - 1
        for p in PADDINGS:
            if i + k - 1 - 2 * p > 0:
                assert conv_transpose_output_size(i, k, padding=p) == i + (k - 1) - 2 * p
        if k % 2:
            assert conv_transpose_output_size(i, k, padding="HALF") == i
        if i > k - 1:
            assert conv_transpose_output_size(i, k, padding="FULL") == i - (k - 1)


def test_relations_12_to_14_transposes_of_strides():
    for i, k, p, s in itertools.product(SIZES, WINDOWS, PADDINGS, STRIDES):
        if k > i + 2 * p:
            continue
        o = conv_output_size(i, k, strides=s, padding=p)
        a = (i + 2 * p - k) % s
        if s * (o - 1) + k - 2 * p > 0:
            assert conv_transpose_output_size(o, k, strides=s, padding=p) == s * (o - 1) + k - 2 * p
        assert conv_transpose_output_size(o, k, strides=s, padding=p, output_size=i) == s * (o - 1) + a + k - 2 * p == i


def test_relation_15_dilation():
    for i, k, p, s, d in itertools.product(SIZES, WINDOWS, PADDINGS, STRIDES, STRIDES):
        room = i + 2 * p - k - (k - 1) * (d - 1)
        if room >= 0:
            assert conv_output_size(i, k, strides=s, padding=p, dilation=d) == room // s + 1
        else:
            with pytest.raises(InputError, match="window: expected one that fits"):
                conv_output_size(i, k, strides=s, padding=p, dilation=d)


def test_the_sizes_are_those_of_the_arrays():
    kernel = jax.ShapeDtypeStruct((3, 2, 1, 1), jnp.float32)
    for size, padding, s, d in itertools.product(
        ((7, 6), (8, 5)), ("SAME", "HALF", "FULL", 2, ((0, 3), (2, 1))), ((1, 1), (2, 3)), (1, 2)
    ):
        options = {"strides": s, "padding": padding, "dilation": d}
        x = jax.ShapeDtypeStruct((1, *size, 1), jnp.float32)
        y = jax.eval_shape(lambda x, k, options=options: conv(x, k, **options), x, kernel)
        assert y.shape[1:-1] == conv_output_size(size, (3, 2), **options)
        back = jax.eval_shape(
            lambda y, k, options=options, size=size: conv_transpose(y, k, output_size=size, **options), y, kernel
        )
        assert back.shape == x.shape


def test_the_transpose_of_same_multiplies_the_size_by_the_stride():
    assert conv_transpose_output_size((5, 4), 3, strides=(2, 3)) == (10, 12)
    assert conv_transpose_output_size(5, 3, strides=2, output_size=9) == 9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv_output_size(5, 3, padding="same"), r'"SAME", "VALID".*got \'same\''),
        (lambda: conv_output_size(5, 3, padding=-1), "padding: expected an integer of at least 0"),
        (lambda: conv_output_size((5, 5), 3, padding=((1, 1),)), "2 pairs"),
        (lambda: conv_output_size((5, 5), (3, 3, 3)), "window: .* 2 of them"),
        (lambda: conv_output_size(5, 3, strides=0), "strides: expected an integer of at least 1"),
        (lambda: conv_output_size(5, 3, dilation=1.5), "dilation: expected an integer"),
        (lambda: conv_output_size(0, 3), "size: expected an integer of at least 1"),
        (lambda: conv_output_size(2, 3, padding="VALID"), "use a smaller window or more padding"),
        (lambda: conv_transpose_output_size(3, 3, strides=2, padding=0, output_size=9), "7 to 8.*got .9"),
        (lambda: conv_transpose_output_size(3, 3, strides=2, output_size=7), "5 to 6.*got .7"),
        (lambda: conv_transpose_output_size(2, 3, padding="FULL"), "use less padding"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
