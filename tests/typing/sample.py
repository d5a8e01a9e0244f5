"""A user's program: it runs outside the source tree, and a strict type checker sees the types of all that it uses."""

from typing import assert_type

import jax
import numpy as np

import jaxsci as js

rng = np.random.default_rng(0)
x = rng.normal(size=(96, 2)).astype(np.float32)
y = (x[:, 0] * x[:, 1] > 0).astype(np.float32)
data = js.Batch(x, y, np.ones(96, np.float32))

model = js.models.heads.scalar(js.models.dense.model(js.models.dense.Config(inputs=2, hidden=(8,))))
assert_type(model, js.Model)
loss = js.losses.objective(model.apply, js.losses.binary_cross_entropy, metrics={"accuracy": js.losses.correct})
recipe = js.Recipe(model, js.losses.regularized(loss, js.losses.l2, 1e-4), js.training.adamw(1e-2))
assert_type(recipe, js.Recipe)

settings = js.Settings(epochs=2, batch_size=32)
result = js.fit(recipe, data, data, key=jax.random.key(0), settings=settings)
assert_type(result, js.Fit)
assert_type(result.best_loss, jax.Array)

keys = jax.random.split(jax.random.key(1), 2)
ensemble = js.fit_ensemble(lambda hyper: recipe, {}, data, data, keys=keys, settings=settings)
assert_type(ensemble, js.Fit)

logits = js.predict(model.apply, result.params, x)
area = js.metrics.auc(jax.numpy.asarray(logits), jax.numpy.asarray(y))
assert_type(area, jax.Array)
assert_type(js.ops.max_pool(jax.numpy.zeros((1, 4, 4, 1)), 2), jax.Array)
js.fitting.names({"mass": jax.numpy.zeros(())}).sort()
assert issubclass(js.InputError, ValueError)
print(f"{logits.shape} {0 <= float(area) <= 1}")
