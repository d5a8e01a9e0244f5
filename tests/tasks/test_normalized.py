"""Normalized autoencoders: walks, both losses against their formulas, optimal transport, what a jet must not depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from jaxsci.core import Batch, Model
from jaxsci.data import jets
from jaxsci.tasks.anomalies import energy, normalized

JETS = 6
MAKERS = {
    "nae": normalized.of_observables,
    "wnae": normalized.of_observables_by_transport,
    "nae-images": normalized.of_images,
    "nae-constituents": normalized.of_constituents,
}


@pytest.fixture(scope="module")
def constituents():
    return jets.read(jets.embedded(), limit=JETS).constituents


def _trained_a_little(found, examples):
    model = found.make_model(examples)
    return model, jax.jit(model.init)(jax.random.key(0))


@pytest.mark.parametrize("name", MAKERS)
def test_padding_adds_nothing_and_gradients_are_finite(name, constituents):
    found = MAKERS[name]()
    examples = found.inputs(constituents)
    model, params = _trained_a_little(found, examples)
    x = jax.vmap(found.augment)(jax.random.split(jax.random.key(1), JETS), jnp.asarray(examples))
    weight = jnp.array([1.0, 2, 1, 1, 0, 0])
    loss = jax.jit(jax.value_and_grad(found.make_loss(model), has_aux=True))
    (value, metrics), gradient = loss(params, Batch(x, jnp.zeros(JETS), weight))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((value, metrics, gradient)))
    learned = {key: leaf for key, leaf in gradient.items() if key != "scale"}
    assert all(np.any(leaf) for leaf in jax.tree.leaves(learned))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient["scale"]))  # units are no weights
    spoiled = jax.tree.map(lambda leaf: leaf.at[4:].set(jnp.nan), x)
    (same, _), same_gradient = loss(params, Batch(spoiled, jnp.zeros(JETS), weight))
    np.testing.assert_array_equal(value, same)
    jax.tree.map(np.testing.assert_array_equal, gradient, same_gradient)


@pytest.mark.parametrize("name", ["nae-images", "nae-constituents"])
def test_the_energy_of_drawn_points_moves_no_gradient_through_their_walk(name, constituents):
    found = MAKERS[name]()
    examples = jnp.asarray(found.inputs(constituents))
    model, params = _trained_a_little(found, np.asarray(examples))
    weight = jnp.array([1.0, 2, 1, 1, 1, 0])
    walks = {"nae-images": normalized.walks_of_images, "nae-constituents": normalized.walks_of_constituents}[name]()
    x, points = jax.jit(lambda params: energy._jets_and_points(model, walks, params, Batch(examples, None, weight)))(
        params
    )

    def fixed_points(params):
        low, high = (jax.vmap(lambda one: found.score(model, params, one))(of) for of in (x, points))
        return jnp.sum(weight * (low - high + 0.5 * (low**2 + high**2))) / 6

    wanted, wanted_gradient = jax.jit(jax.value_and_grad(fixed_points))(params)
    loss = jax.jit(jax.value_and_grad(found.make_loss(model), has_aux=True))
    (value, _), gradient = loss(params, Batch(examples, jnp.zeros(JETS), weight))
    np.testing.assert_allclose(value, wanted, rtol=1e-4)  # ten steps in float32, fused otherwise
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted_gradient))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3 * largest), gradient, wanted_gradient)


def test_walks_are_langevin_dynamics_within_their_box():
    """In the energy k q^2 / 2 without bounds: a Gaussian whose mean and variance are known after any number of steps."""
    k, step, temperature, steps, scale = 2.0, 0.1, 0.3, 12, 0.5
    walks = energy.Walks(lambda key: jnp.zeros(1), lambda params, q: q, steps, step, temperature, scale=scale)
    noise = jax.random.normal(jax.random.key(0), (20_000, steps, 1))
    ended = jax.jit(jax.vmap(lambda n: energy.walk(lambda q: k * jnp.sum(q**2) / 2, jnp.ones(1), n, walks)))(noise)
    factor = 1 - step * scale**2 * k
    variance = 2 * step * temperature * scale**2 * (1 - factor ** (2 * steps)) / (1 - factor**2)
    # Five standard errors of 20,000 walks.
    np.testing.assert_allclose(ended.mean(), factor**steps, atol=5 * np.sqrt(variance / 20_000))
    np.testing.assert_allclose(ended.var(), variance, rtol=5 * np.sqrt(2 / 20_000))
    boxed = walks._replace(low=0.2, high=0.6)
    ended = jax.jit(jax.vmap(lambda n: energy.walk(lambda q: k * jnp.sum(q**2) / 2, jnp.ones(1), n, boxed)))(
        noise[:500]
    )
    assert np.all((ended >= np.float32(0.2)) & (ended <= np.float32(0.6)))
    assert np.any(ended == np.float32(0.2))


@pytest.mark.parametrize("name", ["nae-images", "nae-constituents"])
def test_walks_go_down_in_energy(name, constituents):
    found = MAKERS[name]()
    model, params = _trained_a_little(found, found.inputs(constituents))
    walks = {"nae-images": normalized.walks_of_images, "nae-constituents": normalized.walks_of_constituents}[name]()

    def energies(key):
        start = walks.begin(key)
        noise = jax.random.normal(key, (walks.steps, *start.shape))
        of = lambda place: model.apply(params, walks.place(params, place))  # noqa: E731
        return of(start), of(energy.walk(of, start, noise, walks))

    before, after = jax.jit(jax.vmap(energies))(jax.random.split(jax.random.key(1), 32))
    assert np.all(np.isfinite(after))
    assert np.mean(after) < 0.8 * np.mean(before)


@pytest.mark.parametrize("spread", [0.1, 1.0, 100.0])
def test_the_transport_is_that_of_an_exact_assignment(spread):
    rng = np.random.default_rng(0)
    count, padding = 24, 3
    seen, drawn = spread * rng.normal(size=(count, 3)), spread * (0.5 + rng.normal(size=(count, 3)))
    costs = cdist(seen, drawn, "sqeuclidean")
    exact = costs[linear_sum_assignment(costs)].mean()
    padded = np.full((count + padding,) * 2, np.nan)
    padded[:count, :count] = costs
    weight = np.repeat([1.0, 0.0], [count, padding])
    value, slope = jax.jit(jax.value_and_grad(energy.transport_cost))(
        jnp.asarray(padded, jnp.float32), jnp.asarray(weight)
    )
    # The plan's entropy is at most log(count) in units of its price, and 60 rounds leave the weights of the columns a little off.
    assert exact * (1 - 1e-2) <= value <= exact + energy.SHARPNESS * costs.mean() * np.log(count)
    assert not np.any(slope[count:])
    assert not np.any(slope[:, count:])
    np.testing.assert_allclose(
        slope[:count, :count].sum(axis=1), 1 / count, rtol=1e-4
    )  # the plan: each row has its weight
    np.testing.assert_allclose(slope[:count, :count].sum(axis=0), 1 / count, rtol=0.1)


def test_weights_of_the_transport_count_like_copies():
    costs = np.random.default_rng(1).uniform(size=(3, 3))
    weight = np.array([1.0, 2.0, 1.0])
    copies = np.repeat([0, 1, 2], [1, 2, 1])
    once = energy.transport_cost(jnp.asarray(costs, jnp.float32), jnp.asarray(weight, jnp.float32))
    copied = energy.transport_cost(jnp.asarray(costs[np.ix_(copies, copies)], jnp.float32), jnp.ones(4))
    np.testing.assert_allclose(once, copied, rtol=1e-5)  # sums in another order


def test_the_transport_is_zero_without_jets():
    value, slope = jax.value_and_grad(energy.transport_cost)(jnp.full((3, 3), jnp.nan), jnp.zeros(3))
    assert value == 0
    assert not np.any(slope)


def test_gradients_of_the_transport_loss_run_through_the_walk():
    """A model of one number, the place of a well of energy: walks end nearer to the jets if it moves there."""
    model = Model(lambda key: jnp.zeros(()), lambda params, x: jnp.sum((x - params) ** 2))
    walks = energy.Walks(lambda key: jax.random.normal(key, (1,)), lambda params, q: q, 5, 0.1, 0.01)
    loss = energy.transport(model, walks, lambda params, x: x)
    batch = Batch(jnp.full((8, 1), 3.0), jnp.zeros(8), jnp.ones(8))

    def value(params):
        return loss(params, batch)[0]

    slope = jax.jit(jax.grad(value))(jnp.zeros(()))
    # All jets are equal: the cost is the mean of (3 - q)^2, and q moves with the well by 1 - 0.8^5.
    ends = energy._jets_and_points(model, walks, jnp.zeros(()), batch)[1]
    np.testing.assert_allclose(slope, -2 * (1 - 0.8**5) * np.mean(3 - ends), rtol=1e-4)


def test_constituents_count_without_order_padding_and_collinear_splits(constituents):
    found = normalized.of_constituents()
    jet = found.inputs(constituents)
    model, params = _trained_a_little(found, jet)
    score = jax.jit(jax.vmap(lambda x: found.score(model, params, x)))
    base = score(jet)
    order = np.random.default_rng(0).permutation(normalized.LEADING)
    np.testing.assert_allclose(score(jet[:, order]), base, rtol=1e-5)  # sums in another order
    padded = np.concatenate([jet, np.zeros((JETS, 5, 3), np.float32)], axis=1)
    padded[:, -5:, 1:] = 0.3  # a direction without momentum
    np.testing.assert_allclose(score(padded), base, rtol=1e-5)
    split = np.concatenate([jet, jet[:, :1]], axis=1)
    split[:, 0, 0] *= 0.3
    split[:, -1, 0] *= 0.7
    np.testing.assert_allclose(score(split), base, rtol=1e-5)
    moved = jet.copy()
    moved[:, 0, 1] += 0.1
    assert np.all(np.abs(score(moved) / base - 1) > 1e-3)


def test_smoothed_jets_are_sums_of_gaussians(constituents):
    jet = normalized.points(constituents)
    assert jet.shape == (JETS, normalized.LEADING, 3)
    assert jet.dtype == np.float32
    assert np.all(np.diff(jet[:, :, 0], axis=1) <= 0)
    angles = (np.arange(20) - 9.5) * 0.08
    expected = np.zeros((JETS, 20, 20))
    for fraction, x, y in jet.astype(np.float64).transpose(1, 2, 0):
        away = (angles[None, None, :] - x[:, None, None]) ** 2 + (angles[None, :, None] - y[:, None, None]) ** 2
        expected += fraction[:, None, None] * np.exp(-away / (2 * 0.08**2))
    np.testing.assert_allclose(
        normalized.images(jet), expected.reshape(JETS, -1), atol=1e-6
    )  # of a peak of 1, in float32


def test_jets_with_few_constituents_are_padded(constituents):
    np.testing.assert_array_equal(normalized.points(constituents[:, :10])[:, 10:], 0)
