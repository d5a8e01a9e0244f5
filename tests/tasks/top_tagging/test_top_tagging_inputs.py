"""What the taggers are given: of order 1, the same for old runs, and the same in every frame along the beam."""

import json

import jax
import numpy as np
import pytest

from jaxsci.core import WeightedSet
from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.tasks.top_tagging import jobs, taggers
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.taggers import pairwise, scaling

some = jets.read(jets.embedded(), limit=200).constituents


@pytest.mark.parametrize("name", ["pfn", "efn"])
def test_scaled_inputs_are_of_order_one(name):
    tagger = taggers.tagger(name)
    scale = scaling.measure(tagger, some)
    x = scaling.scaled(tagger, scale).inputs(some)
    real = x.elements[x.weights != 0]
    assert np.all(np.abs(real.mean(0)) < 0.1)
    assert real[:, 2:].std(0) == pytest.approx(1, abs=1e-4)
    assert np.sqrt(np.mean(real[:, :2] ** 2)) == pytest.approx(1, abs=1e-4)  # both angles together: they are rotated
    assert np.mean(x.weights.sum(1)) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(x.elements[x.weights == 0], 0)
    assert x.elements.dtype == x.weights.dtype == np.float32
    assert scaling.scaled(tagger, scale).inputs(some[:0]).elements.shape == (0, *x.elements.shape[1:])
    assert scale.shift[:2] == (0, 0)
    assert scale.scale[0] == scale.scale[1]


def test_a_network_that_adds_up_particles_begins_near_chance():
    tagger = taggers.tagger("pfn")
    params = jax.jit(tagger.model.init)(jax.random.key(0))
    apply = jax.jit(jax.vmap(tagger.model.apply, (None, 0)))
    plain = apply(params, tagger.inputs(some))
    ours = apply(params, scaling.scaled(tagger, scaling.measure(tagger, some)).inputs(some))
    assert np.std(plain) > 3  # the log odds of a network that knows nothing, each adding one to the loss
    assert np.std(ours) < 0.5


def test_the_scaling_of_a_run_is_read_as_it_was_written_and_old_runs_have_none():
    tagger = taggers.tagger("pfn")
    scale = scaling.measure(tagger, some)
    assert scaling.of_run(json.loads(json.dumps({"data": {"scaling": scale._asdict()}}))) == scale
    for before in ({"data": {}}, {"data": {"scaling": None}}):
        assert scaling.scaled(tagger, scaling.of_run(before)) is tagger


def along_the_beam(rapidity, angle):
    cosh, sinh, cos, sin = np.cosh(rapidity), np.sinh(rapidity), np.cos(angle), np.sin(angle)
    return np.array([[cosh, 0, 0, sinh], [0, cos, -sin, 0], [0, sin, cos, 0], [sinh, 0, 0, cosh]])


def test_the_invariant_tagger_gives_the_same_in_every_frame_along_the_beam():
    tagger = taggers.tagger("pelican")
    params = jax.jit(tagger.model.init)(jax.random.key(1))
    apply = jax.jit(jax.vmap(tagger.model.apply, (None, 0)))
    moved = some[:20].astype(np.float64) @ along_the_beam(0.9, 2.0).T
    logits = apply(params, pairwise.invariant_inputs(moved))
    np.testing.assert_allclose(logits, apply(params, pairwise.invariant_inputs(some[:20])), rtol=0, atol=1e-5)
    assert np.std(logits) > 1e-3


def test_the_invariant_tagger_is_given_the_whole_momentum_at_rest_along_the_beam():
    x = pairwise.invariant_inputs(some)
    assert x.elements.shape == (200, pairwise.HARDEST, 8)
    momenta = x.elements.astype(np.float64)
    momenta = momenta[..., :4] + momenta[..., 4:]
    jet = momenta.sum(1)
    np.testing.assert_allclose(jet[:, 3] / jet[:, 0], 0, atol=1e-9)
    mass = np.sqrt(jet[:, 0] ** 2 - np.sum(jet[:, 1:] ** 2, axis=1))
    np.testing.assert_allclose(mass, jets.mass(some), rtol=1e-6)
    np.testing.assert_array_equal(momenta[x.weights == 0], 0)


