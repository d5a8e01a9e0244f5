"""A table of numbers with uncertainties as HTML: numbers on the right, the best of a column in bold."""

import html
import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from jaxsci.errors import InputError
from jaxsci.runs.estimate import Estimate, Rounded, rounded

__all__ = ["Cell", "Column", "Table", "as_html", "escape", "typeset"]

Cell: TypeAlias = (
    str | int | float | Estimate | Rounded | None
)  # Rounded: a number that is written already; None: not known


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
    one; equal ones are all bold.

    Raises:
        InputError: a row with more or fewer cells than there are columns.
    """
    for row in table.rows:
        if len(row) != len(table.columns):
            raise InputError(
                f"table row {row}: expected {len(table.columns)} cells, got {len(row)}; None for an unknown one"
            )
    across = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    columns = [_column(column, cells) for column, cells in zip(table.columns, across, strict=True)]
    head = "".join(
        f'<th scope="col"{_class(cells)}>{typeset(c.title)}</th>'
        for c, cells in zip(table.columns, across, strict=True)
    )
    if len(columns) > 1:  # the first cell names its row
        columns[0] = [f'<th scope="row"{cell[3:-5]}</th>' for cell in columns[0]]
    rows = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    name = escape(f"{label} {table.caption}".strip() or "Table")
    caption = (
        f"<figcaption><b>{escape(label)}</b> {typeset(table.caption)}</figcaption>" if label or table.caption else ""
    )
    notes = "".join(f'<p class="note">{typeset(note)}</p>' for note in table.notes)
    return (
        f'<figure class="table">{caption}<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table></div>{notes}</figure>"
    )


def escape(text: object) -> str:
    """Text made safe for HTML, attributes included; what UTF-8 cannot carry (parts of broken file names) becomes "?"."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"))


def typeset(text: object) -> str:
    """Text made safe for HTML, with its symbols set as such; not for attributes.

    `words` between grave accents are code; a Greek letter with an index, ε_S, and the symbols a_lm, C_l, D_l, f_i, m_top, p_T, T_c, X_i
    have their index below; doi:10... and arXiv:... are links. Other words with an underscore are names and stay.
    """
    return _SET.sub(_markup, escape(text))


_OPTION = re.compile(r"(?<!\S)--\S+")  # a browser would break its line after a hyphen
_SET = re.compile(
    r"`(?P<code>[^`]+)`"
    r"|(?P<doi>doi:10\.\d{4,9}/[\w./()-]*\w)|(?P<arxiv>arXiv:\d{4}\.\d{4,5})"
    r"|(?P<greek>[α-ωΑ-Ω])_(?P<index>[A-Za-z0-9]+)"
    r"|(?<![\w.])(?P<symbol>a_lm|[CD]_l|[fX]_i|m_top|p_T|T_c)(?!\w)"
)


def _markup(found: re.Match[str]) -> str:
    whole = found[0]
    if found["code"]:
        return "<code>" + _OPTION.sub(r"<span>\g<0></span>", found["code"]) + "</code>"
    if found["doi"]:
        return f'<a href="https://doi.org/{whole[4:]}">{whole}</a>'
    if found["arxiv"]:
        return f'<a href="https://arxiv.org/abs/{whole[6:]}">{whole}</a>'
    if found["greek"]:
        return f"{found['greek']}<sub>{found['index']}</sub>"
    letter, index = whole.split("_")
    return f"<i>{letter}</i><sub>{index.replace('l', 'ℓ') if letter in 'aCD' else index}</sub>"


def _column(column: Column, cells: Sequence[Cell]) -> list[str]:
    """The cells of a column as HTML; all uncertainties of a column are written in the same way, so that its digits align."""
    written = [rounded(cell) for cell in cells if isinstance(cell, Estimate)]
    stacked = any(parts.above != parts.below for parts in written)
    best, kind = _best(column, cells), _class(cells)
    return [_cell(cell, kind, stacked, best is not None and _number(cell) == best) for cell in cells]


def _cell(cell: Cell, kind: str, stacked: bool, best: bool) -> str:
    text = _written(cell, stacked)
    return f"<td{kind}><strong>{text}</strong></td>" if best else f"<td{kind}>{text}</td>"


def _class(cells: Sequence[Cell]) -> str:
    words = any(isinstance(cell, str) for cell in cells)
    return "" if words or all(cell is None for cell in cells) else ' class="number"'


def _number(cell: Cell) -> float | None:
    """The number to compare by; None if there is none."""
    value = cell.value if isinstance(cell, Estimate) else cell
    return None if value is None or isinstance(value, str | Rounded) or not math.isfinite(value) else float(value)


def _best(column: Column, cells: Sequence[Cell]) -> float | None:
    numbers = [number for cell in cells if (number := _number(cell)) is not None]
    if column.best is None or len(numbers) < 2:
        return None
    return max(numbers) if column.best == "largest" else min(numbers)


def _written(cell: Cell, stacked: bool) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return typeset(cell)
    if isinstance(cell, int):
        return f"{cell:,}".replace("-", "−")
    if not isinstance(cell, Rounded):
        cell = rounded(cell if isinstance(cell, Estimate) else Estimate(float(cell)))
    parts = cell
    if not parts.above or not stacked:
        return escape(parts)
    return f'{parts.value} <span class="errors"><sup>+{parts.above}</sup><sub>−{parts.below}</sub></span>'
