"""Files that are nearly right: each is read as it is meant, or refused with a line that says what is wrong."""

import h5py
import numpy as np
import pytest

from jaxsci.data import columns, dimuons, images
from jaxsci.data.jets import sample
from jaxsci.data.materials import superconductors
from jaxsci.data.materials.formula import FormulaError, parse
from jaxsci.data.materials.formula_table import stream
from jaxsci.errors import InputError


@pytest.mark.parametrize(
    "text", ["Fe(III)2O3", "Am(II)", "CuO(IV)", "2H NbSe2", "1T TaS2", "YBaCuO", "BiPbSrCaCuO", "NdCeCuO", "TlBaCaCuO"]
)
def test_texts_that_only_look_like_formulas_are_refused(text):
    with pytest.raises(FormulaError, match="expected"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "elements"),
    [("PbI2", {"Pb", "I"}), ("Pb(I1)2", {"Pb", "I"}), ("LaCuOS", {"La", "Cu", "O", "S"}), ("H2S", {"H", "S"})],
)
def test_formulas_that_look_like_such_texts_are_read(text, elements):
    assert set(parse(text)) == elements


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('formula,Tc,note\nMgB2,39,"a\nNb,9,b\nPb,7,c\n', "unexpected end of data in line 4"),
        ("formula,Tc\n(none),(mK)\nMgB2,39\nNb,9\nPb,7\n", r"got the unit '\(mK\)'"),
        ("formula;Tc\n-;°C\nMgB2;39\nNb;9\nPb;7\n", "got the unit '°C'"),
        ("formula,Tc\nW,15\nIr,112\nTi,390\nRu,300\nAl,175\n", "got 3 of 5 rows above"),
    ],
)
def test_tables_of_tc_in_another_unit_or_with_an_open_quote_are_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        superconductors.read_measured("own", tmp_path / "t.csv")


@pytest.mark.parametrize("encoding_name", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_told_without_its_mark_too(tmp_path, encoding_name):
    (tmp_path / "t.csv").write_bytes("formula,Tc\nMgB2,39\n".encode(encoding_name))
    for read in (columns.read, lambda path: superconductors.read_measured("own", path)):
        with pytest.raises(InputError, match="got UTF-16"):
            read(tmp_path / "t.csv")


def test_the_compound_is_the_formula_and_not_its_element(tmp_path):
    (tmp_path / "t.csv").write_text("element,compound,Tc\nMg,MgB2,39\nNb,Nb3Sn,18\n", encoding="utf-8")
    assert superconductors.read_measured("own", tmp_path / "t.csv").formulas.tolist() == ["MgB2", "Nb3Sn"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a;b\n1,234;0.5\n5,678;1.5\n", "thousands separators, got '1,234' in the column a"),
        ("a;b\n1.234;0,5\n5.678;1,5\n", "thousands separators, got '1.234' in the column a"),
        ("a\tb\n1,234\t1\n700\t2\n", "thousands separators, got '1,234' in the column a"),
        ("a;b\n1.234;1\n700;2\n", "thousands separators, got '1.234' in the column a"),
        ("a;b\n1,234;1\n700;2\n;3\n", "thousands separators, got '1,234' in the column a"),
        ('a,b\n"1,234",1\n700,2\n', "thousands separators, got '1,234' in the column a"),
        ("a;b\n1,5;1\n1.5;2\n;3\n", "one decimal mark in the column a, got '1.5' and '1,5'"),
        ('a,b\n1,x\n2,"y\n3,z\n', "unexpected end of data in line 4"),
        ("a,b\nM\xfcller,1\nM\xf6ller,2\n".encode("latin-1"), "expected UTF-8 text in the column a"),
    ],
)
def test_columns_that_cannot_be_known_are_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        columns.read(tmp_path / "t.csv")


def test_decimal_commas_of_three_digits_are_decimals_and_long_whole_numbers_stay_exact(tmp_path):
    (tmp_path / "t.csv").write_text(f"a;n\n0,123;{10**22 + 1}\n1,234;{10**22 + 2}\n", encoding="utf-8")
    read = columns.read(tmp_path / "t.csv")
    assert read["a"].tolist() == [0.123, 1.234]
    assert len(set(read["n"])) == 2


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("PK,b\n1,2\n3,4\n", [1, 3]),
        ("a;b\n1;0.5\n1e3;1.5\n", [1, 1000]),
        ("a;b\n1,234;0,5\n2;1,5\n", [1.234, 2]),
        ("a\tb\n1.234\t1\n700\t2\n", [1.234, 700]),
        ('a,b\n1.234,"x,y"\n700,z\n', [1.234, 700]),
    ],
)
def test_numbers_that_can_be_known_are_read(tmp_path, text, values):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert next(iter(columns.read(tmp_path / "t.csv").values())).tolist() == values


