"""The peak over a background: normalization, convolution and radiation against direct integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import voigt_profile

from jaxsci.data import dimuons
from jaxsci.tasks.dimuon import line_shape as shapes
from jaxsci.tasks.dimuon import report

pytestmark = pytest.mark.usefixtures("x64")

PARAMS = {"mass": 91.0, "width": 2.4, "resolution": 1.4, "signal": 0.9, "slope": 0.05}


def density(config):
    params = {name: jnp.asarray(value) for name, value in PARAMS.items()}
    return jax.jit(lambda x: jnp.exp(jax.vmap(lambda v: shapes.apply(params, v, config))(x)))


@pytest.mark.parametrize("radiation", [False, True])
def test_the_density_is_normalized_and_interpolates_exactly(radiation):
    config = shapes.Config((60.0, 120.0), radiation=radiation)
    x, weights = shapes.quadrature(config.window, 400)
    np.testing.assert_allclose(weights @ density(config)(jnp.asarray(x)), 1, rtol=1e-9)
    nodes, _ = shapes.quadrature(config.window, config.nodes)
    assert np.isfinite(density(config)(jnp.asarray(nodes[:3]))).all()


def test_without_radiation_it_is_a_voigt_profile_and_an_exponential():
    config = shapes.Config((60.0, 120.0))
    voigt = lambda x: voigt_profile(x - 91.0, 1.4, 1.2)  # noqa: E731
    falling = lambda x: np.exp(-0.05 * (x - 90))  # noqa: E731
    x = np.array([61.3, 85.0, 91.0, 119.0])
    expected = 0.9 * voigt(x) / quad(voigt, 60, 120, points=[91])[0] + 0.1 * falling(x) / quad(falling, 60, 120)[0]
    np.testing.assert_allclose(density(config)(jnp.asarray(x)), expected, rtol=1e-8)


def test_radiation_against_direct_integration():
    config = shapes.Config((60.0, 120.0), radiation=True)
    beta = 2 * shapes.FINE_STRUCTURE / np.pi * (2 * np.log(config.mass / shapes.MUON_MASS) - 1)
    params = {name: jnp.asarray(value) for name, value in PARAMS.items()}
    x = np.array([62.0, 75.0, 88.0, 91.0, 95.0])
    ours = shapes.peak(params, jnp.asarray(x), config)

    def integrand(u, at):
        lost = u ** (1 / beta)
        kept = np.sqrt(1 - lost)
        factor = 1 + 0.75 * beta - (2 - lost) * lost ** (1 - beta) / 2
        return factor * voigt_profile(at / kept - 91.0, 1.4, 1.2) / kept

    expected = [quad(integrand, 0, 0.99, args=(at,), limit=400, epsabs=1e-11)[0] for at in x]
    # Losses of more than half are left out of the window: their share of the density is below one in 10,000.
    np.testing.assert_allclose(ours, expected, rtol=2e-3)
    np.testing.assert_allclose(ours[3:], expected[3:], rtol=1e-5)


def test_what_is_not_allowed_is_nan():
    config = shapes.Config()
    for name, value in (("width", -1.0), ("resolution", 0.0), ("signal", 1.2)):
        params = {key: jnp.asarray(v) for key, v in {**PARAMS, name: value}.items()}
        assert np.isnan(shapes.apply(params, jnp.asarray(90.0), config))


def test_pairs_of_one_mass_are_read_and_named(tmp_path):
    rng = np.random.default_rng(0)
    mass = np.concatenate([rng.normal(91.2, 2.5, 17_500), rng.uniform(15, 60, 2_000)])
    for values, number in (
        (mass, 0),
        (np.concatenate([mass[:19_400], mass[:50]]), 0),  # less than 1 %
        (mass.astype(np.float32), 0),
        (np.array([float(f"{m:.5g}") for m in mass]), None),
        (np.concatenate([mass, mass]), 19_500),
        (rng.choice(mass, 19_500), None),  # a bootstrap sample
    ):
        np.savez(tmp_path / "p.npz", M=values)
        read = dimuons.read(tmp_path / "p.npz").mass
        np.testing.assert_array_equal(read, values)
        number = len(values) - len(set(values.tolist())) if number is None else number
        words = report.again(read)
        assert (
            words.startswith(f"{number:,} of {len(values):,} pairs have the mass of another") if number else not words
        )
