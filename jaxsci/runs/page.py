"""One self-contained HTML page: figures inside it, no script, nothing fetched; it can be mailed, printed and kept."""

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jaxsci.errors import InputError
from jaxsci.runs.tables import Table, as_html, escape, typeset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMN = 696  # pixels, the width of the text; wider figures stand out of it on both sides

__all__ = ["Drawing", "Section", "page"]


class Drawing(NamedTuple):
    """A figure of a page."""

    name: str  # of its file, without the suffix, where it has one beside the page
    caption: str
    figure: "Figure | bytes"  # or the bytes of a PNG at twice its size in pixels
    alt: str = ""  # what is to be seen, for those who do not see it; the caption if empty
    dark: bytes | None = None  # the PNG of the same size for a dark page; of a figure it is drawn


class Section(NamedTuple):
    """A heading, paragraphs (separated by empty lines), figures and a table, in this order."""

    title: str
    text: str = ""
    figures: Sequence[Drawing] = ()
    table: Table | None = None


def page(title: str, summary: Mapping[str, str], sections: Sequence[Section]) -> str:
    """A whole HTML document: the title, the summary as a list of names and values, the sections.

    Figures and tables are numbered through the page. All text is plain text and is escaped; symbols, code and references in it are
    set as `tables.typeset` says. The same arguments give the same page.

    Raises:
        InputError: bytes that are no PNG, or a table row of the wrong length.
    """
    figures, tables = 0, 0
    body = []
    for section in sections:
        parts = [f"<h2>{typeset(section.title)}</h2>"]
        parts += [f"<p>{typeset(' '.join(text.split()))}</p>" for text in section.text.split("\n\n") if text.strip()]
        for drawing in section.figures:
            figures += 1
            parts.append(_picture(drawing, f"Figure {figures}."))
        if section.table is not None:
            tables += 1
            parts.append(as_html(section.table, f"Table {tables}."))
        body.append("<section>\n" + "\n".join(parts) + "\n</section>")
    facts = "\n".join(
        f"<div><dt>{typeset(name)}</dt><dd>{typeset(value)}</dd></div>" for name, value in summary.items()
    )
    content = f"<header>\n<h1>{typeset(title)}</h1>\n<dl>\n{facts}\n</dl>\n</header>\n" + "\n".join(body)
    return _DOCUMENT.format(title=escape(title), style=_STYLE, content=content)


