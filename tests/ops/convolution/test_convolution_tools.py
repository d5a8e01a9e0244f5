"""Convolution in the hands of JAX's tools: export with a symbolic batch, remat policies, jet, checkify and disable_jit."""

import contextlib
import io
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.ad_checkpoint import checkpoint_policies, print_saved_residuals
from jax.experimental import checkify, jet

from jaxsci.errors import InputError
from jaxsci.ops import average_pool, conv, conv_patches, conv_transpose, max_pool


def draws(*shapes):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)


def gradients(apply, x, k):
    return apply(x, k), *jax.grad(lambda x, k: jnp.sum(jnp.sin(apply(x, k))), (0, 1))(x, k)


EXPORTED = {
    "one channel": (conv, (12, 12, 1), (3, 3, 1, 1)),
    "few channels": (conv, (12, 12, 3), (3, 3, 3, 8)),
    "Winograd": (conv, (16, 16, 64), (3, 3, 64, 128)),
    "strides": (partial(conv, strides=2), (9, 9, 16), (3, 3, 16, 32)),
    "groups": (partial(conv, groups=2), (8, 8, 6), (3, 3, 3, 4)),
    "1-D": (conv, (20, 8), (5, 8, 6)),
    "3-D": (conv, (5, 5, 5, 4), (3, 3, 3, 4, 4)),
    "transposed": (partial(conv_transpose, strides=2), (5, 5, 8), (3, 3, 4, 8)),
}


@pytest.mark.parametrize("layer", [pytest.param(n, marks=[pytest.mark.slow] * (n == "Winograd")) for n in EXPORTED])
def test_a_symbolic_batch_is_any_batch(layer):
    apply, image, kernel = EXPORTED[layer]
    (b,) = export.symbolic_shape("b")
    shapes = jax.ShapeDtypeStruct((b, *image), jnp.float32), jax.ShapeDtypeStruct(kernel, jnp.float32)
    exported = export.export(jax.jit(partial(gradients, apply)), platforms=["cpu", "cuda", "tpu"])(*shapes)
    x, k = draws((3, *image), kernel)
    expected = jax.jit(partial(gradients, apply))(x, k)
    # Other sums, of up to a thousand products of order 1.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), list(exported.call(x, k)), list(expected))


@pytest.mark.parametrize(
    "apply", [partial(conv_patches, window=3), partial(max_pool, window=2), partial(average_pool, window=2)]
)
def test_patches_and_pooling_of_a_symbolic_batch(apply):
    (b,) = export.symbolic_shape("b")
    exported = export.export(jax.jit(apply), platforms=["cpu", "cuda", "tpu"])(
        jax.ShapeDtypeStruct((b, 6, 6, 2), jnp.float32)
    )
    (x,) = draws((3, 6, 6, 2))
    np.testing.assert_allclose(exported.call(x), apply(x), rtol=1e-6)


def saved(policy, apply, x, k):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_saved_residuals(jax.checkpoint(lambda x, k: jnp.sin(apply(x, k)).sum(), policy=policy), x, k)
    return printed.getvalue()


@pytest.mark.parametrize("apply", [conv, partial(conv, groups=2), conv_transpose])
def test_a_remat_policy_for_products_keeps_convolutions(apply):
    groups = apply.keywords["groups"] if isinstance(apply, partial) else 1
    x, k = draws((2, 6, 7, 4), (3, 3, 4 // groups, 4))
    assert saved(checkpoint_policies.dots_saveable, apply, x, k).count("[2,6,7,4]") == 2  # x and the result
    assert saved(checkpoint_policies.nothing_saveable, apply, x, k).count("[2,6,7,4]") == 1


@pytest.mark.parametrize("apply", [conv, conv_transpose])
def test_jet_is_the_taylor_series(apply):
    x, k, dx, dk = draws((2, 5, 6, 3), (3, 3, 3, 3), (2, 5, 6, 3), (3, 3, 3, 3))

    @jax.jit
    def series(x, k, dx, dk):
        value, (first, second) = jet.jet(apply, (x, k), ((dx, 0 * dx), (dk, 0 * dk)))
        return value, first, second

    got = series(x, k, dx, dk)
    expected = apply(x, k), apply(dx, k) + apply(x, dk), 2 * apply(dx, dk)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, expected)


@pytest.mark.parametrize("apply", [conv, conv_transpose])
def test_checkify_reports_a_nan(apply):
    x, k = draws((2, 5, 6, 3), (3, 3, 3, 3))
    checked = checkify.checkify(jax.jit(apply), errors=checkify.nan_checks)
    assert checked(x, k)[0].get() is None
    assert "nan" in checked(x.at[0, 0, 0, 0].set(jnp.nan), k)[0].get()


def test_without_jit():
    x, k = draws((2, 5, 6, 3), (3, 3, 3, 4))
    expected = gradients(conv, x, k)
    with jax.disable_jit():
        got = gradients(conv, x, k)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), got, expected)


def test_the_environment_chooses_the_convolution(monkeypatch):
    x, k = draws((2, 12, 12, 24), (3, 3, 24, 32))

    def compiled(choice):
        monkeypatch.setenv("JAXSCI_CONVOLUTION", choice)
        program = jax.jit(lambda x, k: gradients(conv, x, k)).lower(x, k)
        return program.as_text(), program.compile()(x, k)

    (auto, expected), (direct, sums), (xla, plain) = map(compiled, ("auto", "direct", "xla"))
    # Winograd comes with a choice by the range of the data; XLA's are convolutions: the output, twice, and two gradients.
    assert "stablehlo.case" in auto
    assert "stablehlo.case" not in direct
    assert "stablehlo.case" not in xla
    assert xla.count("stablehlo.convolution(") == 4
    for other in (sums, plain):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), other, expected)


def test_costs_from_the_environment_decide_about_winograd(monkeypatch):
    x, k = draws((2, 12, 12, 24), (3, 3, 24, 32))
    # 13.7 = 24 x 32 / (24 + 32) and a quarter of the products: Winograd saves time up to a cost of 3 x 13.7 = 41.
    for costs, winograd in {"41,0,0": True, "42,0,0": False, "inf,0,0": False}.items():
        monkeypatch.setenv("JAXSCI_CONVOLUTION", costs)
        assert ("stablehlo.case" in jax.jit(partial(conv)).lower(x, k).as_text()) == winograd, costs
    for wrong in ("fast", "1,2", "1,2,3,4", "1,2,-3", "1,2,nan", "1,,3"):
        monkeypatch.setenv("JAXSCI_CONVOLUTION", wrong)
        with pytest.raises(InputError, match=f"JAXSCI_CONVOLUTION: expected auto, .* got {wrong}; unset it"):
            jax.jit(partial(conv)).lower(x, k)
