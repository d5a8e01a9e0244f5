"""Superconductors from the command: training, report, evaluation, prediction and bad input, on a small simulated set of tables."""

import csv
import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from jaxsci.cli import printing
from jaxsci.cli.main import main
from jaxsci.data.materials.compositions import encode, identities
from jaxsci.data.materials.formula import parse
from jaxsci.tasks.superconductors import samples
from jaxsci.tasks.superconductors.ensemble import nearest
from jaxsci.tasks.superconductors.predict import predict
from tests.command import refused, requests_of
from tests.tasks.superconductors.superconductor_files import BAD_TABLES, QUICK


@pytest.fixture(autouse=True)
def elsewhere(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXSCI_DATA", str(root / "data"))


def test_both_runs_are_complete(tc_run, class_run):
    for folder in (tc_run, class_run):
        page = (folder / "report.html").read_text()
        assert page.count("data:image/png;base64") == 2 * len(list((folder / "figures").iterdir())) == 12
        assert "jaxsci train superconductors" in page
        assert not requests_of(page)
    tc = json.loads((tc_run / "evaluation.json").read_text())
    assert tc["materials"] == 32  # a fifth of 160
    data = json.loads((tc_run / "config.json").read_text())["data"]
    assert data["cleaning"]["more for training"]["in the other table"] == 9
    assert data["materials"] == 160 + 1
    assert tc["metrics"]["rmse"]["lower"] <= tc["metrics"]["rmse"]["value"] <= tc["metrics"]["rmse"]["upper"]
    assert set(tc["list"]) == set(tc["metrics"])
    found = json.loads((class_run / "evaluation.json").read_text())
    assert np.sum(found["list"]["confusion_matrix"]) == 20
    cleaning = json.loads((class_run / "config.json").read_text())["data"]["cleaning"]
    assert cleaning["superconductors"]["Tc not reported"] == 20
    assert cleaning["more superconductors"]["left"] == 1
    assert cleaning["COD"]["carbon with hydrogen"] == 10
    assert cleaning["SuperCon without Tc"]["left"] <= 20


def test_evaluating_again_gives_the_same_numbers(tc_run, capsys):
    before = (tc_run / "evaluation.json").read_text()
    main(["evaluate", str(tc_run)])
    assert (tc_run / "evaluation.json").read_text() == before
    main(["compare", str(tc_run)])
    assert "rmse" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["tc", "class"])
