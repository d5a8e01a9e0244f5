"""Parts of a study that are finished, so that one that was stopped goes on with the others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxsci
from jaxsci.files import write_json
from jaxsci.runs import weights

FOLDER = "study"


def mark(*trees: Any) -> str:
    """By which parts of the same weights, examples and version are known."""
    return f"{jaxsci.__version__} {weights.digest(*map(np.asarray, jax.tree.leaves(trees)))}"


def part(folder: Path, mark: str, name: str, compute: Callable[[], Any]) -> Any:
    """What `compute` gives, ready for JSON: read where a study of this mark kept it, else computed and kept."""
    path = folder / FOLDER / f"{name}.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["mark"] == mark:
            return record["found"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, or none of use: it is computed
    found = compute()
    write_json(path, {"mark": mark, "found": found})
    return found


def drop(folder: Path) -> None:
    """Remove the parts of a study that is whole."""
    for path in (folder / FOLDER).glob("*.json"):
        path.unlink(missing_ok=True)
    (folder / FOLDER).rmdir()
