"""A table of numbers with uncertainties as HTML: numbers on the right, the best of a column in bold."""

import html
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from jaxsci.errors import InputError
from jaxsci.plots.estimate import Estimate, rounded

Cell: TypeAlias = str | int | float | Estimate | None  # None: not known


class Column(NamedTuple):
    """The head of a column, and which of its values is best, if any is."""

    title: str
    best: Literal["largest", "smallest"] | None = None


class Table(NamedTuple):
    """Rows under columns; notes stand below."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    notes: Sequence[str] = ()


def as_html(table: Table, label: str = "") -> str:
    """The table as HTML, escaped; `label`, such as "Table 1.", goes before the caption.

    Numbers are written as `estimate.rounded` does, integers in full. The best value of a column is bold where two rows or more have
    one; equal ones are all bold. The first cell of a row is its heading.

    Raises:
        InputError: a row with more or fewer cells than there are columns.
    """
    for row in table.rows:
        if len(row) != len(table.columns):
            raise InputError(
                f"table row {row}: expected {len(table.columns)} cells, got {len(row)}; None for an unknown one"
            )
    across = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    classes = [' class="number"' if _is_numeric(cells) else "" for cells in across]
    best = [_best(column, cells) for column, cells in zip(table.columns, across, strict=True)]
    head = "".join(
        f'<th scope="col"{c}>{escape(column.title)}</th>' for column, c in zip(table.columns, classes, strict=True)
    )
    body = []
    for row in table.rows:
        cells = [
            _strong(_written(cell), best[i] is not None and _number(cell) == best[i]) for i, cell in enumerate(row)
        ]
        data = "".join(f"<td{c}>{cell}</td>" for c, cell in zip(classes[1:], cells[1:], strict=True))
        body.append(f'<tr><th scope="row"{classes[0]}>{cells[0]}</th>{data}</tr>')
    caption = (
        f"<figcaption><b>{escape(label)}</b> {escape(table.caption)}</figcaption>" if label or table.caption else ""
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    rows = "\n".join(body)
    return (
        f'<figure class="table">{caption}<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f'<tbody>\n{rows}\n</tbody></table></div><div class="notes">{notes}</div></figure>'
    )


def escape(text: object) -> str:
    """Text made safe for HTML, attributes included; what UTF-8 cannot carry (parts of broken file names) becomes "?"."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"))


def _number(cell: Cell) -> float | None:
    """The number to compare by; None if there is none."""
    value = cell.value if isinstance(cell, Estimate) else cell
    return None if value is None or isinstance(value, str) or not math.isfinite(value) else float(value)


def _is_numeric(cells: Sequence[Cell]) -> bool:
    return any(not isinstance(cell, str | None) for cell in cells) and not any(isinstance(cell, str) for cell in cells)


def _best(column: Column, cells: Sequence[Cell]) -> float | None:
    numbers = [number for cell in cells if (number := _number(cell)) is not None]
    if column.best is None or len(numbers) < 2:
        return None
    return max(numbers) if column.best == "largest" else min(numbers)


def _written(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return escape(cell)
    if isinstance(cell, int):
        return f"{cell:,}".replace("-", "−")
    parts = rounded(cell if isinstance(cell, Estimate) else Estimate(float(cell)))
    if not parts.above or parts.above == parts.below:
        return escape(str(parts))
    return f'{parts.value} <span class="errors"><sup>+{parts.above}</sup><sub>−{parts.below}</sub></span>'


def _strong(text: str, yes: bool) -> str:
    return f"<strong>{text}</strong>" if yes else text
