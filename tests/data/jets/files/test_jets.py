import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data import jets
from jaxsci.data.jets import compact
from jaxsci.errors import InputError
from tests.data.jets.files.small import formats, sample, write_h5, write_npz


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


def test_column_major_arrays_are_read(tmp_path):
    constituents, labels = sample()
    path = write_npz(tmp_path / "jets.npz", constituents=np.asfortranarray(constituents), labels=labels)
    np.testing.assert_array_equal(jets.read(path).constituents, constituents)
    np.testing.assert_array_equal(next(jets.stream(path, chunk=7)).constituents, constituents[:7])


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


def test_labels_may_be_a_column(tmp_path):
    constituents, labels = sample()
    read = jets.read(write_npz(tmp_path / "jets.npz", constituents=constituents, labels=labels[:, None]))
    np.testing.assert_array_equal(read.labels, labels)


def test_the_first_jets_of_a_file_are_the_first_jets_of_all():
    whole = jets.read(jets.embedded())
    for limit in (1, 9_999, 10_001):
        part = jets.read(jets.embedded(), limit=limit)
        np.testing.assert_array_equal(part.constituents, whole.constituents[:limit])
        np.testing.assert_array_equal(part.labels, whole.labels[:limit])


def test_no_more_jets_are_read_than_there_are(tmp_path):
    constituents, labels = sample()
    path = write_npz(tmp_path / "jets.npz", constituents=constituents, labels=labels)
    np.testing.assert_array_equal(jets.read(path, limit=10**9).labels, labels)


def test_rounding_of_half_precision_is_no_error(tmp_path):
    constituents, labels = sample()
    path = write_npz(tmp_path / "jets.npz", constituents=constituents.astype(np.float16), labels=labels)
    assert len(jets.read(path).labels) == 30
