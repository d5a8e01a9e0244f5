"""Anomalous jets: a detector learns the jets of one class alone and finds the other, in both directions."""

from typing import TYPE_CHECKING, Any

from jaxsci.tasks.anomalies.options import Options

if TYPE_CHECKING:
    from jaxsci.tasks.anomalies.task import TASK

__all__ = ["TASK", "Options"]


def __getattr__(name: str) -> Any:
    """`TASK`, on first use: it imports JAX, which the options do not need."""
    if name == "TASK":
        from jaxsci.tasks.anomalies.task import TASK

        return TASK
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
