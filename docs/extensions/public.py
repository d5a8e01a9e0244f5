"""The directive `public`: a module's description, and every name that it lists as public, in the order of its source."""

import importlib
import inspect
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def kind(value: Any) -> str:
    """The directive that documents a value."""
    if isinstance(value, type):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if inspect.isroutine(value) or hasattr(value, "__wrapped__") else "data"


class Public(SphinxDirective):
    """`.. public:: jaxsci.metrics`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """What autodoc makes of the module and its names; sub-packages have pages of their own."""
        name = self.arguments[0]
        module = importlib.import_module(name)
        lines = [f".. automodule:: {name}", ""]
        for public in module.__all__:
            value = getattr(module, public)
            if isinstance(value, ModuleType):
                continue
            what = kind(value)
            lines += [f".. auto{what}:: {name}.{public}", *(["   :members:"] if what == "class" else []), ""]
        node = nodes.Element()
        self.state.nested_parse(StringList(lines, source=name), self.content_offset, node)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("public", Public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
