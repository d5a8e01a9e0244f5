"""Energy-flow polynomials against sums over all particles, the numbers of graphs that are published, and what leaves them alone."""

from collections import Counter
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jaxsci.errors import InputError
from jaxsci.ops import energy_flow_polynomials, flow_graphs

GRAPHS = flow_graphs(5)
ROOM = 8  # one shape, one program
polynomials = jax.jit(lambda z, theta: energy_flow_polynomials(z, theta, GRAPHS))


def jet(particles, seed):
    """Shares of the momentum, and distances between points of a plane."""
    rng = np.random.default_rng(seed)
    z, points = rng.dirichlet(np.ones(particles)), rng.normal(size=(particles, 2))
    return z, np.linalg.norm(points[:, None] - points[None], axis=-1)


def padded(z, theta):
    """Room for eight particles, with distances where there is none."""
    missing = ROOM - len(z)
    return jnp.asarray(np.pad(z, (0, missing))), jnp.asarray(np.pad(theta, (0, missing), constant_values=7.0))


def parts(graph):
    """How many connected parts a graph has."""
    i, j = np.array(graph).T
    vertices = 1 + int(j.max())
    return connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(vertices, vertices)), directed=False)[0]


def test_there_is_one_graph_of_each_kind(x64):
    # Table I of arXiv:1712.07124: all multigraphs without lone vertices, and the connected ones, by their number of edges.
    assert Counter(map(len, GRAPHS)) == {1: 1, 2: 3, 3: 8, 4: 23, 5: 66}
    assert Counter(len(graph) for graph in GRAPHS if parts(graph) == 1) == {1: 1, 2: 2, 3: 5, 4: 12, 5: 33}
    values = np.sort(np.asarray(polynomials(*padded(*jet(6, 4)))))
    assert np.all(values[1:] / values[:-1] > 1 + 1e-9)  # two of one kind would have one value
    assert flow_graphs(0) == ()


def test_they_are_the_sums_over_all_particles(x64):
    z, theta = jet(3, 0)
    found = np.asarray(polynomials(*padded(z, theta)))
    for graph, value in zip(GRAPHS, found, strict=True):
        vertices = 1 + max(map(max, graph))
        places = np.array(list(product(range(3), repeat=min(vertices, 10)))).T
        terms = np.prod(z[places], axis=0) * np.prod([theta[places[i], places[j]] for i, j in graph], axis=0)
        np.testing.assert_allclose(value, terms.sum(), rtol=1e-11)


def test_padding_order_and_a_collinear_splitting_change_nothing(x64):
    z, theta = jet(6, 1)
    whole = np.asarray(polynomials(*padded(z, theta)))
    order = np.array([3, 0, 5, 2, 2, 4, 1])  # the third particle twice, each with half of its momentum
    split = z[order] * np.where(order == 2, 0.5, 1.0)
    found = polynomials(*padded(split, theta[np.ix_(order, order)]))
    np.testing.assert_allclose(found, whole, rtol=1e-11)


def test_in_single_precision_they_are_those_of_double(x64):
    z, theta = padded(*jet(ROOM, 2))
    exact = polynomials(z, theta)
    single = polynomials(z.astype(jnp.float32), theta.astype(jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=1e-5)  # all terms are positive: nothing cancels


def test_derivatives_are_differences(x64):
    z, theta = map(jnp.asarray, jet(4, 3))
    graphs = (((0, 1), (0, 1), (1, 2)), ((0, 1), (2, 3), (3, 4), (2, 4)))
    function = jax.jit(lambda z: energy_flow_polynomials(z, theta, graphs))
    tangent = jnp.array([0.3, -0.1, 0.2, 0.5])
    _, slope = jax.jvp(function, (z,), (tangent,))
    step = 1e-5
    expected = (function(z + step * tangent) - function(z - step * tangent)) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-8)


def test_distances_of_another_shape_are_refused():
    with pytest.raises(InputError):
        energy_flow_polynomials(jnp.ones(3), jnp.ones((2, 2)), GRAPHS[:1])
