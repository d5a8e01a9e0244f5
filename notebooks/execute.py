"""Run the text form of notebooks and write what they show beside them: `python notebooks/execute.py [NAME...]`, all by default."""

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from jaxsci.files import write_text

FOLDER = Path(__file__).parent


def execute(text: Path) -> None:
    """NAME.py -> NAME.ipynb, whole or not at all."""
    notebook = jupytext.read(text)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # the same at every execution
    NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for cell in notebook.cells:
        cell["metadata"].pop("execution", None)  # the times of day
    write_text(text.with_suffix(".ipynb"), nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("[0-9]*.py")):
        execute(FOLDER / f"{name}.py")
