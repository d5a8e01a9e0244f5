"""Tables on the terminal: nothing is cut, whatever the width, and what was run is found again."""

import io
import json
import os

import pytest
from rich.console import Console

from jaxsci.cli import tables
from jaxsci.cli.main import main

METRICS = {f"a_metric_of_number_{i}": {"value": 0.5 + i / 100, "lower": 0.4, "upper": 0.7} for i in range(9)}


def write_run(folder, evaluation, *, task="top-tagging", started=0.0):
    folder.mkdir(parents=True)
    config = {"task": task, "options": {}, "data": {"digest": "d", "split": {"seed": 1}}}
    (folder / "config.json").write_text(json.dumps(config))
    os.utime(folder / "config.json", (started, started))
    if evaluation is not None:
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def printed(show, *arguments, width):
    text = io.StringIO()
    show(*arguments, console=Console(file=text, width=width))
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
    text = io.StringIO()
    tables.compare(folders, ["loss"], Console(file=text, width=80, force_terminal=True, color_system="standard"))
    for cell in ("0.9000 *", "0.1000 *"):
        assert f"\x1b[1m{cell}\x1b[0m" in text.getvalue()
    for cell in ("0.8000", "0.3000"):
        assert f"\x1b[1m{cell}\x1b[0m" not in text.getvalue()


def test_runs_are_listed_by_task_the_newest_first(tmp_path, capsys):
    auc = {"value": 0.91, "lower": 0.90, "upper": 0.92}
    write_run(tmp_path / "top-tagging" / "old", {"metrics": {"auc": auc}}, started=1e9)
    write_run(tmp_path / "top-tagging" / "stopped", None, started=1.2e9)
    write_run(tmp_path / "top-tagging" / "new", {"metrics": {"auc": auc}}, started=1.1e9)
    parameters = {"mass": {"value": 91.0, "error": 0.25}}
    evaluation = {"events": 1500, "fits": {"radiation": {"parameters": parameters}}}
    write_run(tmp_path / "dimuon" / "z", evaluation, task="dimuon", started=1.3e9)
    main(["runs", "--runs", str(tmp_path)])
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines() if "│" in line
    ]
    assert [row[0] for row in rows] == ["z", "stopped", "new", "old"]
    assert rows[0][2:] == ["1,500", "91.00 ± 0.25"]
    assert rows[1][1].endswith(", unfinished")
    assert rows[2][2] == rows[3][2] == "0.910 ± 0.010"


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
