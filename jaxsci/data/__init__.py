"""Readers and generators of data, in numpy only: this room never imports JAX."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci.data import (
        columns,
        dimuons,
        download,
        images,
        jets,
        materials,
        reading,
        sources,
        sphere,
        split,
        streaming,
    )

__all__ = [
    "columns",
    "dimuons",
    "download",
    "images",
    "jets",
    "materials",
    "reading",
    "sources",
    "sphere",
    "split",
    "streaming",
]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.data", __all__)
