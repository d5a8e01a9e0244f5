"""The commands as types for the parser: those of the command itself, and one for each line of the table of tasks."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Union

import tyro
from tyro.conf import subcommand

from jaxsci.cli import benchmarks, mistakes
from jaxsci.cli.arguments import (
    Compare,
    Data,
    DataFetch,
    DataGenerate,
    DataList,
    Evaluate,
    Export,
    NewRun,
    Place,
    Predict,
    Runs,
    Study,
)
from jaxsci.tasks.table import TABLE, Entry

VERBS = {
    "train": ("Train a model and write its run folder with a report.", Place()),
    "fit": ("Fit explicit bases and shapes, with error bars, and write a run folder with a report.", NewRun()),
}


class Chosen(NamedTuple):
    """A task that was named, with the options that were given."""

    entry: Entry
    options: Any  # its own dataclass
    place: NewRun | None  # None for questions, which make no run


def parse(arguments: Sequence[str]) -> Any:
    """The command that the arguments ask for: a `Chosen` task, or an instance of one of `cli.arguments`.

    Raises:
        InputError: they ask for none.
    """
    words = list(arguments) or ["--help"]
    asked = [entry for entry in TABLE if entry.verb == "predict"]
    if words[0] == "predict" and any(entry.name in words[1:2] for entry in asked):
        words = [f"predict-{words[1]}", *words[2:]]
    kinds: list[Any] = [
        *(Annotated[_verb(verb, words), subcommand(verb)] for verb in VERBS),
        Annotated[Evaluate, subcommand("evaluate")],
        Annotated[Predict, subcommand("predict")],
        *(Annotated[_kind(entry, words[:1]), subcommand(f"predict-{entry.name}")] for entry in asked),
        Annotated[Study, subcommand("study")],
        Annotated[Export, subcommand("export")],
        Annotated[Compare, subcommand("compare")],
        Annotated[Runs, subcommand("runs")],
        Annotated[Data, subcommand("data")],
        Annotated[_bench(), subcommand("bench")],
    ]
    union: Any = Union[tuple(kinds)]  # noqa: UP007  # of types that are known only now
    with mistakes.one_line(words, _tree(words)):
        command = tyro.cli(
            union,
            prog="jaxsci",
            description="Machine learning for the natural sciences in JAX. Add --debug to any command for full tracebacks.",
            args=words,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
        )
    return _chosen(getattr(command, "task", command))


def _tree(words: Sequence[str]) -> dict[str, Any]:
    """The types of all commands by their words."""
    return {
        **{verb: {e.name: _kind(e, words[1:2]) for e in TABLE if e.verb == verb} for verb in VERBS},
        "evaluate": Evaluate,
        "predict": Predict,
        "study": Study,
        **{f"predict-{e.name}": _kind(e, words[:1]) for e in TABLE if e.verb == "predict"},
        "export": Export,
        "compare": Compare,
        "runs": Runs,
        "data": {"list": DataList, "fetch": DataFetch, "generate": DataGenerate},
        "bench": {entry.name: DataList for entry in benchmarks.TABLE},
    }


def _verb(verb: str, words: Sequence[str]) -> Any:
    """The type of `jaxsci VERB TASK`."""
    entries = [entry for entry in TABLE if entry.verb == verb]
    return _one_of({entry.name: _kind(entry, words[1:2]) for entry in entries}, VERBS[verb][0])


def _bench() -> Any:
    """The type of `jaxsci bench BENCHMARK`, which reads its own options: names and summaries alone."""
    known = {entry.name: dataclasses.make_dataclass("Benchmark", [], frozen=True) for entry in benchmarks.TABLE}
    for entry in benchmarks.TABLE:
        known[entry.name].__doc__ = entry.summary
    return _one_of(known, "Measure how fast the library is on this machine; see jaxsci bench convolution --help.")


def _one_of(kinds: dict[str, Any], summary: str) -> Any:
    """The type of a command that goes on with one of these words."""
    union: Any = Union[tuple(Annotated[kind, subcommand(name)] for name, kind in kinds.items())]  # noqa: UP007
    kind = dataclasses.make_dataclass("OneOf", [("task", union)], frozen=True)
    kind.__doc__ = summary
    return kind


def _kind(entry: Entry, named: Sequence[str]) -> Any:
    """The options of a task as a type, with where its run goes; of a task that is not named the summary alone, which imports nothing."""
    name = entry.name if entry.verb in VERBS else f"predict-{entry.name}"
    bases: tuple[Any, ...] = (entry.options,) if name in named else ()
    place = VERBS[entry.verb][1] if entry.verb in VERBS and bases else None
    fields = [] if place is None else [("place", type(place), dataclasses.field(default=place))]
    kind = dataclasses.make_dataclass("Options", fields, bases=bases, frozen=True)
    kind.__doc__ = bases[0].__doc__ if bases else entry.summary
    kind.entry = entry  # type: ignore[attr-defined]  # by which the parsed command is known again
    return kind


def _chosen(command: Any) -> Any:
    entry = getattr(command, "entry", None)
    if entry is None:
        return command
    values = {field.name: getattr(command, field.name) for field in dataclasses.fields(command)}
    place = values.pop("place", None)
    return Chosen(entry, entry.options(**values), place)
