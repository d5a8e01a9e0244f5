"""The Faddeeva function and the Voigt profile against scipy, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import voigt_profile, wofz

from jaxsci.ops._faddeeva import faddeeva, voigt


@pytest.mark.usefixtures("x64")
def test_the_upper_half_plane_against_scipy():
    z = np.linspace(-30, 30, 601)[:, None] + 1j * np.array([0, 1e-6, 1e-2, 1, 30])
    # Forty terms leave a few units in the last places, relative to values that fall like exp(-x^2) only in their real part.
    np.testing.assert_allclose(faddeeva(jnp.asarray(z)), wofz(z), rtol=5e-13)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("width", "resolution"), [(2.5, 1.5), (0.01, 1.5), (2.5, 0.01)])
def test_the_profile_against_scipy_from_narrow_to_wide(width, resolution):
    x = np.linspace(60, 120, 401)
    ours = voigt(jnp.asarray(x), 91.2, width, resolution)
    np.testing.assert_allclose(ours, voigt_profile(x - 91.2, resolution, width / 2), rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_derivatives_of_second_order():
    x = jnp.linspace(85.0, 95.0, 5)
    along = jax.jit(lambda t: jnp.sum(voigt(x, 91.0 + t, 2.5 - t, 1.5 + 0.3 * t) * jnp.arange(5.0)))
    check_grads(along, (0.1,), order=2, rtol=1e-6)


def test_single_precision_stays_single():
    x = jnp.linspace(60, 120, 401, dtype=jnp.float32)
    ours = jax.jit(voigt)(x, 91.2, 2.5, 1.5)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, voigt_profile(np.asarray(x, np.float64) - 91.2, 1.5, 1.25), rtol=1e-5)
