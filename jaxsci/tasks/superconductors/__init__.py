"""Superconductors: critical temperatures of compositions by a calibrated ensemble (npj Comput. Mater. 9, 71)."""

from typing import TYPE_CHECKING, Any

from jaxsci.tasks.superconductors.options import Options, Questions

if TYPE_CHECKING:
    from jaxsci.tasks.superconductors.task import TASK

__all__ = ["TASK", "Options", "Questions"]


def __getattr__(name: str) -> Any:
    """`TASK`, on first use: it imports JAX, which the options do not need."""
    if name == "TASK":
        from jaxsci.tasks.superconductors.task import TASK

        return TASK
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
