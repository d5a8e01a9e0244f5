"""Predictions for formulas as a user sees them: a table on the terminal, and columns of a file, whose names hold the units."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.materials.formula_table import Fault
from jaxsci.runs.task import Answer
from jaxsci.tasks import scores_file
from jaxsci.tasks.superconductors.ensemble.nearest import OLDER

_REASONS: dict[Fault, str] = {
    "formula": "formula not readable",
    "element": "element beyond the table",
    "encoding": "not UTF-8",
    "columns": "columns missing",
    "pressure": "under pressure or in a field",
    "tc": "Tc not readable",
}
_SHOWN = {  # columns of a table on the terminal: prediction -> (title, digits)
    "probability": ("probability", 3),
    "votes": ("votes", 2),
    "tc": ("Tc (K)", 1),
    "tc_lower": ("90 % from", 1),
    "tc_upper": ("to", 1),
    "aleatoric": ("aleatoric (K)", 1),
    "epistemic": ("epistemic (K)", 1),
}
_BESIDE = {"in_table": "in table", "nearest": "nearest", "nearest_tc": "its Tc (K)", "nearest_difference": "atoms (%)"}
_UNITS = {  # in the names of columns of files
    **dict.fromkeys(("tc", "tc_lower", "tc_upper", "tc_mean", "aleatoric", "epistemic", "nearest_tc"), "K"),
    "nearest_difference": "percent",
}
UNKNOWN = ("nearest_tc_K", "nearest_difference_percent")  # columns of files that may be


class Predictions(NamedTuple):
    """Predictions for formulas, of one run or of several."""

    formulas: list[str]
    # Each [formula]; "out_of_distribution" where a run knows an element or a pair of them not.
    values: dict[str, np.ndarray]
    target: str  # of the first run, whose contributions and materials follow: "tc" or "class"
    contributions: list[dict[str, float]]  # of its elements: the prediction with it minus that without; or none
    beside: dict[
        str, np.ndarray
    ]  # each [formula]: whether it is known and its nearest material, as from `nearest.beside`
    rows: Sequence[int] = ()  # of a table the line of each formula
    own: Mapping[str, np.ndarray] = MappingProxyType({})  # of a table its other columns, str [formula] each


def reasons(bad: Counter[Fault]) -> list[str]:
    """Numbers of rows left out in words."""
    return [f"{number:,} left out: {_REASONS[fault]}" for fault, number in bad.items()]


def columns(found: Predictions) -> dict[str, np.ndarray]:
    """Predictions for a table as columns of a file."""
    start = {"row": np.array(found.rows), "formula": np.array(found.formulas)}
    explained = np.array([scores_file.words(parts) for parts in found.contributions])
    last = {_contributions(found): explained} if found.contributions else {}
    ours = {_with_unit(name): column for name, column in (found.values | found.beside).items()} | last
    return start | _own(found, {*start, *ours}) | ours


def _own(found: Predictions, taken: Collection[str]) -> dict[str, np.ndarray]:
    """The table's own columns under their names; where the predictions have such a column too, it says whose it is."""
    return {f"{name} (of the table)" if name in taken else name: column for name, column in found.own.items()}


def answer(found: Predictions, refused: Sequence[str], folders: Sequence[Path]) -> Answer:
    """The predictions of these runs, rounded for a table and as they are.

    Args:
        found: the predictions.
        refused: why formulas were left out.
        folders: of the runs; what is known beside the predictions is that of the first.
    """
    values, parts = found.values, found.contributions
    shown = [name for name in _SHOWN if name in values]
    of_tc = found.target == "tc"
    row_of = ["row"] if len(found.rows) else []
    explained = ["contributions" + " (K)" * of_tc] * bool(parts)
    head = [*row_of, "formula", *(_SHOWN[name][0] for name in shown), *_BESIDE.values(), *explained]
    cells, rows = [], []
    for row, formula in enumerate(found.formulas):
        numbers = [f"{values[name][row]:.{_SHOWN[name][1]}f}" for name in shown]
        beside = [_cell(found.beside[name][row].item()) for name in _BESIDE]
        start: dict[str, Any] = {"row": found.rows[row]} if row_of else {}
        start["formula"] = formula
        cells.append(
            [*map(str, start.values()), *numbers, *beside, *([_text(parts[row], 1 if of_tc else 3)] if parts else [])]
        )
        entry = {_with_unit(name): column[row].item() for name, column in (values | found.beside).items()}
        entry |= {_contributions(found): parts[row]} if parts else {}
        own = {name: column[row].item() for name, column in _own(found, {*start, *entry}).items()}
        rows.append(start | own | entry)
    return Answer(head, cells, rows, [*refused, *_explanations(found, folders), *_warnings(found)])


def _explanations(found: Predictions, folders: Sequence[Path]) -> list[str]:
    """What the columns mean."""
    of_run = f" ({folders[0]})" if len(folders) > 1 else ""
    lines = [
        f"in table: which part of the run's materials{of_run} has the composition; nearest: that of its training or validation part of "
        "which most atoms agree, of several equally near one with a reported Tc, "
        "its measured Tc (–: none reported), and the percentage of atoms that differ"
    ]
    if OLDER in found.beside["nearest"]:
        lines.append(f"note: nearest materials of {folders[0]} are {OLDER}; train the run again to see them")
    if found.contributions:
        what = "Tc in K" if found.target == "tc" else "the probability"
        lines.append(
            f"contributions: {what} with the element minus {what} of the same formula without it; they need not add up to the whole"
        )
    return lines


def _warnings(found: Predictions) -> list[str]:
    far = [found.formulas[row] for row in np.flatnonzero(found.values["out_of_distribution"])]
    if len(found.rows) and len(far) > 1:  # one line for all rows of a table
        far = [f"{far[0]} and {len(far) - 1:,} more"]
    return [
        f"warning: {which}: far from all materials of the training, or an element of it or two of them together occur in none; do not "
        "trust the numbers"
        for which in far
    ]


def _with_unit(name: str) -> str:
    return f"{name}_{_UNITS[name]}" if name in _UNITS else name


def _contributions(found: Predictions) -> str:
    return "contributions_K" if found.target == "tc" else "contributions"


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else "–" if np.isnan(value) else f"{value:.1f}"


def _text(parts: dict[str, float], digits: int) -> str:
    return " ".join(f"{symbol}:{value:+.{digits}f}" for symbol, value in parts.items())
