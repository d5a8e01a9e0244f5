"""Tables on the terminal: nothing is cut, whatever the width, and what was run is found again."""

import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from jaxsci.cli import printing, tables
from jaxsci.cli.arguments import Form
from jaxsci.cli.main import main
from jaxsci.runs import comparison
from jaxsci.tasks import scores_file
from jaxsci.tasks.superconductors.ensemble.answer import Predictions, answer
from tests.command import refused

METRICS = {f"a_metric_of_number_{i}": {"value": 0.5 + i / 100, "lower": 0.4, "upper": 0.7} for i in range(9)}


def write_run(folder, evaluation, *, task="top-tagging", started=0.0):
    folder.mkdir(parents=True)
    config = {"task": task, "options": {}, "data": {"digest": "d", "split": {"seed": 1}}}
    (folder / "config.json").write_text(json.dumps(config))
    os.utime(folder / "config.json", (started, started))
    if evaluation is not None:
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def printed(show, *arguments, width, **kinds):
    """What a terminal of this width shows."""
    text = io.StringIO()
    show(*arguments, console=Console(file=text, width=width, force_terminal=True, **{"color_system": None, **kinds}))
    return text.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_a_comparison_is_stacked_and_never_cut(width, tmp_path):
    folders = [write_run(tmp_path / f"run-{i}", {"metrics": METRICS}) for i in range(3)]
    text = printed(tables.compare, folders, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for name, entry in METRICS.items():
        assert name.replace("_", " ") in text
        assert text.count(f"{entry['value']:.2f} ") == 3
    assert text.count("┏") == text.count("run-0")  # each table names its runs
    assert (text.count("┏") == 1) == (width == 300)


def test_the_best_of_a_column_is_bold_and_has_a_star(tmp_path):
    values = {"good": {"auc": 0.9, "loss": 0.1}, "bad": {"auc": 0.8, "loss": 0.3}}
    folders = [
        write_run(tmp_path / run, {"metrics": {name: {"value": value} for name, value in entry.items()}})
        for run, entry in values.items()
    ]
    text = printed(tables.compare, folders, ["loss"], width=80, color_system="standard")
    for cell in ("0.9000 *", "0.1000 *"):
        assert f"\x1b[1m{cell}\x1b[0m" in text
    for cell in ("0.8000", "0.3000"):
        assert f"\x1b[1m{cell}\x1b[0m" not in text
    text = printed(tables.compare, folders, ["loss"], width=80, color_system="standard", no_color=True)
    assert text.count("*") == 3
    assert "\x1b" not in text
    for one_alone in ({"a": {}}, {}):
        assert comparison.best("a", [("x", {"a": {"value": 1.0}}), ("y", one_alone)]) == []
    assert comparison.best("a", [("x", {"a": {"value": 1.0}}), ("y", {"a": {"value": 1.0}})]) == [0, 1]


def test_in_a_pipe_a_comparison_is_plain_lines_json_or_csv(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folders = [str(write_run(tmp_path / of / "run[bold]", {"metrics": METRICS})) for of in ("a", "b\nc")]
    main(["compare", *folders])
    head, first, second, note = capsys.readouterr().out.splitlines()  # of any width: one line each
    assert [line.split()[0] for line in (head, first, note)] == ["run", folders[0], "*:"]
    assert second.startswith(folders[1].replace("\n", "?"))
    assert not set(head + first) & set("│┃┏━\x1b")
    assert len({line.index("0.50") for line in (first, second)}) == 1
    main(["compare", *folders, "--json"])
    found = json.loads(capsys.readouterr().out)
    name = "a_metric_of_number_3"
    assert [run["folder"] for run in found["runs"]] == folders
    assert found["runs"][0][name] == METRICS[name]
    assert found["best"][name] == folders
    main(["compare", *folders, "--csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["folder"] for row in rows] == folders
    assert [float(rows[1][f"{name}{of}"]) for of in ("", "_lower", "_upper")] == list(METRICS[name].values())
    main(["compare", folders[0], folders[0], "--json"])
    assert [run["folder"] for run in json.loads(capsys.readouterr().out)["runs"]] == folders[:1]
    assert "--json: expected it or --csv, got both" in refused(capsys, "compare", *folders, "--csv", "--json")


def test_a_value_that_is_not_known_is_null_and_blank(tmp_path, capsys):
    run = write_run(tmp_path / "top-tagging" / "a", {"metrics": {"auc": {"value": None, "lower": 0.4, "upper": None}}})
    for command in (["compare", str(run)], ["runs", "--runs", str(tmp_path)]):
        main([*command, "--json"])
        run_of = json.loads(capsys.readouterr().out)["runs"][0]
        assert run_of.get("metrics", run_of)["auc"] == {"value": None, "lower": 0.4, "upper": None}
        main([*command, "--csv"])
        (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
        assert (row["auc"], row["auc_lower"], row["auc_upper"]) == ("", "0.4", "")


def test_runs_are_listed_by_task_the_newest_first(tmp_path, capsys):
    auc = {"value": 0.91, "lower": 0.90, "upper": 0.92}
    write_run(tmp_path / "top-tagging" / "old", {"metrics": {"auc": auc}}, started=1e9)
    write_run(tmp_path / "top-tagging" / "stopped", None, started=1.2e9)
    write_run(tmp_path / "top-tagging" / "new", {"metrics": {"auc": auc}}, started=1.1e9)
    parameters = {"mass": {"value": 91.0, "error": 0.25}}
    evaluation = {"events": 1500, "fits": {"radiation": {"parameters": parameters}}}
    write_run(tmp_path / "dimuon" / "z", evaluation, task="dimuon", started=1.3e9)
    main(["runs", "--runs", str(tmp_path)])
    rows = [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["dimuon", "z", "", "top-tagging", "stopped", "new", "old"]
    assert rows[1][2:] == ["1,500", "91.00 ± 0.25"]
    assert rows[4][1].endswith(", unfinished")
    assert rows[5][2] == rows[6][2] == "0.910 ± 0.010"
    main(["runs", "--runs", str(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [entry["state"] for entry in found] == ["finished", "unfinished", "finished", "finished"]
    assert found[0]["metrics"]["mass"] == parameters["mass"]
    assert found[0]["started"] == "2011-03-13T07:06:40+00:00"
    keys = ("events", "fits/radiation/parameters/mass", "other/mass")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "evaluation.json").write_text(json.dumps({**evaluation, "other": {"mass": 90}}))
    assert list(tables._results(tmp_path / "x", keys)) == list(keys)


def test_a_folder_without_runs_ends_with_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["runs", "--runs", str(tmp_path)])
    assert "expected a folder of runs, got none in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"metrics": {"auc": {"value": "x", "lower": [], "upper": null}}}', "\udcff"]
)
def test_a_damaged_run_does_not_hide_the_others(tmp_path, content, capsys):
    write_run(tmp_path / "top-tagging" / "good", {"metrics": {"auc": {"value": 0.91, "lower": 0.90, "upper": 0.92}}})
    damaged = write_run(tmp_path / "top-tagging" / "bad", {})
    (damaged / "evaluation.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    main(["runs", "--runs", str(tmp_path)])
    text = capsys.readouterr().out
    assert "0.910 ± 0.010" in text
    assert "bad" in text
    assert "damaged" in text


PREDICTED = {"class": np.array(["a", "b"] * 15), "probability": np.linspace(0, 1, 30), "n": np.arange(30)}


def written(path):
    scores_file.write(path, [{name: column[:10] for name, column in PREDICTED.items()}, PREDICTED])


def test_predictions_of_a_file_are_printed_whole_as_json_and_csv_and_in_part_as_a_table(capsys):
    printing.predictions(written, Form(json=True), "images")
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "images"
    assert len(found["predictions"]) == 40
    assert found["predictions"][-1] == {"class": "b", "probability": 1.0, "n": 29}
    printing.predictions(written, Form(csv=True), "images")
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == "b,1.0,29"
    assert "\r" not in text
    printing.predictions(written, Form(), "images")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["row", "class", "probability", "n"]
    assert lines[1].split() == ["1", "a", "0", "0"]
    assert len(lines) == 22
    assert lines[-1] == "the first 20 of 40 rows; --csv and --json print all, --out FILE writes them"


@pytest.mark.parametrize("width", [40, 80])
def test_formulas_are_answered_in_the_width_of_the_terminal(width, monkeypatch):
    formulas = ["MgB2", "Hg0.8Tl0.2Ba2Ca2Cu3O8.33", "[(CH3)4N]2CuCl4"]
    values = {name: np.array([133.25, 2.0, 0.5]) for name in ("tc", "tc_lower", "tc_upper", "aleatoric", "epistemic")}
    parts = [{"Hg": 1.25, "Tl": -2.0, "Ba": 30.0, "Ca": 4.0, "Cu": 50.5, "O": 60.0, "Mg": 1.0, "B": 1.0}] * 3
    beside = {"in_table": np.array(["training", "no", "no"]), "nearest": np.array(["MgB2", "HgBa2Ca2Cu3O8", "CuCl2"])}
    beside |= {"nearest_tc": np.array([39.0, 133.0, np.nan]), "nearest_difference": np.array([0.0, 2.4, 90.6])}
    values["out_of_distribution"] = np.array([0, 0, 1])
    found = answer(Predictions(formulas, values, "tc", parts, beside), ["left out"], [Path("run")])
    text = printed(printing.as_table, found.head, found.cells, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(re.sub("[┏┓┃┡┩│└┘━─┳╇┴]", " ", text).split())
    for said in (*formulas, "Tc (K)", "aleatoric (K)", "133.2", "Hg:+1.2", "B:+1.0", "HgBa2Ca2Cu3O8", "133.0", "–"):
        assert said in words
    assert found.notes[0] == "left out"
    assert found.notes[-1].startswith("warning: [(CH3)4N]2CuCl4: far from")
