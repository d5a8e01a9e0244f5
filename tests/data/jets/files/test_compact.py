"""The compact format: what it keeps, how exactly, and which files it refuses."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data.jets import compact, kinematics
from jaxsci.errors import InputError


def random_jets(n, *, width=200, seed=0):
    """Jets of particles of every species, scattered around axes everywhere in azimuth, hardest first."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, width + 1, n)
    pt = np.sort(np.exp(rng.uniform(np.log(1e-3), np.log(500), (n, width))), axis=1)[:, ::-1]
    rapidity = rng.uniform(-2, 2, (n, 1)) + rng.uniform(-0.5, 0.5, (n, width))
    phi = rng.uniform(-np.pi, np.pi, (n, 1)) + rng.uniform(-0.5, 0.5, (n, width))
    transverse = np.hypot(pt, rng.choice(compact.MASSES, (n, width)))
    energy, pz = transverse * np.cosh(rapidity), transverse * np.sinh(rapidity)
    momenta = np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pz], axis=-1)
    momenta[np.arange(width) >= counts[:, None]] = 0
    return momenta.astype(np.float32), rng.integers(0, 2, n).astype(np.uint8)


@pytest.fixture(scope="module")
def round_trip(tmp_path_factory):
    path = tmp_path_factory.mktemp("compact") / "jets.h5"
    constituents, labels = random_jets(2345)  # not a whole number of blocks
    compact.write(path, constituents, labels, {"command": "made by hand", "seed": 3, "simulated": True})
    return path, constituents, labels, *compact.read(path)


def test_round_trip_keeps_types_labels_and_padding(round_trip):
    _, constituents, labels, read, read_labels = round_trip
    assert read.dtype == np.float32
    assert read.shape == constituents.shape
    assert read_labels.dtype == np.uint8
    np.testing.assert_array_equal(read_labels, labels)
    assert (read[constituents[..., 0] == 0] == 0).all()
    np.testing.assert_array_equal((read != 0).any(-1).sum(1), (constituents[..., 0] > 0).sum(1))


@pytest.mark.parametrize(("first", "last"), [(0, 1), (999, 2001), (1500, 1500), (2300, 2345)])
def test_some_jets_are_those_of_all(round_trip, first, last):
    path, *_, read, _ = round_trip
    np.testing.assert_array_equal(compact.decoded(compact.stored(path), first, last), read[first:last])


def test_precision_of_constituents(round_trip):
    _, constituents, _, read, _ = round_trip
    real = constituents[..., 0] > 0
    # Half a step: ln(500 / 0.001) / 65535 / 2 = 1.0e-4, plus the rounding of float32.
    assert np.abs(kinematics.pt(read)[real] / kinematics.pt(constituents)[real] - 1).max() < 1.05e-4
    # Half a step of offsets below 1, which is what jets with offsets up to 0.5 from a center have from their axis: 1 / 32767 / 2 = 1.5e-5;
    # float32 leaves phi exact to 6e-8 and eta near 2.5 to about 1e-6.
    assert np.abs(kinematics.wrap(kinematics.phi(read) - kinematics.phi(constituents)))[real].max() < 1.8e-5
    # The mass, of which float32 leaves m^2 to 1e-7 E^2, moves the rapidity that the test computes by up to 1e-5.
    assert np.abs(kinematics.rapidity(read) - kinematics.rapidity(constituents))[real].max() < 3e-5
    assert np.abs(read[..., 0][real] / constituents[..., 0][real] - 1).max() < 2e-4


def test_mass_and_pt_of_jets_are_kept_far_below_a_thousandth(round_trip):
    _, constituents, _, read, _ = round_trip
    several = (constituents[..., 0] > 0).sum(1) > 5
    before, after = (kinematics.jet_momentum(array[several]) for array in (constituents, read))
    mass_error = kinematics.mass(after) / kinematics.mass(before) - 1
    assert np.sqrt((mass_error**2).mean()) < 5e-5
    assert np.abs(mass_error).max() < 3e-4
    assert np.abs(kinematics.pt(after) / kinematics.pt(before) - 1).max() < 1.05e-4


def test_species_keep_the_energy_of_slow_particles(tmp_path):
    momentum = np.array([0.3, 0.2, 0.1])
    energies = np.hypot(np.linalg.norm(momentum), compact.MASSES)
    one = np.zeros((len(energies), 1, 4), np.float32)
    one[:, 0, 0], one[:, 0, 1:] = energies, momentum
    compact.write(tmp_path / "slow.h5", one, np.zeros(len(one), np.uint8), {})
    read, _ = compact.read(tmp_path / "slow.h5")
    # With one constituent a jet the steps vanish; what is left is the rounding of float32. A wrong mass would show above 1e-3.
    np.testing.assert_allclose(read, one, rtol=2e-6)


