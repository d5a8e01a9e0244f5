"""The noise of the gradients after every epoch is that of the per-example gradients, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Batch, StatefulModel
from jaxsci.errors import InputError
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.tasks.study import noise
from jaxsci.training import Recipe, Settings, adamw, fit

NUMBER = 300


def test_what_is_recorded_is_the_scatter_of_single_gradients():
    model = heads.scalar(dense.model(dense.Config(3, hidden=(4,))))
    loss = objective(model.apply, squared_error)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUMBER, 3)).astype(np.float32)
    batch = Batch(x, x[:, 0] + 0.1, np.ones(NUMBER, np.float32))
    recipe = noise.recorded(Recipe(model, loss, adamw(1e-2)))
    fitted = fit(recipe, batch, batch, key=jax.random.key(0), settings=Settings(2, 100))
    record = fitted.history[-1]

    def one(x, y):
        return jax.grad(lambda p: squared_error(model.apply(p, x), y))(fitted.last_params)

    some = noise.EXAMPLES
    found = jax.vmap(one)(jnp.asarray(batch.x[:some]), jnp.asarray(batch.y[:some]))
    by_layer = {
        name: np.concatenate([np.asarray(leaf, np.float64).reshape(some, -1) for leaf in jax.tree.leaves(of)], axis=1)
        for name, of in found.items()
    }
    scatter = {name: of.var(axis=0, ddof=1).sum() for name, of in by_layer.items()}
    total = sum(scatter.values())
    signal = sum((of.mean(0) ** 2).sum() for of in by_layer.values()) - total / some
    for name, value in scatter.items():
        np.testing.assert_allclose(record[f"validation_noise_of_{name}"], value / total, rtol=1e-4)
    assert signal > 0
    np.testing.assert_allclose(record["validation_noise_scale"], total / signal, rtol=1e-3)
    np.testing.assert_allclose(record["validation_gradient_norm"], np.sqrt(signal), rtol=1e-3)


def test_a_network_with_state_is_refused():
    model = StatefulModel(lambda key: {}, lambda variables, x, mask, key: (x, {}))
    with pytest.raises(InputError, match="--gradient-noise: expected a network without state"):
        noise.recorded(Recipe(model, None, None))
