"""Files of jets that cannot be right, damaged files and foreign ones: refused in one line that names the place."""

import zipfile

import h5py
import numpy as np
import pytest

from jaxsci.data import jets
from jaxsci.errors import InputError
from tests.data.jets.files.small import formats, sample, write_npz, write_npz_compressed


def changed(index, value):
    constituents, labels = sample()
    constituents[index] = value
    return {"constituents": constituents, "labels": labels}


def with_labels(value):
    constituents, labels = sample()
    labels = labels.astype(type(value))
    labels[17] = value
    return {"constituents": constituents, "labels": labels}


BAD_NUMBERS = {
    "NaN": (changed((4, 0, 1), np.nan), "finite four-momenta.*jet 4, entry 0"),
    "infinity": (changed((4, 0, 0), np.inf), "finite four-momenta"),
    "too large for float32": (
        {**changed(0, 0), "constituents": sample()[0].astype(float) * 1e38},
        "finite four-momenta",
    ),
    "negative energy": (changed((5, 0), [-9, 1, 0, 0]), "energies of at least 0.*jet 5"),
    "energy below momentum": (changed((6, 0), [5, 3, 4, 5]), "E >= .p.*jet 6.*order of the columns"),
    "along the beam": (changed((6, 0), [5, 0, 0, 5]), "no pT.*jet 6"),
    "empty jet": (changed(7, 0), "jets without any.*jet 7"),
    "label 2": (with_labels(2), "got 2 in row 17"),
    "label -1": (with_labels(-1), "got -1 in row 17"),
    "label 0.5": (with_labels(0.5), "got 0.5 in row 17"),
    "label NaN": (with_labels(np.nan), "got nan in row 17"),
    "negative pixel": ({"images": -np.ones((3, 4, 4)), "labels": [0, 1, 0]}, "pixels of at least 0"),
    "NaN pixel": ({"images": np.full((3, 4, 4), np.nan), "labels": [0, 1, 0]}, "finite pixels"),
    "empty image": ({"images": np.zeros((3, 4, 4)), "labels": [0, 1, 0]}, "images of zeros"),
}
BAD_ARRAYS = {
    "no jets": ({"labels": [0, 1]}, "found labels"),
    "other names": ({"X": np.zeros((3, 4)), "y": np.zeros(3)}, "found X, y"),
    "both": ({**changed(0, 0), "images": np.ones((30, 4, 4))}, "keep one of constituents and images"),
    "two axes": ({"constituents": np.ones((5, 4)), "labels": np.ones(5)}, r"shape \[5, 4\]"),
    "three components": ({"constituents": np.ones((5, 9, 3)), "labels": np.ones(5)}, r"shape \[5, 9, 3\]"),
    "no constituents": ({"constituents": np.ones((5, 0, 4)), "labels": np.ones(5)}, r"shape \[5, 0, 4\]"),
    "complex": ({"constituents": np.ones((5, 9, 4), complex), "labels": np.ones(5)}, "type complex128"),
    "other length": ({"constituents": sample()[0], "labels": np.ones(29)}, r"30 rows, labels shape \[29\]"),
    "one-hot": ({"constituents": sample()[0], "labels": np.ones((30, 2))}, r"labels shape \[30, 2\]"),
    "label text": ({"constituents": sample()[0], "labels": np.full(30, b"top")}, "labels have type"),
    "no rows": ({"constituents": np.ones((0, 9, 4)), "labels": np.ones(0)}, "no rows"),
}


@formats
@pytest.mark.parametrize(
    ("arrays", "message"), {**BAD_NUMBERS, **BAD_ARRAYS}.values(), ids={**BAD_NUMBERS, **BAD_ARRAYS}
)
def test_bad_jets_are_refused_in_one_line(tmp_path, write, suffix, arrays, message):
    path = write(tmp_path / f"jets{suffix}", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        jets.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message):
        list(jets.stream(path, chunk=3))


def test_a_bad_row_in_a_later_block_is_named_by_its_place_in_the_file(tmp_path):
    path = write_npz(tmp_path / "jets.npz", **changed((23, 1), [-1, 0, 0, 0]))
    with pytest.raises(InputError, match="jet 23, entry 1"):
        list(jets.stream(path, chunk=5))


