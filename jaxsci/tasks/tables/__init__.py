"""Plain tables: a column predicted from the others."""

from typing import TYPE_CHECKING, Any

from jaxsci.tasks.tables.options import Options

if TYPE_CHECKING:
    from jaxsci.tasks.tables.task import TASK

__all__ = ["TASK", "Options"]


def __getattr__(name: str) -> Any:
    """`TASK`, on first use: it imports JAX, which the options do not need."""
    if name == "TASK":
        from jaxsci.tasks.tables.task import TASK

        return TASK
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
