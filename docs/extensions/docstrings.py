"""The library's docstrings are plain text with `code` and indented formulas; here they become what Sphinx reads.

Fields of a NamedTuple or dataclass are described by the comments on their lines, which is where a reader of the source
finds them; the page of a class lists them.
"""

import ast
import inspect
import re
import textwrap
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CODE = re.compile(r"(``.+?``|`[^`]+`)")
SECTION = re.compile(r"^(Args|Arguments|Attributes|Raises|Returns|Yields|Example|Examples|Note|Notes|Fields):$")
ITEM = re.compile(r"^(\s*)([-*] )")


def plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would read as markup, and show indented formulas as they stand."""
    if lines and lines[0].startswith("Alias for field number"):
        lines[:] = []
    out: list[str] = []
    section = literal = False
    for line in lines:
        stripped, indent = line.strip(), len(line) - len(line.lstrip())
        if not stripped:
            out.append("")
            continue
        if indent == 0:
            section = bool(SECTION.match(stripped))
            literal = False
        elif not section and not literal and (not out or not out[-1]):
            literal = True
            out += ["::", ""]
        doctest = stripped.startswith((">>>", "..."))
        out.append(line if literal or doctest else _escaped(line))
    if what == "class" and _is_record(obj):
        out += _fields(obj)
    lines[:] = out


def _escaped(line: str) -> str:
    bullet = ITEM.match(line)
    start = bullet.end() if bullet else 0
    pieces = CODE.split(line[start:])
    text = [
        piece if CODE.fullmatch(piece) else re.sub(r"([*|\\])|(?<=\w)_(?!\w)", r"\\\g<0>", piece) for piece in pieces
    ]
    return line[:start] + "".join(text)


def _is_record(obj: Any) -> bool:
    return isinstance(obj, type) and (hasattr(obj, "_fields") or hasattr(obj, "__dataclass_fields__"))


def _fields(cls: type) -> list[str]:
    """An Attributes section: the name of each field with the comment on its line or the lines above it."""
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):
        return []
    lines = source.splitlines()
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    found = []
    for node in definition.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        after = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset or 0 :].strip()
        words = after.removeprefix("#").strip() if after.startswith("#") else ""
        if node.value is not None:
            default = " ".join(ast.unparse(node.value).split())
            words = f"{_escaped(words)} (default `{default}`)" if words else f"Default `{default}`."
        else:
            words = _escaped(words)
        found.append(f"    {node.target.id}: {words or 'see the type.'}")
    return ["", "Attributes:", *found, ""] if found else []


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields stand in the description of their class: not a second time as members without words."""
    value = not callable(obj) and not isinstance(obj, property | classmethod | staticmethod)
    return True if what == "class" and value else None


def public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement) -> Any:
    """A class is documented where it is public: `jaxsci.training._fit.Fit` is `jaxsci.training.Fit`."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    public = ".".join(part for part in target.split(".") if not part.startswith("_"))
    if "." not in target:  # an exception in a Raises section
        public = next((name for name in domain.objects if name.endswith(f".{target}")), target)
    if public == target:
        return None
    label = nodes.literal if isinstance(contnode, nodes.literal) else nodes.inline
    text = label("", public.rsplit(".", 1)[-1])
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], public, node, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; before napoleon, which reads the sections."""
    app.connect("autodoc-process-docstring", plain_text, priority=400)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("missing-reference", public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