def test_a_number_that_is_missing_stands_beside_decimals(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1;0.5\nnan;1.5\n", encoding="utf-8")
    np.testing.assert_array_equal(columns.read(tmp_path / "t.csv")["a"], [1, np.nan])


POLAR = "pt1,eta1,phi1,pt2,eta2,phi2"
CARTESIAN = "E1,px1,py1,pz1,E2,px2,py2,pz2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{POLAR}\n40,0.1,0,42,0.2,170\n", "azimuths in radians in the column phi2, got 170 in row 0"),
        (f"{POLAR}\n-40,0.1,0,42,0.2,3\n", "a pT above 0 in the column pt1"),
        (f"{POLAR},m1,m2\n40,0.1,0,42,0.2,3,105.7,105.7\n", "masses of one muon in GeV"),
        (f"{CARTESIAN}\n40,45,0,0,46,-46,0,0\n", "an energy of at least the momentum in the column E1"),
        ("M\n0.0912\n", "masses of two muons"),
        ("M,Q1,Q2\n91,0,1\n92,1,-1\n", "charges of -1 and 1 in the column Q1, got 0 in row 0"),
        ("M,Run,Event\n91,1,\n92,1,\n", "a blank cell in row 0"),
        (f"M,Run,Event\n91,1,{2**53 + 1}.0\n92,1,2.0\n", "reals hold those below"),
        ("M,counts\n60.5,3\n61.5,4\n62.5,5\n63.5,4\n64.5,3\n", "bins of a histogram"),
    ],
)
def test_muons_that_cannot_be_are_refused(tmp_path, text, message):
    (tmp_path / "d.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        dimuons.read(tmp_path / "d.csv")


def test_columns_that_were_understood_and_not_used_are_named(tmp_path):
    (tmp_path / "d.csv").write_text("M,Q1,Run,Type\n91,1,1,TT\n92,1,1,GT\n", encoding="utf-8")
    assert dimuons.read(tmp_path / "d.csv").unused == ("Q1", "Run", "Type")
    (tmp_path / "d.csv").write_text("M,Type,mcWeight\n91,g g,2\n92,gt,1\n", encoding="utf-8")
    read = dimuons.read(tmp_path / "d.csv")
    assert read.mass.tolist() == [91]
    assert read.weight.tolist() == [2]
    assert read.unused == ()


JET = np.tile([[50.0, 30.0, 0.0, 40.0], [5.0, 0.0, 3.0, 4.0]], (4, 1, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"constituents": JET / 1000}, "expected jets of at least 2 GeV, got less in 100%, such as 0.055"),
        ({"constituents": JET * [1.03, 1, 1, 1]}, "masses of at most 20% of the energy"),
        ({"constituents": JET, "mask": np.ones((4, 2), bool)}, "found mask too"),
        ({"constituents": JET, "is_pad": np.zeros((4, 2), bool)}, "found is_pad too"),
        ({"constituents": JET, "valid": np.ones((4, 2, 1), bool)}, "found valid too"),
    ],
)
def test_jets_in_tev_off_shell_or_with_a_mask_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "j.npz", labels=np.arange(4) % 2, **arrays)
    with pytest.raises(InputError, match=message):
        sample.read(tmp_path / "j.npz")


X, Y = np.arange(8 * 36, dtype=np.uint8).reshape(8, 6, 6), np.arange(8) % 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X[:, None].repeat(3, 1), "y": Y}, "with channels first"),
        ({"x": X, "y": Y, "weights": Y + 1.0}, "got weights too"),
        ({"x": X / np.where(Y, 1, 255)[:, None, None], "y": Y}, "on one scale"),
        ({"x": X, "y": Y, "images": X, "labels": 1 - Y}, "got x and images; leave one out"),
        ({"train_images": X, "train_labels": Y, "test_images": X, "test_labels": Y + 1}, "none of class 2"),
    ],
)
def test_images_that_cannot_be_known_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "i.npz", **arrays)
    with pytest.raises(InputError, match=message):
        images.read(tmp_path / "i.npz")


def test_images_of_0_and_1_stay_as_they_are(tmp_path):
    np.savez(tmp_path / "i.npz", x=X % 2, y=Y)
    read = images.read(tmp_path / "i.npz")
    assert read.x.max() == 1
    assert read.unit == 1
    assert images.read(tmp_path / "i.npz", classes=2, unit=1).x.max() == 1


@pytest.mark.parametrize("name", ["mass", "M"])
def test_masses_of_light_pairs_in_mev_are_refused(name, tmp_path):
    path = tmp_path / "pairs.csv"
    masses = np.random.default_rng(0).normal(3097, 30, 50)  # of the J/psi
    path.write_text(f"{name}\n" + "".join(f"{mass:.3f}\n" for mass in masses))
    with pytest.raises(InputError, match=r"most below 1,000, got a median of 3,\d+; divide by 1000 if they are in MeV"):
        dimuons.read(path)
    assert len(dimuons.read(path, typical=4000.0).mass) == 50  # of a Z' in GeV
    path.write_text(f"{name}\n" + "".join(f"{mass / 1000:.6f}\n" for mass in masses))
    assert len(dimuons.read(path).mass) == 50


