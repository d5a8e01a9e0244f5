"""What is added to a copy of the source as a file of its own and one line of a table is a part of the command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxsci

SOURCE = Path(jaxsci.__file__).parents[1]

# Each: the file that is new, its content, the table, the line after which a line is added, and that line.
TASK = (
    "jaxsci/tasks/mean.py",
    '''
    from dataclasses import dataclass
    from pathlib import Path

    import numpy as np

    from jaxsci.files import write_json, write_text
    from jaxsci.runs import folder as runs
    from jaxsci.runs.task import Session, Task


    @dataclass(frozen=True)
    class Options:
        """The mean of numbers with its standard error."""

        data: Path
        """Text file with a number per line."""


    def fit(options: Options, session: Session) -> Path:
        numbers = np.loadtxt(options.data)
        folder = runs.new_folder(session, "mean", "mean")
        runs.write_config(folder, "mean", options, {"numbers": len(numbers)})
        error = numbers.std(ddof=1) / np.sqrt(len(numbers))
        write_json(folder / "evaluation.json", {"mean": {"value": numbers.mean(), "error": error}})
        write_text(folder / "report.html", "<p>A mean.</p>")
        return folder


    TASK = Task("mean", fit, headline=("mean",))
    ''',
    "jaxsci/tasks/table.py",
    "TABLE = [",
    '    Entry("fit", "mean", "jaxsci.tasks.mean", "The mean of numbers."),',
)
TAGGER = (
    "jaxsci/tasks/top_tagging/multiplicity.py",
    '''
    import numpy as np

    from jaxsci.models import dense, heads
    from jaxsci.tasks.top_tagging.taggers import Spec, Tagger, TrainingDefaults


    def multiplicity(spec: Spec) -> Tagger:
        """Logistic regression on the number of constituents."""

        def inputs(constituents):
            return np.sum(constituents[:, :, :1] > 0, axis=1, dtype=np.float32) / 50

        model = heads.scalar(dense.model(dense.Config(1, hidden=(), compute_dtype=spec.compute_dtype)))
        return Tagger(inputs, model, TrainingDefaults(2, 32, 0.1))
    ''',
    "jaxsci/tasks/top_tagging/options.py",
    "TAGGERS = {",
    '    "multiplicity": "jaxsci.tasks.top_tagging.multiplicity:multiplicity",',
)
BENCHMARK = (
    "benchmarks/addition.py",
    """
    import argparse
    import time


    def main(arguments=None):
        parser = argparse.ArgumentParser()
        parser.add_argument("--numbers", type=int, default=1000)
        numbers = parser.parse_args(arguments).numbers
        start = time.perf_counter()
        total = sum(range(numbers))
        print(f"sum {total} in {time.perf_counter() - start} s")
        return 3  # the exit code
    """,
    "jaxsci/cli/benchmarks.py",
    "TABLE = [",
    '    Benchmark("addition", "benchmarks.addition", "How fast whole numbers are added."),',
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the source with the three additions."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("jaxsci", "benchmarks"):
        shutil.copytree(SOURCE / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for file, content, table, anchor, line in (TASK, TAGGER, BENCHMARK):
        assert not (root / file).exists()
        indented = content.strip("\n").splitlines()
        (root / file).write_text("\n".join(text.removeprefix("    ") for text in indented) + "\n")
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


def test_a_task(checkout):
    assert "The mean of numbers." in command(checkout, "fit", "--help")
    (checkout / "numbers.txt").write_text("1\n2\n3\n6\n")
    assert "report.html" in command(checkout, "fit", "mean", "--data", "numbers.txt")
    assert json.loads((checkout / "runs/mean/mean-1/config.json").read_text())["options"] == {"data": "numbers.txt"}
    assert "3.0 ± 1.1" in command(checkout, "runs")  # sqrt(14 / 3) / 2


def test_a_tagger(checkout):
    command(checkout, "train", "top-tagging", "--tagger", "multiplicity", "--max-jets", "400")
    evaluation = json.loads((checkout / "runs/top-tagging/multiplicity-1/evaluation.json").read_text())
    assert evaluation["tagger"] == "multiplicity"
    assert evaluation["metrics"]["auc"]["value"] > 0.5  # top quarks decay into more particles


def test_a_benchmark(checkout):
    assert "How fast whole numbers are added." in command(checkout, "bench", "--help")
    assert "sum 45 in" in command(checkout, "bench", "addition", "--numbers", "10", code=3)
