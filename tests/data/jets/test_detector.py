"""The fast detector: energies on average right, resolutions and efficiencies as stated, nothing counted twice."""

import numpy as np
import pytest

from jaxsci.data.jets import detector, kinematics
from jaxsci.data.jets.pythia import Particles

PHOTON, ELECTRON, MUON, PION, NEUTRON = 22, 11, 13, 211, 2112
MASS = {PHOTON: 0.0, ELECTRON: 0.000511, MUON: 0.10566, PION: 0.13957, NEUTRON: 0.93957}


def particles(species, pt, eta, phi, *, per_event=1):
    """One species with given pT, eta and phi; positive if charged."""
    pt, eta, phi = np.broadcast_arrays(*(np.asarray(a, float) for a in (pt, eta, phi)))
    energy = np.hypot(pt * np.cosh(eta), MASS[species])
    momenta = np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    charge = 0.0 if species in (PHOTON, NEUTRON) else 1.0
    # PDG codes of leptons are positive for negative charge.
    code = -species if species in (ELECTRON, MUON) else species
    counts = np.full(len(pt) // per_event, per_event)
    return Particles(momenta, np.full(len(pt), charge), np.full(len(pt), code, np.int32), counts)


def join(*samples):
    """Events with the particles of all samples, event by event."""
    columns = [np.concatenate([getattr(s, name) for s in samples]) for name in ("momenta", "charge", "species")]
    event = np.concatenate([np.repeat(np.arange(len(s.counts)), s.counts) for s in samples])
    order = np.argsort(event, kind="stable")
    return Particles(*(column[order] for column in columns), sum(s.counts for s in samples))


def angles(n, eta_max, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-eta_max, eta_max, n), rng.uniform(-np.pi, np.pi, n)


def event_energy(seen):
    event = np.repeat(np.arange(len(seen.counts)), seen.counts)
    return np.bincount(event, seen.momenta[:, 0], minlength=len(seen.counts))


N = 20_000


@pytest.mark.parametrize(
    ("species", "expected"),
    [
        # Standard deviations of one particle of 20 GeV: the formulas of the card at eta = 0.
        (PHOTON, np.sqrt((0.0017 * 20) ** 2 + 0.101**2 * 20)),
        (NEUTRON, np.sqrt((0.0302 * 20) ** 2 + 0.5205**2 * 20 + 1.59**2)),
    ],
)
def test_neutral_energy_is_right_on_average_and_smeared_as_stated(species, expected):
    eta, phi = angles(N, 1.0)
    momentum = np.sqrt(20.0**2 - MASS[species] ** 2)
    seen = detector.simulate(particles(species, momentum / np.cosh(eta), eta, phi), np.random.default_rng(1))
    measured = event_energy(seen)
    assert abs(measured.mean() - 20) < 5 * expected / np.sqrt(N)
    # The error of a standard deviation of N nearly normal numbers is 1/sqrt(2N) = 0.5 %.
    assert measured.std() == pytest.approx(expected, rel=0.03)
    assert (seen.charge == 0).all()


def test_charged_energy_is_not_counted_twice():
    eta, phi = angles(N, 1.4)
    pions = particles(PION, 20.0, eta, phi)
    seen = detector.simulate(pions, np.random.default_rng(2))
    truth = event_energy(pions)
    # A track and its calorimeter energy agree within errors in nearly all events, so one object comes out; counted twice, the ratio
    # would be 2.
    assert event_energy(seen).sum() / truth.sum() == pytest.approx(1.0, abs=0.02)
    assert (seen.counts <= 2).all()
    assert (seen.counts == 1).mean() > 0.9


def test_a_neutral_beside_a_track_is_kept():
    eta, phi = angles(N, 1.4)
    both = join(particles(PION, 20.0, eta, phi), particles(NEUTRON, 60.0, eta, phi))
    seen = detector.simulate(both, np.random.default_rng(3))
    assert event_energy(seen).sum() / event_energy(both).sum() == pytest.approx(1.0, abs=0.02)
    assert ((seen.counts == 2).mean()) > 0.8


@pytest.mark.parametrize(
    ("species", "pt", "eta", "expected"),
    [
        (PION, 0.7, 0.5, 0.70),
        (PION, 5.0, 0.5, 0.95),
        (PION, 5.0, -2.0, 0.85),
        (PION, 0.7, 2.0, 0.60),
        (ELECTRON, 0.7, 0.5, 0.73),
        (ELECTRON, 5.0, 2.0, 0.83),
        (ELECTRON, 200.0, 0.5, 0.99),
        (MUON, 5.0, 0.5, 0.99),
        (MUON, 0.7, -2.0, 0.70),
        (PION, 0.3, 0.5, 0.0),
        (PION, 5.0, 2.6, 0.0),
        (MUON, 5.0, -3.0, 0.0),
    ],
)
def test_track_efficiency(species, pt, eta, expected):
    phi = angles(N, 1.0)[1]
    seen = detector.simulate(particles(species, np.full(N, pt), eta, phi), np.random.default_rng(4))
    error = np.sqrt(max(expected * (1 - expected), 1e-12) / N)
    assert abs((seen.charge != 0).sum() / N - expected) <= 5 * error


@pytest.mark.parametrize(("pt", "eta", "expected"), [(10.0, 0.2, 0.01005), (10.0, 1.0, 0.01507), (100.0, 2.0, 0.04301)])
def test_momentum_resolution_of_muons(pt, eta, expected):
    phi = angles(N, 1.0)[1]
    seen = detector.simulate(particles(MUON, np.full(N, pt), eta, phi), np.random.default_rng(5))
    ratio = kinematics.pt(seen.momenta) / pt
    # sqrt(a^2 + (b pT)^2) of the card; a and b by region of eta.
    assert ratio.std() == pytest.approx(expected, rel=0.03)
    assert abs(ratio.mean() - 1) < 5 * expected / np.sqrt(N)
    np.testing.assert_allclose(kinematics.eta(seen.momenta), eta, rtol=0, atol=1e-9)


def test_tracks_keep_direction_charge_and_species():
    eta, phi = angles(2000, 2.4)
    pions = particles(PION, 10.0, eta, phi)
    seen = detector.simulate(pions, np.random.default_rng(6))
    tracks = seen.charge != 0
    event = np.repeat(np.arange(len(seen.counts)), seen.counts)[tracks]
    np.testing.assert_allclose(kinematics.eta(seen.momenta[tracks]), eta[event], rtol=0, atol=1e-9)
    np.testing.assert_allclose(kinematics.phi(seen.momenta[tracks]), phi[event], rtol=0, atol=1e-9)
    assert (seen.species[tracks] == PION).all()
    assert (seen.charge[tracks] == 1).all()


def test_photons_in_one_cell_merge_and_stay_in_it():
    # The first cell of 0.0174 x 1 degree beside eta = 0, phi = 0.
    eta, phi = np.full(2 * N, 0.0087), np.full(2 * N, np.pi / 360)
    seen = detector.simulate(particles(PHOTON, 20.0, eta, phi, per_event=2), np.random.default_rng(7))
    np.testing.assert_array_equal(seen.counts, 1)
    assert abs(event_energy(seen).mean() - 40) < 0.05
    got_eta, got_phi = kinematics.eta(seen.momenta), kinematics.phi(seen.momenta)
    assert 0 <= got_eta.min() < 0.001 < 0.0164 < got_eta.max() <= 0.0174
    assert 0 <= got_phi.min() < 0.001 < 0.0164 < got_phi.max() <= np.pi / 180
    assert (np.abs(kinematics.mass(seen.momenta)) < 1e-5).all()


def test_photons_two_cells_apart_stay_apart():
    eta, phi = np.zeros(2 * N) + 0.001, np.tile([0.001, 0.001 + 2 * np.pi / 180], N)
    seen = detector.simulate(particles(PHOTON, 20.0, eta, phi, per_event=2), np.random.default_rng(8))
    np.testing.assert_array_equal(seen.counts, 2)


def test_events_do_not_mix():
    eta, phi = np.zeros(500), np.zeros(500)
    seen = detector.simulate(particles(PHOTON, 20.0, eta, phi), np.random.default_rng(9))
    np.testing.assert_array_equal(seen.counts, 1)
    assert event_energy(seen).max() < 30


def test_soft_energy_is_below_threshold():
    eta, phi = angles(N, 1.0)
    for species, pt in ((PHOTON, 0.2), (NEUTRON, 0.3)):
        seen = detector.simulate(particles(species, pt, eta, phi), np.random.default_rng(10))
        assert len(seen.momenta) < 0.05 * N


def test_the_field_bends_by_the_angle_of_the_helix():
    # sin(angle) = 0.2998 B R / (2 pT), clockwise for a positive charge: the azimuth of the cell of a hadron without a track.
    pt, n = 5.0, 40_000
    seen = detector.simulate(particles(PION, np.full(n, pt), 0.0, 0.0), np.random.default_rng(11))
    lost = np.repeat(np.arange(n), seen.counts)[seen.charge != 0]
    cells = ~np.isin(np.repeat(np.arange(n), seen.counts), lost)
    bend = np.arcsin(0.299792458 * 2.0 * 1.15 / (2 * pt))
    assert 0 < bend < 2 * np.pi / 36  # so it ends in the first cell below 0
    phi = kinematics.phi(seen.momenta[cells])
    assert cells.sum() > 500
    assert -2 * np.pi / 36 <= phi.min() < phi.max() <= 0


def test_looping_particles_reach_the_end_cap_along_the_beam():
    # pT below 0.2998 B R / 2 = 0.345 GeV never leaves the field sideways; eta of the impact follows from z = 3.51 m.
    loopers = particles(PION, np.full(1000, 0.2), np.full(1000, 1.0), angles(1000, 1.0)[1])
    eta, _ = detector._impact(loopers)
    diameter = 2 * 0.2 / (0.299792458 * 2.0)
    assert (eta >= np.arcsinh(3.51 / diameter) - 1e-9).all()


@pytest.mark.parametrize("species", [PHOTON, NEUTRON, PION, ELECTRON, MUON])
def test_nothing_comes_of_nothing(species):
    nothing = particles(species, np.zeros(0), np.zeros(0), np.zeros(0))._replace(counts=np.zeros(3, int))
    seen = detector.simulate(nothing, np.random.default_rng(12))
    assert seen.momenta.shape == (0, 4)
    np.testing.assert_array_equal(seen.counts, 0)


def test_same_generator_same_result():
    eta, phi = angles(500, 3.0)
    sample = join(particles(PION, 5.0, eta, phi), particles(PHOTON, 3.0, eta + 0.1, phi))
    first, second = (detector.simulate(sample, np.random.default_rng(13)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_forward_particles_are_measured_up_to_the_end_of_the_calorimeter():
    eta = np.concatenate([np.full(N, 4.0), np.full(N, -4.0), np.full(N, 5.2)])
    seen = detector.simulate(particles(PHOTON, 100 / np.cosh(eta), eta, angles(3 * N, 1)[1]), np.random.default_rng(14))
    energy = event_energy(seen)
    deviation = np.sqrt((0.0350 * 100) ** 2 + 0.285**2 * 100)
    for half in (energy[:N], energy[N : 2 * N]):
        assert abs(half.mean() - 100) < 5 * deviation / np.sqrt(N)
    assert (energy[2 * N :] == 0).all()
