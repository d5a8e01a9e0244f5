"""Energy-flow polynomials: sums over particles of products of their energies and of the distances between them.

Every observable of a jet that soft particles and collinear splittings leave alone is, to any accuracy, a linear combination of them
(Komiske, Metodiev and Thaler 2018, arXiv:1712.07124), so that a linear tagger can be read.
"""

from collections import Counter
from functools import lru_cache
from itertools import permutations, product
from typing import TypeAlias

import jax.numpy as jnp

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array

Graph: TypeAlias = tuple[tuple[int, int], ...]  # edges between vertices 0, 1, ...; an edge may stand there twice

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@lru_cache
def flow_graphs(degree: int) -> tuple[Graph, ...]:
    """All multigraphs of 1 to `degree` edges without loops and lone vertices, one of each kind: 1, 3, 8, 23, 66 of 1, 2, 3, 4, 5 edges.

    In the order of their edges; of as many edges, connected ones first. Each is a tuple of edges (i, j) with i < j.
    """
    prime = _connected(degree)

    def with_edges(edges: int, first: int) -> list[tuple[Graph, ...]]:
        """The sets of connected graphs, from the one numbered `first` on, of so many edges together."""
        if edges == 0:
            return [()]
        fitting = ((k, prime[k]) for k in range(first, len(prime)) if len(prime[k]) <= edges)
        return [(graph, *others) for k, graph in fitting for others in with_edges(edges - len(graph), k)]

    sets = (parts for edges in range(1, degree + 1) for parts in sorted(with_edges(edges, 0), key=len))
    return tuple(_side_by_side(parts) for parts in sets)


def energy_flow_polynomials(weights: Array, distances: Array, graphs: tuple[Graph, ...]) -> Array:
    """The polynomial of each graph: sum over i_1 ... i_V of z_i1 ... z_iV times the product of theta_(i_k i_l) over its edges (k, l).

    The sums are contractions of arrays [n, n], pair by pair: those of up to five edges cost at most n^3 operations
    although they have up to ten indices. What is not connected is the product of its parts, each of which is computed once.

    Args:
        weights: z [n], each particle's share of the energy or transverse momentum; 0 is padding.
        distances: theta [n, n], symmetric, 0 on the diagonal; finite also where padded.
        graphs: as from `flow_graphs`.

    Returns:
        [graph], in the dtype of `weights`.
    """
    expect_shapes("weights [n], distances [n, n]", weights, distances)
    powers = [jnp.ones_like(distances)]
    for _ in range(max((max(Counter(graph).values()) for graph in graphs), default=0)):
        powers.append(powers[-1] * distances)
    values: dict[Graph, Array] = {}

    def value(graph: Graph) -> Array:
        if graph not in values:
            values[graph] = _contract(graph, weights, powers)
        return values[graph]

    products = [jnp.prod(jnp.stack([value(part) for part in _parts(graph)])) for graph in graphs]
    return jnp.stack(products) if products else jnp.zeros(0, weights.dtype)


def _contract(graph: Graph, weights: Array, powers: list[Array]) -> Array:
    """The polynomial of a connected graph."""
    vertices = sorted({vertex for edge in graph for vertex in edge})
    edges = Counter(graph)
    operands = [weights] * len(vertices) + [powers[count] for count in edges.values()]
    indices = [_LETTERS[vertex] for vertex in vertices] + [_LETTERS[i] + _LETTERS[j] for i, j in edges]
    result: Array = jnp.einsum(",".join(indices) + "->", *operands, optimize="greedy")
    return result


@lru_cache
def _connected(degree: int) -> tuple[Graph, ...]:
    """All connected multigraphs of 1 to `degree` edges: each has an edge without which it is one of a smaller number, or gains a vertex."""
    if degree < 1:
        return ()
    found: set[Graph] = {((0, 1),)}
    newest = set(found)
    for _ in range(degree - 1):
        larger = set()
        for graph in newest:
            vertices = 1 + max(map(max, graph))
            for i, j in product(range(vertices), range(vertices + 1)):
                if i < j:
                    larger.add(_canonical((*graph, (i, j))))
        newest = larger
        found |= newest
    return tuple(sorted(found, key=lambda graph: (len(graph), graph)))


@lru_cache(maxsize=4096)
def _canonical(graph: Graph) -> Graph:
    """The same for all connected graphs that differ by the names of their vertices: the first, in the order of tuples."""
    vertices = sorted({vertex for edge in graph for vertex in edge})
    renamed = (dict(zip(vertices, names, strict=True)) for names in permutations(range(len(vertices))))
    return min(tuple(sorted((min(n[i], n[j]), max(n[i], n[j])) for i, j in graph)) for n in renamed)


def _side_by_side(parts: tuple[Graph, ...]) -> Graph:
    edges: list[tuple[int, int]] = []
    for part in parts:
        first = 1 + max(map(max, edges), default=-1)
        edges += [(first + i, first + j) for i, j in part]
    return tuple(edges)


@lru_cache(maxsize=4096)
def _parts(graph: Graph) -> tuple[Graph, ...]:
    """The connected parts of a graph, in canonical form."""
    groups: list[tuple[set[int], list[tuple[int, int]]]] = []
    for edge in graph:
        touched = [group for group in groups if group[0] & set(edge)]
        groups = [group for group in groups if not group[0] & set(edge)]
        vertices = set(edge).union(*(group[0] for group in touched))
        groups.append((vertices, [one for group in touched for one in group[1]] + [edge]))
    return tuple(_canonical(tuple(edges)) for _, edges in groups)
