"""Predictions for formulas on the command line, or for a table of them, by the ensembles of one run or of several."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.data.materials import elements
from jaxsci.data.materials.compositions import dense, encode
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import ATOMIC_NUMBER, SYMBOLS, Amounts, parse
from jaxsci.data.materials.formula_table import Fault, stream
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.task import Answer, OnProgress, Trained
from jaxsci.tasks import scores_file
from jaxsci.tasks.superconductors.ensemble import files, prediction
from jaxsci.tasks.superconductors.ensemble.prediction import Predictor
from jaxsci.tasks.superconductors.inputs import NAME, read_run
from jaxsci.tasks.superconductors.networks import TABLES as ELEMENT_TABLES
from jaxsci.tasks.superconductors.networks import make_recipe, network

TABLES = (".csv", ".tsv", ".txt")
_CHUNK = 8192  # formulas at once: a multiple of the predictor's batch
_REASONS: dict[Fault, str] = {
    "formula": "formula not readable",
    "element": "element beyond the table",
    "encoding": "not UTF-8",
    "columns": "columns missing",
    "pressure": "under pressure or in a field",
    "tc": "Tc not readable",
}
_ORDER = (  # of the columns: those of a class run, those of a Tc run
    *("probability", "probability_spread", "votes", "superconducts", "logit"),
    *("tc", "tc_lower", "tc_upper", "tc_mean", "aleatoric", "epistemic", "novelty", "out_of_distribution"),
)
_SHOWN = {  # columns of a table on the terminal: prediction -> (title, digits)
    "probability": ("probability", 3),
    "votes": ("votes", 2),
    "tc": ("Tc (K)", 1),
    "tc_lower": ("90 % from", 1),
    "tc_upper": ("to", 1),
    "aleatoric": ("aleatoric (K)", 1),
    "epistemic": ("epistemic (K)", 1),
}


class Predictions(NamedTuple):
    """Predictions for formulas, of one run or of several."""

    formulas: list[str]
    # Each [formula]; "out_of_distribution" where a run knows an element or a pair of them not.
    values: dict[str, np.ndarray]
    contributions: list[dict[str, float]]  # of its elements: the prediction with it minus that without; or none
    rows: Sequence[int] = ()  # of a table the line of each formula


def predictors(folders: Sequence[Path]) -> list[Predictor]:
    """The ensembles of these runs, of which no two have the same target.

    Raises:
        InputError: no run, a folder that is none of a finished run of superconductors, or two runs of one target.
    """
    if not folders:
        raise InputError("--run: expected the folder of a run, got none; train with jaxsci train superconductors")
    targets = [runs.read_config(folder, NAME)["options"]["target"] for folder in folders]
    if len(set(targets)) < len(targets):
        raise InputError(f"--run: expected at most one run of each target, got {', '.join(targets)}; leave one out")
    return [predictor_of(folder) for folder in folders]


def predictor_of(folder: Path) -> Predictor:
    """The predictions of a run: from its arrays, or for a run without them from the compiled function.

    Raises:
        InputError: the run has neither, or a damaged file.
    """
    if (folder / files.ARRAYS).exists():
        return jax.jit(prediction.predictor(files.read(folder / files.ARRAYS)))
    return files.load_compiled(folder / files.COMPILED)


def load(folder: Path) -> Trained:
    """The ensemble of a run: `predict(["MgB2", "Nb3Sn"])["tc"]` is an array [formula].

    `predict` takes formulas, or stoichiometric coefficients [material, 96], and gives a dict of arrays, whose names
    `jaxsci.tasks.superconductors.ensemble.prediction.predictor` explains.
    """
    config, predictor = runs.read_config(folder, NAME), predictor_of(folder)
    if (folder / files.ARRAYS).exists():
        ensemble = files.read(folder / files.ARRAYS)
        net, params = ensemble.network, ensemble.params
    else:  # a run of an older version: its parameters are in its checkpoints
        options, paths = read_run(folder)
        net = network(
            options.model,
            options.target,
            elements.standardized(elements.table(ELEMENT_TABLES[options.model], paths.elements)),
        )
        keys = jax.random.split(jax.random.key(options.seed), options.members)
        params, _ = runs.trained(folder, net.model, lambda: make_recipe(net, options.target, examples=1), keys)

    def prepare(materials: Sequence[str] | np.ndarray) -> np.ndarray:
        if isinstance(materials, np.ndarray):
            return materials.astype(np.float32)
        return dense(encode([_read(text) for text in materials]), ELEMENTS)

    def predict(materials: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
        return prediction.predict(predictor, prepare(materials))

    return Trained(net.model, params, prepare, predict, config)


def predict(
    formulas: Sequence[str], folders: Sequence[Path], *, skip_bad: bool = False, explain: bool = True
) -> tuple[Predictions, list[str]]:
    """Predict formulas as a user writes them.

    Returns:
        The predictions, with the contributions of the elements if `explain`, and why formulas were left out.

    Raises:
        InputError: a formula that cannot be read, with the position of the fault, or an element beyond the table; unless `skip_bad`.
            No formula is left.
    """
    ensembles = predictors(folders)
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
            refused.append(f"left out: {error}")
    if not kept:
        raise InputError("expected at least one formula that can be read, got none; write them as in MgB2")
    amounts = dense(encode(compositions), ELEMENTS)
    parts = contributions(ensembles, amounts) if explain else []
    return Predictions(kept, _values(ensembles, amounts), parts), refused


def contributions(ensembles: Sequence[Predictor], amounts: np.ndarray) -> list[dict[str, float]]:
    """What each element contributes to the first ensemble's prediction: Tc in K, or the probability, with it minus without it.

    An element that stands alone contributes all of it.
    """
    indices, columns = np.nonzero(amounts)
    without = amounts[indices]
    without[np.arange(len(indices)), columns] = 0
    alone = ~without.any(axis=1)
    whole, rest = (prediction.predict(ensembles[0], array) for array in (amounts, without))
    name = "tc" if "tc" in whole else "probability"
    difference = whole[name][indices] - np.where(alone, 0, rest[name])
    result: list[dict[str, float]] = [{} for _ in amounts]
    for row, column, value in zip(indices, columns, difference, strict=True):
        result[row][SYMBOLS[column]] = float(value)
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
        source: .csv, .tsv or one formula per line.
        folders: runs.
        out: .csv, .npz or .h5.
        progress: called with stage, fraction and a few words.
        skip_bad: leave out rows that cannot be used.
        explain: add a column with the contributions of the elements, such as "Mg:+12.25 B:+20.5".

    Returns:
        Number of rows left out, by reason.

    Raises:
        InputError: a bad row, with its number and the reason, unless `skip_bad`; nothing is written then.
    """
    scores_file.check(out, source)
    bad: Counter[Fault] = Counter()
    found = _of_table(source, predictors(folders), bad, progress, skip_bad=skip_bad, explain=explain)
    scores_file.write(out, map(_columns, found))
    progress("predicting", 1.0, ", ".join(reasons(bad)))
    return bad


