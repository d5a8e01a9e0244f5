"""Masses of muon pairs, one a collision."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data import columns
from jaxsci.errors import InputError

__all__ = ["Dimuons", "read"]

_FOUR_MOMENTA = tuple(f"{name}{i}" for i in (1, 2) for name in ("E", "px", "py", "pz"))


class Dimuons(NamedTuple):
    """The mass of the muon pair of each collision."""

    mass: np.ndarray  # float64 [event], GeV
    rows: int  # of the file
    selection: tuple[str, ...]  # what was asked of a row, in words


def read(path: str | Path, *, tree: str | None = None) -> Dimuons:
    """Read muon pairs and keep one a collision, chosen without a look at its mass.

    The columns are named as in the CMS open data: the mass `M` in GeV (or `mass`), or the four-momenta `E1, px1, py1, pz1, E2, ...`
    it is computed from. Where there are also

    - charges `Q1`, `Q2`: pairs of opposite charge are kept;
    - `Type` with the kinds of track of both muons: pairs of two global muons, `GG`. CMS records each pair up to four times, once for
      every combination of tracks (T: tracker only, G: tracker and muon chambers together), with almost the same mass: counted as
      separate measurements they would make every error half of what it is;
    - `Run` and `Event`: the pair of the largest pt1 + pt2 of each collision (of those of one collision in the file the first, where
      there is no `pt1`, `pt2`).

    Raises:
        InputError: a column is missing, a mass is not a positive number, no row is left.
    """
    table = columns.read(path, tree=tree)
    name = next((name for name in ("M", "mass") if name in table), None)
    columns.require(path, table, (name,) if name else _FOUR_MOMENTA)
    rows = len(next(iter(table.values())))
    mass = table[name].astype(np.float64) if name else _mass(table)
    keep, selection = np.ones(rows, bool), []
    if {"Q1", "Q2"} <= set(table):
        keep &= table["Q1"] * table["Q2"] < 0
        selection.append("opposite charges")
    if "Type" in table and (table["Type"] == "GG").any():
        keep &= table["Type"] == "GG"
        selection.append("two global muons")
    chosen = np.flatnonzero(keep)
    if {"Run", "Event"} <= set(table):
        chosen = _one_an_event(table, chosen)
        selection.append("one pair a collision, of the largest pT1 + pT2")
    if chosen.size == 0:
        raise InputError(
            f"{path}: expected muon pairs with {', '.join(selection)}, none of {rows} rows is one; check the columns"
        )
    bad = ~(np.isfinite(mass[chosen]) & (mass[chosen] > 0))
    if bad.any():
        row = int(chosen[bad.argmax()])
        raise InputError(
            f"{path}: expected positive masses in GeV, got {mass[row]} in row {row} (counted from 0); remove it"
        )
    return Dimuons(mass[chosen], rows, tuple(selection))


def _mass(table: dict[str, np.ndarray]) -> np.ndarray:
    energy, px, py, pz = (table[f"{name}1"].astype(np.float64) + table[f"{name}2"] for name in ("E", "px", "py", "pz"))
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


def _one_an_event(table: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Of these rows the first of each collision when they are ordered by falling pt1 + pt2; in the order of the file."""
    hardness = table["pt1"] + table["pt2"] if {"pt1", "pt2"} <= set(table) else np.zeros(len(table["Run"]))
    order = rows[np.argsort(-hardness[rows], kind="stable")]
    collisions = np.stack([table["Run"][order], table["Event"][order]], axis=1)
    _, first = np.unique(collisions, axis=0, return_index=True)
    return np.sort(order[first])
