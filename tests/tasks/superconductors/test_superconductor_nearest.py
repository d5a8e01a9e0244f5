"""Whether a formula is in a run's table, and its nearest material there, against all pairs in float64."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from jaxsci.data.materials.compositions import dense, encode, identities
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import SYMBOLS, parse
from jaxsci.errors import InputError
from jaxsci.runs import seen
from jaxsci.tasks.superconductors.ensemble import answer, nearest
from jaxsci.tasks.superconductors.samples import Sample

FORMULAS = ["MgB2", "Mg2B4", "Nb3Sn", "Nb3Ge", "YBa2Cu3O7", "NaCl", "Pb"]
TC = [39.0, 40.0, 18.1, 23.2, 92.0, np.nan, 7.2]


@pytest.fixture
def run(tmp_path):
    compositions = encode([parse(text) for text in FORMULAS])
    splits = (np.array([0, 1, 2, 5]), np.array([3, 4]), np.array([6]))
    tc = np.array(TC, np.float32)
    nearest.save(tmp_path, Sample(np.array(FORMULAS), compositions, tc, splits, None, {}, None, np.isfinite(tc)))
    return tmp_path


def asked(folder, *formulas):
    found = nearest.beside(folder, nearest.read(folder), [parse(text) for text in formulas])
    return {name: column.tolist() for name, column in found.items()}


def test_the_part_the_nearest_material_and_its_tc_are_found(run):
    found = asked(run, "B4Mg2", "Nb3Ge", "Pb", "Nb3Sn0.9Ge0.1", "NaCl", "He")
    assert found["in_table"] == ["training", "validation", "test", "no", "training", "no"]
    assert found["nearest"] == ["MgB2", "Nb3Ge", nearest.NONE, "Nb3Sn", "NaCl", nearest.NONE]  # none of the test part
    # Of two measurements the median; of what is presumed not to superconduct, and of nothing, none.
    np.testing.assert_allclose(found["nearest_tc"], [39.5, 23.2, np.nan, 18.1, np.nan, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found["nearest_difference"], [0, 0, 100, 2.5, 0, 100], atol=1e-4)  # float32, per cent


def test_the_nearest_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    known, many = ((rng.random((n, ELEMENTS)) < 0.06) * rng.uniform(0.1, 3, (n, ELEMENTS)) for n in (60, 40))
    known, many = ([row for row in rows if row.any()] for rows in (known, many))
    f, g = (np.array([row / row.sum() for row in rows]) for rows in (known, many))
    distances = 50 * np.abs(g[:, None] - f).sum(axis=2)  # half of the sum, in per cent
    columns = nearest.Known({}, np.arange(len(f)).astype(str), f.T.astype(np.float32), np.arange(len(f), dtype=float))
    amounts = [{SYMBOLS[i]: float(row[i]) for i in np.flatnonzero(row)} for row in many]
    found = nearest.beside(Path("nowhere"), columns, amounts)
    np.testing.assert_allclose(dense(encode(amounts), ELEMENTS), np.array(many), rtol=1e-6)
    np.testing.assert_allclose(found["nearest_difference"], distances.min(axis=1), atol=1e-4)
    like = distances.min(axis=1) < 99.999
    assert like.sum() > 30
    rows = found["nearest_tc"][like].astype(int)  # among equals the first, up to rounding
    np.testing.assert_allclose(distances[like, rows], distances[like].min(axis=1), atol=1e-4)
    assert not np.isfinite(found["nearest_tc"][~like]).any()


def test_an_older_run_says_that_it_does_not_know(run):
    (run / nearest.FILE).unlink()
    found = asked(run, "MgB2")
    assert found["in_table"] == found["nearest"] == ["not known: trained by an older version"]
    assert np.isnan([*found["nearest_tc"], *found["nearest_difference"]]).all()
    seen.save(run, identities(encode([parse("MgB2")])))  # the hashes are older than the materials
    assert asked(run, "Mg2B4", "Pb")["in_table"] == ["training or validation", "not in training or validation"]
    beside = nearest.beside(run, None, [parse("MgB2")])
    values = {"tc": np.array([30.0]), "out_of_distribution": np.array([False])}
    shown = answer.answer(answer.Predictions(["MgB2"], values, "tc", [{"Mg": 10.0, "B": 20.0}], beside), [], [run])
    assert any("are not known: trained by an older version; train the run again" in note for note in shown.notes)


def test_a_damaged_file_of_materials_is_refused(run):
    path = run / nearest.FILE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"materials.npz: expected the materials of the run, got"):
        nearest.read(run)


def test_of_equally_near_materials_one_with_a_reported_tc_is_found():
    for order in itertools.permutations([("Nb3Al", np.nan), ("Nb3Ge", 23.0), ("Nb3Sn", 18.0)]):
        formulas, tc = zip(*order, strict=True)
        amounts = dense(encode([parse(text) for text in formulas]), ELEMENTS)
        known = nearest.Known({}, np.array(formulas), (amounts / amounts.sum(1, keepdims=True)).T, np.array(tc))
        found = nearest.beside(Path("nowhere"), known, [parse("Nb3Ga"), parse("Nb3Al")])
        assert found["nearest"].tolist() == [next(name for name in formulas if name != "Nb3Al"), "Nb3Al"]
        np.testing.assert_allclose(found["nearest_difference"], [25, 0], atol=1e-4)


def test_a_material_in_no_part_is_a_mistake(tmp_path):
    rows = (np.array([0]), np.array([1]), np.array([], int))
    compositions = encode([parse(text) for text in FORMULAS])
    sample = Sample(np.array(FORMULAS), compositions, np.array(TC), rows, None, {}, None, np.isfinite(TC))
    with pytest.raises(ValueError, match="got 5 of 7 in none"):
        nearest.save(tmp_path, sample)


def test_no_flipped_byte_is_read(run):
    """Each is refused in one line, or changes nothing, as those of times do."""
    path, whole = run / nearest.FILE, nearest.read(run)
    content, noticed = path.read_bytes(), 0
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 255
        path.write_bytes(damaged)
        try:
            back = nearest.read(run)
        except InputError as error:
            assert str(error).startswith(f"{path}: expected the materials of the run")  # noqa: PT017  # either is right
            assert "\n" not in str(error)  # noqa: PT017
            noticed += 1
        else:
            assert back.parts == whole.parts
            for got, expected in zip(back[1:], whole[1:], strict=True):
                np.testing.assert_array_equal(got, expected)
    assert noticed > 100


def test_contributions_have_the_unit_of_the_first_run(run):
    """Also where a run of classes stands first and one of temperatures beside it."""
    beside = nearest.beside(run, nearest.read(run), [parse("MgB2")])
    values = {"probability": np.array([0.9]), "tc": np.array([30.0]), "out_of_distribution": np.array([False])}
    for target, title, name in (
        ("class", "contributions", "contributions"),
        ("tc", "contributions (K)", "contributions_K"),
    ):
        found = answer.Predictions(["MgB2"], values, target, [{"Mg": 0.1, "B": 0.2}], beside)
        shown = answer.answer(found, [], [run, run])
        assert shown.head[-1] == title
        assert shown.rows[0][name] == {"Mg": 0.1, "B": 0.2}
