"""The sample of simulated jets that the package carries: what its documentation says of it."""

import tracemalloc

import h5py
import numpy as np
import pytest

from jaxsci.data import jets
from jaxsci.data.jets import compact, kinematics, pythia


@pytest.fixture(scope="module")
def sample():
    return compact.read(jets.embedded())


def test_size_and_balance(sample):
    constituents, labels = sample
    assert jets.embedded().stat().st_size < 15_000_000
    assert constituents.shape == (30_000, pythia.MAX_CONSTITUENTS, 4)
    assert constituents.dtype == np.float32
    np.testing.assert_array_equal(np.bincount(labels), [15_000, 15_000])
    # Shuffled: every 1000 jets hold both classes in about equal parts.
    assert np.abs(labels.reshape(30, 1000).mean(axis=1) - 0.5).max() < 0.05


def test_attributes_tell_how_it_was_made():
    with h5py.File(jets.embedded()) as file:
        attributes = dict(file.attrs)
    assert attributes["command"] == "jaxsci data generate jets --n 30000 --seed 1 --compact"
    assert attributes["seed"] == 1
    assert bool(attributes["simulated"])
    assert not bool(attributes["detector"])
    assert attributes["pt_hat_min_GeV"] == pythia.PT_HAT_MIN
    assert {"pythia8mc_version", "fastjet_version", "jaxsci_version"} <= set(attributes)


def test_cuts(sample):
    momenta = kinematics.jet_momentum(sample[0])
    pt, eta = kinematics.pt(momenta), kinematics.eta(momenta)
    # The quantization moves the pT of a jet by less than 1.1e-4 of itself: 0.07 GeV.
    assert pt.min() > pythia.PT_RANGE[0] - 0.07
    assert pt.max() < pythia.PT_RANGE[1] + 0.07
    assert np.abs(eta).max() < pythia.ETA_MAX + 1e-3


def test_every_jet_holds_real_sorted_particles(sample):
    pt = kinematics.pt(sample[0])
    assert (np.diff(pt, axis=1) <= 1e-6 * pt[:, :1]).all()
    assert (pt[:, 0] > 0).all()
    momentum = np.hypot(pt, sample[0][..., 3])
    assert (sample[0][..., 0] >= momentum * (1 - 1e-6)).all()
    assert len(np.unique(kinematics.jet_momentum(sample[0])[:, 1])) == len(sample[0])  # no jet twice


def test_masses_are_those_of_tops_and_of_qcd(sample):
    mass = jets.mass(sample[0])
    top, qcd = (np.median(mass[sample[1] == label]) for label in (pythia.TOP, pythia.QCD))
    # Statistical errors of these medians: 0.2 GeV (top), 0.9 GeV (QCD). Pythia's top quark has 173 GeV; radiation
    # that is lost and gained nearly cancels. With these cuts 74 to 79 GeV was seen for QCD.
    assert 173 < top < 176
    assert 72 < qcd < 80


def test_reading_needs_little_more_memory_than_the_jets():
    tracemalloc.start()
    try:
        constituents, _ = compact.read(jets.embedded())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The quantized columns take 14 MB and a block of 1000 jets 10 MB beside the array of 96 MB.
    assert peak < 1.4 * constituents.nbytes
