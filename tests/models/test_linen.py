"""A flax module as a Model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxsci.models import dense, layers
from jaxsci.models.linen import from_linen


class Network(linen.Module):
    @linen.compact
    def __call__(self, x):
        hidden = linen.relu(linen.Dense(5)(x))
        return linen.Dense(2)(hidden)


def test_a_linen_network_equals_ours_with_the_same_parameters():
    example = jnp.arange(4.0)
    theirs = from_linen(Network(), example)
    params = theirs.init(jax.random.key(0))
    config = dense.Config(4, outputs=2, hidden=(5,))
    ours = {"layer_0": params["Dense_0"], "layer_1": params["Dense_1"]}
    np.testing.assert_allclose(theirs.apply(params, example), dense.apply(ours, example, config), rtol=1e-6)


def test_modules_with_other_state_are_refused():
    class Normalized(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.BatchNorm(use_running_average=False)(x)

    with pytest.raises(ValueError, match="batch_stats"):
        from_linen(Normalized(), jnp.ones((2, 3))).init(jax.random.key(0))


@pytest.mark.parametrize(
    ("name", "variance"), [("he_normal", 2 / 400), ("glorot_uniform", 2 / 600), ("lecun_normal", 1 / 400)]
)
def test_initializers_have_the_variance_of_the_literature(name, variance):
    kernel = layers.init_affine(jax.random.key(0), 400, 200, name)["kernel"]
    # 80,000 draws: the relative standard error of a variance is sqrt(2 / 80,000) = 0.5 %.
    np.testing.assert_allclose(np.var(kernel), variance, rtol=0.025)