def test_another_table_is_evaluated_and_what_of_it_was_trained_on_is_said(target, tc_run, class_run, capsys):
    run = tc_run if target == "tc" else class_run
    own = ["Nb0.41Sn", "Nb0.42Sn", "Cu3Ba2O0.4Y", "Cu3Ba2O0.5Y"]
    text = "compound;critical_temp_K\n" + "".join(
        f"{x};{t}\n" for x, t in zip(own, ("9,5", "7", "0", "80"), strict=True)
    )
    Path("more.csv").write_text(text)
    main(["evaluate", str(run), "--data", "more.csv"])
    out = run / "evaluations" / "more"
    found, page = json.loads((out / "evaluation.json").read_text()), (out / "report.html").read_text()
    assert found["part"] == "more.csv"
    assert "None of the" in page
    assert "test split" not in page.partition("How to repeat")[0]
    assert not requests_of(page)
    expected, _ = predict(own, [run])
    if target == "class":
        right = np.mean(expected.values["superconducts"] == [True, True, False, True])
        assert found["metrics"]["accuracy"]["value"] == pytest.approx(right)
    else:  # Tc = 0 is no temperature
        error = (expected.values["tc"] - [9.5, 7, 0, 80])[[0, 1, 3]]
        assert found["metrics"]["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)
        assert found["materials"] == 3
        assert "1 of 4 rows left out (Tc not reported 1)" in capsys.readouterr().err
    Path("all.csv").write_text(
        (Path(os.environ["JAXSCI_DATA"]) / "superconductors" / samples.sc.FILES["stanev"]).read_text()
    )
    main(["evaluate", str(run), "--data", "all.csv"])
    known = json.loads((run / "evaluations" / "all" / "evaluation.json").read_text())["known"]
    if target == "tc":  # four fifths of 160 rows, and those of the others whose composition is among them
        assert 128 <= known < 150
    else:
        assert known > 0
    assert f"Warning: {known:,} of the" in (run / "evaluations" / "all" / "report.html").read_text()
    Path("one.csv").write_text("formula,Tc\nNb3Sn,18\nNb3Ge,18\n")
    assert "of one kind" in refused(capsys, "evaluate", run, "--data", "one.csv")
    Path("other.csv").write_text("formula,T\nNb3Sn,18\n")
    assert "--tc-column" not in refused(capsys, "evaluate", run, "--data", "other.csv")
    shutil.rmtree(run / "evaluations")


def test_formulas_on_the_command_line(tc_run, class_run, capsys):
    main(["predict", "superconductors", "Nb1.5Sn", "HeNa", "Nb30Sn", "--run", str(tc_run), str(class_run)])
    printed = capsys.readouterr().out
    assert "Nb1.5Sn" in printed
    assert "probability" in printed
    assert "warning: HeNa" in printed
    assert "warning: Nb30Sn: far from all materials" in printed
    assert "warning: Nb1.5Sn" not in printed


def test_formulas_and_tables_of_them_are_answered_as_json_and_csv(tc_run, capsys):
    Path("some.csv").write_text("formula,sample\nNb1.5Sn,A\nNbx,B\nHeNa,C\n")
    for words in (["Nb1.5Sn", "HeNa"], ["some.csv", "--skip-bad", "--contributions"]):
        command = ["predict", "superconductors", *words, "--run", str(tc_run)]
        capsys.readouterr()
        main([*command, "--json"])
        out, said = capsys.readouterr()
        assert ("1 left out: formula not readable" in said) == ("some.csv" in words)
        assert "warning: HeNa" in said
        found = json.loads(out)["predictions"]
        assert [entry["formula"] for entry in found] == ["Nb1.5Sn", "HeNa"]
        assert [entry["out_of_distribution"] for entry in found] == [False, True]
        main([*command, "--csv"])
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        assert [float(row["tc_K"]) for row in rows] == [entry["tc_K"] for entry in found]
        parts = {k: float(v) for k, v in (part.split(":") for part in rows[0]["contributions_K"].split())}
        assert parts == found[0]["contributions_K"]
        assert "contributions: Tc in K with the element minus Tc in K" in said
    main([*command, "--out", "x.csv"])  # of the table
    with open("x.csv") as file:
        assert list(csv.DictReader(file)) == rows
    assert [row["row"] for row in rows] == ["2", "4"]
    Path("many.csv").write_text("formula\n" + "Nb1.5Sn\nHeNa\n" * 15)
    capsys.readouterr()
    main(["predict", "superconductors", "many.csv", "--run", str(tc_run)])
    lines = capsys.readouterr().out.splitlines()
    assert sum("Nb1.5Sn" in line for line in lines) == 10
    assert "the first 20 of 30 rows; --csv and --json print all" in lines[-3]
    assert lines[-1].startswith("warning: HeNa and 14 more: far from all")
    assert "got both" in refused(capsys, *command, "--json", "--out", "x.csv")
    assert "expected a table of formulas" in refused(
        capsys, "predict", "superconductors", "Nb", "--run", tc_run, "--out", "x.csv"
    )


def test_an_answer_depends_on_the_composition_alone(tc_run):
    found, _ = predict(["Nb3Sn", "SnNb3", "Sn2Nb6", "(Nb3Sn)4"], [tc_run])
    for values in found.values.values():
        # Amounts become fractions in float32: one rounding.
        np.testing.assert_allclose(values.astype(float), float(values[0]), rtol=1e-5)
    (whole, *_), first = found.values["tc"], found.contributions[0]
    alone, _ = predict(["Nb", "Sn"], [tc_run])
    assert first["Nb"] == pytest.approx(whole - alone.values["tc"][1], rel=1e-4, abs=1e-4)
    assert first["Sn"] == pytest.approx(whole - alone.values["tc"][0], rel=1e-4, abs=1e-4)


def test_a_table_is_predicted_as_its_formulas_are(tc_run):
    Path("some.csv").write_text('sample,formula,tc_K\nA 1,Nb3Sn,18.0\n"B,2",Cu3Ba2O7Y,\n')
    main(["predict", "superconductors", "some.csv", "--run", str(tc_run), "--out", "a.csv", "--contributions"])
    main(["predict", str(tc_run), "some.csv", "--out", "b.h5"])
    lines = Path("a.csv").read_text().splitlines()
    assert lines[0].startswith("row,formula,sample,tc_K (of the table),tc_K,tc_lower_K,tc_upper_K")
    rows = list(csv.DictReader(lines))
    own = [(row["formula"], row["sample"], row["tc_K (of the table)"]) for row in rows]
    assert own == [("Nb3Sn", "A 1", "18.0"), ("Cu3Ba2O7Y", "B,2", "")]
    found, _ = predict(["Nb3Sn", "Cu3Ba2O7Y"], [tc_run])
    np.testing.assert_allclose([float(row["tc_K"]) for row in rows], found.values["tc"], rtol=1e-5)
    import h5py

    with h5py.File("b.h5") as file:
        assert file["formula"].asstr()[:].tolist() == ["Nb3Sn", "Cu3Ba2O7Y"]
        assert file["sample"].asstr()[:].tolist() == ["A 1", "B,2"]
        np.testing.assert_allclose(file["tc_K"], found.values["tc"], rtol=1e-5)


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_refused_with_row_and_reason_and_leave_nothing(name, tc_run, capsys):
    content, words = BAD_TABLES[name]
    Path("bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(capsys, "predict", "superconductors", "bad.csv", "--run", tc_run, "--out", "out.csv")
    assert all(word in line for word in ("bad.csv", *words)), line
    assert not Path("out.csv").exists()


def test_bad_rows_can_be_skipped_and_are_counted(tc_run, capsys):
    Path("bad.csv").write_bytes(b"formula\nNb3Sn\nNbx\nFmO2\nNb\xb3\nNbx2\nNbTi\n")
    main(["predict", "superconductors", "bad.csv", "--run", str(tc_run), "--out", "out.csv", "--skip-bad"])
    assert [line.split(",")[:2] for line in Path("out.csv").read_text().splitlines()[1:]] == [
        ["2", "Nb3Sn"],
        ["7", "NbTi"],
    ]
    printed = capsys.readouterr().out
    assert "2 left out: formula not readable" in printed
    assert "1 left out: element beyond the table" in printed
    assert "1 left out: not UTF-8" in printed


def test_what_else_cannot_be_used(tc_run, capsys):
    assert "character 3" in refused(capsys, "predict", "superconductors", "Nbx", "--run", tc_run)
    assert "at most one run of each target" in refused(
        capsys, "predict", "superconductors", "Nb", "--run", tc_run, tc_run
    )
    assert "nothing" in refused(capsys, "predict", "superconductors", "Nb", "--run", "nothing")
    Path("own.csv").write_text("formula,Tc\nNb3Sn,18 K\n")
    arguments = ("train", "superconductors", "--data", "own.csv", *QUICK)
    assert "0 can be used" in refused(capsys, *arguments)
    assert "--members" in refused(capsys, *arguments[:4], "--members", "0")
    assert "has no probability" in refused(capsys, *arguments, "--prior", "0.2")
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_long_table_is_predicted_in_bounded_memory(tc_run):
    """Ten times as many rows need no more memory: nothing is kept but the chunk at hand."""
    import tracemalloc

    def peak(rows):
        Path("long.csv").write_text("formula\n" + "".join(f"Nb{1 + i % 97}Sn\n" for i in range(rows)))
        tracemalloc.start()
        main(["predict", "superconductors", "long.csv", "--run", str(tc_run), "--out", "long_out.csv"])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert Path("long_out.csv").read_bytes().count(b"\n") == rows + 1
        return found

    few = peak(8_200)  # one whole chunk
    assert peak(24_000) < 1.3 * few


def test_each_formula_is_shown_beside_its_nearest_known_material(tc_run, class_run, capsys, monkeypatch):
    """On the terminal, at 80 columns, and in every other form; of a run of classes the Tc of what is presumed to be none is blank."""
    monkeypatch.setattr(printing, "Console", partial(Console, width=80, force_terminal=True, no_color=True))
    tables = Path(os.environ["JAXSCI_DATA"]) / "superconductors"
    measured = [line.split(",") for line in (tables / samples.sc.FILES["stanev"]).read_text().splitlines()[1:]]
    names = [name.tobytes() for name in identities(encode([parse(text) for text, _ in measured]))]
    formula, tc = next(row for row, name in zip(measured, names, strict=True) if names.count(name) == 1)
    for run in (tc_run, class_run):
        with np.load(run / nearest.FILE) as kept:
            first = kept["formulas"][np.flatnonzero((kept["part"] == 0) & np.isnan(kept["tc"]))[:1]].tolist()
        assert bool(first) == (run == class_run)
        Path("asked.csv").write_text("formula\n" + "".join(f"{text}\n" for text in (formula, "Nb0.777Sn", *first)))
        command = ["predict", "superconductors", "asked.csv", "--run", str(run)]
        capsys.readouterr()
        main(command)
        printed = capsys.readouterr().out
        table = [line for line in printed.splitlines() if line and line[0] in "┃│┏└├┡"]
        assert max(map(len, table)) <= 80
        assert all(title in printed for title in ("in table", "nearest", "its Tc (K)", "atoms (%)"))
        assert "in table: which part of the run's materials" in printed
        main([*command, "--json"])
        rows = json.loads(capsys.readouterr().out)["predictions"]
        if rows[0]["in_table"] in ("training", "validation"):
            assert rows[0]["nearest_difference_percent"] == pytest.approx(0, abs=1e-4)
            assert rows[0]["nearest_tc_K"] == pytest.approx(float(tc), rel=1e-6)
        else:
            assert rows[0]["in_table"] == "test"
        assert rows[1]["in_table"] == "no"
        assert rows[1]["nearest"].startswith("Nb")
        assert 0 < rows[1]["nearest_difference_percent"] < 50
        if first:
            assert (rows[2]["in_table"], rows[2]["nearest"], rows[2]["nearest_tc_K"]) == ("training", *first, None)
        main([*command, "--out", "a.csv"])
        capsys.readouterr()
        main([*command, "--csv"])
        assert Path("a.csv").read_text() == capsys.readouterr().out
        for row, entry in zip(csv.DictReader(Path("a.csv").read_text().splitlines()), rows, strict=True):
            assert row["nearest"] == entry["nearest"]
            assert row["nearest_tc_K"] == ("" if entry["nearest_tc_K"] is None else str(entry["nearest_tc_K"]))
