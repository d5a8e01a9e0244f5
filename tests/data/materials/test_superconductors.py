"""The tables of superconductors: cleaning rules, families, splits; the published files where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxsci.data.materials import superconductors as sc
from jaxsci.data.materials.compositions import encode, same_composition, same_system
from jaxsci.data.materials.formula import parse
from jaxsci.data.split import split_groups
from jaxsci.errors import InputError

needs_data = pytest.mark.skipif("JAXSCI_DATA" not in os.environ, reason="needs the files that JAXSCI_DATA points to")

TABLE = """name,Tc
MgB2,39
Mg2B4,37
B2Mg,41
Nb,0
LaH10,250
YBa2Cu3O7-x,90
Nb3Sn,18
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def test_the_rules_of_cleaning_and_their_counts(table):
    rows = sc.read_measured("stanev", table)
    assert rows.formulas.tolist() == ["MgB2", "Mg2B4", "B2Mg", "Nb3Sn"]
    counts = {"rows": 7, "formula not readable": 1, "Tc not reported": 1, "Tc above 150 K": 1}
    assert rows.cleaning == counts
    assert rows.cleaning["rows"] - sum(list(counts.values())[1:]) == len(rows.tc)
    merged = sc.read_measured("stanev", table, merge=True)
    assert merged.formulas.tolist() == ["MgB2", "Nb3Sn"]
    assert merged.tc.tolist() == [39, 18]
    assert merged.cleaning == {**counts, "composition repeated": 2}


def test_a_table_that_mostly_cannot_be_read_is_refused_with_the_reasons(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("name,Tc\nMgB2,39\nNb3Sn,18\nmagnesium diboride,39\nniobium,9.2\n")
    with pytest.raises(
        InputError, match=r"got 4 rows of which 2 can be used \(formula not readable 2\); the first fault: .*row 4"
    ):
        sc.read_measured("own", path)
    path.write_text("name,element,critical_temp_K\nniobium,Nb,9.2\nmagnesium diboride,MgB2,39\nlead,Pb,7.2\n")
    assert sc.read_measured("own", path).formulas.tolist() == ["Nb", "MgB2", "Pb"]
    path.write_text("what,it is,Tc,Tc new\nniobium,Nb,0,9.2\n")
    own = sc.read_measured("own", path, columns=("it is", "tc new"))
    assert (own.formulas.tolist(), own.tc.tolist()) == (["Nb"], [np.float32(9.2)])


def test_decimal_commas_give_the_same_materials(tmp_path):
    for name, mark in (("english", "."), ("german", ",")):
        rows = [f"Mg{i}B2;{i}{mark}{i}5" for i in range(1, 9)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["formula;Tc", *rows]) + "\n")
    english, german = (sc.read_measured("own", tmp_path / f"{name}.csv") for name in ("english", "german"))
    assert english.cleaning == german.cleaning
    np.testing.assert_array_equal(english.tc, german.tc)
    np.testing.assert_array_equal(english.tc[:2], np.float32([1.15, 2.25]))


def test_the_scatter_of_repeated_measurements(table):
    scatter, rows = sc.repeated_measurements(sc.read_measured("stanev", table))
    assert rows == 3
    assert scatter == pytest.approx(np.std([39, 37, 41], ddof=1))
    with pytest.raises(InputError, match="measured more than once"):
        sc.repeated_measurements(sc.read_measured("stanev", table, merge=True))


def test_compositions_that_are_elsewhere_are_left_out(table):
    rows = sc.read_measured("stanev", table)
    left = sc.without(rows, encode([parse("Mg3B6"), parse("Pb")]), "in the list")
    assert left.formulas.tolist() == ["Nb3Sn"]
    assert left.cleaning["in the list"] == 3


def test_families():
    formulas = ["YBa2Cu3O7", "LaFeAsO", "CeCu2Si2", "MgB2", "CeFeAsO0.9F0.1", "CuS", "UPt3", "Fe3O4"]
    found = sc.family(encode([parse(text) for text in formulas]))
    assert [sc.FAMILIES[i] for i in found] == [
        *("cuprate", "iron-based", "heavy-fermion type", "other", "iron-based", "other", "heavy-fermion type", "other")
    ]


def random_compositions(n=600):
    rng = np.random.default_rng(0)
    symbols = np.array(["Y", "Ba", "Cu", "O", "La", "Sr", "Nb", "Sn"])
    return encode([{s: float(rng.integers(1, 4)) for s in rng.choice(symbols, 2, replace=False)} for _ in range(n)])


@pytest.mark.parametrize(("name", "group"), [("composition", same_composition), ("system", same_system)])
def test_grouped_splits_part_no_group(name, group):
    compositions = random_compositions()
    labels = np.zeros(600, int)
    parts = sc.parts(compositions, labels, name, seed=3)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(600))
    groups = [set(group(compositions)[part]) for part in parts]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    for part, fraction in zip(parts, sc.FRACTIONS, strict=True):
        # to within the largest group
        assert abs(len(part) - fraction * 600) <= np.bincount(group(compositions)).max()
    for part, same in zip(parts, sc.parts(compositions, labels, name, seed=3), strict=True):
        np.testing.assert_array_equal(part, same)
    assert set(parts[2]) != set(sc.parts(compositions, labels, name, seed=4)[2])


def test_the_random_split_parts_what_a_grouped_one_does_not():
    compositions = random_compositions()
    train, _, test = sc.parts(compositions, np.zeros(600, int), "random", seed=3)
    assert len(test) == 120
    assert set(same_composition(compositions)[train]) & set(same_composition(compositions)[test])
    with pytest.raises(InputError, match="one of random, composition, system"):
        sc.parts(compositions, np.zeros(600, int), "alphabetical", seed=1)


def test_too_few_groups_are_refused():
    with pytest.raises(InputError, match="enough groups for three parts, got 2"):
        split_groups(np.array([0] * 5 + [1] * 5), seed=0, fractions=(0.6, 0.2, 0.2))


@needs_data
def test_the_published_tables():
    """Numbers of rows as the provenance of the files gives them."""
    folder = Path(os.environ["JAXSCI_DATA"]) / "superconductors"
    stanev = sc.read_measured("stanev", folder / sc.FILES["stanev"])
    assert stanev.cleaning["rows"] == 16_414
    assert abs(stanev.cleaning["Tc not reported"] - 3_966) < 25  # of which a few are not readable
    assert stanev.cleaning["formula not readable"] == 16 + 89  # of which 89 end in OY, an amount that was not measured
    assert stanev.tc.max() == 143
    hosono = sc.read_tested(folder / sc.FILES["hosono"])
    assert (len(hosono.tc), int((hosono.tc > 0).sum())) == (207, 41)


@needs_data
@pytest.mark.slow
def test_the_long_published_tables():
    folder = Path(os.environ["JAXSCI_DATA"]) / "superconductors"
    nims = sc.read_measured("nims", folder / sc.FILES["nims"])
    assert nims.cleaning["rows"] == 26_321
    assert len(nims.tc) > 20_000
    presumed = sc.read_presumed(folder / sc.FILES["cod"])
    assert presumed.cleaning["rows"] == 162_370
    assert np.isnan(presumed.tc).all()
