"""Blocks that are computed again in the backward pass: the same gradients from less memory, in the compiled program."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import WeightedSet
from jaxsci.errors import InputError
from jaxsci.models import layers
from jaxsci.models.jets import particle_transformer, pelican
from jaxsci.tasks.top_tagging import taggers
from jaxsci.tasks.top_tagging.options import TAGGERS

RNG = np.random.default_rng(0)


def gradient_and_temporaries(loss, params, x):
    compiled = jax.jit(jax.grad(loss)).lower(params, x).compile()
    return compiled(params, x), compiled.memory_analysis().temp_size_in_bytes


def test_equal_blocks_keep_only_what_goes_into_them():
    blocks = [{"kernel": jnp.asarray(RNG.normal(0, 0.2, (32, 32)), jnp.float32)} for _ in range(6)]
    x = RNG.normal(size=(512, 32)).astype(np.float32)

    def block(params, x):
        for _ in range(4):
            x = jnp.tanh(jnp.sin(x @ params["kernel"]))
        return x

    def loss(remat):
        return lambda blocks, x: jnp.sum(layers.apply_blocks(block, blocks, x, remat) ** 2)

    kept, again = (gradient_and_temporaries(loss(remat), blocks, x) for remat in (False, True))
    chex.assert_trees_all_close(again[0], kept[0], rtol=1e-4, atol=1e-5)
    assert again[1] < 0.6 * kept[1]


def momenta(jets, particles):
    p = RNG.normal(0, 50, (jets, particles, 3))
    return np.concatenate([np.linalg.norm(p, axis=-1, keepdims=True), p], axis=-1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pelican", "part"])
def test_networks_have_the_same_gradients_with_less(name):
    four, weights = momenta(16, 24), (RNG.uniform(size=(16, 24)) > 0.2).astype(np.float32)
    if name == "pelican":
        module, config, x = pelican, pelican.Config(), WeightedSet(four, weights)
    else:
        elements = RNG.normal(size=(16, 24, 7)).astype(np.float32)
        module, config = particle_transformer, particle_transformer.Config(7)
        x = particle_transformer.Particles(elements, weights, four)
    params = module.init(jax.random.key(0), config)

    def loss(remat):
        apply = module.model(replace(config, remat=remat)).apply
        return lambda params, x: jnp.sum(jax.vmap(apply, (None, 0))(params, x) ** 2)

    kept, again = (gradient_and_temporaries(loss(remat), params, x) for remat in (False, True))
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(kept[0]))
    chex.assert_trees_all_close(again[0], kept[0], rtol=1e-3, atol=1e-4 * largest)
    assert again[1] < 0.8 * kept[1]


@pytest.mark.parametrize("name", TAGGERS)
def test_taggers_without_equal_blocks_refuse_it(name):
    if name in ("pelican", "pelican-10k", "pelican-rest", "part"):
        taggers.tagger(name, taggers.Spec(remat=True))
        return
    with pytest.raises(InputError, match=f"^--remat: expected a tagger of equal blocks, .* got {name};"):
        taggers.tagger(name, taggers.Spec(remat=True))