def turned_and_boosted(direction, rapidity, angle):
    """A boost in any direction after a turn about the x axis."""
    n = np.asarray(direction) / np.linalg.norm(direction)
    boost, turn = np.eye(4), np.eye(4)
    boost[0, 0] = np.cosh(rapidity)
    boost[0, 1:] = boost[1:, 0] = np.sinh(rapidity) * n
    boost[1:, 1:] += (np.cosh(rapidity) - 1) * np.outer(n, n)
    turn[2:, 2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return boost @ turn


@pytest.mark.parametrize("matrix", [turned_and_boosted([1, 2, -1], 0.8, 0), turned_and_boosted([0, 1, 3], -0.5, 2.0)])
def test_the_tagger_at_rest_gives_the_same_in_every_frame(matrix):
    tagger = taggers.tagger("pelican-rest")
    params = jax.jit(tagger.model.init)(jax.random.key(1))
    apply = jax.jit(jax.vmap(tagger.model.apply, (None, 0)))
    still, moved = (tagger.inputs(jets) for jets in (some[:20], some[:20].astype(np.float64) @ matrix.T))
    np.testing.assert_array_equal(still.weights, moved.weights)
    logits = apply(params, moved)
    np.testing.assert_allclose(logits, apply(params, still), rtol=0, atol=1e-5)
    assert np.std(logits) > 1e-3


@pytest.mark.parametrize("name", ["particlenet", "part"])
def test_inputs_of_merged_particles_are_finite_and_padded_with_zeros(name):
    few = some[:50].copy()
    few[:, 5:] = 0
    x = taggers.tagger(name).inputs(few)
    assert isinstance(x, WeightedSet) or x.momenta.shape == (50, pairwise.PARTICLES, 4)
    np.testing.assert_array_equal(x.weights.sum(1), 5)
    for leaf in jax.tree.leaves(x):
        assert leaf.dtype == np.float32
        assert np.all(np.isfinite(leaf))
        np.testing.assert_array_equal(leaf[:, 5:], 0)


def test_jets_wider_than_the_images_are_refused_and_some_pt_outside_is_said():
    wide = np.zeros_like(some[:50])  # two prongs, each 1.2 from their middle
    for place, phi in enumerate((-1.2, 1.2)):
        wide[:, place] = 300 * np.float32([1, np.cos(phi), np.sin(phi), 0])
    with pytest.raises(InputError, match=r"within 0.8 of the axis, .*, got 100% of the pT outside; take a tagger"):
        taggers.image_inputs(wide)
    few = np.where(np.arange(50)[:, None, None] == 0, wide, some[:50])
    said = []
    sample = jets.JetSample(few, None, np.arange(50) % 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            jobs.samples,
            "read",
            lambda options, progress: (sample, (np.arange(30), np.arange(30, 40), np.arange(40, 50))),
        )
        jobs.prepare(Options(), lambda stage, fraction, words: said.append(words))
    assert [line for line in said if line.endswith("lies outside the images and is left out of them")]


def test_some_pt_outside_of_jets_to_be_scored_is_said_once_for_images_alone():
    wide = np.zeros_like(some[:4])
    for place, phi in enumerate((-1.2, 1.2)):
        wide[:1, place] = 300 * np.float32([1, np.cos(phi), np.sin(phi), 0])
    sample = jets.JetSample(np.concatenate([wide[:1], some[:9]]), None, None)
    said = []
    for name in ("cnn", "pfn"):
        jobs.say_outside(taggers.tagger(name), sample, lambda stage, fraction, words: said.append(words))
    assert len(said) == 1
    assert said[0].startswith("note: ")
