"""Tables of columns and what is made of muon pairs and reliefs."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import uproot

from jaxsci.data import columns, dimuons
from jaxsci.data.sphere import relief
from jaxsci.errors import InputError

PAIRS = {
    "Type": np.array(["GG", "GT", "GG", "GG", "GG"]),
    "Run": np.array([1, 1, 1, 1, 2]),
    "Event": np.array([7, 7, 7, 8, 7]),
    "Q1": np.array([1, 1, 1, 1, -1]),
    "Q2": np.array([-1, -1, -1, 1, 1]),
    "pt1": np.array([20.0, 40, 30, 50, 5]),
    "pt2": np.array([20.0, 40, 30, 50, 5]),
    "M": np.array([80.0, 91, 90, 60, 92]),
}


def save(path, table):
    if path.suffix == ".npz":
        np.savez(path, **table)
    elif path.suffix == ".csv":
        rows = zip(*table.values(), strict=True)
        path.write_text("\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]) + "\n")
    else:
        with uproot.recreate(path) as file:
            file.mktree("events", {name: column.dtype for name, column in table.items()})
            file["events"].extend(table)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".root"])
def test_one_pair_a_collision_from_every_kind_of_file(tmp_path, suffix):
    table = PAIRS if suffix != ".root" else {k: v for k, v in PAIRS.items() if v.dtype.kind != "U"}
    read = dimuons.read(save(tmp_path / f"pairs{suffix}", table))
    assert read.rows == 5
    # In collision (1, 7) the hardest pair of global muons; without the kinds of tracks the hardest of all. (1, 8) has equal charges.
    np.testing.assert_array_equal(read.mass, [91 if suffix == ".root" else 90, 92])


def test_masses_from_four_momenta(tmp_path):
    table = {"E1": 50.0, "px1": 30.0, "py1": 0.0, "pz1": 40.0, "E2": 50.0, "px2": -30.0, "py2": 0.0, "pz2": -40.0}
    read = dimuons.read(save(tmp_path / "p.npz", {name: np.array([value]) for name, value in table.items()}))
    np.testing.assert_allclose(read.mass, 100)
    assert read.selection == ()


@pytest.mark.skipif("JAXSCI_DATA" not in os.environ, reason="needs the files that JAXSCI_DATA points to")
def test_the_real_file_holds_each_collision_four_times_and_more():
    read = dimuons.read(Path(os.environ["JAXSCI_DATA"]) / "collider" / "uproot-Zmumu.root")
    assert (read.rows, len(read.mass)) == (2304, 500)


def test_an_empty_tree_and_several_trees_are_refused(tmp_path):
    path = tmp_path / "t.root"
    with uproot.recreate(path) as file:
        file.mktree("empty", {"M": "f8"})
    with pytest.raises(InputError, match="the tree empty is empty"):
        columns.read(path)
    with uproot.recreate(path) as file:
        for name in ("a", "b"):
            file.mktree(name, {"M": "f8"})
            file[name].extend({"M": np.array([91.0])})
    with pytest.raises(InputError, match="expected one tree, found a, b; name one with --tree"):
        columns.read(path)
    np.testing.assert_array_equal(columns.read(path, tree="b")["M"], [91.0])
    with pytest.raises(InputError, match="expected a tree c, found a, b"):
        columns.read(path, tree="c")
    path.write_bytes(b"not a ROOT file at all")
    with pytest.raises(InputError, match="cannot be read"):
        columns.read(path)


def test_damaged_tables_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("M,Q1\n91.0,1\n90.0\n")
    with pytest.raises(InputError, match="expected 2 entries a line, got 1 in line 3"):
        columns.read(path)
    path.write_text("M\n91.0\nheavy\n")
    with pytest.raises(InputError, match="expected numbers in the column M, got text"):
        dimuons.read(path)
    path.write_text("mass_GeV\n91.0\n")
    with pytest.raises(InputError, match="but E1, px1, py1, pz1, E2, px2, py2, pz2 is missing"):
        dimuons.read(path)
    path.write_text("M\n91.0\nnan\n")
    with pytest.raises(InputError, match="positive masses in GeV, got nan in row 1"):
        dimuons.read(path)
    path.write_text("M\n")
    with pytest.raises(InputError, match="expected rows"):
        columns.read(path)
    np.savez(tmp_path / "p.npz", M=np.ones(3), Q1=np.ones(2))
    with pytest.raises(InputError, match="columns of one length"):
        columns.read(tmp_path / "p.npz")


def test_coefficients_of_a_relief(tmp_path):
    rows = "  0  0 -2.0 0.0\n  1  0 3.0 0.0\n  1  1 4.0 5.0\n"
    path = tmp_path / "c.msl"
    path.write_text(rows)
    read = relief.read_coefficients(path)
    np.testing.assert_array_equal(read.cosine, [[-2, 0], [3, 4]])
    np.testing.assert_array_equal(read.sine, [[0, 0], [0, 5]])
    assert relief.read_coefficients(path, lmax=0).cosine.shape == (1, 1)
    np.savez(tmp_path / "c.npz", C=read.cosine, S=read.sine)
    np.testing.assert_array_equal(relief.read_coefficients(tmp_path / "c.npz").sine, read.sine)
    with pytest.raises(InputError, match="expected coefficients to degree 5, got 1"):
        relief.read_coefficients(path, lmax=5)
    path.write_text(rows[: rows.rindex("  1  1")])
    with pytest.raises(InputError, match="all degrees and orders"):
        relief.read_coefficients(path)
    (tmp_path / "g.dat.gz").write_bytes(gzip.compress(b"1 2 3 4 5 6"))
    np.testing.assert_array_equal(relief.read_grid(tmp_path / "g.dat.gz", 2, 3), [[1, 2, 3], [4, 5, 6]])
    with pytest.raises(InputError, match="expected 3 x 3 numbers, got 6"):
        relief.read_grid(tmp_path / "g.dat.gz", 3, 3)
