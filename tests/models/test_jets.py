"""Networks of jets: no order, no padding and, for the invariant one, no frame of reference exists for them."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsci.core import WeightedSet
from jaxsci.data import jets
from jaxsci.models.jets import _norm, energy_flow, particle_transformer, particlenet, pelican

ROOM = 12
NETWORKS = {
    "energy_flow": (energy_flow, energy_flow.Config(degree=3)),
    "pelican": (pelican, pelican.Config(channels=3, messages=4, blocks=2, pooled=5, hidden=(6,))),
    "particlenet": (particlenet, particlenet.Config(3, neighbors=3, blocks=((5, 4), (6,)), dense=())),
    "particle_transformer": (
        particle_transformer,
        particle_transformer.Config(3, width=8, heads=2, blocks=1, embed=(), pair=(5,)),
    ),
}


def jet(name, rng, present=9):
    """A jet of massless particles with room for more."""
    p = rng.normal([20, 0, 0], 5, (ROOM, 3))
    momenta = np.concatenate([np.linalg.norm(p, axis=1, keepdims=True), p], axis=1).astype(np.float32)
    weights = (np.arange(ROOM) < present).astype(np.float32)
    momenta[present:] = 0
    elements = np.where(weights[:, None] > 0, rng.normal(size=(ROOM, 3)), 0).astype(np.float32)
    if name == "pelican":
        return WeightedSet(momenta, weights)
    if name in ("particlenet", "energy_flow"):
        return WeightedSet(elements, weights)
    return particle_transformer.Particles(elements, weights, momenta)


@cache
def network(name):
    """Parameters that are not those of the start, where some are 0, and the compiled network with its gradient."""
    module, config = NETWORKS[name]
    model = module.model(config)
    params = jax.jit(model.init)(jax.random.key(0))
    rng = np.random.default_rng(5)
    params = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), params)
    return jax.jit(jax.value_and_grad(lambda params, x: model.apply(params, x)[0])), params


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=settings.default.max_examples // 5)
@given(seed=st.integers(0, 2**31))
def test_permutation_changes_nothing(name, seed):
    rng = np.random.default_rng(seed)
    apply, params = network(name)
    x, order = jet(name, rng), rng.permutation(ROOM)
    permuted = jax.tree.map(lambda leaf: leaf[order], x)
    # Sums in another order: float32 roundings of numbers of order 1.
    np.testing.assert_allclose(apply(params, permuted)[0], apply(params, x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("present", [0, 1, 9])
def test_padding_contributes_exactly_nothing_to_value_and_gradient(name, present):
    apply, params = network(name)
    x = jet(name, np.random.default_rng(1), present)
    absent = x.weights == 0

    def filled(leaf, garbage):
        return np.where(absent.reshape((-1,) + (1,) * (leaf.ndim - 1)), np.float32(garbage), leaf)

    expected = apply(params, x)
    for garbage in (1e30, np.nan, np.inf):
        padded = x._replace(**{n: filled(leaf, garbage) for n, leaf in x._asdict().items() if n != "weights"})
        jax.tree.map(np.testing.assert_array_equal, apply(params, padded), expected)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(expected))


@pytest.mark.parametrize("name", NETWORKS)
def test_more_room_changes_nothing(name):
    (apply, params), (module, config) = network(name), NETWORKS[name]
    x = jet(name, np.random.default_rng(2))
    roomier = jax.tree.map(lambda leaf: np.pad(leaf, [(0, 3)] + [(0, 0)] * (leaf.ndim - 1)), x)
    logit = jax.jit(module.model(config).apply)(params, roomier)[0]
    np.testing.assert_allclose(logit, apply(params, x)[0], rtol=1e-5, atol=1e-6)


def boost(direction, rapidity):
    """The matrix of a boost."""
    n = np.asarray(direction) / np.linalg.norm(direction)
    matrix = np.eye(4)
    matrix[0, 0] = np.cosh(rapidity)
    matrix[0, 1:] = matrix[1:, 0] = np.sinh(rapidity) * n
    matrix[1:, 1:] += (np.cosh(rapidity) - 1) * np.outer(n, n)
    return matrix


def rotation(rng):
    """The matrix of a random rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    matrix = np.eye(4)
    matrix[1:, 1:] = q
    return matrix


def about_the_beam(angle):
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


