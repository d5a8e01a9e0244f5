"""The table of tasks: one line makes a task a command.

Nothing here imports JAX: the module of a task is imported when its name is on the command line.
"""

import importlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxsci.errors import InputError
from jaxsci.runs.task import Task, Trained


class Entry(NamedTuple):
    """A task that the command knows."""

    verb: Literal["train", "fit", "predict"]
    name: str
    module: str  # holds `TASK`, and `Options`; for the verb predict `Questions`
    summary: str
    sweeps: bool = False  # whether its options can be swept
    example: str = ""  # options that the help shows
    swept: str = ""  # options of a sweep that its help shows

    @property
    def options(self) -> Any:
        """The dataclass of its options."""
        return getattr(importlib.import_module(self.module), "Questions" if self.verb == "predict" else "Options")

    @property
    def task(self) -> Task:
        """The task; imports JAX."""
        found: Task = importlib.import_module(self.module).TASK
        return found


TABLE = [
    Entry(
        *("train", "top-tagging", "jaxsci.tasks.top_tagging", "Tag top quarks among jets.", True),
        example="--tagger pfn --epochs 20",
        swept="--learning-rate 1e-4:1e-2 --trials 16",
    ),
    Entry(
        *("train", "anomalies", "jaxsci.tasks.anomalies", "Find jets unlike those learned, in both directions."),
        example="--max-jets 10000",
    ),
    Entry(
        *("train", "images", "jaxsci.tasks.images", "Classify images of your own, or compress them.", True),
        example="--data images.npz",
        swept="--data images.npz --batch-size 64,128",
    ),
    Entry(
        *("train", "table", "jaxsci.tasks.tables", "Predict a column of a plain table from the others.", True),
        example="--data table.csv --target mass",
        swept="--data table.csv --target mass --learning-rate 1e-4:1e-2",
    ),
    Entry(
        *("train", "superconductors", "jaxsci.tasks.superconductors", "Critical temperatures of compositions."),
        example="--data mine.csv --tc-column Tc_K",
    ),
    Entry(
        *("predict", "superconductors", "jaxsci.tasks.superconductors", "Tc or probability of formulas."),
        example="MgB2 YBa2Cu3O7 --run runs/superconductors/tc-random-1",
    ),
    Entry(
        *("fit", "cmb", "jaxsci.tasks.cmb", "The microwave sky in spherical harmonics."),
        example="--data map.fits --mask mask.fits",
    ),
    Entry(
        *("fit", "earth", "jaxsci.tasks.earth", "The relief of the Earth in spherical harmonics."),
        example="--lmax 100",
    ),
    Entry(
        *("fit", "dimuon", "jaxsci.tasks.dimuon", "Mass and width of the Z boson from muon pairs."),
        example="--data pairs.csv",
    ),
]


def task(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: there is none.
    """
    for entry in TABLE:
        if entry.name == name:
            return entry.task
    known = ", ".join(dict.fromkeys(entry.name for entry in TABLE))
    raise InputError(f"task: expected one of {known}, got {name}; use the version of jaxsci that knows it")


def load(folder: str | Path, *, trust: bool = False) -> Trained:
    """A trained run, ready to answer.

        tagger = jaxsci.load("runs/top-tagging/cnn-1")
        tagger.predict(constituents)["probability"]  # constituents [jet, constituent, 4] -> [jet]

    Reads the weights of the best epoch and the run's options; neither its training data nor the state of its training.

    Args:
        folder: of a run that `jaxsci train` made.
        trust: execute the network of the user's own that comes with the run, though it was never trained with on this account.

    Raises:
        InputError: not a run folder, a fit, a run without weights, or one with a network that nobody agreed to execute.
    """
    from jaxsci.runs.folder import of_any_version, read_config
    from jaxsci.tasks import own_network

    folder = Path(folder)
    if trust:
        own_network.agree(folder)
    found = task(read_config(folder)["task"])
    if found.load is None:
        raise InputError(f"{folder}: expected a trained run, got a fit of {found.name}; read its evaluation.json")
    with of_any_version(folder):
        return found.load(folder)
