"""Runs side by side, what was run, and the trials of a sweep: as tables, as JSON or as CSV."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxsci.cli import printing
from jaxsci.cli.arguments import Form
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.estimate import Estimate, rounded
from jaxsci.tasks.table import TABLE


def compare(
    folders: Sequence[Path],
    lower_is_better: Sequence[str] = (),
    form: Form = Form(),  # noqa: B008  # frozen
    console: Console | None = None,
) -> None:
    """Print the estimates of runs, the best of each column with a star; `lower_is_better` names those whose smallest value is best."""
    printing.require_one(form)
    from jaxsci.runs import comparison  # which imports jax and a plotting library

    folders = list(dict.fromkeys(folders))
    names, table = comparison.rows(folders)
    winners = {name: comparison.best(name, table, lower_is_better) for name in names}
    if form.json:
        entries = [{"run": run, "folder": str(f), **values} for f, (run, values) in zip(folders, table, strict=True)]
        best = {name: [table[i][0] for i in winners[name]] for name in names}
        printing.as_json({"task": runs.read_config(folders[0])["task"], "best": best, "runs": entries})
        return
    if form.csv:
        rows_of = zip(folders, table, strict=True)
        printing.as_csv([{"run": run, "folder": str(f), **dict(_flat(values))} for f, (run, values) in rows_of])
        return
    rows = [[run, *(comparison.text(values.get(name)) for name in names)] for run, values in table]
    marks = {(i, j) for j, name in enumerate(names, start=1) for i in winners[name]}
    printing.as_table(["run", *(name.replace("_", " ") for name in names)], rows, marks, console)
    (console or Console(soft_wrap=True)).print("*: best of each column; 68 % intervals", highlight=False)


def history(
    folder: Path,
    form: Form = Form(),  # noqa: B008  # frozen
    console: Console | None = None,
) -> None:
    """Print what was run, a table per task, the newest run first, with the headline of its task; a damaged run is said to be so.

    Args:
        folder: of all runs.
        form: of what is printed.
        console: where to print; by default the standard output.

    Raises:
        InputError: there is no run.
    """
    printing.require_one(form)
    configs = list(folder.glob("*/*/config.json"))
    if not configs:
        raise InputError(f"{folder}: expected a folder of runs, got none in it; start with jaxsci train top-tagging")
    headlines = {entry.name: entry.task.headline for entry in TABLE if (folder / entry.name).is_dir()}
    found = [_entry(path.parent, headlines.get(path.parts[-3], ())) for path in configs]
    found.sort(key=lambda entry: datetime.fromisoformat(entry["started"]), reverse=True)
    if form.json:
        printing.as_json({"runs": [{**entry, "folder": str(entry["folder"])} for entry in found]})
        return
    if form.csv:
        rows = [{**{k: v for k, v in e.items() if k != "metrics"}, **dict(_flat(e["metrics"]))} for e in found]
        printing.as_csv(rows)
        return
    console = console or Console()
    for number, task in enumerate(dict.fromkeys(entry["task"] for entry in found)):
        if number and not console.is_terminal:
            console.print()
        of_task = [entry for entry in found if entry["task"] == task]
        names = list(dict.fromkeys(name for entry in of_task for name in entry["metrics"]))
        head = [task, "started", *(name.replace("_", " ") for name in names)]
        body = [
            [
                entry["run"],
                _begun(entry),
                *(_shown(entry["metrics"].get(name)) for name in names),
            ]
            for entry in of_task
        ]
        printing.as_table(head, body, console=console)


def _begun(entry: Mapping[str, Any]) -> str:
    """When a run was started, in local time, and what is the matter with it."""
    state = "" if entry["state"] == "finished" else f", {entry['damaged'] or ''} {entry['state']}".replace("  ", " ")
    return f"{datetime.fromisoformat(entry['started']).astimezone():%Y-%m-%d %H:%M}{state}"


def trials(rows: Sequence[Mapping[str, Any]], best: int, console: Console | None = None) -> None:
    """Print the trials of a sweep, the best with a star."""
    head = [name.replace("_", " ") for name in rows[0]]
    body = [[printing.cell(value) for value in row.values()] for row in rows]
    winner = next(i for i, row in enumerate(rows) if row["trial"] == best)
    printing.as_table(head, body, {(winner, 0)}, console)


def _entry(run: Path, keys: Sequence[str]) -> dict[str, Any]:
    """A run with what was measured of it; one that was edited has nothing, and the others are shown."""
    metrics: dict[str, Any] = {}
    state, read, damaged = "finished" if (run / "evaluation.json").exists() else "unfinished", "config.json", None
    started = datetime.fromtimestamp((run / "config.json").stat().st_mtime, UTC).isoformat(timespec="seconds")
    try:
        started = _utc(runs.read_config(run).get("created", started))
        read = "evaluation.json"
        found = _results(run, keys)
        for value in found.values():
            _shown(value)
        metrics = found
    except (InputError, TypeError, ValueError, AttributeError):
        state, damaged = "damaged", read
    return {
        "task": run.parts[-2],
        "run": run.name,
        "folder": run,
        "started": started,
        "state": state,
        "damaged": damaged,
        "metrics": metrics,
    }


def _utc(time: str) -> str:
    """A time in UTC; one without a zone is in UTC already."""
    found = datetime.fromisoformat(time)
    return (found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _results(folder: Path, keys: Sequence[str]) -> dict[str, Any]:
    """The entries of evaluation.json under these keys, by the last part of a key, or by the whole key where two share it."""
    if not (folder / "evaluation.json").exists():
        return {}
    evaluation = runs.read_json(folder / "evaluation.json", f"evaluate the run again: jaxsci evaluate {folder}")
    if not isinstance(evaluation, dict) or not evaluation:
        raise InputError(
            f"{folder / 'evaluation.json'}: expected what was measured, got another file; evaluate the run again"
        )
    found = {}
    last = [key.rpartition("/")[2] for key in keys]
    for key, name in zip(keys, last, strict=True):
        entry: Any = evaluation
        for part in key.split("/"):
            entry = entry.get(part) if isinstance(entry, dict) else None
        if entry is not None:
            found[name if last.count(name) == 1 else key] = entry
    return found


def _shown(entry: Any) -> str:
    if entry is None:
        return ""
    return f"{entry:,}" if isinstance(entry, int) else str(rounded(_estimate(entry)))


def _flat(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Columns of a metric: NAME is its value, NAME_lower and others what is known besides."""
    for name, entry in metrics.items():
        parts = entry if isinstance(entry, dict) else {"value": entry}
        yield from ((name if part == "value" else f"{name}_{part}", value) for part, value in parts.items())


def _estimate(entry: Any) -> Estimate:
    """An entry of evaluation.json: a number, or a value with its interval or its error."""
    if not isinstance(entry, dict):
        return Estimate(entry)
    value, error = entry.get("value"), entry.get("error")
    if "lower" not in entry and value is not None and error is not None:
        return Estimate(value, value - error, value + error)
    return Estimate(value, entry.get("lower"), entry.get("upper"))
