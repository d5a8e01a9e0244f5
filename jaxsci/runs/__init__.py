"""The run folder: what a training or a fit leaves behind, how it is read back, compared and shown. No science."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci.runs import (
        binary_evaluation,
        comparison,
        estimate,
        figures,
        folder,
        page,
        seen,
        tables,
        task,
        training,
        weights,
    )

__all__ = [
    "binary_evaluation",
    "comparison",
    "estimate",
    "figures",
    "folder",
    "page",
    "seen",
    "tables",
    "task",
    "training",
    "weights",
]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.runs", __all__)
