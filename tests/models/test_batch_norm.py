"""Batch normalization of jets: statistics of what exists and of nothing else, running means, and answers that depend on no other jet."""

import importlib.util
from dataclasses import replace
from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Batch, WeightedSet
from jaxsci.losses import binary_cross_entropy, objective_for
from jaxsci.models import heads
from jaxsci.models.jets import _batch_norm, particlenet
from jaxsci.training import Recipe, Settings, adamw, fit, init_state, make_step

JETS, ROOM = 6, 9
CONFIG = particlenet.Config(3, neighbors=3, blocks=((5, 4), (6,)), dense=(), normalization="batch")
MODEL = particlenet.model(CONFIG)
KEY = jax.random.key(0)
ALL = jnp.ones(JETS, bool)


def batch(seed=0, jets=JETS, room=ROOM):
    """Jets of no, one and more particles, off center and of unequal scale."""
    rng = np.random.default_rng(seed)
    present = np.minimum(np.arange(jets) * 2 + (np.arange(jets) > 0), room)
    weights = (np.arange(room) < present[:, None]).astype(np.float32)
    elements = rng.normal([1, 0, -2], [1, 2, 3], size=(jets, room, 3))
    return WeightedSet(np.where(weights[..., None] > 0, elements, 0).astype(np.float32), weights)


@cache
def variables():
    """Not those of the start, where kernel and bias of a normalization are 0."""
    rng = np.random.default_rng(5)
    return jax.tree.map(
        lambda leaf: leaf + 0.3 * jnp.abs(jnp.asarray(rng.normal(size=leaf.shape), jnp.float32)),
        jax.jit(MODEL.init)(KEY),
    )


@cache
def training():
    """(variables, x, mask) -> the outputs and the state after a batch, and the gradient of a sum over outputs."""

    def loss(params, state, x, mask):
        outputs, after = MODEL.apply({"params": params, "state": state}, x, mask, KEY)
        return jnp.sum(jnp.where(mask[:, None], jnp.sin(outputs), 0.0)), (outputs, after)

    whole = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run(x, mask=ALL):
        (_, (outputs, state)), gradient = whole(*(variables()[name] for name in ("params", "state")), x, mask)
        return outputs, state, gradient

    return run


@pytest.mark.usefixtures("x64")
def test_what_exists_is_standardized_and_nothing_else_counts():
    rng = np.random.default_rng(1)
    x = rng.normal(3, [1, 10, 100, 1e-3], size=(5, 7, 2, 4))
    exists = rng.random((5, 7, 2)) < 0.6
    exists[2] = False
    params = {"kernel": np.array([0.0, 1, 2, 3]), "bias": np.array([1.0, 0, 0, -1])}
    one = jax.vmap(partial(_batch_norm.normalize, params), out_axes=(0, None), axis_name=_batch_norm.BATCH)
    y, seen = one(x, exists.astype(float))
    rows = x[exists]
    np.testing.assert_allclose(seen["mean"], rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(seen["variance"], rows.var(0), rtol=1e-12)
    wanted = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) * (1 + params["kernel"]) + params["bias"]
    np.testing.assert_allclose(y, wanted, rtol=1e-10, atol=1e-10)
    assert int(seen["number"]) == exists.sum()


def test_running_means_go_a_tenth_of_the_way_and_stay_where_nothing_was():
    state = {"a": {"n": {"mean": jnp.ones(2), "variance": jnp.full(2, 4.0)}}}
    seen = {"mean": jnp.zeros(2), "variance": jnp.zeros(2), "number": jnp.float32(3)}
    after = _batch_norm.moved(state, {"a": {"n": seen}})
    np.testing.assert_allclose(after["a"]["n"]["mean"], 0.9, rtol=1e-6)
    np.testing.assert_allclose(after["a"]["n"]["variance"], 3.6, rtol=1e-6)
    nothing = {**seen, "number": jnp.float32(0)}
    chex.assert_trees_all_equal(_batch_norm.moved(state, {"a": {"n": nothing}}), state)


def test_padding_of_jets_and_of_the_batch_leaves_no_trace():
    x = batch()
    expected = training()(x)
    absent = x.weights == 0
    for garbage in (1e30, np.nan, np.inf):
        filled = x._replace(elements=np.where(absent[..., None], np.float32(garbage), x.elements))
        jax.tree.map(np.testing.assert_array_equal, training()(filled), expected)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(expected))
    # Two more jets that are masked, and room for more particles: sums in another order.
    more = batch(jets=JETS + 2, room=ROOM + 3)
    for old, new in zip(x, more, strict=True):
        new[:JETS, ROOM:] = 0
        new[:JETS, :ROOM] = old
    outputs, state, gradient = training()(more, jnp.arange(JETS + 2) < JETS)
    chex.assert_trees_all_close((outputs[:JETS], state, gradient), expected, rtol=1e-4, atol=1e-5)


