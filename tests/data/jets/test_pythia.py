"""Jets from Pythia and fastjet: the cuts, the matching, the clustering and the physics of what comes out."""

import itertools

import numpy as np
import pytest

from jaxsci.data.jets import kinematics, pythia

fastjet = pytest.importorskip("fastjet")
pytest.importorskip("pythia8mc")

SEED, BATCHES = 11, 4


def accepted_jets(particles, tops):
    return pythia._accepted_jets(particles, tops, None).constituents


@pytest.fixture(scope="module")
def batches():
    """A few hundred events of each class."""
    return {
        label: list(itertools.islice(pythia.generate_events(label, SEED), BATCHES))
        for label in (pythia.QCD, pythia.TOP)
    }


@pytest.fixture(scope="module", params=[pythia.QCD, pythia.TOP], ids=["qcd", "top"])
def sample(request, batches):
    """The class, and the jets of its events that pass."""
    jets = [accepted_jets(events.particles, events.tops) for events in batches[request.param]]
    return request.param, np.concatenate(jets)


def one_event(*directions):
    """Photons of given (pT, eta, phi) in one event."""
    pt, eta, phi = np.array(directions, float).T
    momenta = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    return pythia.Particles(momenta, np.zeros(len(pt)), np.full(len(pt), 22, np.int32), np.array([len(pt)]))


def top_at(*directions):
    """One event's tops: the first contains the given (eta, phi), the second is far away."""
    return np.array([[directions, [(4.0, 0.0)] * 4]])


def test_every_jet_passes_the_cuts(sample):
    momenta = kinematics.jet_momentum(sample[1])
    # The jets have fewer than 200 constituents, so nothing is cut off; float32 rounds pT to 1e-7 of itself.
    assert (sample[1][:, -1] == 0).all()
    assert (kinematics.pt(momenta) > pythia.PT_RANGE[0] - 1e-3).all()
    assert (kinematics.pt(momenta) < pythia.PT_RANGE[1] + 1e-3).all()
    assert (np.abs(kinematics.eta(momenta)) < pythia.ETA_MAX + 1e-5).all()


def test_constituents_are_sorted_and_padded_with_exact_zeros(sample):
    label, jets = sample
    assert jets.shape[1:] == (pythia.MAX_CONSTITUENTS, 4)
    assert jets.dtype == np.float32
    pt = kinematics.pt(jets)
    assert (np.diff(pt, axis=1) <= 1e-6 * pt[:, :1]).all()
    counts = (pt > 0).sum(axis=1)
    padded = np.arange(pythia.MAX_CONSTITUENTS) >= counts[:, None]
    assert (jets[padded] == 0).all()
    assert (pt[~padded] > 0.999 * pythia.PARTICLE_PT_MIN).all()
    # 74 and 60 constituents on average, scattered by about 20 from jet to jet.
    assert abs(counts.mean() - (74 if label == pythia.TOP else 60)) < 5 * 20 / np.sqrt(len(jets))


def test_mass(sample):
    label, jets = sample
    mass = kinematics.mass(kinematics.jet_momentum(jets))
    # Medians of 174 and of 74 to 79 GeV. The error of a median is 1.25 sigma / sqrt(n); half the 16-84 % range is 13 GeV (top) and
    # 50 GeV (QCD).
    middle, spread = (174, 13) if label == pythia.TOP else (76.5, 50)
    assert abs(np.median(mass) - middle) < 4 * 1.25 * spread / np.sqrt(len(jets))
    if label == pythia.TOP:
        assert np.mean((mass > 150) & (mass < 200)) > 0.7


def test_the_sample_is_the_accepted_jets_of_the_events_of_that_seed(sample):
    label, jets = sample
    found = pythia.sample_jets(label, 12, seed=SEED)
    np.testing.assert_array_equal(found.constituents, jets[:12])
    momenta = kinematics.jet_momentum(found.constituents)
    if label == pythia.QCD:
        assert not found.top.any()
        return
    # The quark in the jet, not the other one, which flies back to back: within the radius, with its mass and most of its momentum.
    distance = (
        kinematics.eta(momenta) - kinematics.eta(found.top),
        kinematics.wrap(kinematics.phi(momenta) - kinematics.phi(found.top)),
    )
    assert (np.hypot(*distance) < pythia.RADIUS).all()
    assert abs(np.median(kinematics.mass(found.top)) - 172) < 3  # a width of 1.4 GeV, with tails
    assert abs(np.median(kinematics.pt(momenta) / kinematics.pt(found.top)) - 1) < 0.15


def test_another_seed_gives_other_jets(batches):
    other = next(pythia.generate_events(pythia.QCD, SEED + 1))
    assert not np.isin(other.pt_hat, batches[pythia.QCD][0].pt_hat).any()


def test_few_accepted_jets_come_from_the_edge_of_the_phase_space(batches):
    # Were pT-hat cut too high, its distribution would pile up at the cut. Of 1400 accepted jets 3.2 % lay within 25 GeV of it, so
    # of 100 at most 10 % do, at four standard deviations.
    accepted = []
    for label in batches:
        for events in batches[label]:
            axis, _ = pythia._leading_jets(events.particles)
            accepted.append(events.pt_hat[pythia._passes_cuts(axis, events.tops)])
    pt_hat = np.concatenate(accepted)
    assert len(pt_hat) > 100
    assert pt_hat.min() > pythia.PT_HAT_MIN
    assert (pt_hat < pythia.PT_HAT_MIN + 25).mean() < 0.10


