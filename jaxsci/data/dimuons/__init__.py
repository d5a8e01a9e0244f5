"""Masses of muon pairs, one per collision."""

from jaxsci.data.dimuons._pairs import TYPICAL_MASS, Dimuons, read

__all__ = ["TYPICAL_MASS", "Dimuons", "read"]
