"""Muon pairs whose columns contradict each other, or number no collisions; jets of two units in one file."""

import numpy as np
import pytest

from jaxsci.data import dimuons
from jaxsci.data.jets import sample
from jaxsci.errors import InputError

N = 200
RNG = np.random.default_rng(0)
MUONS = {name: RNG.uniform(*ends, N) for name, ends in (("pt", (20, 60)), ("eta", (-2, 2)), ("phi", (-3, 3)))}
PAIRS = {f"{name}{i}": np.roll(values, i) for i in (1, 2) for name, values in MUONS.items()}


def write(path, **columns):
    np.savez(path, **columns)
    return path


def momenta():
    """The pairs as E, px, py, pz."""
    found = {}
    for i in "12":
        pt, eta, phi = (PAIRS[f"{name}{i}"] for name in ("pt", "eta", "phi"))
        found |= {f"px{i}": pt * np.cos(phi), f"py{i}": pt * np.sin(phi), f"pz{i}": pt * np.sinh(eta)}
        found[f"E{i}"] = np.sqrt((pt * np.cosh(eta)) ** 2 + 0.1056583755**2)
    return found


@pytest.mark.parametrize("name", ["mass_GeV", "M GeV", "invariant_mass_GeV", "M [GeV]", "mll_gev"])
def test_the_unit_may_stand_behind_the_name(tmp_path, name):
    np.testing.assert_array_equal(
        dimuons.read(write(tmp_path / "m.npz", **{name: np.array([91.0, 88.0])})).mass, [91, 88]
    )


@pytest.mark.parametrize("unit", [1, 1000])  # of the momenta beside the masses, which are in GeV
def test_masses_beside_their_momenta_are_read_and_others_refused(tmp_path, unit):
    found = momenta()
    mass = dimuons.read(write(tmp_path / "m.npz", **found)).mass
    beside = {name: values * unit for name, values in found.items()}
    corrected = mass * (1 + 0.03 * RNG.normal(size=N))
    np.testing.assert_array_equal(dimuons.read(write(tmp_path / "m.npz", M=corrected, **beside)).mass, corrected)
    with pytest.raises(InputError, match="got others than those of the momenta"):
        dimuons.read(write(tmp_path / "m.npz", M=mass[::-1], **beside))


def test_energies_that_are_no_muons_are_refused(tmp_path):
    found = momenta()
    rounded = {name: np.array([float(f"{value:.3g}") for value in values]) for name, values in found.items()}
    for i in "12":  # rounding up keeps the energy at least the momentum
        rounded[f"E{i}"] = rounded[f"E{i}"] * 1.005
    dimuons.read(write(tmp_path / "m.npz", **rounded))
    heavy = {**found, "E2": np.hypot(found["E2"], 20)}
    with pytest.raises(InputError, match="rest masses up to 2 GeV in the column E2"):
        dimuons.read(write(tmp_path / "m.npz", **heavy))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (np.zeros(N), "got 0.0 in all of 200 rows"),
        (np.full(N, -1), "got -1 in all of 200 rows"),
        (1e9 + 1000.0 * np.arange(N), "expected every digit of the numbers in the column event"),
        ((2.0**30 + 977 * np.arange(N)).astype(np.float32), "expected every digit"),
    ],
)
def test_numbers_of_collisions_that_are_not_filled_or_lost_digits_are_refused(tmp_path, event, message):
    with pytest.raises(InputError, match=message):
        dimuons.read(write(tmp_path / "m.npz", M=np.full(N, 91.0), run=np.ones(N), event=event))


@pytest.mark.parametrize("event", [np.arange(N), 2.0**30 + 977 * np.arange(N), 1000 * np.arange(N), np.full(N, 7)])
def test_numbers_of_collisions_with_every_digit_are_read(tmp_path, event):
    run = np.ones(N) if len(np.unique(event)) > 1 else np.arange(N)
    assert len(dimuons.read(write(tmp_path / "m.npz", M=np.full(N, 91.0), run=run, event=event)).mass) == N


def test_an_event_is_one_of_its_luminosity_block(tmp_path):
    found = write(
        tmp_path / "m.npz",
        M=np.full(6, 91.0),
        run=np.ones(6),
        luminosityBlock=[1, 1, 1, 2, 2, 2],
        event=[1, 2, 2, 1, 2, 2],
    )
    read = dimuons.read(found)
    assert (len(read.mass), read.unused) == (4, ())


def test_charges_with_a_minus_sign_are_read(tmp_path):
    pairs = {"M": np.array([90.0, 91]), "Q1": np.array(["+", "−"]), "Q2": np.array(["−", "−"])}
    assert dimuons.read(write(tmp_path / "m.npz", **pairs)).mass.tolist() == [90]


def test_a_class_of_jets_in_tev_is_refused(tmp_path):
    jets = np.tile([[[60.0, 36, 48, 0], [50.0, 30, 0, 40]]], (40, 1, 1))
    jets[::2] /= 1000
    np.savez(tmp_path / "j.npz", constituents=jets, labels=np.arange(40) % 2)
    with pytest.raises(InputError, match=r"got less in 50%, such as 0.11"):
        sample.read(tmp_path / "j.npz")


def test_one_soft_jet_among_a_few_is_one(tmp_path):
    jets = np.tile([[[60.0, 36, 48, 0], [50.0, 30, 0, 40]]], (9, 1, 1))
    jets[3] /= 100
    np.savez(tmp_path / "j.npz", constituents=jets, labels=np.arange(9) % 2)
    assert len(sample.read(tmp_path / "j.npz").labels) == 9
