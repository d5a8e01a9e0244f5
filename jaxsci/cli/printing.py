"""What a command prints of its results: a table on a terminal, plain lines in a pipe, JSON or CSV where they are asked for."""

import csv
import json
import math
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxsci.cli.arguments import Form
from jaxsci.cli.progress import shown_progress
from jaxsci.errors import InputError
from jaxsci.runs.task import OnProgress, Session, Task
from jaxsci.tasks.scores_file import words

FIRST = 20  # rows of a file's predictions that a terminal shows
_FIRST_OF_MORE = "the first {} of {:,} rows; --csv and --json print all, --out FILE writes them"


def require_one(form: Form, out: Path | None = None) -> None:
    """Raise InputError where both forms are asked for, or one beside a file to write."""
    if form.json and form.csv:
        raise InputError("--json: expected it or --csv, got both; print one")
    if out is not None and (form.json or form.csv):
        raise InputError("--out: expected a file to write, or --json or --csv to print, got both; leave one out")


def as_json(content: Mapping[str, Any]) -> None:
    """Print JSON; numbers that are not finite, which it does not know, as null."""
    print(json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False))


def as_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV under the names of all their columns; what a row lacks is blank, and so are numbers that are not finite."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_plain(row) for row in rows)


def as_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    best: Collection[tuple[int, int]] = (),
    console: Console | None = None,
) -> None:
    """Print a table; nothing is cut.

    On a terminal that is narrower than the table its columns are stacked: several tables that repeat the first column, in which long
    words are folded. Where the output is no terminal each row is one line of words without boxes or colors.

    Args:
        head: titles of the columns.
        rows: their cells.
        best: (row, column) of what is best in its column: written with a star, and bold.
        console: where to print; by default the standard output.
    """
    console = console or Console()
    cells = [[_one_line(cell) for cell in row] for row in rows]
    cells = [[f"{cell} *" if (i, j) in best else cell for j, cell in enumerate(row)] for i, row in enumerate(cells)]
    columns = list(zip(head, *cells, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    right = [j > 0 and all(_is_number(cell) for cell in column[1:]) for j, column in enumerate(columns)]
    if not console.is_terminal:
        for row in (head, *cells):
            words = [
                " " * (width - cell_len(cell)) + cell if of_number else cell + " " * (width - cell_len(cell))
                for cell, width, of_number in zip(row, widths, right, strict=True)
            ]
            console.file.write("  ".join(words).rstrip() + "\n")
        return
    bold = "" if console.no_color else "bold"
    for stack in _stacks(widths, console.width):
        grid = Table(header_style=bold)
        for j in stack:
            grid.add_column(Text(head[j]), justify="right" if right[j] else "left", overflow="fold")
        for i, row in enumerate(cells):
            grid.add_row(*(Text(row[j], style=bold if (i, j) in best else "") for j in stack))
        console.print(grid)


def predictions(write: Callable[[Path], None], form: Form, task: str) -> None:
    """Print what a prediction writes to a file of its own: all of it as JSON or CSV, or its first rows as a table.

    Args:
        write: writes predictions to a path by its suffix, .csv or .npz.
        form: in which to print.
        task: that predicts.
    """
    require_one(form)
    with tempfile.TemporaryDirectory(prefix="jaxsci-") as folder:
        path = Path(folder) / ("predictions.csv" if form.csv else "predictions.npz")
        write(path)
        if form.csv:
            with path.open(encoding="utf-8", newline="") as file:
                for line in file:
                    sys.stdout.write(line.replace("\r\n", "\n"))
            return
        with np.load(path) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
    number = len(next(iter(columns.values())))
    shown = number if form.json else min(number, FIRST)
    lists = {name: column[:shown].tolist() for name, column in columns.items()}
    rows = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    if form.json:
        as_json({"task": task, "predictions": rows})
        return
    first = [] if "row" in columns else ["row"]
    names = [*first, *columns]
    as_table(
        [name.replace("_", " ") for name in names],
        [[*(str(i + 1) for _ in first), *map(cell, row.values())] for i, row in enumerate(rows)],
    )
    if shown < number:
        print(_FIRST_OF_MORE.format(shown, number))


def ask(task: Task, options: Any, form: Form, session: Callable[[OnProgress], Session]) -> None:
    """Print what a task answers; what is to be said besides goes below a table, else to the error stream."""
    assert task.ask is not None, task.name
    require_one(form, getattr(options, "out", None))
    with shown_progress() as progress:
        found = task.ask(options, session(progress))
    if isinstance(found, str):
        print(found)
        return
    if form.json:
        as_json({"task": task.name, "predictions": found.rows})
    elif form.csv:
        as_csv(
            [{k: words(value) if isinstance(value, dict) else value for k, value in row.items()} for row in found.rows]
        )
    else:
        as_table(found.head, found.cells[:FIRST])
        if len(found.cells) > FIRST:
            print(_FIRST_OF_MORE.format(FIRST, len(found.cells)))
    for note in found.notes:
        Console(soft_wrap=True, stderr=form.json or form.csv).print(Text(_one_line(note)))


def cell(value: Any) -> str:
    """A value in a table: four significant digits of a number, a dash for none."""
    unknown = value is None or (isinstance(value, float) and math.isnan(value))
    return "–" if unknown else f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(name): _plain(value) for name, value in content.items()}
    if isinstance(content, str) or not isinstance(content, Iterable):
        return None if isinstance(content, float) and not math.isfinite(content) else content
    return [_plain(value) for value in content]


def _one_line(text: str) -> str:
    """Text without line breaks and what else steers a terminal, such as in the name of a folder."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _is_number(text: str) -> bool:
    return not text or text[0] in "0123456789-+−–>." or text in ("nan", "inf")


def _stacks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns by table: as many as fit beside column 0, whose lines and spaces take three characters each and one at the end."""
    stacks: list[list[int]] = [[0]]
    for column in range(1, len(widths)):
        *_, taken = accumulate((widths[other] + 3 for other in [*stacks[-1], column]), initial=1)
        if taken > room and len(stacks[-1]) > 1:
            stacks.append([0])
        stacks[-1].append(column)
    return stacks
