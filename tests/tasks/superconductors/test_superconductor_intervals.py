"""Laplace's posterior of the last layer of a network of superconductors is Bayesian linear regression on its features."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from jaxsci.core import Batch, Model
from jaxsci.models import layers
from jaxsci.tasks.superconductors.networks import Network
from jaxsci.tasks.superconductors.study import intervals, run

INPUTS, FEATURES, LEVELS, NUMBER = 3, 4, 3, 60


def make_network():
    """Two layers, whose middle output is the median."""

    def init(key):
        return {"rho": layers.init_stack(key, (INPUTS, FEATURES, LEVELS), "he_normal")}

    def apply(params, x):
        return layers.apply_stack(params["rho"], x, jax.nn.relu)

    return Network(Model(init, apply), None, None, 0, 0, None, False, None)


def test_the_posterior_of_the_last_layer_is_linear_regression():
    network = make_network()
    params = jax.jit(network.model.init)(jax.random.key(0))
    params["rho"]["layer_1"]["bias"] = jnp.full(LEVELS, 20.0)  # far from the ground, at which intervals are cut
    rng = np.random.default_rng(0)
    x, asked = (rng.normal(size=(n, INPUTS)).astype(np.float32) for n in (NUMBER, 5))
    layer = {name: np.asarray(leaf, np.float64) for name, leaf in params["rho"]["layer_0"].items()}
    last = {name: np.asarray(leaf, np.float64) for name, leaf in params["rho"]["layer_1"].items()}

    def features(x):
        return np.append(np.maximum(x @ layer["kernel"] + layer["bias"], 0), np.ones((len(x), 1)), axis=1)

    column = np.append(last["kernel"][:, 1], last["bias"][1])
    y = features(x) @ column + 0.3 * rng.normal(size=NUMBER)
    f, rest = features(x), y - features(x) @ column

    def minus_evidence(logs):
        prior, noise = np.exp(logs)
        matrix = f.T @ f / noise**2 + prior * np.eye(FEATURES + 1)
        fit = rest @ rest / noise**2 / 2 + NUMBER * np.log(noise)
        return fit + prior * column @ column / 2 + np.linalg.slogdet(matrix / prior)[1] / 2

    prior, noise = np.exp(scipy.optimize.minimize(minus_evidence, np.zeros(2)).x)
    inverse = np.linalg.inv(f.T @ f / noise**2 + prior * np.eye(FEATURES + 1))
    variance = np.sum(features(asked) @ inverse * features(asked), axis=1) + noise**2

    known = Batch(x, y.astype(np.float32), np.ones(NUMBER, np.float32))
    found = intervals.of_laplace(network, params, known, asked)
    np.testing.assert_allclose(found.mean, features(asked) @ column, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.deviation, np.sqrt(variance), rtol=2e-3)  # where the climb ends

    half = 1.645 * found.deviation
    tc = 10 * (found.mean + half * np.array([0, 0.9, 1.1, -0.9, -1.1]))
    counted = intervals.measured(intervals.in_kelvin(found), tc)
    inside = (tc >= np.maximum(10 * (found.mean - half), 0)) & (tc <= np.maximum(10 * (found.mean + half), 0))
    assert counted["coverage"]["value"] == np.float32(inside.mean())
    assert inside.any()
    assert not inside.all()


def test_a_material_of_two_kinds_is_drawn_as_both():
    rows = {"harmful": np.array([0, 1]), "helpful": np.array([2]), "least expected": np.array([1, 3])}
    figure = run._figure(np.arange(6.0), np.arange(6.0), rows).figure
    told = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert told == ["others, 2", "harmful, 1", "helpful, 1", "least expected, 1", "harmful and least expected, 1"]
