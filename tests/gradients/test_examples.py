"""Gradients of single examples, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.gradients import per_example_gradients
from jaxsci.losses import objective, squared_error


def loss():
    return objective(lambda params, x: x @ params["w"], squared_error)


def linear(weight):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    return {"w": jnp.ones((3, 2))}, Batch(x, y, np.asarray(weight, np.float32))


def test_gradients_of_a_linear_model_are_outer_products():
    params, batch = linear([1, 2, 0, 0.5])
    found = jax.jit(lambda p, b: per_example_gradients(loss(), p, b))(params, batch)["w"]
    residual = batch.x @ np.ones((3, 2)) - batch.y
    expected = np.einsum("bi,bo->bio", batch.x, residual) * np.array([1, 1, 0, 1])[:, None, None]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_has_no_gradient_is_refused():
    params, batch = linear([1, 1, 1, 1])
    with pytest.raises(InputError, match="floating-point"):
        per_example_gradients(loss(), {"w": jnp.ones((3, 2), jnp.int32)}, batch)
    with pytest.raises(InputError, match="of one length"):
        per_example_gradients(loss(), params, batch._replace(y=batch.y[:3]))
    with pytest.raises(InputError, match="mean over the batch"):
        per_example_gradients(lambda p, b: b.x @ p["w"], params, batch)
