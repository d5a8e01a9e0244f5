"""Masses of muon pairs, one per collision."""

from jaxsci.data.dimuons._pairs import COLUMNS, TYPICAL_MASS, Dimuons, read

__all__ = ["COLUMNS", "TYPICAL_MASS", "Dimuons", "read"]
