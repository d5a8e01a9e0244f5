"""The library's docstrings are plain text with `code` and indented formulas; here they become what Sphinx reads.

Fields of a NamedTuple or dataclass are described by the comments on their lines, which is where a reader of the source
finds them; the page of a class lists them.
"""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any, TypeVar

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CODE = re.compile(r"(``.+?``|`[^`]+`)")
SECTION = re.compile(r"^(Args|Arguments|Attributes|Raises|Returns|Yields|Example|Examples|Note|Notes|Fields):$")
ITEM = re.compile(r"^(\s*)([-*] )")


def plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would read as markup, and show indented formulas as they stand."""
    if what == "data":
        lines[:] = _comment(name)
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
    """A section "Fields": the name of each field with the comment on its line or the lines above it."""
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
        found.append(f"    {node.target.id}: {words}")
    return ["", "Fields:", *found, ""] if found else []


def _comment(name: str) -> list[str]:
    """What the source says of a constant or a type: the comment on its line, or on the lines above it."""
    module, _, constant = name.rpartition(".")
    value = getattr(importlib.import_module(module), constant)
    for place in [
        module,
        *sorted(m for m in sys.modules if m.startswith(module)),
    ]:  # a package exports what its modules define
        found = sys.modules[place]
        if getattr(found, constant, None) is not value or not getattr(found, "__file__", None):
            continue
        source = Path(found.__file__ or "").read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(source):
            if not re.match(rf"{constant}\b[^=]*= ?", line):
                continue
            after = re.search(r"  # (.*)$", line)
            above = []
            while number and source[number - 1].startswith("# "):
                number -= 1
                above.insert(0, source[number][2:])
            return [_escaped(after[1])] if after else [_escaped(text) for text in above]
    return []


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields stand in the description of their class: not a second time as members without words."""
    value = not callable(obj) and not isinstance(obj, property | classmethod | staticmethod)
    return True if what == "class" and value else None


def public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement) -> Any:
    """A class is documented where it is public: `jaxsci.training._fit.Fit` is `jaxsci.training.Fit`; a private one is named, not linked."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    if _is_variable(target):
        return contnode
    domain = env.get_domain("py")
    public = ".".join(part for part in target.split(".") if not part.startswith("_"))
    if "." not in target:  # an exception in a Raises section
        public = next((name for name in domain.objects if name.endswith(f".{target}")), target)
    if public == target and not (target.startswith("jaxsci.") and node.get("reftype") == "class"):
        return None
    label = nodes.literal if isinstance(contnode, nodes.literal) else nodes.inline
    text = label("", public.rsplit(".", 1)[-1])
    found = domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], public, node, text)
    return found or (text if target.startswith("jaxsci.") else None)


def _is_variable(name: str) -> bool:
    """Whether this is a variable of types, which has no description."""
    module, _, variable = name.rpartition(".")
    return module in sys.modules and isinstance(getattr(sys.modules[module], variable, None), TypeVar)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; before napoleon, which reads the sections."""
    app.connect("autodoc-process-docstring", plain_text, priority=400)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("missing-reference", public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
