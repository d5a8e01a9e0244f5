"""`jaxsci sweep`: the trials are run, and shown as a table, as JSON or as CSV."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxsci.cli import configuration, mistakes, printing, tables
from jaxsci.cli.arguments import SweepPlace
from jaxsci.cli.commands import Chosen, parse
from jaxsci.errors import InputError
from jaxsci.runs.task import Session
from jaxsci.tasks.sweeps import page, space
from jaxsci.tasks.sweeps import run as sweeps
from jaxsci.tasks.sweeps.run import Request

_SHOWN = {"--json", "--csv"}  # what the words of a sweep need not repeat


def run(command: Chosen, place: SweepPlace, session: Session) -> Path:
    """Start a sweep or go on with one; its page and the options of its best trial are written.

    Returns:
        The folder of the sweep.
    """
    printing.require_one(place)
    if place.resume is not None:
        return _resume(command, place, session)
    request = _request(command, place)
    mistakes.require_seed(command.options.seed)
    mistakes.require_heeded(command.typed, *_networks(request))
    folder = sweeps.start(request, session)
    return _finished(folder, request)


def _resume(command: Chosen, place: SweepPlace, session: Session) -> Path:
    folder = place.resume
    assert folder is not None
    record = sweeps.read(folder)
    if record["task"] != command.entry.name:
        raise InputError(
            f"--resume {folder}: expected a sweep of {command.entry.name}, got one of {record['task']}; name it"
        )
    mistakes.require_no_options(command.options, folder, command.typed - set(command.swept))
    if command.swept or replace(place, resume=None, json=False, csv=False) != type(place)():
        raise InputError(
            f"--resume {folder}: expected no options of the sweep; it goes on with those it was started with"
        )
    began: Any = parse(["sweep", record["task"], *configuration.without_file(record["words"])])
    request = _request(began, began.place)
    return _finished(sweeps.resume(request, folder, session.progress), request)


def _request(command: Chosen, place: SweepPlace) -> Request:
    task, options = command.entry.task, command.options
    assert task.sweep is not None, command.entry
    found = space.dimensions(command.swept, command.entry.options)
    words = [word for word in configuration.without_file(command.words) if word not in _SHOWN]
    return Request(task.name, task.sweep, options, found, place.trials, place.halving, words)


def _networks(request: Request) -> list[Any]:
    """The options with each of the networks that are tried: what one of them heeds may be given."""
    lists = {name: request.space[name] for name in ("model", "tagger") if name in request.space}
    return [
        replace(request.options, **{name: value})
        for name, choices in lists.items()
        if isinstance(choices, space.Choices)
        for value in choices.values
    ] or [request.options]


def _finished(folder: Path, request: Request) -> Path:
    page.write(folder, request.space)
    chosen = sweeps.best(sweeps.read(folder))
    configuration.save(folder / page.BEST, request.name, replace(request.options, **chosen["values"]))
    return folder


def show(folder: Path, place: SweepPlace) -> None:
    """Print the trials, the best first, and how to train it."""
    record = sweeps.read(folder)
    rows = page.rows(record)
    best, config = sweeps.best(record)["trial"], str(folder / page.BEST)
    if place.json:
        printing.as_json({"task": record["task"], "best": best, "config": config, "trials": rows})
    elif place.csv:
        printing.as_csv(rows)
    else:
        tables.trials(rows, best)
        Console(soft_wrap=True).print(
            f"trial {best} as an ordinary run: jaxsci train {record['task']} --config {config}",
            highlight=False,
            markup=False,
        )
        print(folder / "report.html")