def test_a_batch_of_padding_alone_leaves_the_state():
    _, state, gradient = training()(batch(), ~ALL)
    chex.assert_trees_all_equal(state, variables()["state"])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_the_order_of_jets_and_particles_changes_nothing():
    x, rng = batch(), np.random.default_rng(2)
    jets, particles = rng.permutation(JETS), rng.permutation(ROOM)
    turned = jax.tree.map(lambda leaf: leaf[jets][:, particles], x)
    outputs, state, gradient = training()(x)
    again = training()(turned)
    chex.assert_trees_all_close(again, (outputs[jets], state, gradient), rtol=1e-4, atol=1e-5)  # rounding of sums


def test_answers_after_training_depend_on_no_other_jet():
    x = batch(3)
    together, state = jax.jit(lambda v, x: MODEL.apply(v, x, ALL, None))(variables(), x)
    chex.assert_trees_all_equal(state, variables()["state"])
    alone = jax.jit(jax.vmap(heads.inference(MODEL).apply, (None, 0)))(variables(), x)
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-6)


def test_answers_are_those_of_training_where_the_running_means_are_those_of_the_batch():
    x = batch()
    outputs, _, _ = training()(x)
    state = variables()["state"]
    for _ in range(2):  # the second block sees what the first one makes
        apply = jax.jit(lambda v: MODEL.apply(v, x, ALL, KEY))
        _, after = apply({**variables(), "state": state})
        state = jax.tree.map(lambda old, new: old + 10 * (new - old), state, after)  # back from a tenth of the way
    answers, _ = jax.jit(lambda v: MODEL.apply(v, x, ALL, None))({**variables(), "state": state})
    np.testing.assert_allclose(answers, outputs, rtol=1e-3, atol=1e-4)


def recipe():
    model = heads.scalar(particlenet.model(replace(CONFIG, blocks=((4,),))))
    return Recipe(model, objective_for(model, binary_cross_entropy), adamw(1e-2), microbatches=2)


def labelled(jets, seed):
    x = batch(seed, jets)
    return Batch(x, (np.arange(jets) % 2).astype(np.float32), np.ones(jets, np.float32))


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path):
    parts, made = (
        (labelled(10, 0), labelled(6, 1)),
        recipe(),
    )  # the last batch is padded, one of its parts is padding alone
    whole = fit(made, *parts, key=KEY, settings=Settings(epochs=2, batch_size=8))
    fit(made, *parts, key=KEY, settings=Settings(epochs=1, batch_size=8), checkpoints=tmp_path)
    resumed = fit(made, *parts, key=KEY, settings=Settings(epochs=2, batch_size=8), checkpoints=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.last_params, whole.last_params)


def test_members_of_an_ensemble_have_statistics_of_their_own():
    made, examples = recipe(), jax.tree.map(jnp.asarray, labelled(8, 0))
    step = make_step(made)
    keys = jax.random.split(KEY, 2)
    states = jax.jit(jax.vmap(partial(init_state, made)))(keys)
    both, _ = jax.jit(jax.vmap(step, (0, None)))(states, examples)
    for i in range(2):
        one, _ = jax.jit(step)(jax.tree.map(lambda leaf, i=i: leaf[i], states), examples)
        second = jax.tree.map(lambda leaf, i=i: leaf[i], both.params)
        chex.assert_trees_all_close(second["state"], one.params["state"], rtol=1e-4, atol=1e-5)
        # An update by Adam is the sign of a gradient at first: roundings may turn one of size 0.
        chex.assert_trees_all_close(second["params"], one.params["params"], rtol=0, atol=2.1e-2)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("weaver") is None, reason="needs weaver-core and torch")
@pytest.mark.parametrize("training", [False, True])
def test_it_is_the_network_of_weaver(training):
    import torch

    from benchmarks.tagger_peers import theirs
    from benchmarks.tagger_peers.problems import PARTICLENET

    network = theirs.weaver_network()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for leaf in network.state_dict().values():
            if leaf.dtype == torch.float32:
                leaf += torch.from_numpy(0.3 * np.abs(rng.normal(size=tuple(leaf.shape))).astype(np.float32))
    variables = theirs.particlenet_as_ours(network)
    x = WeightedSet(rng.normal(size=(20, 30, 7)).astype(np.float32), np.ones((20, 30), np.float32))  # no padding
    network.train(training)
    wanted = network(*theirs.tensors(*x))[:, 0].detach().numpy()
    model = particlenet.model(PARTICLENET)
    outputs, state = jax.jit(lambda v: model.apply(v, x, jnp.ones(20, bool), KEY if training else None))(variables)
    np.testing.assert_allclose(outputs[:, 0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    running = theirs.particlenet_as_ours(network)["state"]
    for ours, leaf in zip(jax.tree.leaves(state), jax.tree.leaves(running), strict=True):
        # Theirs divides the sum of squares by one less than their number, 600 and more.
        np.testing.assert_allclose(ours, leaf, rtol=2e-3, atol=1e-5)
