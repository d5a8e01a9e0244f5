"""Tables of columns and what is made of muon pairs and reliefs."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from jaxsci.data import columns, dimuons
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
    with pytest.raises(InputError, match="expected 2 entries per line, got 1 in line 3"):
        columns.read(path)
    path.write_text("M\n91.0\nheavy\n")
    with pytest.raises(InputError, match="expected numbers in the column M, got text such as 'heavy' in row 1"):
        dimuons.read(path)
    path.write_text("mass_MeV\n91.0\n")
    with pytest.raises(InputError, match=r"expected a column M or mass in GeV, .*found mass_MeV; rename"):
        dimuons.read(path)
    path.write_text("M\n91.0\nnan\n")
    with pytest.raises(InputError, match="positive masses in GeV up to 14,000, got nan in row 1"):
        dimuons.read(path)
    path.write_text("M\n")
    with pytest.raises(InputError, match="expected rows"):
        columns.read(path)
    np.savez(tmp_path / "p.npz", M=np.ones(3), Q1=np.ones(2))
    with pytest.raises(InputError, match="columns of one length"):
        columns.read(tmp_path / "p.npz")


POLAR = {"pt": [30.0, 55.0], "eta": [-0.6, 1.2], "phi": [-0.5, 2.6], "m": [0.1056583755, 0.1056583755]}


def polar_mass(pt, eta, phi, m):
    """The mass of two particles by the formula for light ones, plus that of massive ones, in one sum of four-momenta."""
    pt, eta, phi, m = map(np.array, (pt, eta, phi, m))
    total = np.array(
        [np.sqrt((pt * np.cosh(eta)) ** 2 + m**2), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    ).sum(1)
    return np.sqrt(total[0] ** 2 - (total[1:] ** 2).sum())


@pytest.mark.parametrize("form", ["{name}{i}", "{name}_{i}", "mu{i}_{name}", "Muon_{name}{i}", "muon_{name}_{i}"])
def test_masses_from_pt_eta_phi_whatever_the_names(tmp_path, form):
    table = {
        form.format(name=name, i=i + 1): np.array([POLAR[name][i]]) for i in (0, 1) for name in ("pt", "eta", "phi")
    }
    charges = {form.format(name="charge", i=i): np.array([q]) for i, q in ((1, "+"), (2, "-"))}
    read = dimuons.read(save(tmp_path / "p.csv", table | charges))
    np.testing.assert_allclose(read.mass, polar_mass(**POLAR), rtol=1e-12)
    assert read.selection == ("opposite charges",)


def test_one_letter_types_and_unused_columns(tmp_path):
    table = {k: v for k, v in PAIRS.items() if k not in ("Type", "Q1", "Q2")}
    table |= {"Type1": np.array(list("GGGGG")), "Type2": np.array(list("GTGGG")), "quality": np.ones(5)}
    table |= {"q1": PAIRS["Q1"], "charge2": PAIRS["Q2"]}
    read = dimuons.read(save(tmp_path / "p.csv", table))
    np.testing.assert_array_equal(read.mass, [90, 92])
    assert read.unused == ("quality",)
    with pytest.raises(InputError, match="expected one column for Q1, got charge1 and q1"):
        dimuons.read(save(tmp_path / "p.csv", {"charge1": PAIRS["Q1"], **table}))


def test_semicolons_decimal_commas_and_fortran_exponents(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("Run;Event;M\n1;1;91,2\n1;2;9,01D+1\n")
    np.testing.assert_allclose(dimuons.read(path).mass, [91.2, 90.1])
    path.write_text("Run;M\n1;91,2\n1;90.1\n")
    with pytest.raises(InputError, match=r"one decimal mark in the column M, got '90\.1' and '91,2'"):
        dimuons.read(path)
    path.write_text("M,i\n91.2,0\n,1\n")
    with pytest.raises(InputError, match="a blank cell in row 1"):
        dimuons.read(path)
    path.write_text("M,quality\n91.2,0\n90.1,N/A\n")
    assert dimuons.read(path).mass.tolist() == [91.2, 90.1]
    path.write_text("M,M\n91.2,0\n")
    with pytest.raises(InputError, match="each column once"):
        columns.read(path)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".root"])
def test_event_numbers_that_float64_cannot_tell_apart(tmp_path, suffix):
    event = np.array([2**63 + 1, 2**63 + 2, 2**63 + 2], np.uint64)
    table = {"run": np.ones(3, np.int64), "event": event, "M": np.array([91.0, 90, 89])}
    np.testing.assert_array_equal(dimuons.read(save(tmp_path / f"p{suffix}", table)).mass, [91, 90])


@pytest.mark.parametrize("name", ["mass [GeV]", "M (GeV)", "M/GeV", "m_mumu [ GeV/c^2 ]"])
def test_the_unit_of_this_library_may_stand_behind_a_name(name, tmp_path):
    (tmp_path / "p.csv").write_text(f"{name}\n91.5\n90\n")
    assert dimuons.read(tmp_path / "p.csv").mass.tolist() == [91.5, 90]
    (tmp_path / "p.csv").write_text(f"{name.replace('GeV', 'MeV')}\n91.5\n90\n")
    with pytest.raises(InputError, match="expected a column M or mass in GeV"):
        dimuons.read(tmp_path / "p.csv")


NANO = {"Muon_pt": [40.0, 50.0], "Muon_eta": [0.0, 1.0], "Muon_phi": [0.0, 3.0], "Muon_charge": [1, -1]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Muon_eta": [[0.0], [1.0, 2.0, 0.5]]}, "got 1 of Muon_eta for 2 of Muon_pt in row 0"),
        ({"Muon_charge": [[1, -1], [1]]}, "got 1 of Muon_charge for 2 of Muon_pt in row 1"),
        ({"Muon_mass": [[0.1, 0.1], []]}, "got 0 of Muon_mass for 2 of Muon_pt in row 1"),
        ({"Muon_pt": [40.0, 50.0]}, "got one number a row in Muon_pt"),
    ],
)
def test_lists_of_muons_are_of_one_length(changed, message, tmp_path):
    path = tmp_path / "p.root"
    with uproot.recreate(path) as file:
        file["Events"] = {name: ak.Array([values, values]) for name, values in NANO.items()}
    assert len(dimuons.read(path).mass) == 2
    with uproot.recreate(path) as file:
        whole = {name: ak.Array([values, values]) for name, values in NANO.items()}
        file["Events"] = {**whole, **{name: ak.Array(values) for name, values in changed.items()}}
    with pytest.raises(InputError, match=message):
        dimuons.read(path)


def test_of_a_tree_written_twice_the_newest_is_read_and_said(tmp_path):
    path = tmp_path / "p.root"
    with uproot.recreate(path) as file:
        for mass in ([91.0], [90.0, 89.0]):
            file.mktree("pairs", {"M": "f8"})
            file["pairs"].extend({"M": np.array(mass)})
    np.testing.assert_array_equal(dimuons.read(path).mass, [90, 89])
    (note,) = columns.notes(path)
    assert note == f"note: {path} holds 2 cycles of the tree pairs; the newest, 2 rows, is read"
    path.with_suffix(".csv").write_text("M\n91\n90\n")
    assert columns.notes(path.with_suffix(".csv")) == []


def test_a_table_without_trees_has_none_of_a_name(tmp_path):
    with pytest.raises(InputError, match="expected a ROOT file, where trees are, got --tree events; leave it out"):
        dimuons.read(save(tmp_path / "p.npz", {"M": np.array([91.0])}), tree="events")


def nano(path, events):
    """A tree with lists of muons (pt, eta, phi, charge) per event, beside another tree."""
    with uproot.recreate(path) as file:
        fields = {
            f"Muon_{name}": ak.Array([[muon[i] for muon in event] for event in events])
            for i, name in enumerate(("pt", "eta", "phi", "charge"))
        }
        file["Events"] = {
            **fields,
            "run": np.ones(len(events), np.int64),
            "HLT_vector": ak.Array([[1.0, 2.0]] * len(events)),
        }
        file["Runs"] = {"run": np.ones(1, np.int64)}
    return path


def test_the_muon_lists_of_nanoaod(tmp_path):
    events = [
        [(30.0, -0.6, -0.5, 1), (55.0, 1.2, 2.6, -1)],
        [(50.0, 0.1, 0.2, 1)],
        [(20.0, 0.0, 3.0, -1), (60.0, 0.5, 0.0, 1), (40.0, 0.4, 0.1, 1), (25.0, 0.3, 2.0, -1)],
        [(30.0, 0.0, 0.0, 1), (30.0, 0.0, 1.0, 1)],
    ]
    read = dimuons.read(nano(tmp_path / "nano.root", events))
    pairs = [(events[0][1], events[0][0]), (events[2][1], events[2][3])]
    expected = [polar_mass(*zip(*(pair[0][:3], pair[1][:3]), strict=True), [0.1056583755] * 2) for pair in pairs]
    np.testing.assert_allclose(read.mass, expected, rtol=1e-6)
    assert read.rows == 4
    assert "HLT_vector" in read.unused


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Muon_mass", 105.7, "masses of one muon in GeV, 0 to 2 in the column Muon_mass, got 105.7 in row 1"),
        ("Muon_pt", np.nan, "a pT above 0 in the column Muon_pt, got nan in row 1"),
        ("Muon_phi", 170.0, "azimuths in radians in the column Muon_phi, got 170 in row 1"),
        ("Muon_charge", 0.0, "charges of -1 and 1 in the column Muon_charge, got 0 in row 1"),
    ],
)
def test_muons_in_lists_that_cannot_be_are_refused(tmp_path, name, value, message):
    with uproot.recreate(tmp_path / "n.root") as file:
        values = {"Muon_pt": 40.0, "Muon_eta": 0.1, "Muon_phi": 1.0, "Muon_charge": 1.0, "Muon_mass": 0.1057}
        columns_of = {key: ak.Array([[x, x], [x, value if key == name else x], []]) for key, x in values.items()}
        file["Events"] = columns_of
    with pytest.raises(InputError, match=message):
        dimuons.read(tmp_path / "n.root")


def test_columns_with_a_list_per_row_are_read_only_where_they_are_asked_for(tmp_path):
    path = tmp_path / "v.root"
    with uproot.recreate(path) as file:
        file["events"] = {"M": np.array([91.2, 90.1]), "Muon_pt": ak.Array([[40.0, 30.0], [50.0]])}
    np.testing.assert_array_equal(dimuons.read(path).mass, [91.2, 90.1])
    assert list(columns.read(path)) in (["M"], ["M", "nMuon_pt"])
    with pytest.raises(InputError, match="one value per row in the column Muon_pt"):
        columns.read(path, only=["Muon_pt"])


def test_lines_above_the_names_are_no_names(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("# of 2016\n\n# in GeV\nM,w\n91.2,1\n90.1,2\n")
    np.testing.assert_array_equal(columns.read(path)["M"], [91.2, 90.1])
    path.write_text("# of 2016\n\nM,w\n91.2,1\n90.1\n")
    with pytest.raises(InputError, match="got 1 in line 5"):
        columns.read(path)
    path.write_text("# of 2016\n")
    with pytest.raises(InputError, match=r"x\.csv: expected"):
        columns.read(path)
    path.write_bytes("M,w\n91.2,1\n".encode("utf-16"))
    with pytest.raises(InputError, match="expected UTF-8 text, got UTF-16"):
        columns.read(path)
