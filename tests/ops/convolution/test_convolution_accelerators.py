"""What a GPU and a TPU are given to compute: the forms are exact, and the programs hold the operations that were argued for."""

import itertools
import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxsci.ops import conv, conv_transpose
from jaxsci.ops.convolution import _accelerators as accelerators
from jaxsci.ops.convolution._sizes import conv_geometry
from tests.ops.convolution.definition import ROLES, loops

PLATFORMS = ("cuda", "rocm", "tpu")
# size, window, options, channels: ranks 1 to 3, strides, dilation, input beyond the last window, either side with fewer channels
CASES = {
    "signal": ((9,), (4,), {"strides": 2}, (3, 2)),
    "negative padding": ((8,), (2,), {"strides": 3, "padding": "VALID"}, (2, 3)),
    "image": ((6, 5), (3, 2), {}, (2, 3)),
    "image of many channels": ((5, 6), (3, 2), {"dilation": (1, 2)}, (4, 2)),
    "strided": ((7, 6), (3, 3), {"strides": (2, 1), "padding": 1}, (4, 2)),
    "volume": ((4, 3, 5), (2, 3, 2), {"padding": "FULL"}, (3, 1)),
    "one channel": ((5, 4), (3, 3), {"strides": (1, 2)}, (1, 1)),
}


