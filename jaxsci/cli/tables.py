"""Tables on the terminal: runs side by side, and what was run. A table that is too wide is stacked, never cut."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from jaxsci.errors import InputError
from jaxsci.runs import comparison
from jaxsci.runs import folder as runs
from jaxsci.runs.estimate import Estimate, rounded

PAPER = 200  # columns where the output is no terminal
MARKUP = ("[bold]", "[/bold]")


def compare(folders: Sequence[Path], lower_is_better: Sequence[str] = (), console: Console | None = None) -> None:
    """Print the estimates of runs, the best of each column with a star; `lower_is_better` names those whose smallest value is best."""
    names, table = comparison.rows(folders)
    winners = {name: comparison.best(name, table, lower_is_better) for name in names}
    rows = [
        [run, *(_marked(comparison.text(values.get(name)), winners[name] == run) for name in names)]
        for run, values in table
    ]
    console = console or _console()
    _print(["run", *(name.replace("_", " ") for name in names)], rows, console)
    console.print("*: best of each column; 68 % intervals")


def history(folder: Path, headlines: Mapping[str, Sequence[str]], console: Console | None = None) -> None:
    """Print what was run, a table per task, the newest run first.

    Args:
        folder: of all runs.
        headlines: for each task the keys of evaluation.json to show, such as "metrics/auc"; keys that a run lacks are left out, and
            a run whose file is damaged is said to be so.
        console: where to print; by default the standard output.

    Raises:
        InputError: there is no run.
    """
    console = console or _console()
    configs = sorted(folder.glob("*/*/config.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not configs:
        raise InputError(f"{folder}: expected a folder of runs, got none in it; start with jaxsci train top-tagging")
    for task in dict.fromkeys(path.parts[-3] for path in configs):
        rows, damaged = {}, []
        for run in (path.parent for path in configs if path.parts[-3] == task):
            try:
                rows[run] = _results(run, headlines.get(task, ()))
            except (InputError, TypeError, ValueError, AttributeError):  # one that was edited: the others are shown
                rows[run] = {}
                damaged.append(run)
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        head = [task, "started", *(name.rpartition("/")[2].replace("_", " ") for name in names)]
        body = []
        for run, row in rows.items():
            started = f"{datetime.fromtimestamp((run / 'config.json').stat().st_mtime):%Y-%m-%d %H:%M}"
            state = "" if (run / "evaluation.json").exists() else ", unfinished"
            state = ", evaluation.json damaged" if run in damaged else state
            body.append([run.name, started + state, *(row.get(name, "") for name in names)])
        _print(head, body, console)


def trials(rows: Sequence[Mapping[str, Any]], best: int, console: Console | None = None) -> None:
    """Print the trials of a sweep, the best with a star."""
    head = [name.replace("_", " ") for name in rows[0]]
    body = [[_marked(_cell(value), row["trial"] == best) for value in row.values()] for row in rows]
    _print(head, body, console or _console())


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _results(folder: Path, keys: Sequence[str]) -> dict[str, str]:
    """The estimates of these keys, of a run that has been evaluated."""
    if not (folder / "evaluation.json").exists():
        return {}
    evaluation = runs.read_json(folder / "evaluation.json", f"evaluate the run again: jaxsci evaluate {folder}")
    if not isinstance(evaluation, dict) or not evaluation:
        raise InputError(
            f"{folder / 'evaluation.json'}: expected what was measured, got another file; evaluate the run again"
        )
    found = {}
    for key in keys:
        entry: Any = evaluation
        for part in key.split("/"):
            entry = entry.get(part) if isinstance(entry, dict) else None
        if entry is not None:
            found[key] = f"{entry:,}" if isinstance(entry, int) else str(rounded(_estimate(entry)))
    return found


def _estimate(entry: Any) -> Estimate:
    """An entry of evaluation.json: a number, or a value with its interval or its error."""
    if not isinstance(entry, dict):
        return Estimate(entry)
    value, error = entry.get("value"), entry.get("error")
    if "lower" not in entry and value is not None and error is not None:
        return Estimate(value, value - error, value + error)
    return Estimate(value, entry.get("lower"), entry.get("upper"))


def _print(head: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print a table; where it is wider than the console, its columns in several tables that repeat the first one."""
    widths = [max(cell_len(cell) for cell in _plain(column)) for column in zip(head, *rows, strict=True)]
    for columns in _stacks(widths, console.width):
        grid = Table()
        for column in columns:
            grid.add_column(head[column], justify="right" if column else "left", overflow="fold")
        for row in rows:
            grid.add_row(*(row[column] for column in columns))
        console.print(grid)


def _stacks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns by table: as many as fit beside column 0, whose lines and spaces take three characters each and one at the end."""
    stacks: list[list[int]] = [[0]]
    for column in range(1, len(widths)):
        *_, taken = accumulate((widths[other] + 3 for other in [*stacks[-1], column]), initial=1)
        if taken > room and len(stacks[-1]) > 1:
            stacks.append([0])
        stacks[-1].append(column)
    return stacks


def _marked(cell: str, best: bool) -> str:
    return f"{cell} *".join(MARKUP) if best else cell


def _plain(cells: Sequence[str]) -> list[str]:
    return [cell.removeprefix(MARKUP[0]).removesuffix(MARKUP[1]) for cell in cells]


def _console() -> Console:
    return Console(width=None if Console().is_terminal else PAPER)
