import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data.jets import kinematics


def momentum(pt, eta, phi, mass):
    """(E, px, py, pz) from collider coordinates."""
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + mass**2)
    return np.stack(np.broadcast_arrays(energy, pt * np.cos(phi), pt * np.sin(phi), pz), axis=-1)


def boost(momenta, rapidity):
    """A boost along the beam."""
    e, px, py, pz = np.moveaxis(momenta, -1, 0)
    cosh, sinh = np.cosh(rapidity), np.sinh(rapidity)
    return np.stack([e * cosh + pz * sinh, px, py, pz * cosh + e * sinh], axis=-1)


@given(pt=st.floats(1e-3, 1e4), eta=st.floats(-9, 9), phi=st.floats(-3.14, 3.14), mass=st.floats(0, 1e3))
def test_coordinates_of_a_momentum_come_back(pt, eta, phi, mass):
    p = momentum(pt, eta, phi, mass)
    assert np.isclose(kinematics.pt(p), pt, rtol=1e-12)
    assert np.isclose(kinematics.eta(p), eta, rtol=1e-12, atol=1e-12)
    assert np.isclose(kinematics.phi(p), phi, rtol=1e-12, atol=1e-12)
    # E - p cancels: wrong by up to 4 roundings (1.1e-16) of E, which moves m by up to E sqrt(2 * 4 * 1.1e-16)
    assert np.isclose(kinematics.mass(p), mass, rtol=1e-12, atol=3e-8 * p[0])


@given(mass=st.floats(0, 200), eta=st.floats(-4, 4), shift=st.floats(-2, 2))
def test_a_boost_along_the_beam_shifts_rapidity_and_nothing_else(mass, eta, shift):
    p = momentum(500.0, eta, 1.0, mass)
    moved = boost(p, shift)
    assert np.isclose(kinematics.rapidity(moved), kinematics.rapidity(p) + shift, atol=1e-9)
    assert np.isclose(kinematics.pt(moved), 500.0, rtol=1e-12)


def test_rapidity_of_a_massless_momentum_is_its_pseudorapidity():
    eta = np.linspace(-6, 6, 13)
    p = momentum(30.0, eta, 0.3, 0.0)
    np.testing.assert_allclose(kinematics.rapidity(p), eta, rtol=0, atol=1e-9)


def test_mass_of_two_prongs():
    """m^2 = 2 pT1 pT2 (cosh d_eta - cos d_phi) for massless prongs."""
    prongs = np.stack([momentum(300.0, 0.1, 3.1, 0.0), momentum(200.0, 0.4, -3.0, 0.0)])[None]
    expected = np.sqrt(2 * 300 * 200 * (np.cosh(0.3) - np.cos(6.1)))
    np.testing.assert_allclose(kinematics.mass(kinematics.jet_momentum(prongs)), [expected], rtol=1e-12)


def test_degenerate_momenta_give_finite_numbers():
    p = np.array([[0, 0, 0, 0], [5, 0, 0, 5], [5, 0, 0, -5], [1e-20, 1e-20, 0, 0], [1.0, 1.0, 1.0, 1.0]])
    for function in (kinematics.pt, kinematics.eta, kinematics.rapidity, kinematics.phi, kinematics.mass):
        assert np.isfinite(function(p)).all(), function.__name__
    assert kinematics.mass(p)[-1] == 0  # an energy below the momentum


def test_wrap_keeps_the_direction_and_the_range():
    angle = np.linspace(-20, 20, 1001)
    wrapped = kinematics.wrap(angle)
    assert wrapped.min() >= -np.pi
    assert wrapped.max() < np.pi
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angle), rtol=0, atol=1e-12)


def test_trim_cuts_columns_of_padding_only():
    jets = np.zeros((2, 5, 4))
    jets[0, 0, 0] = jets[1, 2, 0] = 1.0
    assert kinematics.trim(jets).shape == (2, 3, 4)
    assert kinematics.trim(np.zeros((2, 5, 4))).shape == (2, 0, 4)