def damaged(path, kind):
    whole = path.read_bytes()
    path.write_bytes({"half": whole[: len(whole) // 2], "head": whole[:20], "garbage": b"x" * 5000, "empty": b""}[kind])
    return path


@formats
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("half", "cannot be read"),
        ("head", "cannot be read"),
        ("garbage", "begins with b'xxxxxxxx'"),
        ("empty", "the file is empty"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, write, suffix, kind, message):
    constituents, labels = sample(n=300)
    path = damaged(write(tmp_path / f"jets{suffix}", constituents=constituents, labels=labels), kind)
    for use in (jets.read, jets.count, lambda p: list(jets.stream(p))):
        with pytest.raises(InputError, match=message) as caught:
            use(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [write_npz, write_npz_compressed])
def test_an_npz_whose_checksum_differs_is_refused(tmp_path, write):
    constituents, labels = sample(n=300)
    path = write(tmp_path / "jets.npz", constituents=constituents, labels=labels)
    with zipfile.ZipFile(path) as archive:
        checksum = archive.getinfo("constituents.npy").CRC
    whole = path.read_bytes()
    path.write_bytes(whole.replace(checksum.to_bytes(4, "little"), (checksum ^ 1).to_bytes(4, "little")))
    with pytest.raises(InputError, match="CRC"):
        jets.read(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        jets.read(tmp_path / "none.h5")
    with pytest.raises(InputError, match="this is a folder"):
        jets.read(tmp_path)


def test_hdf5_without_jets_says_what_it_found(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("events")
        file["weights"] = np.ones(4)
    with pytest.raises(InputError, match="found weights"):
        jets.read(tmp_path / "other.h5")


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_never_loaded(tmp_path):
    labels = np.array([Trap()] * 30, dtype=object)
    path = write_npz(tmp_path / "jets.npz", constituents=sample()[0], labels=labels)
    with pytest.raises(InputError, match="pickled Python objects"):
        jets.read(path)


def test_an_npz_that_promises_more_than_it_has_is_refused(tmp_path):
    constituents, labels = sample()
    path = write_npz(tmp_path / "jets.npz", constituents=constituents, labels=labels)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["constituents.npy"] = members["constituents.npy"][:-16]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r"expected 2,880 bytes in constituents.npy for shape .*, got 2,864"):
        jets.read(path)


@pytest.mark.parametrize(
    ("labels", "message"), [([1, 1], "2 top jets only; add background"), ([0, 0, 0], "3 background jets only; add top")]
)
def test_one_class_only_is_refused_where_both_are_needed(labels, message):
    with pytest.raises(InputError, match=rf"mine\.h5.*{message}"):
        jets.require_both_classes(np.array(labels), "mine.h5")
    jets.require_both_classes(np.array([0, 1]), "mine.h5")


def test_units_and_frames_that_cannot_be_are_refused(tmp_path):
    constituents, labels = sample()
    with pytest.raises(InputError, match=r"at most 50,000 GeV, got .*, first in jet \d.*divide by 1000"):
        jets.read(write_npz(tmp_path / "mev.npz", constituents=1000 * constituents, labels=labels))
    pt = np.hypot(constituents[..., 1], constituents[..., 2])
    eta, phi = np.random.default_rng(0).uniform(-1, 1, (2, *pt.shape)) * (pt > 0)
    polar = np.stack([pt + 2 * (pt > 0), eta, phi, np.zeros_like(pt)], axis=-1)
    with pytest.raises(InputError, match=r"larger ones in most jets.*if they are \(pt, eta, phi, m\), convert them"):
        jets.read(write_npz(tmp_path / "polar.npz", constituents=polar, labels=labels))


def test_sizes_that_memory_cannot_hold_are_refused_before_reading(tmp_path):
    with h5py.File(tmp_path / "huge.h5", "w") as file:  # 16 TB that take no place on the disk
        file.create_dataset("constituents", (10**10, 100, 4), np.float32, chunks=(1000, 100, 4))
        file.create_dataset("labels", (10**10,), np.uint8, chunks=(1000,))
    with pytest.raises(InputError, match="GiB of free memory for its jets"):
        jets.read(tmp_path / "huge.h5")


@pytest.fixture(scope="module")
def simulated():
    return jets.read(jets.embedded(), limit=6000).constituents[:, :20]


@pytest.mark.parametrize("order", [(0, 3, 2, 1), (0, 1, 3, 2), (0, 2, 3, 1), (0, 3, 1, 2)])
@pytest.mark.parametrize("number", [4000, 6000])
def test_a_beam_along_another_axis_is_refused(order, number, simulated, tmp_path):
    path = tmp_path / "jets.npz"
    np.savez(path, constituents=simulated[:number, :, order], labels=np.arange(number) % 2)
    with pytest.raises(InputError, match=r"a beam that seems to lie along p[xy], not pz; write"):
        jets.read(path)
    source = jets.rows(path)  # in ranges, as streams read
    with pytest.raises(InputError, match="seems to lie along"):
        [source.rows(first, first + 500) for first in range(0, number, 500)]


def test_jets_about_the_beam_or_turned_to_one_azimuth_are_read(simulated, tmp_path):
    turned = simulated.astype(np.float64)
    whole = turned.sum(axis=1)
    angle = -np.arctan2(whole[:, 2], whole[:, 1])[:, None]
    x, y = turned[..., 1].copy(), turned[..., 2].copy()
    turned[..., 1], turned[..., 2] = (
        np.cos(angle) * x - np.sin(angle) * y,
        np.sin(angle) * x + np.cos(angle) * y,
    )

    def moved(rapidity):  # of the whole jets, along the beam
        whole = turned.sum(axis=1)
        shift = (rapidity - np.arctanh(whole[:, 3] / whole[:, 0]))[:, None]
        energy, along = turned[..., 0], turned[..., 3]
        rest = np.cosh(shift) * energy + np.sinh(shift) * along, np.sinh(shift) * energy + np.cosh(shift) * along
        return np.stack([rest[0], turned[..., 1], turned[..., 2], rest[1]], axis=-1)

    flat = moved(np.random.default_rng(0).uniform(-1.9, 1.9, len(turned)))
    others = (turned, moved(0.0), flat, simulated[:1000][..., [0, 3, 2, 1]])
    for number, found in enumerate((simulated, simulated[..., [0, 2, 1, 3]], *others)):
        np.savez(tmp_path / f"{number}.npz", constituents=found, labels=np.arange(len(found)) % 2)
        assert len(jets.read(tmp_path / f"{number}.npz").labels) == len(found)
