"""The chi^2 of a fit of the sky is its degrees of freedom on simulated skies, whose signal is counted once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci import healpix
from jaxsci.ops.sphere import real_degrees
from jaxsci.tasks.cmb import sky_fit

pytestmark = pytest.mark.usefixtures("x64")

NSIDE, LMAX, FREE, FINER = 8, 12, 4, 8
ELL = np.arange(10 * NSIDE + 1)
FLAT = np.where(ELL > 1, 2 * np.pi * 1000 / np.maximum(ELL * (ELL + 1), 1), 0)  # C_l of D_l = 1000


def problem(noise):
    keep = abs(np.cos(healpix.angles(NSIDE)[0])) > 0.2
    theory = sky_fit.Theory(FLAT, healpix.pixel_window(NSIDE, ELL[-1]))
    sky = sky_fit.Sky(NSIDE, keep, np.zeros(keep.sum()), noise)
    return sky, sky_fit.equations(sky, theory, LMAX, FREE)


def chi_squared(equations, skies):
    fits = jax.jit(lambda equations, skies: jax.vmap(equations.solve)(skies))(equations, jnp.asarray(skies))
    return np.asarray(fits.chi2), float(fits.dof[0])


@pytest.mark.parametrize("noise", [1.0, 6.0, 60.0])
def test_skies_of_the_prior_with_its_covariance(noise):
    """Drawn from what the fit assumes: E chi^2 = n - sum_j (1 - P_j cov_jj), whatever the free coefficients are."""
    _, equations = problem(noise)
    precision = np.asarray(equations.precision)
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(300, precision.size)) * np.where(
        precision > 0, 1 / np.sqrt(np.maximum(precision, 1e-30)), 40
    )
    white = drawn @ np.asarray(equations.matrix).T + rng.normal(size=(300, equations.matrix.shape[0]))
    chi2, dof = chi_squared(equations, white @ np.asarray(equations.lower).T)
    assert chi2.mean() == pytest.approx(dof, abs=4 * np.sqrt(2 * dof / 300))


def test_skies_averaged_over_true_pixels():
    """Drawn on pixels an eighth as wide and averaged, as maps are made: the mean window stands for pixels of many shapes."""
    sky, equations = problem(6.0)
    degree = real_degrees(ELL[-1])[0]
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(24, degree.size)) * np.sqrt(FLAT)[degree]
    fine = np.asarray(sky_fit.maps(jnp.asarray(drawn), NSIDE * FINER))
    skies = fine[:, healpix.children(NSIDE, FINER)].mean(-1)[:, sky.keep]
    chi2, dof = chi_squared(equations, skies + sky.noise * rng.normal(size=skies.shape))
    scatter = np.sqrt(2 / dof / 24)
    assert chi2.mean() / dof == pytest.approx(1, abs=0.05 + 3 * scatter)