def test_the_separator_that_spreadsheets_name_is_no_column_and_numbers_are_no_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\na;b\n1,5;2\n")
    assert {name: column.tolist() for name, column in columns.read(path).items()} == {"a": [1.5], "b": [2]}
    path.write_text("sep=;\nformula;Tc\nMgB2;39,5\n")
    (chunk,) = stream(path, with_tc=True)
    assert (chunk.formulas, chunk.tc) == (["MgB2"], [39.5])
    path.write_text("1,2.5\n3,4\n")
    with pytest.raises(InputError, match=r"expected names of columns in the first line, got 1, 2.5; write names above"):
        columns.read(path)
    path.write_text("sep=|\na|b\n1|2\n")
    with pytest.raises(InputError, match="got bars in"):
        columns.read(path)


@pytest.mark.parametrize("head", ["0,1,2", "400.0,402.5,405.0", "1990,2000,2010", "1,2,4,8,16,32,64,128", "0,1"])
def test_numbers_that_rise_are_names(head, tmp_path):
    path = tmp_path / "t.csv"
    row = ",".join("5" for _ in head.split(","))
    path.write_text(f"{head}\n{row}\n{row}\n")
    assert list(columns.read(path)) == head.split(",")
    path.write_text(f"{head}\n{head}\n{row}\n")  # rows of such numbers without names
    with pytest.raises(InputError, match="before names that are numbers a letter, as in c0, c1"):
        columns.read(path)


def write_images(path, labels, x=None):
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.random((24, 6, 6)) if x is None else x, y=np.array(labels)[np.arange(24) % len(labels)])
    return path


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["Cat", "cat", "dog"], "in two ways"), (["nan", "cat"], "'nan' for none"), (["<NA>", "a"], "none")],
)
def test_labels_that_are_written_in_two_ways_or_stand_for_none_are_refused(tmp_path, labels, message):
    with pytest.raises(InputError, match=message):
        images.read(write_images(tmp_path / "i.npz", labels))


def test_none_may_be_a_class_of_images(tmp_path):
    assert images.read(write_images(tmp_path / "i.npz", ["none", "mild"])).names == ("mild", "none")


@pytest.mark.parametrize("none", [-999, 1e20, -9999.0, 9.96921e36])
def test_pixels_that_stand_for_none_are_refused(tmp_path, none):
    x = np.random.default_rng(0).random((24, 6, 6))
    x[:, 0, :2] = none
    with pytest.raises(InputError, match="expected pixels that were measured"):
        images.read(write_images(tmp_path / "i.npz", [0, 1], x))
    x[:, 0, :2] = 7.5  # a hot pixel, which was
    assert images.read(write_images(tmp_path / "i.npz", [0, 1], x)).x.max() == 7.5


@pytest.mark.parametrize(("value", "pixels"), [(65535, 9), (32767, 9), (999, 1)])
def test_saturated_and_hot_pixels_were_measured(tmp_path, value, pixels):
    x = np.floor(400 * np.random.default_rng(0).random((24, 6, 6)))
    x.reshape(-1)[:pixels] = value
    assert images.read(write_images(tmp_path / "i.npz", [0, 1], x)).x.max() == value


@pytest.mark.parametrize("names", [list("ABCDEFabcdef"), ["Na", "Cl", "Fe"]])
def test_letters_and_sodium_are_classes(tmp_path, names):
    assert images.read(write_images(tmp_path / "i.npz", names)).names == tuple(sorted(names))


def test_two_channels_first_are_no_images_of_height_two(tmp_path):
    with pytest.raises(InputError, match="channels first"):
        images.read(write_images(tmp_path / "i.npz", [0, 1], np.zeros((24, 2, 6, 6))))


@pytest.mark.parametrize(
    ("name", "value", "read"), [("scale_factor", 1 / 255, False), ("add_offset", 3, False), ("scale_factor", 1.0, True)]
)
def test_numbers_that_are_to_be_scaled_first_are_refused(tmp_path, name, value, read):
    with h5py.File(tmp_path / "i.h5", "w") as file:
        file["x"], file["y"] = np.random.default_rng(0).integers(0, 255, (24, 6, 6), np.uint8), np.arange(24) % 2
        file["x"].attrs[name] = value
    if read:
        assert images.read(tmp_path / "i.h5").classes == 2
        return
    with pytest.raises(InputError, match=f"expected numbers as they are in /x, got the attribute {name}"):
        images.read(tmp_path / "i.h5")


@pytest.mark.parametrize(
    ("unit", "read"), [("GeV", True), (b"GeV/c", True), ("MeV", False), ("TeV", False), (np.bytes_(b"keV"), False)]
)
def test_the_unit_of_an_attribute_holds(tmp_path, unit, read):
    with h5py.File(tmp_path / "j.h5", "w") as file:
        file["constituents"], file["labels"] = 100 * np.array(JET), np.arange(len(JET)) % 2
        file["constituents"].attrs["units"] = unit
    if read:
        sample.read(tmp_path / "j.h5")
        return
    with pytest.raises(InputError, match="convert it to GeV"):
        sample.read(tmp_path / "j.h5")
