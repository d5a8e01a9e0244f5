"""Penalties: on which leaves, how strong, with which gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxsci import losses
from jaxsci.errors import InputError

TREE = {
    "layer_0": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([100.0, 100.0])},
    "norm": {"scale": jnp.array([100.0]), "bias": jnp.array([100.0])},
    "head": {"kernel": jnp.array([[3.0], [0.0]]), "bias": jnp.array([100.0])},
}


def test_penalties_act_on_weights_and_not_biases():
    assert float(losses.l1(TREE)) == 6.0
    assert float(losses.l2(TREE)) == 14.0
    assert float(losses.elastic_net(TREE, l1_ratio=0.25)) == 0.25 * 6 + 0.75 * 14
    for penalty in (losses.l1, losses.l2, losses.elastic_net):
        gradient = jax.jit(jax.grad(penalty))(TREE)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
            assert bool(jnp.any(leaf != 0)) == (path[-1].key == "kernel")
        assert float(gradient["head"]["kernel"][1, 0]) == 0.0  # |w| at 0


def test_a_penalty_on_nothing_is_an_error():
    with pytest.raises(InputError, match=r"two or more axes, or a mask .*\['layer'\]\['weights'\] \[3\]"):
        losses.l2({"layer": {"weights": jnp.ones(3)}})
    with pytest.raises(InputError, match="structure of the parameters"):
        losses.l2(TREE, mask={"layer_0": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Affine:
    w: jax.Array
    b: jax.Array


CONTAINERS = {
    "haiku": {"linear": {"w": jnp.full((2, 2), 3.0), "b": jnp.full(2, 7.0)}},
    "list": [jnp.full((2, 2), 3.0), jnp.full(2, 7.0)],
    "dataclass": Affine(jnp.full((2, 2), 3.0), jnp.full(2, 7.0)),
    "bias of two axes": {"kernel": jnp.full((1, 2, 2), 3.0), "bias": jnp.full((2, 4), 7.0)},
}


@pytest.mark.parametrize("params", CONTAINERS.values(), ids=CONTAINERS)
def test_weights_are_found_by_their_rank_in_any_container(params):
    assert float(losses.l1(params)) == 12.0
    assert float(losses.l2(params)) == 36.0
    biases = jax.tree.map(lambda weight: not weight, losses.is_weight(params))
    everything = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(params))
    assert float(losses.l1(params, mask=biases)) == everything - 12.0
    assert float(losses.l1(params, mask=lambda tree: jax.tree.map(lambda _: True, tree))) == everything