def predict_rows(
    source: Path, folders: Sequence[Path], progress: OnProgress, *, skip_bad: bool = False, explain: bool = False
) -> tuple[Predictions, Counter[Fault]]:
    """What `predict_table` writes, in memory.

    Raises:
        InputError: as there, or no row is left.
    """
    bad: Counter[Fault] = Counter()
    found = list(_of_table(source, predictors(folders), bad, progress, skip_bad=skip_bad, explain=explain))
    if not found:
        raise InputError(
            f"{source}: expected at least one formula that can be read, got none ({', '.join(reasons(bad))}); write them as in MgB2"
        )
    values = {name: np.concatenate([part.values[name] for part in found]) for name in found[0].values}
    formulas = [formula for part in found for formula in part.formulas]
    contributions = [each for part in found for each in part.contributions]
    return Predictions(formulas, values, contributions, [row for part in found for row in part.rows]), bad


def _of_table(
    source: Path,
    ensembles: Sequence[Predictor],
    bad: Counter[Fault],
    progress: OnProgress,
    *,
    skip_bad: bool,
    explain: bool,
) -> Iterator[Predictions]:
    """The predictions for a table, part by part; what is left out is counted in `bad`."""
    done = 0
    for chunk in stream(source, skip_bad=skip_bad, chunk=_CHUNK):
        bad.update(chunk.bad)
        if not chunk.rows:
            continue
        amounts = dense(encode(chunk.compositions), ELEMENTS)
        parts = contributions(ensembles, amounts) if explain else []
        yield Predictions(chunk.formulas, _values(ensembles, amounts), parts, chunk.rows)
        done += len(chunk.rows)
        progress("predicting", 0.0, f"{done:,} formulas")


