"""What the pages add to a copy of the source, a file of its own and one line of a table, is a part of the command."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxsci

SOURCE = Path(jaxsci.__file__).parents[1]

PAGES = SOURCE / "docs" / "how-to"


def shown(page):
    """What a page adds: the file that is new, its content, the table, the line after which a line is added, and that line."""
    text = (PAGES / page).read_text(encoding="utf-8")
    (file,) = re.findall(r"^\*\*1\. `(.*?)`", text, flags=re.MULTILINE)
    ((anchor, table),) = re.findall(r"^\*\*2\. One line in the table `(.*?)` of `(.*?)`", text, flags=re.MULTILINE)
    content = re.search(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)[1]
    line = re.search(r"^\*\*2\. .*?^```\n(.*?)\n```$", text, flags=re.DOTALL | re.MULTILINE)[1]
    return file, content, table, anchor, line


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the source with the three additions."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("jaxsci", "benchmarks"):
        shutil.copytree(SOURCE / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for page in ("add-task.md", "own-tagger.md", "add-benchmark.md"):
        file, content, table, anchor, line = shown(page)
        assert not (root / file).exists()
        (root / file).write_text(content)
        lines = (root / table).read_text().splitlines()
        lines.insert(lines.index(anchor) + 1, line)
        (root / table).write_text("\n".join(lines) + "\n")
    return root


def command(root, *arguments, code=0):
    """What `jaxsci` of this copy prints."""
    environment = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "120"}
    ended = subprocess.run(
        [sys.executable, "-m", "jaxsci", *arguments], cwd=root, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_a_task(checkout):
    assert "The half-life of a radioactive sample." in command(checkout, "fit", "--help")
    lifetime, edges = 5 / np.log(2), np.arange(41) * 0.5
    expected = 20_000 * (np.exp(-edges[:-1] / lifetime) - np.exp(-edges[1:] / lifetime))
    np.savetxt(checkout / "counts.txt", np.random.default_rng(0).poisson(expected), fmt="%d")
    fit = ("fit", "half-life", "--data", "counts.txt", "--interval")
    assert "report.html" in command(checkout, *fit, "0.5")
    found = json.loads((checkout / "runs/half-life/fit-1/evaluation.json").read_text())["half_life"]
    error = (found["upper"] - found["lower"]) / 2
    assert abs(found["value"] - 5) < 3 * error
    assert 0.02 < error < 0.2  # 5 / sqrt(18,000 decays) is 0.04; more for what the end cuts off
    assert "half-life" in command(checkout, "runs")
    command(checkout, *fit, "-1", code=2)


@pytest.mark.slow
def test_a_tagger(checkout):
    command(checkout, "train", "top-tagging", "--tagger", "multiplicity", "--max-jets", "400")
    evaluation = json.loads((checkout / "runs/top-tagging/multiplicity-1/evaluation.json").read_text())
    assert evaluation["tagger"] == "multiplicity"
    assert evaluation["metrics"]["auc"]["value"] > 0.5  # top quarks decay into more particles


def test_a_benchmark(checkout):
    assert "How fast numbers are added." in command(checkout, "bench", "--help")
    command(checkout, "bench", "addition", "--numbers", "1000", "--rounds", "3", "--out", "results")
    results = json.loads((checkout / "results" / "addition.json").read_text())["results"]
    assert set(results) == {"jax", "numpy"}
