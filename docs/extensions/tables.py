"""Numbers in tables that stay whole: a value and its error are not parted at the end of a line."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PLACES = (
    r"(?<=\d) (?=[±×] ?[\d.])",  # 0.985 ± 0.001
    r"(?<=[±×]) (?=[\d.])",
    r"(?<=\d) (?=[+−-][\d.])",  # 625 +310 −207
    r"(?<=\d) (?=(?:[%kMGTms]|[kMG]?B|[GMk]?eV|ms|min|GFLOP/s|MiB|GiB)(?:$|[\s),;]))",  # 12 ms
    r"(?<=[<>≤≥]) (?=\d)",  # > 1,630
)


class WholeNumbers(SphinxTransform):
    """Puts no-break spaces into the cells of tables, inside of one number with its error or unit."""

    default_priority = 800

    def apply(self, **_: Any) -> None:
        """Change the texts of all cells in place."""
        for cell in self.document.findall(nodes.entry):
            for text in list(cell.findall(nodes.Text)):
                whole = re.sub("|".join(PLACES), "\N{NO-BREAK SPACE}", text.astext())
                if whole != text.astext() and not isinstance(text.parent, nodes.literal):
                    text.parent.replace(text, nodes.Text(whole))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(WholeNumbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
