"""Spherical harmonics as a basis: a field is found from its values at points, with the errors that the noise leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.fitting import least_squares, predictions
from jaxsci.models import harmonics
from jaxsci.ops.sphere import ORTHONORMAL, evaluate

pytestmark = pytest.mark.usefixtures("x64")

LMAX = 5


@pytest.mark.slow
def test_a_field_is_found_from_its_values():
    rng = np.random.default_rng(0)
    truth = jnp.asarray(rng.normal(size=(LMAX + 1) ** 2))
    theta, phi = jnp.asarray(np.arccos(rng.uniform(-1, 1, 200))), jnp.asarray(rng.uniform(0, 2 * np.pi, 200))
    model = harmonics.model(harmonics.Config(LMAX))
    linear = predictions(model.apply, jnp.stack([theta, phi], axis=-1))
    field = evaluate(truth, theta, phi, ORTHONORMAL)
    fit = least_squares(linear, field, jnp.ones(200), like=jax.jit(model.init)(jax.random.key(0)))
    np.testing.assert_allclose(fit.params["coefficients"], truth, rtol=0, atol=1e-12)


def test_slopes_at_the_poles_are_finite():
    """Near the north pole, Y_1,1 = sqrt(3 / 4 pi) sin(theta) cos(phi) and Y_1,-1 has the sine: no sign, and no singularity."""
    config = harmonics.Config(1)
    slope = np.asarray(jax.jit(jax.jacfwd(config.values))(jnp.asarray([0.0, 0.3])))[:, 0]
    scale = np.sqrt(3 / (4 * np.pi))
    np.testing.assert_allclose(slope, [0, scale * np.sin(0.3), 0, scale * np.cos(0.3)], rtol=0, atol=1e-15)
    assert config.size == 4