@given(st.integers(0, 30), st.integers(1, 6), st.integers(0, 10_000))
def test_any_number_of_jets_comes_back_sorted(tmp_path_factory, n, width, seed):
    path = tmp_path_factory.mktemp("any") / "jets.h5"
    constituents, labels = random_jets(n, width=width, seed=seed)
    if n > 1:
        constituents[n // 2] = 0  # a jet without constituents
    shuffled = np.random.default_rng(seed).permuted(constituents.view("f4,f4,f4,f4")[..., 0], axis=1)
    compact.write(path, shuffled.view("f4").reshape(constituents.shape), labels, {})
    read, read_labels = compact.read(path)
    np.testing.assert_array_equal(read_labels, labels)
    np.testing.assert_allclose(kinematics.pt(read), kinematics.pt(constituents), rtol=1.2e-4)


def test_attributes_are_kept(round_trip):
    with h5py.File(round_trip[0]) as file:
        assert file.attrs["command"] == "made by hand"
        assert file.attrs["seed"] == 3
        assert bool(file.attrs["simulated"])
        assert file.attrs["format"] == compact.FORMAT


def refused(path, *words):
    with pytest.raises(InputError) as caught:
        compact.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    for word in words:
        assert word in message


def test_missing_empty_and_foreign_files_are_refused(tmp_path):
    refused(tmp_path / "absent.h5", "no such file")
    (tmp_path / "empty.h5").touch()
    refused(tmp_path / "empty.h5", "empty")
    (tmp_path / "text.h5").write_text("E,px,py,pz\n" * 100)
    refused(tmp_path / "text.h5", compact.FORMAT)
    with h5py.File(tmp_path / "ordinary.h5", "w") as file:
        file["constituents"] = np.zeros((3, 200, 4), np.float32)
    refused(tmp_path / "ordinary.h5", "no format", compact.FORMAT)


def test_truncated_files_are_refused(round_trip, tmp_path):
    whole = round_trip[0].read_bytes()
    for share in (0.02, 0.3, 0.7, 0.99):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(path)


def test_a_flipped_byte_in_the_data_is_noticed(round_trip, tmp_path):
    damaged = bytearray(round_trip[0].read_bytes())
    with h5py.File(round_trip[0]) as file:
        chunk = file["phi"].id.get_chunk_info(0)
    damaged[chunk.byte_offset + chunk.size // 2] ^= 0x55
    (tmp_path / "damaged.h5").write_bytes(damaged)
    refused(tmp_path / "damaged.h5")  # the checksum of zlib


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("counts", lambda file: file["counts"].write_direct(np.full(file["counts"].shape, 255, np.uint8))),
        ("species", lambda file: file["species"].write_direct(np.full(file["species"].shape, 99, np.uint8))),
        ("phi", lambda file: file.pop("phi")),
        ("axis", lambda file: (file.pop("axis"), file.create_dataset("axis", data=np.zeros((1, 2), np.float32)))),
        ("log_pt", lambda file: (file.pop("log_pt"), file.create_dataset("log_pt", data=np.zeros(7)))),
        ("log_step", lambda file: file.attrs.pop("log_step")),
        ("angle_step", lambda file: file.attrs.update(angle_step="wide")),
        ("width", lambda file: file.attrs.update(width=1)),
        ("version", lambda file: file.attrs.update(format_version=99)),
    ],
)
def test_inconsistent_files_are_refused(tmp_path, name, change):
    path = tmp_path / "jets.h5"
    compact.write(path, *random_jets(20, width=30), {})
    with h5py.File(path, "r+") as file:
        change(file)
    refused(path, "log_pt" if name == "counts" else name)


@pytest.mark.parametrize(
    "constituents",
    [
        np.zeros((4, 3)),
        np.zeros((4, 3, 3)),
        np.zeros((5, 3, 4)),
        np.zeros((4, 256, 4)),
        np.full((4, 3, 4), np.nan),
        np.full((4, 3, 4), -1.0),
        np.broadcast_to([1.0, 0.0, 0.0, 1.0], (4, 3, 4)),
    ],
)
def test_wrong_jets_are_not_written(tmp_path, constituents):
    with pytest.raises(InputError, match=r"jets\.h5: expected"):
        compact.write(tmp_path / "jets.h5", constituents, np.zeros(4, np.uint8), {})
    assert list(tmp_path.iterdir()) == []
