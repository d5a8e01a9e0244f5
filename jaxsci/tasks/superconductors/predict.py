"""Predictions for formulas that a user writes, or for a table of them, by the ensembles of one run or of several."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.materials.compositions import dense, encode
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import ATOMIC_NUMBER, SYMBOLS, Amounts, parse
from jaxsci.data.materials.formula_table import Fault, stream
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import scores_file
from jaxsci.runs.task import OnProgress
from jaxsci.tasks.superconductors import ensemble as predictors
from jaxsci.tasks.superconductors.ensemble import Predictor

TASK = "superconductors"
TABLES = (".csv", ".tsv", ".txt")
_CHUNK = 8192  # formulas at once: a multiple of the predictor's batch
_REASONS: dict[Fault, str] = {
    "formula": "formula not readable",
    "element": "element beyond the table",
    "encoding": "not UTF-8",
    "columns": "columns missing",
    "tc": "Tc not readable",
}
_ORDER = (  # of the columns: those of a class run, those of a Tc run
    *("probability", "probability_spread", "votes", "superconducts", "logit"),
    *("tc", "tc_lower", "tc_upper", "tc_mean", "noise", "member_spread", "outside"),
)
_SHOWN = {  # columns of a table on the terminal: answer -> (title, digits)
    "probability": ("probability", 3),
    "votes": ("votes", 2),
    "tc": ("Tc (K)", 1),
    "tc_lower": ("90 % from", 1),
    "tc_upper": ("to", 1),
    "noise": ("noise (K)", 1),
    "member_spread": ("members (K)", 1),
}


class Predictions(NamedTuple):
    """Answers for formulas; those of several runs beside one another."""

    formulas: list[str]
    answers: dict[str, np.ndarray]  # each [formula]; "outside" where an element or a pair of them is new to a run
    contributions: list[
        dict[str, float]
    ]  # of each element of a formula: the answer with it minus the answer without it


def load(folders: Sequence[Path]) -> list[Predictor]:
    """The ensembles of these runs, of which no two answer the same question.

    Raises:
        InputError: no run, a folder that is none of a finished run of superconductors, or two runs of one target.
    """
    if not folders:
        raise InputError("--run: expected the folder of a run, got none; train with jaxsci train superconductors")
    targets = [runs.read_config(folder, TASK)["options"]["target"] for folder in folders]
    if len(set(targets)) < len(targets):
        raise InputError(f"--run: expected at most one run of each target, got {', '.join(targets)}; leave one out")
    return [predictors.load(folder / predictors.FILE) for folder in folders]


def predict(
    formulas: Sequence[str], folders: Sequence[Path], *, skip_bad: bool = False
) -> tuple[Predictions, list[str]]:
    """Predict formulas as a user writes them.

    Returns:
        The predictions with the contributions of the elements, and why formulas were left out.

    Raises:
        InputError: a formula that cannot be read, with the position of the fault, or an element beyond the table; unless `skip_bad`.
            No formula is left.
    """
    ensembles = load(folders)
    kept: list[str] = []
    compositions: list[Amounts] = []
    refused: list[str] = []
    for text in formulas:
        try:
            compositions.append(_read(text))
            kept.append(text)
        except InputError as error:
            if not skip_bad:
                raise
            refused.append(str(error))
    if not kept:
        raise InputError("expected at least one formula that can be read, got none; write them as in MgB2")
    amounts = dense(encode(compositions), ELEMENTS)
    return Predictions(kept, _answers(ensembles, amounts), contributions(ensembles, amounts)), refused


def contributions(ensembles: Sequence[Predictor], amounts: np.ndarray) -> list[dict[str, float]]:
    """What each element contributes to the first ensemble's answer: Tc in K, or the probability, with it minus without it.

    An element that stands alone contributes all of it.
    """
    rows, elements = np.nonzero(amounts)
    without = amounts[rows]
    without[np.arange(len(rows)), elements] = 0
    alone = ~without.any(axis=1)
    whole, rest = (predictors.answer(ensembles[0], array) for array in (amounts, without))
    name = "tc" if "tc" in whole else "probability"
    difference = whole[name][rows] - np.where(alone, 0, rest[name])
    result: list[dict[str, float]] = [{} for _ in amounts]
    for row, element, value in zip(rows, elements, difference, strict=True):
        result[row][SYMBOLS[element]] = float(value)
    return result


def predict_table(
    source: Path,
    folders: Sequence[Path],
    out: Path,
    progress: OnProgress,
    *,
    skip_bad: bool = False,
    explain: bool = False,
) -> Counter[Fault]:
    """Write the predictions for every formula of a table, in bounded memory.

    Args:
        source: .csv, .tsv or one formula a line.
        folders: runs.
        out: .csv, .npz or .h5.
        progress: called with stage, fraction and a few words.
        skip_bad: leave out rows that cannot be used.
        explain: add a column with the contributions of the elements, such as "Mg:+12.3 B:+20.1".

    Returns:
        Number of rows left out, by reason.

    Raises:
        InputError: a bad row, with its number and the reason, unless `skip_bad`; nothing is written then.
    """
    scores_file.check(out)
    ensembles = load(folders)
    bad: Counter[Fault] = Counter()

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        done = 0
        for chunk in stream(source, skip_bad=skip_bad, chunk=_CHUNK):
            bad.update(chunk.bad)
            if not chunk.rows:
                continue
            amounts = dense(encode(chunk.compositions), ELEMENTS)
            columns = {"row": np.array(chunk.rows), "formula": np.array(chunk.formulas), **_answers(ensembles, amounts)}
            if explain:
                columns["contributions"] = np.array([_text(parts) for parts in contributions(ensembles, amounts)])
            yield columns
            done += len(chunk.rows)
            progress("predicting", 0.0, f"{done:,} formulas")

    scores_file.write(out, chunks())
    progress("predicting", 1.0, reasons(bad))
    return bad


def reasons(bad: Counter[Fault]) -> str:
    """Numbers of rows left out in words; empty where there are none."""
    return ", ".join(f"{number:,} left out: {_REASONS[fault]}" for fault, number in bad.items())


def show(found: Predictions, refused: Sequence[str]) -> None:
    """Print the predictions as a table."""
    from rich.console import Console
    from rich.table import Table

    grid = Table()
    grid.add_column("formula")
    shown = [name for name in _SHOWN if name in found.answers]
    for name in shown:
        grid.add_column(_SHOWN[name][0], justify="right")
    grid.add_column("contributions" + (" (K)" if "tc" in shown else ""))
    for row, formula in enumerate(found.formulas):
        cells = [f"{found.answers[name][row]:.{_SHOWN[name][1]}f}" for name in shown]
        grid.add_row(formula, *cells, _text(found.contributions[row], 1 if "tc" in shown else 3))
    console = Console(width=None if Console().is_terminal else 200)
    console.print(grid)
    for formula, outside in zip(found.formulas, found.answers["outside"], strict=True):
        if outside:
            console.print(
                f"warning: {formula}: an element of it, or two of them together, occur in no training material; do not trust the numbers",
                markup=False,
            )
    for reason in refused:
        console.print(f"left out: {reason}", markup=False)


def _read(text: str) -> Amounts:
    amounts = parse(text)
    beyond = [symbol for symbol in amounts if ATOMIC_NUMBER[symbol] > ELEMENTS]
    if beyond:
        raise InputError(
            f"{text!r}: expected elements up to {SYMBOLS[ELEMENTS - 1]}, got {beyond[0]}; its properties are not known"
        )
    return amounts


def _answers(ensembles: Sequence[Predictor], amounts: np.ndarray) -> dict[str, np.ndarray]:
    together: dict[str, Any] = {}
    for ensemble in ensembles:
        answers = predictors.answer(ensemble, amounts)
        outside = answers["outside"] | together.get("outside", False)
        together = {**together, **answers, "outside": outside}
    return {name: together[name] for name in _ORDER if name in together}


def _text(parts: dict[str, float], digits: int = 2) -> str:
    return " ".join(f"{symbol}:{value:+.{digits}f}" for symbol, value in parts.items())
