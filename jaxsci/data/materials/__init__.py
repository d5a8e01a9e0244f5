"""Materials: formulas, tables of them, properties of the elements, and the published lists of superconductors."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci.data.materials import compositions, elements, formula, formula_table, superconductors

__all__ = ["compositions", "elements", "formula", "formula_table", "superconductors"]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.data.materials", __all__)
