"""What the pages add to the library, put where they say, is there: a file of its own and one line of a table."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.tasks import table

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
FENCE = re.compile(r"^```(python)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def parts(page):
    """The file of a page, and the line for the table."""
    found = FENCE.findall((DOCS / page).read_text(encoding="utf-8"))
    (code,) = (text for language, text in found if language)
    line = next(text for language, text in found if not language)
    return code, line.strip().rstrip(",")


def put(monkeypatch, folder, name, code):
    """The module `name` from a file with this code."""
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def half_life(tmp_path, monkeypatch):
    code, line = parts("add-task.md")
    put(monkeypatch, tmp_path, "jaxsci.tasks.half_life", code)
    monkeypatch.setattr(table, "TABLE", [*table.TABLE, eval(line, vars(table))])
    monkeypatch.setattr("jaxsci.cli.commands.TABLE", table.TABLE)
    monkeypatch.chdir(tmp_path)


def test_the_added_task_fits_what_was_simulated(half_life, tmp_path):
    lifetime = 5.0 / np.log(2)
    edges = np.arange(41) * 0.5
    expected = 20_000 * (np.exp(-edges[:-1] / lifetime) - np.exp(-edges[1:] / lifetime))
    np.savetxt("counts.txt", np.random.default_rng(0).poisson(expected), fmt="%d")
    main(["fit", "half-life", "--data", "counts.txt", "--interval", "0.5"])
    folder = tmp_path / "runs" / "half-life" / "fit-1"
    found = json.loads((folder / "evaluation.json").read_text())["half_life"]
    error = (found["upper"] - found["lower"]) / 2
    assert abs(found["value"] - 5.0) < 3 * error
    assert 0.02 < error < 0.2  # 5 / sqrt(18,000 decays) = 0.04, and more for what is cut off
    assert "Half-life" in (folder / "report.html").read_text()


def test_the_added_task_has_help_and_one_line_errors(half_life, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "half-life", "--help"])
    assert "Length of an interval, in seconds" in capsys.readouterr().out
    Path("counts.txt").write_text("1\n")
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "half-life", "--data", "counts.txt", "--interval", "-1"])
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("--interval: expected a positive number of seconds, got -1.0; leave it out for 1")
    )
