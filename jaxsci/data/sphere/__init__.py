"""The sphere: sky maps in HEALPix pixels and the relief of a planet."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci.data.sphere import polarization, relief, sky

__all__ = ["polarization", "relief", "sky"]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.data.sphere", __all__)
