"""Pages that lie elsewhere in the checkout, copied into the source of the pages before Sphinx reads them."""

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
COLLECTED = {  # folder of the pages -> what is copied there
    "tutorials/notebooks": "notebooks/*.ipynb",
    "benchmarks/results": "benchmarks/results/*.[mp][dn]*",
}
LINKS = (  # as they stand in a checkout -> as they stand among the pages
    (r"\]\(results\)", "](index.md)"),
    (r"\]\((?:\.\./)+notebooks/", "](/tutorials/notebooks/"),
)


def collect(app: Sphinx) -> None:
    """Copy the pages; what is no longer there is removed, and a copy keeps its time, so that only changes are built again."""
    for folder, pattern in COLLECTED.items():
        target = DOCS / folder
        found = {path.name: path for path in sorted(ROOT.glob(pattern))}
        target.mkdir(parents=True, exist_ok=True)
        for stale in set(target.iterdir()) - {target / name for name in found}:
            stale.unlink()
        for name, path in found.items():
            shutil.copy2(path, target / name)
            if path.suffix == ".md":
                _write_page(target / name, path)
    _write_page(DOCS / "benchmarks" / "reading.md", ROOT / "benchmarks" / "README.md")


def _write_page(target: Path, source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in LINKS:
        text = re.sub(pattern, replacement, text)
    if not text.startswith("# "):
        text = f"# {source.stem.replace('_', ' ').capitalize()}\n\n{text}"
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", collect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
