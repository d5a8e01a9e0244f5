"""Superconductors: critical temperatures of compositions by a calibrated ensemble (npj Comput. Mater. 9, 71)."""
