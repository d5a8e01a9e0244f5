"""Kronecker factors against dense Fisher matrices and against their definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.gradients import fisher, kfac, solve
from jaxsci.gradients._capture import capture
from jaxsci.gradients._capture.windows import Sliding
from jaxsci.losses import cross_entropy, objective, squared_error
from jaxsci.ops import conv, conv_patches, conv_transpose
from tests.gradients.networks import WEIGHT, matrix, set_network, tied_network

SHARES = WEIGHT / WEIGHT.sum()


def hidden(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"] + params["b"]


def small(rng):
    params = {"w": rng.normal(size=(3, 4)), "v": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}
    return jax.tree.map(jnp.asarray, params), Batch(rng.normal(size=(5, 3)), rng.integers(0, 3, 5), WEIGHT)


@pytest.mark.usefixtures("x64")
def test_the_factors_of_a_linear_model_are_its_fisher_information():
    rng = np.random.default_rng(1)
    params, batch = (
        {"w": jnp.asarray(rng.normal(size=(3, 2)))},
        Batch(rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), WEIGHT),
    )

    def apply(params, x):
        return params["w"].T @ x

    dense = fisher(apply, squared_error, params, batch).dense()
    curvature = jax.jit(lambda params, batch: kfac(apply, squared_error, params, batch))(params, batch)
    np.testing.assert_allclose(curvature.power(1).dense(), dense, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        curvature.power(-1, 0.3).dense(), np.linalg.inv(dense + 0.3 * np.eye(6)), rtol=1e-10, atol=1e-12
    )
    root = curvature.power(-0.5, 0.3).dense()
    np.testing.assert_allclose(root @ root, curvature.power(-1, 0.3).dense(), rtol=1e-10, atol=1e-12)
    found = solve(fisher(apply, squared_error, params, batch) + 0.3, params, preconditioner=curvature.power(-1, 0.3))
    expected = np.linalg.solve(dense + 0.3 * np.eye(6), np.asarray(params["w"]).ravel())
    value = jax.tree.leaves(found)[0]
    np.testing.assert_allclose(np.asarray(value).ravel(), expected, rtol=1e-6)
    with pytest.raises(InputError, match="singular"):
        kfac(apply, squared_error, params, batch._replace(x=batch.x * np.array([1.0, 0, 0]))).power(-1)


@pytest.mark.usefixtures("x64")
def test_the_factors_of_two_layers_are_moments_of_inputs_and_cotangents():
    params, batch = small(np.random.default_rng(2))

    @jax.jit
    def each(params, batch):
        plain = kfac(hidden, cross_entropy, params, batch, memory=1)  # an example at a time
        return plain, kfac(hidden, cross_entropy, params, batch, kind="empirical", corrected=True)

    plain, corrected = each(params, batch)
    b, v, w = plain.blocks
    values = jax.tree.map(np.asarray, params)
    h = np.tanh(batch.x @ values["w"])
    p = np.exp(h @ values["v"] + values["b"])
    p /= p.sum(1, keepdims=True)
    curvature = np.einsum("n,nk,kl->nkl", np.ones(5), p, np.eye(3)) - np.einsum("nk,nl->nkl", p, p)
    np.testing.assert_allclose(w.inputs[0], np.einsum("n,ni,nj->ij", SHARES, batch.x, batch.x), rtol=1e-12)
    np.testing.assert_allclose(v.inputs[0], np.einsum("n,ni,nj->ij", SHARES, h, h), rtol=1e-12)
    np.testing.assert_allclose(v.outputs[0], np.einsum("n,nkl->kl", SHARES, curvature), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(b.outputs[0], v.outputs[0], rtol=1e-10, atol=1e-13)
    slope = np.einsum("nh,hk->nhk", 1 - h**2, values["v"])
    expected = np.einsum("n,nhk,nkl,ngl->hg", SHARES, slope, curvature, slope)
    np.testing.assert_allclose(w.outputs[0], expected, rtol=1e-10, atol=1e-13)
    # The corrected eigenvalues are the diagonal of the Fisher information in their basis.
    stored = matrix(objective(hidden, cross_entropy), params, batch)
    block = corrected.blocks[2]
    gradients = np.asarray(stored[:, 15:]).reshape(5, 3, 4)
    rotated = np.einsum("gik,nio,gol->nkl", block.inputs, gradients, block.outputs)
    np.testing.assert_allclose(block.values[0], np.einsum("n,nkl->kl", SHARES, rotated**2), rtol=1e-9, atol=1e-13)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("network", [pytest.param(set_network, marks=pytest.mark.slow), tied_network])
def test_corrected_eigenvalues_add_up_to_the_mean_squared_norm(network):
    """Whatever the basis: of sets, and of parameters used twice, of which the factors know less."""
    loss, params, batch = network(np.random.default_rng(3))
    value = jax.tree.leaves(params)

    def apply(params, x):  # its loss is that of the network for the targets of the batch, which come with x
        return loss(params, jax.tree.map(lambda leaf: leaf[None], x))[0][None]

    data = Batch(batch._replace(weight=np.ones(5)), np.zeros(5), WEIGHT)
    found = jax.jit(
        lambda params, data: kfac(apply, lambda output, _: output[0], params, data, kind="empirical", corrected=True)
    )(params, data)
    stored = matrix(loss, params, batch._replace(weight=np.ones(5)))
    ends = np.cumsum([leaf.size for leaf in value])[:-1]
    for block, part in zip(found.blocks, np.split(stored, ends, axis=1), strict=True):
        np.testing.assert_allclose(block.values.sum(), SHARES @ (part**2).sum(1), rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_a_convolution_has_the_factors_of_its_windows():
    rng = np.random.default_rng(4)
    params = {"k": jnp.asarray(rng.normal(size=(3, 2, 4)))}
    batch = Batch(rng.normal(size=(5, 6, 2)), rng.normal(size=(5, 4)), WEIGHT)

    def convolved(params, x):
        return jnp.tanh(conv(x[None], params["k"], strides=2)[0]).sum(0)

    def patched(params, x):
        windows = conv_patches(x[None], 3, strides=2)[0].reshape(3, 6)
        return jnp.tanh(windows @ params["k"].reshape(6, 4)).sum(0)

    @jax.jit
    def both(params, batch):
        return [
            kfac(apply, squared_error, params, batch, corrected=True).power(1)(params) for apply in (convolved, patched)
        ]

    first, second = both(params, batch)
    np.testing.assert_allclose(first["k"], second["k"], rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("window", "padding", "dilation", "size"),
    [
        ((5,), ((2, 2),), (1,), (9,)),
        ((3, 2), ((0, 3), (1, 0)), (1, 2), (5, 6)),
        ((4,), ((5, 0),), (2,), (8,)),  # windows that see zeros alone
        pytest.param((2, 3, 2), ((1, 0), (0, 0), (2, 1)), (1, 1, 2), (4, 5, 4), marks=pytest.mark.slow),
    ],
)
def test_windows_need_not_be_cut_out(window, padding, dilation, size):
    """At stride 1 the sum of their outer products comes from autocorrelations of the images."""
    rng = np.random.default_rng(6)
    fits = zip(size, padding, dilation, window, strict=True)
    output = tuple(n + sum(pair) - d * (k - 1) for n, pair, d, k in fits)
    sliding = Sliding(window, (1,) * len(window), padding, dilation, output)
    x, c = jnp.asarray(rng.normal(size=(2, 3, *size, 2))), jnp.asarray(rng.normal(size=3))
    windows, moment = jax.jit(lambda x, c: (sliding.windows(x), sliding.second_moment(x, c)))(x, c)
    cut = np.asarray(windows).reshape(2, 3, np.prod(output), -1)
    expected = np.einsum("gbti,gbtj,b->gij", cut, cut, c)
    np.testing.assert_allclose(moment, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_of_many_channels_have_the_factors_of_their_windows(transposed):
    rng = np.random.default_rng(7)
    params = {"k": jnp.asarray(rng.normal(size=(3, 8, 4)) * 0.2)}
    batch = Batch(rng.normal(size=(5, 12, 4 if transposed else 8)), rng.normal(size=(5, 2)), WEIGHT)

    def apply(params, x):
        y = (conv_transpose if transposed else conv)(x[None], params["k"])[0]
        return jnp.tanh(y).sum(0)[:2]

    loss = objective(apply, squared_error)
    record = next(use for use in capture(loss, params, batch).uses if use.product is not None).product
    assert record.second_moment is not None
    (block,) = jax.jit(lambda params, batch: kfac(apply, squared_error, params, batch, kind="empirical"))(
        params, batch
    ).blocks

    def images(params, x):  # what the windows are cut of: inputs, or the cotangents of outputs
        if not transposed:
            return x
        slope = jax.grad(lambda y, t: squared_error(jnp.tanh(y).sum(0)[:2], t))
        return jax.vmap(lambda x, t: slope(conv_transpose(x[None], params["k"])[0], t))(x, jnp.asarray(batch.y))

    cut = np.asarray(conv_patches(images(params, jnp.asarray(batch.x)), 3)).reshape(5, 12, -1)
    expected = np.einsum("n,nti,ntj->ij", SHARES, cut, cut) / 12
    np.testing.assert_allclose(block.inputs[0], expected, rtol=1e-9, atol=1e-13)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_draws_of_the_targets_lead_to_the_exact_factors():
    params, batch = small(np.random.default_rng(5))
    many = jax.tree.map(lambda leaf: np.repeat(leaf, 4000, axis=0), batch)
    exact = kfac(hidden, cross_entropy, params, batch).blocks[1].outputs
    drawn = jax.jit(lambda key: kfac(hidden, cross_entropy, params, many, kind="sampled", key=key).blocks[1].outputs)(
        jax.random.key(0)
    )
    np.testing.assert_allclose(drawn, exact, atol=5 / np.sqrt(20_000))  # of outer products of numbers below 1
    with pytest.raises(InputError, match="key"):
        kfac(hidden, cross_entropy, params, batch, kind="sampled")
