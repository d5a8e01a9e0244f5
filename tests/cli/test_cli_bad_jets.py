"""Files of jets that cannot be used: one line, and nothing is left behind."""

import h5py
import numpy as np
import pytest

from tests.command import refused, write_jets

QUICK = ["--max-jets", "400", "--epochs", "1", "--batch-size", "32"]

# Each: what is done to a file of 300 good jets, and words of the line that must follow.
BAD_JETS = {
    "missing file": (lambda path: path.unlink(), "bad.h5"),
    "empty file": (lambda path: path.write_bytes(b""), "empty"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "truncated"),
    "foreign": (lambda path: path.write_bytes(b"hello" * 1000), "HDF5"),
    "missing labels": (lambda path: edit(path, lambda f: f.__delitem__("labels")), "labels"),
    "missing constituents": (lambda path: edit(path, lambda f: f.__delitem__("constituents")), "constituents"),
    "NaN": (lambda path: edit(path, lambda f: f["constituents"].__setitem__((7, 0, 1), np.nan)), "7"),
    "negative energy": (lambda path: edit(path, lambda f: f["constituents"].__setitem__((7, 0, 0), -5.0)), "7"),
    "no constituents": (lambda path: edit(path, lambda f: f["constituents"].__setitem__(7, 0.0)), "7"),
    "label 2": (lambda path: edit(path, lambda f: f["labels"].__setitem__(7, 2)), "7"),
    "one class": (lambda path: edit(path, lambda f: f["labels"].__setitem__(slice(None), 1)), "background"),
}


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


@pytest.mark.parametrize("name", BAD_JETS)
def test_bad_jets_are_refused_in_one_line_and_leave_nothing(name, tmp_path, some_jets, capsys):
    break_it, words = BAD_JETS[name]
    path = tmp_path / "bad.h5"
    write_jets(path, *some_jets)
    break_it(path)
    line = refused(capsys, "train", "top-tagging", "--data", "bad.h5", *QUICK)
    assert "bad.h5" in line
    assert words in line
    assert not (tmp_path / "runs").exists()
