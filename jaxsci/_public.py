"""How the public names are reached: loaded on first use (PEP 562), and listed in one place."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any


def on_first_use(
    package: str, modules: Iterable[str], names: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package that imports its parts when they are first asked for.

    Args:
        package: its full name.
        modules: its public modules and sub-packages.
        names: further public names, each with the full name of the module that defines it.
    """
    own, other = set(modules), dict(names or {})

    def load(name: str) -> Any:
        if name in own:
            return importlib.import_module(f"{package}.{name}")
        if name in other:
            return getattr(importlib.import_module(other[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load, lambda: sorted({*vars(sys.modules[package]), *own, *other})


def public_names(module: ModuleType | None = None) -> list[str]:
    """Every public name of the library, "jaxsci.metrics.auc": what `__all__` lists, in modules that are listed themselves too."""
    module = module or importlib.import_module("jaxsci")
    found = []
    for name in module.__all__:
        value = getattr(module, name)
        found.append(f"{module.__name__}.{name}")
        if isinstance(value, ModuleType):
            found += public_names(value)
    return found