def _columns(found: Predictions) -> dict[str, np.ndarray]:
    """Predictions for a table as columns of a file."""
    columns = {"row": np.array(found.rows), "formula": np.array(found.formulas), **found.values}
    explained = {"contributions": np.array([scores_file.words(parts) for parts in found.contributions])}
    return columns | (explained if found.contributions else {})


def reasons(bad: Counter[Fault]) -> list[str]:
    """Numbers of rows left out in words."""
    return [f"{number:,} left out: {_REASONS[fault]}" for fault, number in bad.items()]


def answer(predictions: Predictions, refused: Sequence[str]) -> Answer:
    """The predictions, rounded for a table and as they are."""
    values, parts = predictions.values, predictions.contributions
    shown = [name for name in _SHOWN if name in values]
    of_tc = "tc" in shown
    row_of = ["row"] if len(predictions.rows) else []
    head = [*row_of, "formula", *(_SHOWN[name][0] for name in shown)] + ["contributions" + " (K)" * of_tc] * bool(parts)
    cells, rows, notes = [], [], list(refused)
    for row, formula in enumerate(predictions.formulas):
        numbers = [f"{values[name][row]:.{_SHOWN[name][1]}f}" for name in shown]
        explained = [_text(parts[row], 1 if of_tc else 3)] if parts else []
        start: dict[str, Any] = {"row": predictions.rows[row]} if row_of else {}
        start["formula"] = formula
        cells.append([*map(str, start.values()), *numbers, *explained])
        entry = start | {name: column[row].item() for name, column in values.items()}
        rows.append(entry | ({"contributions": parts[row]} if parts else {}))
    far = [predictions.formulas[row] for row in np.flatnonzero(values["out_of_distribution"])]
    if row_of and len(far) > 1:  # one line for all rows of a table
        far = [f"{far[0]} and {len(far) - 1:,} more"]
    notes += [
        f"warning: {which}: far from all materials of the training, or an element of it or two of them together occur in none; do not "
        "trust the numbers"
        for which in far
    ]
    return Answer(head, cells, rows, notes)


def _read(text: str) -> Amounts:
    amounts = parse(text)
    beyond = [symbol for symbol in amounts if ATOMIC_NUMBER[symbol] > ELEMENTS]
    if beyond:
        raise InputError(
            f"{text!r}: expected elements up to {SYMBOLS[ELEMENTS - 1]}, got {beyond[0]}; its properties are not known"
        )
    return amounts


def _values(ensembles: Sequence[Predictor], amounts: np.ndarray) -> dict[str, np.ndarray]:
    merged: dict[str, Any] = {}
    for ensemble in ensembles:
        values = prediction.predict(ensemble, amounts)
        unknown = values["out_of_distribution"] | merged.get("out_of_distribution", False)
        merged |= {**values, "out_of_distribution": unknown}
    return {name: merged[name] for name in _ORDER if name in merged}


def _text(parts: dict[str, float], digits: int) -> str:
    return " ".join(f"{symbol}:{value:+.{digits}f}" for symbol, value in parts.items())
