"""Predictions for formulas on the command line, or for a table of them, by the ensembles of one run or of several."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsci.data.materials import elements
from jaxsci.data.materials.compositions import dense, encode
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import ATOMIC_NUMBER, SYMBOLS, Amounts, parse
from jaxsci.data.materials.formula_table import Fault, stream
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.task import OnProgress, Trained
from jaxsci.tasks import scores_file
from jaxsci.tasks.superconductors.ensemble import files, nearest, prediction
from jaxsci.tasks.superconductors.ensemble.answer import UNKNOWN, Predictions, columns, reasons
from jaxsci.tasks.superconductors.ensemble.prediction import Predictor
from jaxsci.tasks.superconductors.inputs import NAME, read_run
from jaxsci.tasks.superconductors.networks import TABLES as ELEMENT_TABLES
from jaxsci.tasks.superconductors.networks import make_recipe, network

TABLES = (".csv", ".tsv", ".txt")
_CHUNK = 8192  # formulas at once: a multiple of the predictor's batch
_ORDER = (  # of the columns: those of a class run, those of a Tc run
    *("probability", "probability_spread", "votes", "superconducts", "logit"),
    *("tc", "tc_lower", "tc_upper", "tc_mean", "aleatoric", "epistemic", "novelty", "out_of_distribution"),
)


def predictors(folders: Sequence[Path]) -> list[Predictor]:
    """The ensembles of these runs, of which no two have the same target.

    Raises:
        InputError: no run, a folder that is none of a finished run of superconductors, or two runs of one target.
    """
    if not folders:
        raise InputError("--run: expected the folder of a run, got none; train with jaxsci train superconductors")
    targets = [_target(folder) for folder in folders]
    if len(set(targets)) < len(targets):
        raise InputError(f"--run: expected at most one run of each target, got {', '.join(targets)}; leave one out")
    return [predictor_of(folder) for folder in folders]


def predictor_of(folder: Path) -> Predictor:
    """The predictions of a run: from its arrays, or for a run without them from the compiled function.

    Raises:
        InputError: the run has neither, or a damaged file.
    """
    arrays = folder / files.ARRAYS
    if arrays.exists():
        state = arrays.stat()
        return _predictor(arrays.resolve(), state.st_mtime_ns, state.st_size)
    return files.load_compiled(folder / files.COMPILED)


@lru_cache(maxsize=4)  # of one file one function, which is compiled once
def _predictor(arrays: Path, written: int, size: int) -> Predictor:
    return jax.jit(prediction.predictor(files.read(arrays)))


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
    beside = nearest.beside(folders[0], nearest.read(folders[0]), compositions)
    return Predictions(kept, _values(ensembles, amounts), _target(folders[0]), parts, beside), refused


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
    found = _of_table(source, folders, bad, progress, skip_bad=skip_bad, explain=explain)
    scores_file.write(out, map(columns, found), unknown=UNKNOWN)
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
    found = list(_of_table(source, folders, bad, progress, skip_bad=skip_bad, explain=explain))
    if not found:
        raise InputError(
            f"{source}: expected at least one formula that can be read, got none ({', '.join(reasons(bad))}); write them as in MgB2"
        )
    values, beside, own = (
        {name: np.concatenate([arrays[name] for arrays in each]) for name in each[0]}
        for each in ([part.values for part in found], [part.beside for part in found], [part.own for part in found])
    )
    formulas = [formula for part in found for formula in part.formulas]
    contributions = [each for part in found for each in part.contributions]
    return Predictions(
        formulas, values, found[0].target, contributions, beside, [row for part in found for row in part.rows], own
    ), bad


def _of_table(
    source: Path,
    folders: Sequence[Path],
    bad: Counter[Fault],
    progress: OnProgress,
    *,
    skip_bad: bool,
    explain: bool,
) -> Iterator[Predictions]:
    """The predictions for a table, part by part; what is left out is counted in `bad`."""
    ensembles, known, done = predictors(folders), nearest.read(folders[0]), 0
    for chunk in stream(source, skip_bad=skip_bad, chunk=_CHUNK):
        bad.update(chunk.bad)
        if not chunk.rows:
            continue
        amounts = dense(encode(chunk.compositions), ELEMENTS)
        parts = contributions(ensembles, amounts) if explain else []
        beside = nearest.beside(folders[0], known, chunk.compositions)
        own = {name: np.array(column) for name, column in chunk.others.items()}
        yield Predictions(
            chunk.formulas, _values(ensembles, amounts), _target(folders[0]), parts, beside, chunk.rows, own
        )
        done += len(chunk.rows)
        progress("predicting", 0.0, f"{done:,} formulas")


def _target(folder: Path) -> str:
    return str(runs.read_config(folder, NAME)["options"]["target"])


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
