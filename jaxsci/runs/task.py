"""What a task is: a science problem that the command can train, fit, evaluate and predict.

A module that holds a task has two names: `Options`, a frozen dataclass whose fields and docstrings are the options of the command, and
`TASK`, a `Task`. One line in `jaxsci.tasks.table` makes it a command.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from jaxsci.core import Array, Batch, Inputs, Key, Model, Params
    from jaxsci.training import Recipe, Settings

__all__ = ["Answer", "Execution", "Find", "OnProgress", "Session", "Sweep", "Task", "Trained", "Trial", "silent"]

# Words that begin with "note: " or "warning: " stay on the terminal.
OnProgress: TypeAlias = Callable[[str, float, str], None]  # (stage, fraction of it done, a few words on its state)


def silent(stage: str, fraction: float, words: str) -> None:
    """Progress that nobody watches."""


class Find(Protocol):
    """Where the file of a published data set lies."""

    def __call__(self, data_set: str, file: str) -> Path:
        """The path of `file`; raises InputError with the command that fetches it where there is none."""


class Execution(NamedTuple):
    """How a training is carried out, which changes its results by rounding at most."""

    checkpoint_minutes: float | None = None  # between checkpoints; None: after epochs
    devices: int | None = None  # over which every batch is split; None: one, or all where there are several processes
    device_memory: int | None = None  # bytes of a device, by which microbatches are chosen; None: those of the task
    profile: bool = False  # whether the run says where the time of its training went


class Session(NamedTuple):
    """What a task is given besides its options."""

    runs: Path  # folder of all runs
    find: Find
    name: str | None = None  # of the new run; without one a free one is chosen
    progress: OnProgress = silent
    execution: Execution = Execution()


class Trained(NamedTuple):
    """A trained run, ready to answer: `jaxsci.load(folder).predict(examples)`."""

    model: "Model"  # of one prepared example; for an ensemble, one member
    params: "Params"  # of the best epoch; for an ensemble each [member, ...]
    prepare: Callable[[Any], "Inputs"]  # examples as the user has them -> inputs of the model, each [example, ...]
    predict: Callable[[Any], dict[str, "np.ndarray"]]  # examples as the user has them -> arrays, each [example, ...]
    config: dict[str, Any]  # what config.json holds
    example: Any = None  # one example as the user has it, [1, ...], whose form counts; None where there is no fixed one


class Trial(NamedTuple):
    """One training of a sweep: a single network."""

    recipe: "Callable[[Mapping[str, Array]], Recipe]"  # of "learning_rate" and "weight_decay" where they are swept, else of the options
    settings: "Settings"
    loss: str  # what its validation loss is; only equal ones are compared
    key: "Key"  # of an ordinary run with these options, of an ensemble that of the first member


class Sweep(NamedTuple):
    """What a task gives to a sweep of the options that its `Options.swept` names."""

    # (options, progress) -> all that is read and prepared for them, and the parts that train and choose; no test part
    parts: "Callable[[Any, OnProgress], tuple[Any, tuple[Batch, Batch]]]"
    trial: Callable[[Any, Any], Trial]  # (options, what was prepared for them up to rates and batch size)
    own: Callable[[Any], str | None]  # options -> the name of a network of the user's own, where they have one


class Answer(NamedTuple):
    """What `jaxsci predict NAME` answers, for the command to print as a table, as JSON or as CSV."""

    head: list[str]  # titles of the table
    cells: list[list[str]]  # of the table
    rows: list[
        dict[str, Any]
    ]  # the same as JSON and CSV have it, unrounded; for CSV dicts are written as "key:value key:value"
    notes: list[str]  # lines on what to mistrust and what was left out


class Task(NamedTuple):
    """The functions of a task; None for what it does not do."""

    name: str  # as in the folder runs/<name>/ and on the command line
    start: Callable[[Any, Session], Path]  # (options, session) -> the new run folder, with its report
    resume: Callable[[Path, Session], Path] | None = None  # go on with a run folder that was stopped
    evaluate: Callable[[Path, Path | None, Session], Path] | None = None  # (run, other file) -> the report
    load: Callable[[Path], Trained] | None = None  # a run folder, ready to answer; reads no training data
    predict: Callable[[Path, Path, Path, Session], None] | None = None  # (run, examples, file to write)
    study: Callable[[Path, int, Session], Path] | None = (
        None  # (run, most examples) -> the page of what its gradients say
    )
    ask: "Callable[[Any, Session], Answer | str] | None" = (
        None  # (options of `jaxsci predict NAME`, session) -> what to print: an answer, or that a file was written
    )
    sweep: Sweep | None = None
    lower_is_better: tuple[str, ...] = ()  # metrics that `jaxsci compare` ranks from the smallest
    headline: tuple[str, ...] = ()  # what `jaxsci runs` shows of evaluation.json: keys such as "metrics/auc"
    splits_over_cores: bool = False  # an ensemble whose members train side by side: a JAX device for each core
