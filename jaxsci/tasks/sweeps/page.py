"""What a sweep found: the table of its trials and the page with its figure."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxsci.plots import training as plots
from jaxsci.runs import figures
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.tasks.sweeps.run import FIRST_MEMBER, best, read
from jaxsci.tasks.sweeps.space import Dimension, Range

__all__ = ["rows", "write"]

BEST = "best.toml"


def rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trials, a flat row each, the lowest validation loss of those trained longest first."""
    order = {"finished": 0, "running": 1, "stopped": 2, "diverged": 3}

    def place(trial: Mapping[str, Any]) -> tuple[Any, ...]:
        loss = trial["validation_loss"]
        return order[trial["state"]], -trial["epochs"], loss is None, loss or 0.0

    return [
        {
            "trial": trial["trial"],
            **trial["values"],
            "epochs": trial["epochs"],
            "best_epoch": trial["best_epoch"],
            "validation_loss": trial["validation_loss"],
            "state": trial["state"],
        }
        for trial in sorted(record["trials"], key=place)
    ]


def write(folder: Path, space: Mapping[str, Dimension]) -> None:
    """Draw the figure and write report.html into the folder of a sweep that is over."""
    record = read(folder)
    trials, chosen = rows(record), best(record)
    named = {name: name.replace("_", " ") for name in space}
    finished = sum(trial["state"] == "finished" for trial in trials)
    values = ", ".join(f"{named[name]} {value}" for name, value in chosen["values"].items())
    lost = sum(trial["state"] == "diverged" for trial in trials)
    drawing = Drawing(
        "sweep",
        "Lowest validation loss of each trial against what was varied.",
        plots.sweep(
            {named[name]: [trial[name] for trial in trials] for name in space},
            [trial["validation_loss"] for trial in trials],
            [trial["state"] == "finished" for trial in trials],
            logarithmic=[named[name] for name, dimension in space.items() if isinstance(dimension, Range)],
        ),
        f"{len(trials)} points, of which {finished} were trained to the end; the lowest, {chosen['validation_loss']:.4g}, at {values}.",
    )
    summary = {
        "Task": record["task"],
        "Trials": f"{len(trials)}, {finished} to the end" + (f", {lost} diverged" if lost else ""),
        "Best": f"trial {chosen['trial']}: {values}",
        "Validation loss": f"{chosen['validation_loss']:.4g} ({record['loss']})",
    }
    if "device" in record:
        summary["Device"] = record["device"]
    sections = [
        Section("What was found", _claim(record), figures=[drawing], table=_table(trials, named)),
        Section("How the trials were drawn", _drawn(space, record)),
        Section("How to repeat this", _repeated(folder, record)),
    ]
    figures.write(folder / "report.html", f"A sweep of {record['task']}", summary, sections)


def _claim(record: Mapping[str, Any]) -> str:
    words = (
        "The validation part alone chose; nothing was computed on the test part. The lowest of many validation losses is a little too low "
        "for that very reason: the figures of the best trial come from an ordinary run of it, on the test part."
    )
    halvings = [f"{fraction:g}" for fraction in record["rungs"][:-1]]
    if halvings:
        words += (
            f" Successive halving: after {' and '.join(halvings)} of its epochs a trial went on if its lowest validation loss so far was "
            "in the better half. The learning rate is still high there, so that trials which learn slowly may be stopped too early; "
            "--no-halving trains all to the end."
        )
    return words


def _drawn(space: Mapping[str, Dimension], record: Mapping[str, Any]) -> str:
    parts = []
    for name, of in space.items():
        if isinstance(of, Range):
            whole = ", rounded to whole numbers" if of.whole else ""
            parts.append(f"{name.replace('_', ' ')} evenly in the logarithm between {of.low:g} and {of.high:g}{whole}")
        else:
            parts.append(f"{name.replace('_', ' ')} from {', '.join(map(str, of.values))}")
    member = (
        ", that of an ordinary run or, where it trains an ensemble, of the ensemble's first member"
        if record.get("key") == FIRST_MEMBER
        else ""
    )
    return (
        f"Drawn: {'; '.join(parts)}. Each range was cut into as many parts as there are trials, each of which has one. All trials share "
        f"the seed of initial weights and order{member}; each is a single network."
    )


def _repeated(folder: Path, record: Mapping[str, Any]) -> str:
    words = " ".join(shlex.quote(Path(word).name if "/" in word else word) for word in record["words"])
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (
        f"`jaxsci sweep {record['task']} {words}`\n\nThe best trial as an ordinary run:\n\n"
        f"`jaxsci train {record['task']} --config {folder.name}/{BEST}`\n\nBegun {record['created']}. Trained as {record['programs']} "
        f"compiled program{'s' if record['programs'] > 1 else ''}. Versions: {versions}."
    )


def _table(trials: list[dict[str, Any]], named: Mapping[str, str]) -> Table:
    titles = {"trial": "trial", **named, "epochs": "epochs", "validation_loss": "validation loss", "state": "state"}
    cells: list[list[Cell]] = [
        [str(trial[name]) if name in named or name == "trial" else trial[name] for name in titles] for trial in trials
    ]
    columns = [Column(title, "smallest" if name == "validation_loss" else None) for name, title in titles.items()]
    return Table(
        columns, cells, "The trials, those trained longest first.", ["Stopped trials were trained for fewer epochs."]
    )
