"""Formulas as MathML, which browsers draw by themselves: the pages need no script and no network to be read."""

import re

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml, pick_math_environment
from sphinx.application import Sphinx
from sphinx.util import logging

SPELLINGS = (  # what docutils does not know
    (r"\\[bB]igg?(?![A-Za-z])", ""),  # brackets in MathML find their size by themselves
    (r"\\frac(\d)(\d)", r"\\frac{\1}{\2}"),
    (r"\\dots(?![A-Za-z])", r"\\ldots"),
)


def _mathml(translator: nodes.NodeVisitor, node: nodes.Element, *, block: bool) -> None:
    tex = node.astext()
    for pattern, replacement in SPELLINGS:
        tex = re.sub(pattern, replacement, tex)
    if block and "\\\\" in tex and "\\begin" not in tex:
        tex = f"\\begin{{{pick_math_environment(tex)}}}{tex}\\end{{{pick_math_environment(tex)}}}"
    try:
        formula = latex2mathml.tex2mathml(tex, as_block=block)
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", tex, error, location=node)
        formula = f"<code>{translator.encode(tex)}</code>"  # type: ignore[attr-defined]
    anchor = "".join(f'<span id="{name}"></span>' for name in node.get("ids", ())) if block else ""
    translator.body.append(f'<div class="formula">{anchor}{formula}</div>' if block else formula)  # type: ignore[attr-defined]
    raise nodes.SkipNode


def inline(translator: nodes.NodeVisitor, node: nodes.Element) -> None:
    """A formula in a line."""
    _mathml(translator, node, block=False)


def displayed(translator: nodes.NodeVisitor, node: nodes.Element) -> None:
    """A formula on a line of its own."""
    _mathml(translator, node, block=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
