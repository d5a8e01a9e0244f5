"""Run by `test_convolution_meshes.py` in a process of four CPU devices: nothing that a mesh does may change a value or a derivative."""

import os
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxsci.ops import average_pool, conv, conv_patches, conv_transpose, max_pool

CASES = int(os.environ.get("JAXSCI_MESH_CASES", "6"))  # of each way to use a mesh
ALL = CASES > 6
TOGETHER = 6  # in one program: compilation takes most of the time
BATCH = 8
AUTO = Mesh(np.array(jax.devices()), ("data",))
EXPLICIT = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))


def random_case(seed):
    """A function of (x, kernel), and its arguments in float64."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    window = tuple(int(v) for v in rng.integers(1, 4, rank))
    size = tuple(int(v) for v in rng.integers(5, 8, rank))
    groups = int(rng.choice([1, 1, 2, 3]))
    inputs, outputs = (int(rng.choice([1, 2, 5])) for _ in range(2))
    strides = tuple(int(v) for v in rng.integers(1, 3, rank))
    options = {"strides": strides, "padding": str(rng.choice(["SAME", "VALID"]))}
    name = str(rng.choice(["conv", "conv", "conv_transpose", "conv_patches", "max_pool", "average_pool"]))
    kernel = rng.normal(size=(*window, inputs, outputs * groups))
    channels = (outputs if name == "conv_transpose" else inputs) * groups
    x = rng.normal(size=(BATCH, *size, channels))
    if name in ("conv", "conv_transpose"):
        options |= {"groups": groups, "dilation": int(rng.integers(1, 3)) if options["padding"] == "SAME" else 1}
        return partial({"conv": conv, "conv_transpose": conv_transpose}[name], **options), x, kernel
    one = {"conv_patches": conv_patches, "max_pool": max_pool, "average_pool": average_pool}[name]
    scale = (1,) * (x.ndim - 1) + (channels,)
    return lambda x, k: one(x, window, **options).sum(-1) * k.sum(), x, rng.normal(size=scale)


def everything(loss, arguments, directions):
    """Value, gradient and Hessian product of each case."""

    def one(loss, x, kernel, dx, dk):
        gradient = jax.value_and_grad(loss, (0, 1))
        return jax.jvp(gradient, (x, kernel), (dx, dk))

    return [one(f, *a, *d) for f, a, d in zip(loss, arguments, directions, strict=True)]


def mean(function, x, kernel):
    return jnp.mean(jnp.sin(function(x, kernel)))


MESHES = [pytest.param(AUTO, id="auto")] * ALL + [pytest.param(EXPLICIT, id="explicit")]
SEEDS = [pytest.param(range(first, first + TOGETHER), id=f"{first}") for first in range(0, CASES, TOGETHER)]


def prepare(seeds):
    functions, arguments = zip(*((f, (x, k)) for f, x, k in map(random_case, seeds)), strict=True)
    rng = np.random.default_rng(0)
    directions = tuple(tuple(rng.normal(size=a.shape) for a in pair) for pair in arguments)
    expected = jax.jit(partial(everything, [partial(mean, f) for f in functions]))(arguments, directions)
    return functions, arguments, directions, expected


def equal(got, expected):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-13), got, expected)


def put(mesh, pairs):
    x, k = (NamedSharding(mesh, P("data"))), NamedSharding(mesh, P())
    return tuple((jax.device_put(a, x), jax.device_put(b, k)) for a, b in pairs)


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("check_vma", [True] + [False] * ALL)
@pytest.mark.parametrize("seeds", SEEDS)
def test_shard_map(seeds, check_vma):
    functions, arguments, directions, expected = prepare(seeds)
    losses = [
        jax.shard_map(
            lambda x, k, f=f: lax.pmean(mean(f, x, k), "data"),
            mesh=AUTO,
            in_specs=(P("data"), P()),
            out_specs=P(),
            check_vma=check_vma,
        )
        for f in functions
    ]
    equal(jax.jit(partial(everything, losses))(arguments, directions), expected)


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("seeds", SEEDS)
def test_jit(seeds, mesh):
    functions, arguments, directions, expected = prepare(seeds)
    losses = [partial(mean, f) for f in functions]
    equal(jax.jit(partial(everything, losses))(put(mesh, arguments), put(mesh, directions)), expected)


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("groups", [1] * ALL + [2])
def test_an_ensemble_and_single_examples(mesh, groups):
    rng = np.random.default_rng(1)
    x, k = rng.normal(size=(4, 8, 6, 5, 4 * groups)), rng.normal(size=(4, 3, 2, 4, 6 * groups))
    loss = partial(mean, partial(conv, groups=groups))

    def members(x, k):
        return jax.vmap(jax.value_and_grad(loss, (0, 1)))(x, k)

    def examples(x, k):
        return jax.vmap(jax.value_and_grad(lambda x, k: loss(x[None], k), (0, 1)), (0, None))(x, k)

    sharded = NamedSharding(mesh, P("data"))
    equal(jax.jit(members)(*jax.device_put((x, k), sharded)), jax.jit(members)(x, k))
    one = jax.device_put(x[0], sharded), jax.device_put(k[0], NamedSharding(mesh, P()))
    equal(jax.jit(examples)(*one), jax.jit(examples)(x[0], k[0]))


@pytest.mark.parametrize("shape", [((8, 6, 5, 3), (3, 3, 3, 4)), ((8, 6, 5, 1), (3, 3, 1, 1)), ((8, 9, 3), (3, 3, 2))])
def test_results_that_vary_are_not_called_the_same(shape):
    x, k = map(jnp.ones, shape)
    for check, function in ((True, conv), (False, lambda x, k: lax.pmean(conv(x, k), "data"))):
        mapped = jax.shard_map(function, mesh=AUTO, in_specs=(P("data"), P()), out_specs=P())
        if check:
            with pytest.raises(ValueError, match="out_specs"):
                jax.jit(mapped)(x, k)
        else:
            jax.jit(mapped)(x, k)


def test_winograd_and_empty_batches_inside_shard_map():
    x, k = (
        jnp.asarray(np.random.default_rng(2).normal(size=s), jnp.float32) for s in ((8, 12, 12, 64), (3, 3, 64, 64))
    )

    def gradient(k, x):
        mapped = jax.shard_map(
            lambda k, x: lax.pmean(mean(conv, x, k), "data"), mesh=AUTO, in_specs=(P(), P("data")), out_specs=P()
        )
        return jax.grad(mapped)(k, x)

    exact = jax.jit(jax.grad(lambda k, x: mean(conv, x, k)))(k.astype(jnp.float64), x.astype(jnp.float64))
    got = np.asarray(jax.jit(gradient)(k, x), np.float64)
    assert np.abs(got - exact).max() < 1e-4 * np.abs(exact).max()
    empty = jax.shard_map(
        lambda k, x: lax.psum(conv(x[:0], k).sum(), "data"), mesh=AUTO, in_specs=(P(), P("data")), out_specs=P()
    )
    np.testing.assert_array_equal(jax.jit(jax.grad(empty))(k, x), 0)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_lowering_inside_shard_map(platform):
    x, k = jnp.ones((8, 6, 5, 3), jnp.float32), jnp.ones((3, 3, 3, 4), jnp.float32)
    mapped = jax.shard_map(
        lambda k, x: lax.pmean(mean(conv, x, k), "data"), mesh=AUTO, in_specs=(P(), P("data")), out_specs=P()
    )
    exported = jax.export.export(jax.jit(jax.grad(mapped)), platforms=[platform])(k, x)
    assert exported.out_avals[0].shape == k.shape


COLLECTIVES = ("all-gather", "all-to-all", "collective-permute", "all-reduce")
LAYERS = {
    "3 to 16": ((64, 32, 32, 3), (3, 3, 3, 16), {}),
    "32 to 32": ((64, 32, 32, 32), (3, 3, 32, 32), {}),
    "64 to 64": ((64, 16, 16, 64), (3, 3, 64, 64), {}),
    "1 to 1": ((64, 32, 32, 1), (3, 3, 1, 1), {}),
    "1-D": ((64, 128, 8), (5, 8, 16), {}),
    "3-D": ((16, 12, 12, 12, 4), (3, 3, 3, 4, 8), {}),
    "strides": ((64, 32, 32, 16), (3, 3, 16, 32), {"strides": 2}),
    "depthwise": ((64, 32, 32, 16), (3, 3, 1, 16), {"groups": 16}),
}


def compiled(function, *arrays):
    program = jax.jit(function).lower(*arrays).compile()
    text = program.as_text()
    found = {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in COLLECTIVES}
    return {name: count for name, count in found.items() if count}, program.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("layer", LAYERS if ALL else ["3 to 16", "1-D", "depthwise"])
def test_a_sharded_batch_stays_where_it_is(layer):
    x_shape, k_shape, options = LAYERS[layer]
    x, k = jnp.ones(x_shape, jnp.float32), jnp.ones(k_shape, jnp.float32)
    apply = partial(conv, **options)

    def loss(x, k):
        return jnp.sum(apply(x, k) ** 2)

    sharded = jax.device_put(x, NamedSharding(AUTO, P("data"))), jax.device_put(k, NamedSharding(AUTO, P()))
    for function, collectives in ((apply, {}), (jax.grad(loss), {}), (jax.grad(loss, 1), {"all-reduce": 1})):
        found, temporaries = compiled(function, *sharded)
        assert found == collectives
        _, alone = compiled(function, x, k)
        assert temporaries <= 1.2 * alone / 4 + 4096  # a page: constants and single numbers are not divided


@pytest.mark.parametrize("layer", ["3 to 16", "32 to 32", "1 to 1", "1-D", "3-D"] if ALL else ["1 to 1", "1-D"])
def test_members_of_an_ensemble_stay_where_they_are(layer):
    x_shape, k_shape, _ = LAYERS[layer]
    x, k = jnp.ones((8, 16, *x_shape[1:]), jnp.float32), jnp.ones((8, *k_shape), jnp.float32)
    gradient = jax.grad(lambda x, k: jnp.sum(conv(x, k) ** 2), 1)
    sharded = jax.device_put((x, k), NamedSharding(AUTO, P("data")))
    assert [compiled(jax.vmap(f), *sharded)[0] for f in (conv, gradient)] == [{}, {}]
