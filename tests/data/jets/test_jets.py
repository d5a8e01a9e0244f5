import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data import jets
from jaxsci.data.jets import compact
from jaxsci.errors import InputError


def sample(n=30, k=6, seed=0):
    """Jets of 1 to k massless constituents, hardest first, as (E, px, py, pz) in float32, and labels of both classes."""
    rng = np.random.default_rng(seed)
    pt = -np.sort(-rng.exponential(50.0, (n, k)) - 1, axis=1) * (np.arange(k) < rng.integers(1, k + 1, n)[:, None])
    eta, phi = rng.normal(0, 1, (2, n, k))
    constituents = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)
    return constituents.astype(np.float32), (np.arange(n) % 2).astype(np.uint8)


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return path


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def write_npz_compressed(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


WRITERS = [
    pytest.param(w, s, id=w.__name__)
    for w, s in ((write_h5, ".h5"), (write_npz, ".npz"), (write_npz_compressed, ".npz"))
]
formats = pytest.mark.parametrize(("write", "suffix"), WRITERS)


@formats
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
def test_jets_come_back(tmp_path, write, suffix, dtype):
    constituents, labels = sample()
    path = write(tmp_path / f"jets{suffix}", constituents=constituents.astype(dtype), labels=labels)
    read = jets.read(path)
    np.testing.assert_array_equal(read.constituents, constituents)
    np.testing.assert_array_equal(read.labels, labels)
    assert read.images is None
    assert (read.constituents.dtype, read.labels.dtype) == (np.float32, np.uint8)
    assert jets.count(path) == 30


@formats
@pytest.mark.parametrize("dtype", ["i8", "f4", "?"])
def test_labels_may_have_any_type_of_number(tmp_path, write, suffix, dtype):
    constituents, labels = sample()
    path = write(tmp_path / f"jets{suffix}", constituents=constituents, labels=labels.astype(dtype))
    np.testing.assert_array_equal(jets.read(path).labels, labels)


@formats
def test_a_stream_gives_what_reading_gives(tmp_path, write, suffix):
    constituents, labels = sample()
    path = write(tmp_path / f"jets{suffix}", constituents=constituents, labels=labels)
    parts = list(jets.stream(path, chunk=7))
    assert [len(part.labels) for part in parts] == [7, 7, 7, 7, 2]
    np.testing.assert_array_equal(np.concatenate([part.constituents for part in parts]), constituents)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), labels)


@formats
def test_files_without_labels_are_for_prediction_only(tmp_path, write, suffix):
    path = write(tmp_path / f"jets{suffix}", constituents=sample()[0])
    assert jets.read(path, labels="optional").labels is None
    assert next(jets.stream(path)).labels is None
    with pytest.raises(InputError, match=r"expected labels.*add an array labels"):
        jets.read(path)


@formats
def test_ready_images_come_back_normalized(tmp_path, write, suffix):
    images = np.random.default_rng(0).uniform(0, 600, (12, 5, 7))
    read = jets.read(write(tmp_path / f"jets{suffix}", images=images, labels=np.arange(12) % 2))
    assert read.constituents is None
    assert read.images.dtype == np.float32
    np.testing.assert_allclose(read.images, images / images.sum(axis=(1, 2), keepdims=True), rtol=1e-6)


def test_constituents_are_sorted_by_pt_and_gaps_closed(tmp_path):
    constituents, labels = sample()
    shuffled = np.random.default_rng(1).permuted(np.arange(6)[None].repeat(30, 0), axis=1)
    mixed = np.take_along_axis(constituents, shuffled[..., None], axis=1)
    for path in (
        write_npz(tmp_path / "a.npz", constituents=mixed, labels=labels),
        write_h5(tmp_path / "a.h5", constituents=mixed, labels=labels),
    ):
        np.testing.assert_array_equal(jets.read(path).constituents, constituents)


def test_the_compact_format_is_recognized(tmp_path):
    constituents, labels = sample()
    path = tmp_path / "jets.h5"
    compact.write(path, constituents, labels, {})
    read = jets.read(path)
    np.testing.assert_array_equal(read.constituents, compact.read(path)[0])
    np.testing.assert_array_equal(read.labels, labels)
    assert jets.count(path) == 30
    assert sum(len(part.labels) for part in jets.stream(path, chunk=8)) == 30


def test_the_embedded_sample_is_what_it_is_said_to_be():
    """15,000 top and 15,000 QCD jets of 550 to 650 GeV: the cuts of the generator, and the mass of the top quark."""
    read = jets.read(jets.embedded())
    assert np.bincount(read.labels).tolist() == [15_000, 15_000]
    total = read.constituents.sum(axis=1, dtype=np.float64)
    pt = np.hypot(total[:, 1], total[:, 2])
    assert (np.abs(pt - 600) < 51).all()  # the quantization moves a jet at the edge by less than 1 GeV
    assert np.abs(np.median(jets.mass(read.constituents[read.labels == 1])) - 173) < 5
    assert np.median(jets.mass(read.constituents[read.labels == 0])) < 100


