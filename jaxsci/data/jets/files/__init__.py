"""Formats of jets that other experiments and groups publish."""

from jaxsci.data.jets.files import jetclass

__all__ = ["jetclass"]
