"""What every model promises: pure, traced once, the same under jit and vmap, differentiable, dtype kept."""

from dataclasses import replace
from functools import cache

import chex
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Model, WeightedSet
from jaxsci.errors import InputError
from jaxsci.models import autoencoder, compositional, convolutional, convolutional_autoencoder, deep_sets, dense
from jaxsci.models.convolutional import Block
from jaxsci.models.jets import particle_transformer, particlenet, pelican

IMAGE = (8, 8, 2)
MODELS = {
    "dense": (dense, dense.Config(6, outputs=3, hidden=(5, 4))),
    "convolutional": (
        convolutional,
        convolutional.Config(IMAGE, outputs=3, blocks=(Block(4, pool=2), Block(5)), dense=(6,)),
    ),
    "deep_sets": (deep_sets, deep_sets.Config(4, outputs=2, phi=(6, 5), rho=(4,))),
    "compositional": (
        compositional,
        compositional.Config(
            4,
            7,
            outputs=2,
            phi=(6, 4),
            rho=(5,),
            pooling=("sum", "mean", "variance", "attention", "fourier"),
            heads=2,
            frequencies=2,
            embedding=3,
        ),
    ),
    "autoencoder": (autoencoder, autoencoder.Config((3, 4), latent=2, hidden=(6,))),
    "convolutional_autoencoder": (
        convolutional_autoencoder,
        convolutional_autoencoder.Config(IMAGE, latent=3, blocks=(Block(4, pool=2),), hidden=(5,)),
    ),
    "pelican": (pelican, pelican.Config(outputs=2, channels=3, messages=4, blocks=1, pooled=5, hidden=())),
    "particlenet": (
        particlenet,
        particlenet.Config(4, outputs=2, neighbors=3, blocks=((5, 4),), dense=()),
    ),
    "particle_transformer": (
        particle_transformer,
        particle_transformer.Config(4, outputs=2, width=4, heads=2, blocks=1, embed=(), pair=()),
    ),
}
SETS = {"deep_sets", "pelican", "particlenet", "particle_transformer"}
SHAPES = {
    "dense": (6,),
    "compositional": (7,),
    "convolutional": IMAGE,
    "autoencoder": (3, 4),
    "convolutional_autoencoder": IMAGE,
}


def inputs(name, count, dtype=np.float32):
    rng = np.random.default_rng(1)
    if name == "compositional":
        return rng.uniform(0.1, 1, (count, 7)).astype(dtype)
    if name in SETS:
        weights = (rng.random((count, 7)) < 0.7).astype(dtype)
        x = WeightedSet(rng.normal(size=(count, 7, 4)).astype(dtype), weights)
        if name != "particle_transformer":
            return x
        return particle_transformer.Particles(*x, rng.normal([5, 0, 0, 0], size=(count, 7, 4)).astype(dtype))
    return rng.normal(size=(count, *SHAPES[name])).astype(dtype)


def example(name, i=0, dtype=np.float32):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), inputs(name, i + 1, dtype))


SLOW = {
    "convolutional_autoencoder",
    "particlenet",
    "particle_transformer",
}  # to compile; what is special about them is in test_jets


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MODELS])
def name(request):
    return request.param


def pair(name, config, dtype=np.float32):
    """The model; that of compositions stands on a table of this dtype."""
    if name == "compositional":
        table = np.random.default_rng(2).normal(size=(7, 4))
        return compositional.model(config, jnp.asarray(table, dtype))
    return MODELS[name][0].model(config)


@cache
def build(name, dtype=np.float32, **changes):
    """The model with both functions compiled once for all tests: op by op each test would take many times longer."""
    model = pair(name, replace(MODELS[name][1], **changes), dtype)
    return Model(jax.jit(model.init), jax.jit(model.apply))


