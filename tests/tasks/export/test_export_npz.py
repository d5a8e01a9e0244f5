"""Networks as operations and arrays: the reader, with NumPy alone, gives the logits of the run."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxsci.core import Model
from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.models.heads import inference
from jaxsci.models.linen import from_linen
from jaxsci.runs.task import Trained
from jaxsci.tasks import export, read_network
from jaxsci.tasks.top_tagging.taggers import tagger
from jaxsci.training import predict

JETS = 70  # more than a batch of the reader, and no multiple of it
ALONE = """
import sys
import numpy as np
from read_network import load
inputs = np.load("inputs.npz")
np.save("logits.npy", load("network.npz")(*(inputs[name] for name in inputs.files)))
assert not {"jax", "jaxsci"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def constituents():
    return jets.read(jets.embedded(), limit=JETS).constituents


def trained(model, prepare, example):
    params = jax.jit(model.init)(jax.random.key(3))
    return Trained(inference(model), params, prepare, prepare, {"task": "top-tagging"}, example)


@pytest.mark.parametrize(
    "name",
    [
        "pfn",
        "pelican",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("cnn", "pfn-attention", "pelican-rest", "particlenet", "particlenet-batch")
        ),
    ],
)
def test_logits_are_those_of_the_network(name, constituents, tmp_path):
    found = tagger(name)
    run = trained(found.model, found.inputs, constituents[:1])
    export.write(run, tmp_path / "network.npz", form="npz")
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found.inputs(constituents))]
    np.savez(tmp_path / "inputs.npz", *leaves)
    subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'){ALONE}"], cwd=tmp_path, check=True
    )
    logits = np.load(tmp_path / "logits.npy")
    wanted = predict(run.model.apply, run.params, found.inputs(constituents), batch_size=JETS)
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-5 * scale)  # sums in another order, in float32


def test_each_operation_of_the_reader_is_that_of_jax(tmp_path):
    def apply(params, x):
        y = jnp.stack([jnp.tanh(x), x**3, x**-2, jax.nn.sigmoid(x), jax.lax.erf(x), jax.lax.rsqrt(1 + x * x)])
        y = jnp.concatenate([y, jnp.log1p(jnp.abs(y)), jnp.where(y > 0.3, jnp.exp(y), -y)])
        y = jnp.einsum("ni,mj,kij->nmk", y, y[1:], params["w"])
        return jnp.max(y, axis=0) - jnp.min(y, axis=0) + jnp.sum(y, axis=0) + jnp.arange(3.0)[None]

    model = Model(lambda key: {"w": jax.random.normal(key, (3, 4, 4))}, apply)
    run = trained(model, np.asarray, np.ones((1, 4), np.float32))
    export.write(run, tmp_path / "n.npz", form="npz")
    x = np.random.default_rng(0).uniform(0.5, 1.5, (5, 4)).astype(np.float32)
    wanted = jax.vmap(apply, in_axes=(None, 0))(run.params, x)
    np.testing.assert_allclose(read_network.load(tmp_path / "n.npz")(x), wanted, rtol=2e-5, atol=2e-5)


@jax.numpy_dtype_promotion("standard")  # which the pools of flax need
def test_convolutions_and_pools_of_flax_are_those_of_jax(tmp_path):
    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):  # [batch, 12, 10, 3]
            x = linen.Conv(8, (3, 3), strides=(2, 1), kernel_dilation=(1, 2), padding=((2, -1), (0, 3)))(x)
            x = linen.max_pool(linen.gelu(linen.GroupNorm(2)(x)), (2, 2), strides=(1, 2), padding="SAME")
            x = linen.ConvTranspose(6, (3, 3), strides=(2, 2))(x)
            x = linen.avg_pool(linen.LayerNorm()(x), (3, 2), strides=(2, 2), padding="SAME")
            x = linen.Conv(6, (2,), feature_group_count=3)(x.reshape(len(x), -1, 6))
            return linen.Dense(2)(linen.MultiHeadDotProductAttention(2)(x).mean(axis=1))

    x = np.random.default_rng(0).normal(size=(3, 12, 10, 3)).astype(np.float32)
    model = from_linen(Network(), x[:1])
    run = trained(model, np.asarray, x[:1])
    export.write(run, tmp_path / "n.npz", form="npz")
    wanted = predict(run.model.apply, run.params, x)
    found = read_network.load(tmp_path / "n.npz")(x)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)  # of order 1, sums of a hundred in float32


def test_a_convolution_with_its_axes_in_another_order_is_that_of_jax(tmp_path):
    kernel = np.random.default_rng(1).normal(size=(3, 8, 2, 2)).astype(np.float32)
    order = jax.lax.ConvDimensionNumbers((1, 2, 0, 3), (1, 2, 0, 3), (2, 0, 3, 1))  # of x, kernel and result

    def apply(params, x):
        how = {"lhs_dilation": (2, 1), "rhs_dilation": (1, 3), "dimension_numbers": order, "feature_group_count": 2}
        y = jax.lax.conv_general_dilated(x[:, None], params["w"], (2, 1), ((1, 0), (2, -1)), **how)
        return jnp.flip(jax.lax.pad(y, -1.0, [(1, 0, 2), (0, -1, 0), (0, 0, 0), (2, 0, 0)]), 0)

    model = Model(lambda key: {"w": jnp.asarray(kernel)}, apply)
    run = trained(model, np.asarray, np.ones((1, 6, 4, 9), np.float32))
    export.write(run, tmp_path / "n.npz", form="npz")
    x = np.random.default_rng(2).normal(size=(3, 6, 4, 9)).astype(np.float32)
    wanted = jax.jit(jax.vmap(apply, in_axes=(None, 0)))(run.params, x)
    np.testing.assert_allclose(read_network.load(tmp_path / "n.npz")(x), wanted, rtol=0, atol=1e-5)


def test_what_the_reader_does_not_know_is_refused_and_leaves_nothing(tmp_path):
    model = Model(lambda key: {"w": jnp.ones(3)}, lambda params, x: jnp.sum(jnp.sort(x) * params["w"]))
    run = trained(model, np.asarray, np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match="operations that its reader knows, got sort; use --format jax"):
        export.write(run, tmp_path / "n.npz", form="npz")
    with pytest.raises(InputError, match=r"a name that ends in \.npz"):
        export.write(run, tmp_path / "n.bin", form="npz")
    assert not list(tmp_path.iterdir())
