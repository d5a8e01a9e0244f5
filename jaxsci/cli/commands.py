"""The commands as types for the parser: those of the command itself, and one for each line of the table of tasks."""

import contextlib
import dataclasses
import functools
import io
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, Union, get_type_hints

import tyro
from tyro.conf import arg, subcommand

from jaxsci.cli import benchmarks, configuration, mistakes
from jaxsci.cli.arguments import (
    Compare,
    Completion,
    Data,
    DataFetch,
    DataGenerate,
    DataList,
    Evaluate,
    Export,
    Form,
    NewRun,
    Place,
    Predict,
    Runs,
    Study,
    SweepPlace,
)
from jaxsci.tasks.sweeps import space
from jaxsci.tasks.table import TABLE, Entry

VERBS = {
    "train": ("Train a model and write its run folder with a report.", Place()),
    "fit": ("Fit explicit bases and shapes, with error bars, and write a run folder with a report.", NewRun()),
    "sweep": (
        "Train many networks with other options and let the validation part choose: --learning-rate 1e-4:1e-2 for a range, "
        "--batch-size 64,128 for a list.",
        SweepPlace(),
    ),
}

_PLACES = {**{verb: place for verb, (_, place) in VERBS.items()}, "predict": Form()}


class Chosen(NamedTuple):
    """A task that was named, with the options that were given."""

    entry: Entry
    options: Any  # its own dataclass
    place: NewRun | SweepPlace | Form  # of questions, which make no run, the form of the answer
    swept: Mapping[str, str] = MappingProxyType({})  # of a sweep: ranges and lists, as they were written, by option
    words: tuple[str, ...] = ()  # of a sweep: those after its task
    typed: frozenset[str] = frozenset()  # options of the command line, not of a file, by the names of their fields


def parse(arguments: Sequence[str]) -> Any:
    """The command that the arguments ask for: a `Chosen` task, or an instance of one of `cli.arguments`.

    Raises:
        InputError: they ask for none.
    """
    words = list(arguments) or ["--help"]
    if words[0] == "predict" and any(entry.name in words[1:2] for entry in _entries("predict")):
        words = [f"predict-{words[1]}", *words[2:]]
    tree = _tree(words)
    kind = tree[words[0]].get(next(iter(words[1:2]), "")) if words[0] in VERBS else None
    typed = frozenset(configuration.options_in(words[1:]))
    if kind is not None:
        words = [*words[:2], *configuration.with_file(words[2:], words[1], mistakes.options_of(kind))]
    swept: Mapping[str, str] = {}
    given = tuple(words[2:])
    if words[0] == "sweep" and kind is not None:
        swept, rest = space.separated(given, kind.entry.options)
        words = [*words[:2], *rest]
    with mistakes.one_line(words, tree), _no_wider_than_the_terminal():
        found = _chosen(_parsed(words, words[1:2] if words[0] in VERBS else [words[0].removeprefix("predict-")]))
    if not isinstance(found, Chosen):
        return found
    return found._replace(typed=typed, swept=swept, words=given if words[0] == "sweep" else ())


class _Page(io.StringIO):
    """What the parser prints, which asks for colors where the standard output has them."""

    def isatty(self) -> bool:
        return sys.__stdout__ is not None and sys.__stdout__.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.__stdout__.encoding if sys.__stdout__ is not None else "utf-8"


@contextlib.contextmanager
def _no_wider_than_the_terminal() -> Iterator[None]:
    """Wrap the lines of help that the parser does not: usage, description and example, which stays a command."""
    page = _Page()
    try:
        with contextlib.redirect_stdout(page):
            yield
    finally:
        width = shutil.get_terminal_size().columns
        lines = page.getvalue().replace(" jaxsci predict-", " jaxsci predict ").splitlines()
        sys.stdout.write("".join(f"{mistakes.wrapped(line, width)}\n" for line in lines))


def completion(shell: str) -> str:
    """The script by which a shell completes the words of the command, with the options of every task."""
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        _parsed(["--tyro-print-completion", shell], [entry.name for entry in TABLE])
    # What completes is read line by line: a help text of several lines would be taken for several words.
    lines = script.getvalue().splitlines()
    return "".join(f"{_joined(line) if line.startswith('COMPLETION_SPEC') else line}\n" for line in lines)


