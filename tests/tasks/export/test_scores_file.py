"""Predictions on disk: the same in every format, and whole or absent."""

import csv
import subprocess
import sys

import h5py
import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.tasks import scores_file

CHUNKS = [
    {"logit": np.array([0.5, -1.25]), "class": np.array([1, 0])},
    {"logit": np.array([2.0]), "class": np.array([1])},
]


def read(path):
    if path.suffix == ".csv":
        with path.open() as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return {name: file[name][:] for name in file}
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize("suffix", scores_file.SUFFIXES)
def test_chunks_are_joined_in_order(tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    scores_file.write(path, CHUNKS)
    found = read(path)
    np.testing.assert_array_equal(found["logit"], [0.5, -1.25, 2.0])
    np.testing.assert_array_equal(found["class"], [1, 0, 1])


@pytest.mark.parametrize("suffix", scores_file.SUFFIXES)
def test_an_error_on_the_way_leaves_the_old_file_and_no_other(tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    path.write_text("old")

    def broken():
        yield CHUNKS[0]
        raise InputError("row 2 is bad")

    with pytest.raises(InputError, match="row 2"):
        scores_file.write(path, broken())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_formats_and_empty_inputs_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.csv, \.h5, \.npz, got '\.txt'"):
        scores_file.write(tmp_path / "scores.txt", CHUNKS)
    with pytest.raises(InputError, match="at least one example"):
        scores_file.write(tmp_path / "scores.csv", [])
    assert list(tmp_path.iterdir()) == []


def test_the_examples_themselves_and_what_is_no_file_are_never_replaced(tmp_path):
    source = tmp_path / "mine.npz"
    source.write_bytes(b"jets")
    (tmp_path / "link.npz").symlink_to(source)
    for out in (source, tmp_path / "link.npz"):
        with pytest.raises(InputError, match="which would be lost"):
            scores_file.check(out, source)
    (tmp_path / "device.csv").symlink_to("/dev/null")
    (tmp_path / "folder.csv").mkdir()
    for name in ("device.csv", "folder.csv"):
        with pytest.raises(InputError, match="got a folder, a device or a pipe"):
            scores_file.write(tmp_path / name, [{"a": np.ones(2)}])
    (tmp_path / "old.csv").write_text("old")
    (tmp_path / "to-old.csv").symlink_to("old.csv")
    scores_file.write(tmp_path / "to-old.csv", [{"a": np.ones(2)}])
    assert (tmp_path / "to-old.csv").is_symlink()
    assert (tmp_path / "old.csv").read_text().startswith("a")


@pytest.mark.parametrize("suffix", [".csv", ".h5", ".npz"])
def test_a_full_disk_is_an_error_and_leaves_nothing(suffix, tmp_path):
    """In a process that may write only 4,096 bytes to a file: it must end by itself, not by a fault of a library at its exit."""
    code = f"""
import resource, signal
import numpy as np
from pathlib import Path
from jaxsci.tasks import scores_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    scores_file.write(Path({str(tmp_path / "out")!r} + {suffix!r}), [{{"x": np.random.default_rng(0).random(100_000)}}] * 2)
except OSError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "refused"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_what_may_be_unknown_is_blank(tmp_path):
    columns = {name: np.array([1.5, np.nan]) for name in ("tc_K", "nearest_tc_K")}
    scores_file.write(tmp_path / "out.csv", [columns], unknown=("nearest_tc_K", "absent"))
    assert (tmp_path / "out.csv").read_text().split() == ["tc_K,nearest_tc_K", "1.5,1.5", "nan,"]
