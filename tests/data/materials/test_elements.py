"""The tables of elements: electrons counted from configurations, and every value against a second, published copy."""

import csv
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from jaxsci.data.materials import elements
from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.errors import InputError

needs_data = pytest.mark.skipif("JAXSCI_DATA" not in os.environ, reason="needs the files that JAXSCI_DATA points to")


@pytest.fixture(scope="module")
def folder():
    return Path(os.environ["JAXSCI_DATA"]) / "elements"


@pytest.fixture(scope="module", params=["paper", "extended"])
def table(request, folder):
    return elements.table(request.param, folder / "mendeleev_v0.6.0_elements.db")


@pytest.mark.parametrize(
    ("configuration", "block", "count"),
    [
        ("1s", "s", 1),
        ("1s2", "s", 2),
        ("1s2 2s2 2p5", "p", 7),
        ("1s2 2s2 2p6 3s2 3p6 3d5 4s", "d", 6),
        ("1s2 2s2 2p6 3s2 3p6 3d10 4s2 4p", "p", 3),
        ("1s2 2s2 2p6 3s2 3p6 3d10 4s2 4p6 4d10", "d", 10),
        ("1s2 2s2 2p6 3s2 3p6 3d10 4s2 4p6 4d10 5s2 5p6 4f3 6s2", "f", 2),
    ],
)
def test_valence_electrons(configuration, block, count):
    assert elements.valence(elements.subshells(configuration), block) == count


@needs_data
def test_every_column_has_a_unit_and_a_source_and_every_number_is_plausible(table):
    assert table.values.shape == (96, len(table.features))
    assert len({feature.name for feature in table.features}) == len(table.features)
    assert all(feature.source for feature in table.features)
    physical = [f.name for f in table.features if f.unit]
    assert {"density", "melting_point", "ionization_energy_1"} <= set(physical)
    assert len(table.features) == 32 if len(table.features) < 40 else 56


@needs_data
def test_the_papers_table_is_that_of_its_authors(folder):
    """Where both have a value; four columns of theirs were filled up from another source, and palladium's valence is 12 there."""
    table = elements.table("paper", folder / "mendeleev_v0.6.0_elements.db")
    column = {feature.name: table.values[:, i] for i, feature in enumerate(table.features)}
    with (folder / "pereti_22_features_raw.csv").open() as file:
        theirs = list(csv.DictReader(file))
    assert [row["symbol"] for row in theirs] == list(SYMBOLS[:96])
    renamed = {"ionenergies": "ionization_energy_1"}
    compared = 0
    for name in set(theirs[0]) - {"symbol", "block", "lattice_structure"}:
        ours = column[renamed.get(name, name)]
        known = ~np.isnan(ours)
        if name == "valence":
            known[SYMBOLS.index("Pd")] = False
        # They kept ionization energies to six decimals.
        np.testing.assert_allclose(ours[known], np.array([float(r[name]) for r in theirs])[known], rtol=1e-6, atol=1e-6)
        compared += known.sum()
    assert compared > 1700
    for i, row in enumerate(theirs):
        assert column[f"lattice_{row['lattice_structure']}"][i] == 1
        assert elements.BLOCKS[int(column["block"][i])] == row["block"]


@needs_data
def test_the_papers_features_as_the_network_sees_them(folder):
    """Their standardized columns, for those without filled-up values."""
    table = elements.table("paper", folder / "mendeleev_v0.6.0_elements.db")
    ours = dict(zip([f.name for f in table.features], elements.standardized(table).T, strict=True))
    with (folder / "pereti_dataset_atom_standardised.csv").open() as file:
        theirs = list(csv.DictReader(file))
    for name in ("atomic_volume", "evaporation_heat", "group_id", "lattice_constant", "en_pauling", "atomic_weight"):
        expected = np.array([float(row[name]) for row in theirs])
        np.testing.assert_allclose(ours[name], expected, rtol=1e-5, atol=1e-5)  # float32 of numbers of order 1


@needs_data
def test_standardized_columns(table):
    scaled = elements.standardized(table).astype(np.float64)
    assert np.isfinite(scaled).all()
    for i, feature in enumerate(table.features):
        if set(np.unique(scaled[:, i])) <= {0.0, 1.0}:
            continue
        # float32 numbers, of which the largest is about 9
        assert scaled[:, i].mean() == pytest.approx(0, abs=1e-5), feature.name
        assert scaled[:, i].std() == pytest.approx(1, abs=1e-5), feature.name


@needs_data
def test_the_orbitals_of_copper_and_neodymium(folder):
    table = elements.table("extended", folder / "mendeleev_v0.6.0_elements.db")
    names = [feature.name for feature in table.features]

    def of(symbol, *wanted):
        return [table.values[SYMBOLS.index(symbol), names.index(name)] for name in wanted]

    assert of("Cu", "d_electrons", "d_holes", "s_electrons", "s_holes", "p_electrons") == [10, 0, 1, 1, 0]
    assert of("Nd", "f_electrons", "f_holes", "d_electrons", "s_electrons") == [4, 10, 0, 2]
    assert of("Ne", "p_electrons", "p_holes", "s_electrons") == [6, 0, 2]
    assert of("Pb", "f_electrons", "d_electrons", "s_electrons", "p_electrons") == [14, 10, 2, 2]


def test_files_that_are_not_the_database_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        elements.table("paper", tmp_path / "elements.db")
    (tmp_path / "text.db").write_text("not a database, but long enough to be read as one" * 10)
    with pytest.raises(InputError, match="file is not a database; run `jaxsci data fetch elements`"):
        elements.table("paper", tmp_path / "text.db")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE planets (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="no such table: elements"):
        elements.table("paper", tmp_path / "other.db")
    with pytest.raises(InputError, match="one of paper, extended"):
        elements.table("alchemy", tmp_path / "other.db")
