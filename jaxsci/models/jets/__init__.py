"""Networks of jets, each a `Model` of ONE jet that no order of its particles and no padding changes."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use

if TYPE_CHECKING:
    from jaxsci.models.jets import energy_flow, particle_transformer, particlenet, pelican

__all__ = ["energy_flow", "particle_transformer", "particlenet", "pelican"]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.models.jets", __all__)
