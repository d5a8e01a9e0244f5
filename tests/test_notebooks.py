"""The notebooks run from the first cell to the last, and what is committed of them is what their text form gives.

A notebook is written in `notebooks/<name>.py` (jupytext, percent format) and carries its figures in `notebooks/<name>.ipynb`. To renew it:

    cd notebooks && jupytext --to ipynb --execute <name>.py
"""

import base64
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NAMES = ("01_top_tagging", "02_dense_and_autoencoder")
LARGEST = 1_500_000  # bytes of a notebook with its figures

each = pytest.mark.parametrize("name", NAMES)


def cells_of_text(name):
    """(type, source) of each cell in the percent format: "# %%" begins one, markdown stands in comments."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    header, *parts = re.split(r"^# %%(?: \[(\w+)\])?\n", text, flags=re.MULTILINE)
    assert header.startswith("# ---\n# jupyter:")
    cells = []
    for kind, source in zip(parts[::2], parts[1::2], strict=True):
        if kind == "markdown":
            source = "\n".join(line.removeprefix("#").removeprefix(" ") for line in source.strip().split("\n"))
        cells.append((kind or "code", source.strip()))
    return cells


def notebook(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def outputs_of(name):
    return [output for cell in notebook(name)["cells"] for output in cell.get("outputs", [])]


def test_every_notebook_has_both_forms_and_is_tested():
    for suffix in (".py", ".ipynb"):
        assert {path.stem for path in FOLDER.glob(f"*{suffix}")} == set(NAMES)


@each
def test_every_cell_runs(name, tmp_path):
    # A process of its own: the text form is the notebook's code in order, run as a user's fresh kernel would.
    environment = os.environ | {"JAXSCI_SMALL": "1", "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.iterdir()) == []  # a notebook leaves no files
    figures = sum("image/png" in output.get("data", {}) for output in outputs_of(name))
    assert done.stdout.count("<IPython.core.display.Image object>") == figures


@each
def test_text_and_notebook_have_the_same_cells(name):
    assert cells_of_text(name) == [
        (cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook(name)["cells"]
    ]


@each
def test_first_cell_says_what_it_shows_and_how_long_it_takes(name):
    (kind, text), (_, code) = cells_of_text(name)[:2]
    assert kind == "markdown"
    assert text.startswith("# ")
    assert "**Time.**" in text
    assert "simulated" in text
    assert 'SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))' in code


@each
def test_committed_notebook_is_executed_in_full_and_in_order(name):
    code = [cell for cell in notebook(name)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert "SMALL: numbers mean nothing" not in "".join(code[0]["outputs"][0]["text"])
    kinds = {output["output_type"] for output in outputs_of(name)}
    assert kinds <= {"stream", "display_data"}  # no error
    assert all(output["name"] == "stdout" for output in outputs_of(name) if output["output_type"] == "stream")  # no warning


@each
def test_committed_figures_are_whole_images(name):
    figures = [output["data"]["image/png"] for output in outputs_of(name) if "image/png" in output.get("data", {})]
    assert len(figures) >= 10
    for figure in figures:
        content = base64.b64decode("".join(figure))
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
        width, height = struct.unpack(">II", content[16:24])
        assert 300 <= width <= 1200
        assert 200 <= height <= 1200
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST


@each
def test_notebook_speaks_of_no_machine(name):
    content = notebook(name)
    assert content["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert not {key for cell in content["cells"] for key in cell["metadata"]} & {"execution", "ExecuteTime", "papermill"}
    text = json.dumps(content)
    assert not re.search(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|usr|opt|mnt|var|private)/", text)
    assert not re.search(r"[A-Z]:\\\\+Users", text)