@given(mass=st.floats(0.1, 300), pt=st.floats(1, 1000), eta=st.floats(-4, 4))
def test_mass_of_a_two_body_decay(mass, pt, eta):
    """A particle of known mass decays to two massless ones at rest; boosted, their mass is its mass."""
    rest = np.array([[mass / 2, 0, mass / 2, 0], [mass / 2, 0, -mass / 2, 0]])
    pz = pt * np.sinh(eta)
    energy = np.sqrt(mass**2 + pt**2 + pz**2)
    velocity = np.array([pt, 0, pz]) / energy
    gamma = energy / mass
    along = rest[:, 1:] @ velocity
    boosted = np.concatenate(
        [
            gamma * (rest[:, :1] + along[:, None]),
            rest[:, 1:] + np.outer(gamma**2 / (gamma + 1) * along + gamma * rest[:, 0], velocity),
        ],
        axis=1,
    )
    found = jets.mass(boosted[None])
    assert found.dtype == np.float32
    # E^2 - p^2 cancels: its error is float64's epsilon times E^2
    np.testing.assert_allclose(found, [mass], rtol=1e-6 + 1e-15 * gamma**2)


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


def test_rounding_of_half_precision_is_no_error(tmp_path):
    constituents, labels = sample()
    path = write_npz(tmp_path / "jets.npz", constituents=constituents.astype(np.float16), labels=labels)
    assert len(jets.read(path).labels) == 30


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


def test_column_major_arrays_are_read(tmp_path):
    constituents, labels = sample()
    path = write_npz(tmp_path / "jets.npz", constituents=np.asfortranarray(constituents), labels=labels)
    np.testing.assert_array_equal(jets.read(path).constituents, constituents)
    np.testing.assert_array_equal(next(jets.stream(path, chunk=7)).constituents, constituents[:7])


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


@pytest.mark.parametrize("write", [write_npz, write_h5])
def test_of_a_sorted_file_each_class_is_drawn_at_random(tmp_path, write):
    constituents, _ = sample(n=600)
    path = write(tmp_path / "sorted.npz", constituents=constituents, labels=(np.arange(600) >= 400).astype(np.uint8))
    part = jets.read(path, limit=90)
    assert np.bincount(part.labels).tolist() == [60, 30]
    rows = [int(np.flatnonzero((constituents == jet).all(axis=(1, 2)))[0]) for jet in part.constituents]
    assert rows == sorted(set(rows))
    assert [row >= 400 for row in rows] == part.labels.astype(bool).tolist()
    assert max(rows[:60]) > 300  # not the first of each class
    np.testing.assert_array_equal(jets.read(path, limit=90).constituents, part.constituents)


def test_units_and_frames_that_cannot_be_are_refused(tmp_path):
    constituents, labels = sample()
    with pytest.raises(InputError, match=r"at most 50,000 GeV, got .*, first in jet \d.*divide by 1000"):
        jets.read(write_npz(tmp_path / "mev.npz", constituents=1000 * constituents, labels=labels))
    pt = np.hypot(constituents[..., 1], constituents[..., 2])
    eta, phi = np.random.default_rng(0).uniform(-1, 1, (2, *pt.shape)) * (pt > 0)
    polar = np.stack([pt + 2 * (pt > 0), eta, phi, np.zeros_like(pt)], axis=-1)
    with pytest.raises(InputError, match=r"masses near E.*if they are \(pt, eta, phi, m\), convert them"):
        jets.read(write_npz(tmp_path / "polar.npz", constituents=polar, labels=labels))


def test_labels_may_be_a_column(tmp_path):
    constituents, labels = sample()
    read = jets.read(write_npz(tmp_path / "jets.npz", constituents=constituents, labels=labels[:, None]))
    np.testing.assert_array_equal(read.labels, labels)


def test_sizes_that_memory_cannot_hold_are_refused_before_reading(tmp_path):
    with h5py.File(tmp_path / "huge.h5", "w") as file:  # 16 TB that take no place on the disk
        file.create_dataset("constituents", (10**10, 100, 4), np.float32, chunks=(1000, 100, 4))
        file.create_dataset("labels", (10**10,), np.uint8, chunks=(1000,))
    with pytest.raises(InputError, match="GiB of free memory for its jets"):
        jets.read(tmp_path / "huge.h5")


def test_the_first_jets_of_a_file_are_the_first_jets_of_all():
    whole = jets.read(jets.embedded())
    for limit in (1, 9_999, 10_001, 10**9):
        part = jets.read(jets.embedded(), limit=limit)
        rows = min(limit, len(whole.labels))
        np.testing.assert_array_equal(part.constituents, whole.constituents[:rows])
        np.testing.assert_array_equal(part.labels, whole.labels[:rows])