def arrays_of(case, groups=3, batch=2, dtype=np.float64):
    size, window, options, (inputs, outputs) = case
    options = {"strides": 1, "padding": "SAME", "dilation": 1} | options
    rank = len(size)
    wide = {k: (v,) * rank if isinstance(v, int) and k != "padding" else v for k, v in options.items()}
    geometry, output = conv_geometry(size, window, **wide)
    rng = np.random.default_rng(0)
    shapes = ((groups, batch, *size, inputs), (groups, *window, inputs, outputs), (groups, batch, *output, outputs))
    return geometry, dict(zip(ROLES, (rng.normal(size=shape).astype(dtype) for shape in shapes), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_every_form_equals_the_definition(name, monkeypatch):
    geometry, arrays = arrays_of(CASES[name])
    monkeypatch.setattr(accelerators, "PATCHES_BYTES", 1)  # a group after another
    forms = ["in turn", "patches"] + ["taps"] * (name == "one channel")
    with jax.enable_x64(True):

        @jax.jit
        def compute(arrays):
            found = {}
            for role, form in itertools.product(ROLES, forms):
                operands = [arrays[r] for r in ROLES if r != role]
                found[role, form] = accelerators.FORMS[form](role, *operands, geometry, None)
            return found

        for (role, form), result in compute(arrays).items():
            others = [arrays[r] for r in ROLES if r != role]
            expected = loops(role, *others, geometry, arrays[role].shape)
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12, err_msg=f"{role}, {form}")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_added_up_in_float32(dtype):
    """A thousand equal numbers and one: their sum stops growing where sums are rounded to the format of the numbers."""
    x, y = jnp.ones((2, 1, 1024, 1), dtype), jnp.ones((2, 1, 1024, 2), dtype)
    geometry, _ = conv_geometry((1024,), (1,), (1,), "VALID", (1,))
    found = accelerators.FORMS["patches"]("kernel", x, y, geometry, None)
    assert found.dtype == dtype
    assert np.all(np.asarray(found, np.float32) == 1024)
    found = accelerators.FORMS["taps"]("kernel", x, y[..., :1], geometry, None)
    assert found.dtype == dtype
    assert np.all(np.asarray(found, np.float32) == 1024)


def loss(kernel, x, *, transposed=False, precision=None, **options):
    function = conv_transpose if transposed else conv
    return jnp.sum(jnp.square(function(x, kernel, precision=precision, **options).astype(jnp.float32)))


def program(function, *shapes, platform, dtype="float32"):
    """What the platform's compiler gets."""
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    return export.export(jax.jit(function), platforms=[platform])(*arguments).mlir_module()


def operations(text):
    """How many convolutions, how many of them of several groups, and how many products of matrices there are.

    A product with one, by which `conv` marks its result, is none.
    """
    convolutions = re.findall(r"stablehlo\.convolution.*?feature_group_count = (\d+)", text, re.DOTALL)
    grouped = [count for count in convolutions if count != "1"]
    grouped += [count for count in re.findall(r"batch_group_count = (\d+)", text) if count != "1"]
    return len(convolutions), len(grouped), len(re.findall(r"dot_general.*batching_dims", text))


both = partial(jax.grad, argnums=(0, 1))
IMAGES, KERNEL = (4, 8, 8, 3), (3, 3, 3, 5)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_one_convolution_and_its_gradients_are_those_of_xla(platform):
    text = program(both(loss), KERNEL, IMAGES, platform=platform)
    assert operations(text) == (3, 0, 0)
    # A mapped batch, or kernels on shared data, are more images and more channels of one convolution.
    text = program(jax.vmap(both(loss), (None, 0)), KERNEL, (6, *IMAGES), platform=platform)
    convolutions, grouped, products = operations(text)
    assert (convolutions, grouped, products) == (2, 0, 1)  # output and input; each kernel gradient is a group
    text = program(jax.vmap(lambda k, x: conv(x, k), (0, None)), (6, *KERNEL), IMAGES, platform=platform)
    assert operations(text) == (1, 0, 0)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("options", [{}, {"strides": 2}, {"transposed": True, "strides": 2}, {"dilation": 2}])
def test_an_ensemble_and_single_examples_are_batched_products(platform, options):
    of_one = partial(loss, **options)
    kernel = (3, 3, 5, 3) if "transposed" in options else KERNEL
    text = program(jax.vmap(both(of_one)), (6, *kernel), (6, *IMAGES), platform=platform)
    assert operations(text) == (0, 0, 3)
    text = program(
        jax.vmap(jax.grad(lambda k, x: of_one(k, x[None])), (None, 0)), kernel, (6, *IMAGES[1:]), platform=platform
    )
    convolutions, grouped, products = operations(text)
    assert (convolutions, grouped, products) == (1, 0, 1)


def test_a_volume_of_single_examples_unrolls_the_array_of_few_channels():
    """64 channels to 1 under vmap: the patches of the one channel, 27 numbers a position, not those of the 64."""
    kernel, x = (3, 3, 3, 64, 1), (2, 8, 8, 8, 64)
    text = program(jax.vmap(jax.grad(lambda k, x: loss(k, x[None])), (None, 0)), kernel, x, platform="cuda")
    assert operations(text)[1:] == (0, 1)
    assert re.search(r"dot_general.*\(tensor<2x512x27xf32>, tensor<2x512x64xf32>\)", text)


def test_large_groups_take_turns_in_a_loop_of_plain_convolutions(monkeypatch):
    monkeypatch.setattr(accelerators, "START_BYTES", 4 * 9 * 3 * 4 * 64 - 1)
    text = program(jax.vmap(both(loss)), (6, *KERNEL), (6, *IMAGES), platform="cuda")
    assert operations(text) == (3, 0, 0)
    assert text.count("stablehlo.while") == 3


def test_depthwise_is_elementwise():
    text = program(both(partial(loss, groups=4)), (3, 3, 1, 4), (2, 6, 6, 4), platform="cuda")
    assert operations(text) == (0, 0, 0)
    assert "stablehlo.convolution" not in text


@pytest.mark.parametrize(("precision", "expected"), [(None, None), ("highest", "HIGHEST"), ("tensorfloat32", "HIGH")])
def test_the_precision_reaches_every_product(precision, expected):
    """The default, which is not written, is TF32 for float32 on recent NVIDIA GPUs and bfloat16 on TPUs; HIGHEST is float32 on both."""
    of_one = partial(loss, precision=precision)
    alone = program(both(of_one), KERNEL, IMAGES, platform="cuda")
    ensemble = program(jax.vmap(both(of_one)), (6, *KERNEL), (6, *IMAGES), platform="cuda")
    for text in (alone, ensemble):
        lines = [
            line for line in text.splitlines() if re.search(r"stablehlo\.convolution|dot_general.*batching_dims", line)
        ]
        assert len(lines) == 3
        found = [set(re.findall(r"\b(DEFAULT|HIGHEST|HIGH)\b", line)) for line in lines]
        assert all(names == ({expected} if expected else set()) for names in found), lines


def test_bfloat16_stays_bfloat16_in_the_products_and_is_added_up_in_float32():
    text = program(jax.vmap(both(loss)), (6, *KERNEL), (6, *IMAGES), platform="cuda", dtype="bfloat16")
    products = re.findall(r"dot_general.*batching_dims.*: \((\S+), (\S+)\) -> (\S+)", text)
    assert len(products) == 3
    assert all(a.endswith("bf16>") and b.endswith("bf16>") and c.endswith("f32>") for a, b, c in products)


def test_patches_stay_within_their_memory():
    case = ((32, 32), (3, 3), {}, (16, 16))
    geometry, arrays = arrays_of(case, groups=1, batch=1)
    groups = 3 * (accelerators.PATCHES_BYTES // (4 * 9 * 16 * 32 * 32))
    shapes = [jax.ShapeDtypeStruct((groups, *a.shape[1:]), jnp.float32) for a in (arrays["input"], arrays["output"])]
    jaxpr = jax.make_jaxpr(lambda x, y: accelerators.patches("kernel", x, y, geometry, None))(*shapes)
    largest = max(
        math.prod(shape) * 4
        for shape in ([int(n) for n in found.split(",")] for found in re.findall(r"f32\[([\d,]+)\]", str(jaxpr)))
        if shape[-1] == 9 * 16
    )
    assert largest <= accelerators.PATCHES_BYTES
