"""What a training records of its gradients, epoch by epoch."""

import jax
import numpy as np
import optax

import jaxsci as js
from jaxsci.core import Batch
from jaxsci.gradients import noise_scale

RNG = np.random.default_rng(1)
X = RNG.normal(size=(24, 2)).astype(np.float32)
DATA = Batch(X, X @ np.array([1.0, -2.0], np.float32) + RNG.normal(size=24).astype(np.float32), np.ones(24, np.float32))
MODEL = js.Model(lambda key: {"w": jax.random.normal(key, (2,))}, lambda params, x: x @ params["w"])
LOSS = js.losses.objective(MODEL.apply, js.losses.squared_error)


def measure(params, batch):
    noise = noise_scale(LOSS, params, batch)
    return {"noise_scale": noise.scale, "gradient_signal": noise.signal}


def test_the_noise_scale_of_every_epoch_is_in_the_history():
    def recipe(hyper):
        return js.Recipe(MODEL, LOSS, optax.sgd(hyper["rate"]), measure=measure)

    settings = js.Settings(epochs=2, batch_size=8)
    keys = jax.random.split(jax.random.key(0), 2)
    rates = np.array([0.1, 0.01], np.float32)
    found = js.fit_ensemble(recipe, {"rate": rates}, DATA, DATA, keys=keys, settings=settings)
    last = found.history[-1]
    expected = jax.jit(jax.vmap(lambda params: measure(params, DATA)))(found.last_params)
    np.testing.assert_allclose(last["validation_gradient_signal"], expected["gradient_signal"], rtol=1e-4)
    scales = [np.inf if value is None else value for value in last["validation_noise_scale"]]
    np.testing.assert_allclose(scales, expected["noise_scale"], rtol=1e-4)
    assert len(last["validation_loss"]) == 2