def _picture(drawing: Drawing, label: str) -> str:
    content, dark = drawing.figure, drawing.dark
    if not isinstance(content, bytes):
        from jaxsci.plots import png  # matplotlib is loaded only where there is something to draw

        content, dark = png.encode_both(content)
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        raise InputError(
            f"{drawing.caption!r}: expected a figure or the bytes of a PNG, got others; use jaxsci.plots.png.encode"
        )
    width, height = (pixels // 2 for pixels in struct.unpack(">II", content[16:24]))
    kinds = "wide" * (width > _COLUMN) + " tall" * (height > width) + " opaque" * (dark is None)
    image = (
        f'<img src="{_data(content)}" alt="{escape(drawing.alt or drawing.caption)}" width="{width}" height="{height}">'
    )
    if dark is not None:
        image = (
            f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{_data(dark)}">{image}</picture>'
        )
    return (
        f'<figure class="{kinds.strip()}" style="--width: {width}px"><div class="scroll" role="region" aria-label="{label[:-1]}"'
        f' tabindex="0">{image}</div><figcaption><b>{label}</b> {typeset(drawing.caption)}</figcaption></figure>'
    )


def _data(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


# The policy forbids every request and script, so that even an escape forgotten somewhere could do nothing.
_DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""

_STYLE = """\
:root {
  --text: #1f2328; --quiet: #59636e; --line: #d9dee3; --ground: #ffffff; --accent: #0b5c8f; --shade: #0000002e;
}
@media (prefers-color-scheme: dark) {
  :root { --text: #dfe3e8; --quiet: #9aa4af; --line: #3a424b; --ground: #16191d; --accent: #79b8e8; --shade: #ffffff38; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; color: var(--text); background: var(--ground);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 46rem; margin: 0 auto; padding: 3rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; margin: 0 0 1.25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; line-height: 1.3; font-weight: 650; margin: 2.75rem 0 0.6rem; overflow-wrap: anywhere; }
p { margin: 0 0 0.8rem; overflow-wrap: anywhere; }
dl {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 0.9rem 1.5rem;
  margin: 0; padding: 1rem 0; border-top: 1px solid var(--line); border-bottom: 1px solid var(--line);
}
dt { color: var(--quiet); font-size: 0.8rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
a { color: var(--accent); }
code { font: 0.875em/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code span { white-space: nowrap; }
figure { margin: 1.4rem 0; }
img { display: block; width: var(--width); max-width: 100%; height: auto; margin: 0 auto; mix-blend-mode: multiply; }
figcaption { color: var(--quiet); font-size: 0.875rem; line-height: 1.5; margin-top: 0.6rem; }
figcaption b { color: var(--text); font-weight: 600; }
.table, .wide {
  position: relative; left: 50%; transform: translateX(-50%);
  width: min-content; min-width: 100%; max-width: min(64rem, 100vw - 2.5rem);
}
.wide { width: var(--width); }
.table figcaption, .note { width: 0; min-width: 100%; }
.table figcaption { margin: 0 0 0.5rem; }
.scroll { /* shades at the edges show that there is more; those of the ground move with the content and cover them at its ends */
  overflow-x: auto;
  background:
    linear-gradient(to right, var(--ground) 40%, transparent) left / 2.5rem 100% no-repeat local,
    linear-gradient(to left, var(--ground) 40%, transparent) right / 2.5rem 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) left / 1rem 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) right / 1rem 100% no-repeat scroll;
}
@media screen and (max-width: 45rem) { img { max-width: none; width: max(min(100%, var(--width)), 0.85 * var(--width)); } }
table {
  border-collapse: collapse; min-width: 100%; font-size: 0.875rem; line-height: 1.35; font-variant-numeric: tabular-nums lining-nums;
  border-top: 1.5px solid var(--text); border-bottom: 1.5px solid var(--text);
}
th, td { padding: 0.45rem 0.6rem; text-align: left; vertical-align: baseline; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
tbody th { font-weight: 400; min-width: 8rem; }
thead th { font-weight: 600; vertical-align: bottom; border-bottom: 1px solid var(--text); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
.number { text-align: right; }
tbody .number { white-space: nowrap; }
sub, sup { font-size: 0.75em; line-height: 0; }
strong { font-weight: 700; }
.errors { display: inline-flex; flex-direction: column; vertical-align: middle; font-size: 0.72em; line-height: 1.15; text-align: right; }
.errors sup, .errors sub { font-size: inherit; line-height: inherit; vertical-align: baseline; }
.note { color: var(--quiet); font-size: 0.8rem; line-height: 1.45; margin: 0.4rem 0 0; }
@media screen and (prefers-color-scheme: dark) {
  img { mix-blend-mode: normal; }
  .opaque img { padding: 0.75rem; border-radius: 6px; background: #ffffff; }
}
@media print {
  :root { --text: #000000; --quiet: #444444; --line: #bbbbbb; --ground: #ffffff; --accent: #000000; --shade: transparent; }
  @page { margin: 16mm; }
  html { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .table, .wide { position: static; transform: none; width: auto; max-width: 100%; }
  .scroll { overflow: visible; background: none; }
  h2 { break-after: avoid; margin-top: 1.6rem; }
  p, figcaption { orphans: 3; widows: 3; }
  thead { display: table-header-group; }
  figure { margin: 0.8rem 0; }
  figure:not(.table), tr { break-inside: avoid; }
  .table > figcaption { break-after: avoid; }
  img { mix-blend-mode: normal; width: auto; max-width: min(100%, var(--width)); max-height: 9cm; }
  .tall img { max-height: 22cm; }
}
"""
