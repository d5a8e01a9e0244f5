"""The notebooks: each runs on a small configuration, and what is committed of it was executed in full and without errors."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))
LARGEST = 1_500_000  # bytes: a page that opens quickly


def test_there_are_notebooks():
    assert NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_it_imports_exists(name):
    imports = [
        node for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())) if type(node) is ast.ImportFrom
    ]
    assert imports
    for node in imports:
        for alias in node.names:
            if not hasattr(importlib.import_module(node.module), alias.name):
                importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_text_runs_on_a_small_configuration(name, tmp_path):
    if "JAXSCI_DATA" in (FOLDER / f"{name}.py").read_text() and "JAXSCI_DATA" not in os.environ:
        pytest.skip("JAXSCI_DATA: no folder of published data sets")
    # A notebook is a script with comments; without a kernel it starts faster. A warning fails here as in every test.
    script = "import runpy, sys, matplotlib; matplotlib.use('agg'); runpy.run_path(sys.argv[1], run_name='__main__')"
    command = [sys.executable, "-W", "error", "-c", script, str(FOLDER / f"{name}.py")]
    # Most of the time of a small run is the compilation of programs that run for milliseconds.
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    environment = os.environ | {"JAXSCI_SMALL": "1", "JAX_PLATFORMS": "cpu"} | quick
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_is_the_text_executed_in_full(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    text = jupytext.read(FOLDER / f"{name}.py")
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    printed = "".join(output.get("text", "") for output in outputs)
    assert not re.search(r"(^|[\s'\"(])(/\w|[A-Z]:\\)", printed)  # no path of the machine it ran on
    assert "SMALL" not in printed
    assert path.stat().st_size < LARGEST