def _joined(line: str) -> str:
    return re.sub(r"\\n *", " ", line)


def _parsed(words: Sequence[str], named: Sequence[str]) -> Any:
    """What the parser makes of the words; of tasks that are not named it knows the summary alone."""
    kinds: list[Any] = [
        *(Annotated[_verb(verb, tuple(named)), subcommand(verb)] for verb in VERBS),
        Annotated[Evaluate, subcommand("evaluate")],
        Annotated[Predict, subcommand("predict")],
        *(Annotated[_kind(e, e.name in named), subcommand(f"predict-{e.name}")] for e in _entries("predict")),
        Annotated[Study, subcommand("study")],
        Annotated[Export, subcommand("export")],
        Annotated[Compare, subcommand("compare")],
        Annotated[Runs, subcommand("runs")],
        Annotated[Data, subcommand("data")],
        Annotated[_bench(), subcommand("bench")],
        Annotated[Completion, subcommand("completion")],
    ]
    union: Any = Union[tuple(kinds)]  # noqa: UP007  # of types that are known only now
    command = tyro.cli(
        union,
        prog="jaxsci",
        description="Machine learning for the natural sciences in JAX. Add --debug to any command for full tracebacks.",
        args=words,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.DisallowNone),
    )
    return getattr(command, "task", command)


def _tree(words: Sequence[str]) -> dict[str, Any]:
    """The types of all commands by their words."""
    return {
        **{verb: {e.name: _kind(e, e.name in words[1:2], verb) for e in _entries(verb)} for verb in VERBS},
        "evaluate": Evaluate,
        "predict": Predict,
        "study": Study,
        **{f"predict-{e.name}": _kind(e, e.name == words[0].removeprefix("predict-")) for e in _entries("predict")},
        "export": Export,
        "compare": Compare,
        "runs": Runs,
        "data": {"list": DataList, "fetch": DataFetch, "generate": DataGenerate},
        "completion": Completion,
        "bench": {entry.name: DataList for entry in benchmarks.TABLE},
    }


@functools.cache
def _verb(verb: str, named: tuple[str, ...]) -> Any:
    """The type of `jaxsci VERB TASK`."""
    return _one_of({entry.name: _kind(entry, entry.name in named, verb) for entry in _entries(verb)}, VERBS[verb][0])


def _entries(verb: str) -> list[Entry]:
    """The tasks of a first word."""
    return [entry for entry in TABLE if entry.verb == verb or (verb == "sweep" and entry.sweeps)]


@functools.cache
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


@functools.cache
def _kind(entry: Entry, named: bool, verb: str = "predict") -> Any:
    """The options of a task as a type, with where its run goes; of a task that is not named the summary alone, which imports nothing."""
    bases: tuple[Any, ...] = (entry.options,) if named else ()
    place = _PLACES[verb] if bases else None
    fields: list[Any] = [field for base in bases for field in _unset(base)]
    if place is not None:
        where = dataclasses.make_dataclass("Where", _unset(type(place)), bases=(type(place),), frozen=True)
        where.__doc__ = place.__doc__
        fields.append(("place", where, dataclasses.field(default=where())))
    kind = dataclasses.make_dataclass("Options", fields, bases=bases, frozen=True)
    example = entry.swept if verb == "sweep" else entry.example
    shown = f"\n\nExample: jaxsci {verb} {entry.name} {example}" if example else ""
    kind.__doc__ = f"{bases[0].__doc__}{shown}" if bases else entry.summary
    kind.entry = entry  # type: ignore[attr-defined]  # by which the parsed command is known again
    return kind


def _unset(options: Any) -> list[tuple[str, Any, Any]]:
    """The options that are not set unless the user sets them, whose help then names no default: their words do."""
    hints = get_type_hints(options, include_extras=True)
    return [
        (field.name, Annotated[hints[field.name], arg(help_behavior_hint="")], field)
        for field in dataclasses.fields(options)
        if field.default in (None, ())
    ]


def _chosen(command: Any) -> Any:
    entry = getattr(command, "entry", None)
    if entry is None:
        return command
    values = {field.name: getattr(command, field.name) for field in dataclasses.fields(command)}
    place = values.pop("place", None)
    return Chosen(entry, entry.options(**values), place)