REFLECTION = np.diag([1.0, 1, 1, -1])  # exchanges the beams


@cache
def invariant(beams):
    """The network of 3,000 parameters on real simulated jets of about 600 GeV, with and without beams."""
    model = pelican.model(replace(pelican.PARAMETERS_3K, beams=beams))
    params = jax.jit(model.init)(jax.random.key(1))
    momenta = jets.read(jets.embedded(), limit=20).constituents[:, :20].astype(np.float64)
    apply = jax.jit(jax.vmap(lambda x: model.apply(params, x)[0]))

    def logits(matrix):
        moved = momenta @ matrix.T
        rounded = moved.astype(np.float32)
        elements = np.concatenate([rounded, (moved - rounded).astype(np.float32)], axis=-1)
        return np.asarray(apply(WeightedSet(jnp.asarray(elements), jnp.asarray(moved[..., 0] > 0, jnp.float32))))

    return logits


@pytest.mark.parametrize("kind", ["rotation", "boost along the beam", "boost across the beam", "both"])
def test_without_beams_every_lorentz_transformation_changes_nothing(kind):
    logits, rng = invariant(False), np.random.default_rng(3)
    matrices = {
        "rotation": rotation(rng),
        "boost along the beam": boost([0, 0, 1], 1.0),
        "boost across the beam": boost([1, 2, 0], 0.7),
        "both": boost(rng.normal(size=3), 0.8) @ rotation(rng) @ REFLECTION,
    }
    np.testing.assert_allclose(logits(matrices[kind]), logits(np.eye(4)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("matrix", [about_the_beam(0.7), REFLECTION], ids=["rotation", "reflection"])
def test_with_beams_what_leaves_them_alone_changes_nothing(matrix):
    logits = invariant(True)
    np.testing.assert_allclose(logits(matrix), logits(np.eye(4)), rtol=0, atol=1e-5)


def test_with_beams_other_frames_are_told_apart():
    logits = invariant(True)
    for matrix in (boost([0, 0, 1], 0.5), boost([1, 0, 0], 0.5), rotation(np.random.default_rng(4))):
        assert np.median(np.abs(logits(matrix) - logits(np.eye(4)))) > 1e-3


def parameters(module, config):
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(module.model(config).init, jax.random.key(0))))


def test_sizes_are_those_promised():
    for config, most in (
        (pelican.PARAMETERS_1K, 1000),
        (pelican.PARAMETERS_3K, 3000),
        (pelican.PARAMETERS_10K, 10_000),
    ):
        assert 0.9 * most < parameters(pelican, config) <= most
    # Published: 0.4 and 2.1 million (arXiv:1902.08570, arXiv:2202.03772), with batch normalization and some more norms.
    assert parameters(particlenet, particlenet.PUBLISHED) == pytest.approx(0.37e6, rel=0.05)
    assert parameters(particle_transformer, particle_transformer.PUBLISHED) == pytest.approx(2.1e6, rel=0.05)


def test_normalization_and_its_derivatives_are_those_of_its_definition(x64):
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(rng.normal(size=8)), "bias": jnp.asarray(rng.normal(size=8))}
    x, v = jnp.asarray(rng.normal(size=(2, 5, 3, 8)))

    def defined(params, x):
        gain, bias = (jnp.broadcast_to(vector, x.shape) for vector in (1 + params["kernel"], params["bias"]))
        mean, variance = (f(x, axis=-1, keepdims=True) for f in (jnp.mean, jnp.var))
        return (x - mean) / jnp.sqrt(variance + 1e-5) * gain + bias

    def derivatives(normalize):
        def scalar(params, x):
            return jnp.sum(jnp.sin(normalize(params, x)))

        gradient = jax.grad(scalar, argnums=(0, 1))
        forward_over_reverse = jax.jvp(lambda x: gradient(params, x), (x,), (v,))
        reverse_over_forward = jax.grad(lambda x: jnp.sum(jax.jvp(lambda x: normalize(params, x), (x,), (v,))[1] ** 2))(
            x
        )
        return normalize(params, x), forward_over_reverse, reverse_over_forward

    # Sums of 8 numbers of order 1 in another order, twice differentiated.
    for found, expected in zip(*map(jax.tree.leaves, map(derivatives, (_norm.normalize, defined))), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