def test_parameters_are_nested_dicts_of_finite_arrays(name):
    params = build(name).init(jax.random.key(0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert all(isinstance(part, jax.tree_util.DictKey) for part in path)
        assert path[-1].key in {"kernel", "bias"}
        assert isinstance(leaf, jax.Array)
        assert leaf.dtype == jnp.float32
        assert bool(jnp.isfinite(leaf).all())


def test_initial_parameters_follow_the_key(name):
    init = build(name).init
    chex.assert_trees_all_equal(init(jax.random.key(3)), init(jax.random.key(3)))
    kernels = [jax.tree.leaves(init(jax.random.key(k)))[1] for k in (3, 4)]
    assert not np.array_equal(*kernels)


def test_jit_traces_once_and_equals_eager(name):
    apply = pair(name, MODELS[name][1]).apply
    params = build(name).init(jax.random.key(0))
    chex.clear_trace_counter()
    compiled = jax.jit(chex.assert_max_traces(lambda params, x: apply(params, x), n=1))
    for i in range(3):
        x = example(name, i)
        # Eager and compiled sums differ in their order: a few float32 roundings.
        np.testing.assert_allclose(compiled(params, x), apply(params, x), rtol=1e-5, atol=1e-5)


def test_vmap_equals_a_loop_over_examples_and_over_members(name):
    model = build(name)
    keys = jax.random.split(jax.random.key(0), 3)
    members = jax.jit(jax.vmap(model.init))(keys)
    batch = inputs(name, 4)
    both = jax.jit(jax.vmap(jax.vmap(model.apply, (None, 0)), (0, None)))(members, batch)
    for m in range(3):
        params = model.init(keys[m])
        for i in range(4):
            one = model.apply(params, jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), batch))
            np.testing.assert_allclose(both[m, i], one, rtol=1e-5, atol=1e-5)  # float32 roundings


@pytest.mark.usefixtures("x64")
def test_gradient_equals_finite_differences_in_float64(name):
    model = build(
        name, np.float64, activation="tanh"
    )  # smooth: a finite difference across a kink of ReLU is not its derivative
    params = model.init(jax.random.key(0))
    x = example(name, dtype=np.float64)

    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
    step = 1e-6

    def along(t):
        return jnp.sum(jnp.sin(model.apply(jax.tree.map(lambda p, d: p + t * d, params, direction), x)))

    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(along)))(np.array([-step, 0.0, step]))
    slope, product = (values[2] - values[0]) / (2 * step), slopes[1]
    np.testing.assert_allclose(product, slope, rtol=1e-6)  # error of a central difference: step^2, and 1e-16 / step


@pytest.mark.usefixtures("x64")
def test_hessian_is_symmetric_through_forward_over_reverse(name):
    model = build(name, np.float64, activation="tanh")
    params = model.init(jax.random.key(0))
    x = example(name, dtype=np.float64)
    flat, unravel = jax.flatten_util.ravel_pytree(params)

    def scalar(p):
        return jnp.sum(model.apply(unravel(p), x) ** 2)

    u, v = np.random.default_rng(1).normal(size=(2, *flat.shape))

    @jax.jit
    def product(direction):
        return jax.jvp(jax.grad(scalar), (flat,), (direction,))[1]

    np.testing.assert_allclose(u @ product(v), v @ product(u), rtol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_low_precision_matrix_work_keeps_float32_results(name, dtype, tolerance):
    full, low = build(name), build(name, compute_dtype=dtype)
    params = full.init(jax.random.key(0))
    x = example(name)
    y, exact = low.apply(params, x), full.apply(params, x)
    assert y.dtype == jnp.float32
    assert not np.array_equal(y, exact)
    # Operands are rounded to 8 (11) bits; a few layers add up some such roundings of the largest outputs.
    np.testing.assert_allclose(y, exact, atol=tolerance * float(jnp.abs(exact).max() + 1))


def test_wrong_shapes_are_refused(name):
    model = build(name)
    params = model.init(jax.random.key(0))
    wrong = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], axis=-1), example(name))
    with pytest.raises(InputError):
        model.apply(params, wrong)
