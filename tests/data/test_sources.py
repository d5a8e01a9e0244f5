"""Rows of files by ranges, against numpy."""

import itertools
import pickle

import h5py
import numpy as np
import pytest

from jaxsci.data import reading, sources
from jaxsci.errors import InputError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(57, 3, 2)).astype(np.float32)
Y = RNG.integers(0, 5, 57)


def write_hdf5(path, first, last, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=X[first:last], **options)
        file.create_dataset("y", data=Y[first:last])


def write_npz(path, first, last):
    np.savez(path, x=X[first:last], y=np.asfortranarray(Y[first:last]))


def write_root(path, first, last):
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(path) as file:
        file["tree"] = {"y": Y[first:last], "z": X[first:last, 0, 0]}


@pytest.mark.parametrize(("suffix", "write"), [("h5", write_hdf5), ("npz", write_npz)])
def test_many_files_are_one_in_the_order_of_their_numbers(tmp_path, suffix, write):
    cuts = [0, 5, 30, 31, *range(33, 50, 2), 57]
    for number, (first, last) in enumerate(itertools.pairwise(cuts)):
        write(tmp_path / f"part_{number}.{suffix}", first, last)  # part_10 comes after part_9
    source = pickle.loads(pickle.dumps(sources.source(tmp_path / f"part_*.{suffix}")))
    assert len(source) == 57
    for first, last in [(0, 57), (0, 1), (4, 6), (29, 34), (56, 57)]:
        rows = source.rows(first, last)
        np.testing.assert_array_equal(rows["x"], X[first:last])
        np.testing.assert_array_equal(rows["y"], Y[first:last])
    assert source.chunks[0] == 0
    assert source.chunks[-1] == 57
    assert set(np.cumsum(np.diff(cuts))) <= set(source.chunks)  # no chunk lies across two files


def test_ranges_of_npy_and_of_column_major_arrays(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "f.npy", np.asfortranarray(X))
    np.savez(tmp_path / "f.npz", rows=np.asfortranarray(X))
    for name in ("x.npy", "f.npy", "f.npz"):
        np.testing.assert_array_equal(sources.source(tmp_path / name).rows(3, 9)["rows"], X[3:9])


def test_root_by_ranges(tmp_path):
    write_root(tmp_path / "a.root", 0, 20)
    write_root(tmp_path / "b.root", 20, 57)
    source = sources.source([tmp_path / "a.root", tmp_path / "b.root"])
    rows = source.rows(18, 23)
    np.testing.assert_array_equal(rows["y"], Y[18:23])
    np.testing.assert_array_equal(rows["z"], X[18:23, 0, 0])


def test_chunks_are_whole_chunks_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_BYTES", 400)  # 12 rows of 32 bytes
    write_hdf5(tmp_path / "a.h5", 0, 57, chunks=(5, 3, 2), compression="gzip")
    np.testing.assert_array_equal(sources.source(tmp_path / "a.h5").chunks, [0, 10, 20, 30, 40, 50, 57])


def test_a_file_that_was_written_anew_is_read_anew(tmp_path):
    np.save(tmp_path / "x.npy", X)
    source = sources.source(tmp_path / "x.npy")
    source.rows(0, 2)
    np.save(tmp_path / "new.npy", 2 * X)
    (tmp_path / "new.npy").replace(tmp_path / "x.npy")
    np.testing.assert_array_equal(source.rows(0, 2)["rows"], 2 * X[:2])


def refusal(pattern):
    with pytest.raises(InputError) as caught:
        sources.source(pattern)
    text = str(caught.value)
    assert "expected" in text
    assert "\n" not in text
    return text


def test_what_cannot_be_used_is_refused_in_one_line(tmp_path):
    assert "none matches" in refusal(tmp_path / "*.h5")
    assert "no such file" in refusal(tmp_path / "a.h5")
    for number in (0, 1, 3, 5):
        write_hdf5(tmp_path / f"shard_{number}.h5", 0, 9)
    assert "none with the number 2 and 1 more" in refusal(tmp_path / "shard_*.h5")
    for number in (0, 1):
        write_hdf5(tmp_path / f"part-{number}-of-3.h5", 0, 9)
    assert "none with the number 2;" in refusal(tmp_path / "part-*.h5")
    assert len(reading.files(tmp_path / "shard_[01].h5")) == 2
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = X[:, :2]
        file["y"] = Y
    assert "x <f4[3, 2], got x <f4[2, 2]" in refusal([tmp_path / "shard_0.h5", tmp_path / "other.h5"])
    with h5py.File(tmp_path / "less.h5", "w") as file:
        file["x"] = X
    assert "got no y" in refusal([tmp_path / "shard_0.h5", tmp_path / "less.h5"])
    with h5py.File(tmp_path / "uneven.h5", "w") as file:
        file["x"] = X
        file["y"] = Y[1:]
    assert "one length, got x 57, y 56" in refusal(tmp_path / "uneven.h5")
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["x"] = X[:0]
    assert "none; leave it out" in refusal(tmp_path / "none.h5")
    np.savez_compressed(tmp_path / "small.npz", x=X)
    assert "compressed x" in refusal(tmp_path / "small.npz")
    (tmp_path / "text.txt").write_text("no arrays")
    assert "begins with" in refusal(tmp_path / "text.txt")
    whole = (tmp_path / "shard_0.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(tmp_path / "half.h5")