@pytest.mark.parametrize(
    ("pt", "eta", "accepted"),
    [
        (549.9, 0.0, False),
        (550.1, 0.0, True),
        (649.9, 0.0, True),
        (650.1, 0.0, False),
        (600.0, 1.999, True),
        (600.0, -2.001, False),
    ],
)
def test_edges_of_the_cuts(pt, eta, accepted):
    assert len(accepted_jets(one_event((pt, eta, 0.3)), None)) == accepted


def test_only_the_leading_jet_counts():
    assert len(accepted_jets(one_event((600, 0.0, 0.0), (640, 1.0, 3.0)), None)) == 1
    assert len(accepted_jets(one_event((600, 0.0, 0.0), (700, 1.0, 3.0)), None)) == 0


def test_a_jet_collects_what_lies_within_its_radius():
    jets = accepted_jets(one_event((20, 0.0, -3.1), (560, 0.0, 3.1), (30, 0.79, 3.1), (40, 0.0, 2.2)), None)
    # Across phi = pi; the last lies 0.9 away. Hardest first.
    np.testing.assert_allclose(kinematics.pt(jets[0, :4]), [560, 30, 20, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("parton", "accepted"),
    [
        ((0.79, 3.1), True),
        ((0.81, 3.1), False),
        ((0.0, -3.1 + 0.7), True),
        ((0.0, -3.1 + 0.75), False),
        ((0.6, 2.5), False),
    ],
)
def test_matching_needs_all_partons_of_one_top(parton, accepted):
    jet = one_event((600, 0.0, 3.1))
    near = [(0.1, 3.1), (0.0, 3.0), (-0.1, -3.1)]
    for place in range(4):
        tops = top_at(*near[:place], parton, *near[place:])
        assert len(accepted_jets(jet, tops)) == accepted
        assert len(accepted_jets(jet, tops[:, ::-1])) == accepted  # or the other top
    # Two halves of different tops are no match.
    split = np.array([[[*near[:2], (4.0, 0.0), (4.0, 0.0)], [(4.0, 0.0), (4.0, 0.0), *near[:2]]]])
    assert len(accepted_jets(jet, split)) == 0


def test_events_without_a_jet_are_passed_over():
    none, good = one_event((20, 0.0, 0.0)), one_event((600, 0.0, 0.0))
    empty = pythia.Particles(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int32), np.array([0]))
    together = pythia.Particles(*(np.concatenate(columns) for columns in zip(none, empty, good, empty, strict=True)))
    jets = accepted_jets(together, None)
    np.testing.assert_allclose(kinematics.pt(jets[:, 0]), [600], rtol=1e-6)
    assert accepted_jets(none, None).shape == (0, pythia.MAX_CONSTITUENTS, 4)


def test_clustering_agrees_with_one_event_at_a_time(batches):
    particles = batches[pythia.TOP][0].particles
    axis, members = pythia._leading_jets(particles)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, pythia.RADIUS)
    first = np.cumsum(particles.counts) - particles.counts
    for event in range(10):
        rows = np.arange(first[event], first[event] + particles.counts[event])
        inputs = []
        for row in rows:
            energy, px, py, pz = particles.momenta[row].tolist()
            pseudojet = fastjet.PseudoJet(px, py, pz, energy)
            pseudojet.set_user_index(int(row))
            inputs.append(pseudojet)
        clusters = fastjet.ClusterSequence(inputs, definition)
        leading = max(clusters.inclusive_jets(0.0), key=lambda jet: jet.pt())
        if leading.pt() < pythia.PT_RANGE[0]:
            assert len(members[event]) == 0
            continue
        expected = [leading.e(), leading.px(), leading.py(), leading.pz()]
        np.testing.assert_allclose(axis[event], expected, rtol=1e-9)
        assert sorted(members[event]) == sorted(part.user_index() for part in leading.constituents())


@pytest.mark.parametrize("label", [pythia.QCD, pythia.TOP])
def test_particles_are_visible_stable_and_charged_as_they_should(batches, label):
    particles = batches[label][0].particles
    known = {11: -1, 13: -1, 22: 0, 130: 0, 211: 1, 321: 1, 2112: 0, 2212: 1}
    assert set(np.abs(particles.species)) <= set(known)
    expected = [np.sign(code) * known[abs(code)] for code in particles.species]
    np.testing.assert_array_equal(particles.charge, expected)
    assert (np.abs(kinematics.eta(particles.momenta)) < pythia.PARTICLE_ETA_MAX).all()
    assert (kinematics.pt(particles.momenta) > pythia.PARTICLE_PT_MIN).all()
    assert particles.counts.sum() == len(particles.momenta)
    # Transverse momenta balance, but for neutrinos and what flies along the beams.
    event = np.repeat(np.arange(len(particles.counts)), particles.counts)
    x, y = (np.bincount(event, particles.momenta[:, axis]) for axis in (1, 2))
    total = np.bincount(event, kinematics.pt(particles.momenta))
    assert np.median(np.hypot(x, y) / total) < 0.05


def test_hadronic_tops_come_in_pairs_with_their_partons_around(batches):
    tops = batches[pythia.TOP][0].tops
    assert batches[pythia.QCD][0].tops is None
    assert tops.shape == (len(batches[pythia.TOP][0].pt_hat), 2, 4, 2)
    distance = np.hypot(tops[:, :, 1:, 0] - tops[:, :, :1, 0], kinematics.wrap(tops[:, :, 1:, 1] - tops[:, :, :1, 1]))
    # The decay products of a top quark spread by about 2 m / pT.
    assert np.median(distance) < 2 * 173 / pythia.PT_HAT_MIN
    # Back to back in azimuth, but for radiation.
    assert np.median(np.abs(kinematics.wrap(tops[:, 0, 0, 1] - tops[:, 1, 0, 1]))) > 2.5
