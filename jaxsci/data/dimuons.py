"""Masses of muon pairs, one per collision."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data import columns
from jaxsci.data.jets import kinematics
from jaxsci.errors import InputError

__all__ = ["TYPICAL_MASS", "Dimuons", "read"]

_MOST_OFF_SHELL = 1e-2  # the part by which an energy may fall short of its momentum: files have few digits
_HEAVIEST = 2.0  # GeV of one lepton, above the tau's 1.8; a muon in MeV has 106
_HIGHEST_MASS = 14_000.0  # GeV, the largest energy of two colliding protons so far; in MeV a pair of 14 GeV
TYPICAL_MASS = (
    1_000.0  # GeV, which the median of a sample does not exceed that was not chosen for it; in MeV a pair of 1 GeV
)
MUON_MASS = 0.1056583755  # GeV, Particle Data Group 2024
_LOWEST_MASS = 1.99 * MUON_MASS  # of a pair at rest, and rounding; in TeV a pair of 210 GeV

# What a column may be called, in lower case without blanks and underscores, by what it is.
_NAMES = {
    "mass": ("m", "mass", "invmass", "invariantmass", "dimuonmass", "mmumu", "mll"),
    "run": ("run", "runnumber"),
    "event": ("event", "eventnumber", "evt"),
    "type": ("type",),
    "weight": ("weight", "weights", "w", "wgt", "wgts", "eventweight", "genweight", "evtweight", "mcweight"),
}
# Of one muon, 1 or 2: pt1, pt_1, mu1_pt, muon_pt_1, ...
_MUON_NAMES = {
    "E": ("e", "energy"),
    "px": ("px",),
    "py": ("py",),
    "pz": ("pz",),
    "pt": ("pt",),
    "eta": ("eta",),
    "phi": ("phi",),
    "m": ("m", "mass"),
    "Q": ("q", "charge", "ch"),
    "type": ("type",),
}
_SELECTING = {"Q1", "Q2", "type", "type1", "type2", "run", "event"}
_CARTESIAN = tuple(f"{name}{i}" for i in (1, 2) for name in ("E", "px", "py", "pz"))
_POLAR = tuple(f"{name}{i}" for i in (1, 2) for name in ("pt", "eta", "phi"))
_NANO = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge")  # of the NanoAOD format of CMS: a list of muons per event
_NANO_EVENT = ("run", "event", "genWeight")


class Dimuons(NamedTuple):
    """The mass of the muon pair of each collision."""

    mass: np.ndarray  # float64 [event], GeV
    rows: int  # of the file
    selection: tuple[str, ...]  # what was asked of a row, in words
    weight: np.ndarray | None = None  # float64 [event], at least 0; None where the file has none
    unused: tuple[str, ...] = ()  # names of columns that were not looked at


def read(path: str | Path, *, tree: str | None = None, typical: float = TYPICAL_MASS) -> Dimuons:
    """Read muon pairs and keep one per collision, chosen without a look at its mass.

    The mass in GeV is a column `M` or `mass`, or it is computed from the four-momenta `E1, px1, py1, pz1, E2, ...` or from `pt1, eta1,
    phi1, pt2, ...` with the mass of the muon (or columns `m1, m2`). The number may stand elsewhere (`pt_1`, `mu1_pt`), case does not
    matter. Where there are also

    - charges `Q1`, `Q2` (or `charge1`, ...; -1 and +1, or + and -): pairs of opposite charge are kept;
    - `Type` with the kinds of track of both muons, or `Type1`, `Type2`: pairs of two global muons, G. CMS records each pair up to four
      times, once for every combination of tracks (T: tracker only, G: tracker and muon chambers together), with almost the same mass:
      counted as separate measurements they would make every error half of what it is;
    - `Run` and `Event`: the pair of the largest pt1 + pt2 of each collision (of those of one collision in the file the first, where
      there is no `pt1`, `pt2`);
    - `weight`: weights of the events, not negative.

    A tree in the NanoAOD format of CMS (lists `Muon_pt`, `Muon_eta`, `Muon_phi`, `Muon_charge` per event) gives the pair of the muon
    of the largest pT and the one of the largest pT with the opposite charge.

    Args:
        path: as in `columns.read`.
        tree: likewise.
        typical: GeV that the median of the masses does not exceed; a larger one is taken for MeV.

    Raises:
        InputError: a column is missing or two have one meaning, a mass, a muon, a charge or a weight cannot be, the rows are those of a
            histogram, no row is left.
    """
    present = columns.names(path, tree=tree, wanted=("M", "mass", *_NANO))
    if set(_NANO) <= set(present):
        return _read_lists(path, tree, present, typical)
    meaning = _meanings(path, present)
    _require_mass(path, meaning, present)
    table = columns.read(path, tree=tree, only=list(meaning.values()))
    rows, selection = len(next(iter(table.values()))), []
    mass = _mass(path, meaning, table)
    keep = np.ones(rows, bool)
    used: set[str] = set()
    if {"Q1", "Q2"} <= set(meaning):
        used |= {"Q1", "Q2"}
        keep &= _charge(path, table, meaning["Q1"]) * _charge(path, table, meaning["Q2"]) < 0
        selection.append("opposite charges")
    types = [_letters(table[meaning[name]]) for name in ("type", "type1", "type2") if name in meaning]
    if types:
        both = types[0] if "type" in meaning else np.char.add(*types) if len(types) == 2 else None
        if both is not None and (both == "GG").any():
            used |= {"type", "type1", "type2"}
            keep &= both == "GG"
            selection.append("two global muons")
    chosen = np.flatnonzero(keep)
    if {"run", "event"} <= set(meaning):
        used |= {"run", "event"}
        for name in ("run", "event"):
            _require_exact(path, meaning[name], table[meaning[name]])
        hardness = np.zeros(rows)
        if {"pt1", "pt2"} <= set(meaning):
            hardness = _numbers(path, table, meaning["pt1"]) + _numbers(path, table, meaning["pt2"])
        chosen = _one_per_event(table[meaning["run"]], table[meaning["event"]], hardness, chosen)
        selection.append("one pair per collision, of the largest pT1 + pT2")
    idle = {meaning[what] for what in _SELECTING - used if what in meaning}
    unused = tuple(name for name in present if name in idle or name not in meaning.values())
    weight = _numbers(path, table, meaning["weight"]) if "weight" in meaning else None
    return _checked(path, mass, chosen, rows, tuple(selection), weight, unused, typical)


def _meanings(path: str | Path, present: list[str]) -> dict[str, str]:
    """The columns that are understood, by what they are: "mass", "Q1", ... -> name in the file."""
    found: dict[str, str] = {}
    for name in present:
        key = re.sub(r"[\s_]+", "", name).casefold()
        what = next((what for what, names in _NAMES.items() if key in names), None)
        muon = re.fullmatch(r"(?:muon|mu|lep|l)?(?:([12])([a-z]+)|([a-z]+?)([12]))", key)
        if what is None and muon:
            quantity, number = muon[2] or muon[3], muon[1] or muon[4]
            bare = re.sub(r"^(?:muon|mu|lep)(?=[a-z])", "", quantity)
            what = next((f"{w}{number}" for w, names in _MUON_NAMES.items() if bare in names), None)
        if what in found:
            raise InputError(
                f"{path}: expected one column for {what}, got {found[what]} and {name}; rename or remove one of them"
            )
        if what:
            found[what] = name
    return found


def _mass(path: str | Path, meaning: dict[str, str], table: dict[str, np.ndarray]) -> np.ndarray:
    if "mass" in meaning:
        return _numbers(path, table, meaning["mass"])
    cartesian = set(_CARTESIAN) <= set(meaning)
    wanted = [_numbers(path, table, meaning[name]) for name in (_CARTESIAN if cartesian else _POLAR)]
    if cartesian:
        for name, (energy, *momentum) in (("E1", wanted[:4]), ("E2", wanted[4:])):
            with np.errstate(over="ignore"):
                least = (1 - _MOST_OFF_SHELL) * np.sqrt(np.square(momentum).sum(axis=0))
            _refuse(path, meaning[name], energy, energy < least, "an energy of at least the momentum")
        return kinematics.mass(np.stack(wanted[:4], axis=-1) + np.stack(wanted[4:], axis=-1))
    rest = [
        _numbers(path, table, meaning[n]) if n in meaning else np.full(len(wanted[0]), MUON_MASS) for n in ("m1", "m2")
    ]
    for name, values in zip((*_POLAR, "m1", "m2"), (*wanted, *rest), strict=True):
        if name in meaning:
            _refuse(path, meaning[name], values, *_impossible(name[:-1], values))
    return _mass_of_polar([*wanted[:3], rest[0]], [*wanted[3:], rest[1]])


def _impossible(what: str, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Which values no muon has, and what is expected."""
    if what == "pt":
        return values <= 0, "a pT above 0"
    if what == "phi":
        return np.abs(values) > 2 * np.pi + 1e-3, "azimuths in radians"
    if what == "m":
        return (values < 0) | (values > _HEAVIEST), f"masses of one muon in GeV, 0 to {_HEAVIEST:g}"
    return np.isnan(values), "pseudorapidities"


def _refuse(path: str | Path, name: str, values: np.ndarray, bad: np.ndarray, expected: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{path}: expected {expected} in the column {name}, got {values[row]:g} in row {row} (counted from 0); remove it, or check "
            "unit and order of the columns"
        )


def _require_exact(path: str | Path, name: str, column: np.ndarray) -> None:
    """Raise InputError for numbers of runs or events that are blank, or too large for the type they are in."""
    blank = column == "" if column.dtype.kind == "U" else np.isnan(column.astype(np.float64))
    if blank.any():
        row = int(blank.argmax())
        raise InputError(
            f"{path}: expected a number in every row of {name}, got a blank cell in row {row} (counted from 0); remove it"
        )
    if column.dtype.kind == "f":
        _refuse(path, name, column, np.abs(column) >= 2**53, "whole numbers, of which reals hold those below 2^53")


def _letters(column: np.ndarray) -> np.ndarray:
    """Types as capitals without blanks."""
    return np.char.replace(np.char.upper(column.astype(str)), " ", "")


def _require_mass(path: str | Path, meaning: dict[str, str], present: list[str]) -> None:
    if not any(set(names) <= set(meaning) for names in (("mass",), _CARTESIAN, _POLAR)):
        raise InputError(
            f"{path}: expected a column M or mass in GeV, or E1, px1, py1, pz1, E2, ..., or pt1, eta1, phi1, pt2, ..., "
            f"found {', '.join(present)[:200]}; rename the columns"
        )


def _mass_of_polar(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    """The mass of two muons, each (pt, eta, phi, m)."""
    momenta = []
    with np.errstate(all="ignore"):  # what overflows is refused with its row
        for pt, eta, phi, m in (first, second):
            pz = pt * np.sinh(eta)
            momenta.append(np.stack([np.sqrt(pt**2 + pz**2 + m**2), pt * np.cos(phi), pt * np.sin(phi), pz], axis=-1))
        return kinematics.mass(momenta[0] + momenta[1])


def _numbers(path: str | Path, table: dict[str, np.ndarray], name: str) -> np.ndarray:
    columns.require(path, table, (name,))
    return table[name].astype(np.float64)


def _charge(path: str | Path, table: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The sign of a charge that is written as a number or as + and -."""
    column = table[name]
    if column.dtype.kind in "US" and np.isin(column, ["+", "-"]).all():
        return np.where(column == "+", 1.0, -1.0)
    found = _numbers(path, table, name)
    _refuse(path, name, found, np.abs(found) != 1, "charges of -1 and 1")
    return found


def _one_per_event(run: np.ndarray, event: np.ndarray, hardness: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of these rows the first of each collision when they are ordered by falling hardness; in the order of the file."""
    order = rows[np.argsort(-hardness[rows], kind="stable")]
    # Numbered first: as float64 neighboring event numbers above 2^53 would be one.
    collisions = np.stack([np.unique(column[order], return_inverse=True)[1] for column in (run, event)], axis=1)
    _, first = np.unique(collisions, axis=0, return_index=True)
    return np.sort(order[first])


def _read_lists(path: str | Path, tree: str | None, present: list[str], typical: float) -> Dimuons:
    """Pairs from lists of muons: the hardest, with the hardest of the opposite charge."""
    more = [name for name in ("Muon_mass", *_NANO_EVENT) if name in present]
    table = columns.read(path, tree=tree, only=(*_NANO, *more), nested=(*_NANO, "Muon_mass"))
    counts = table["Muon_pt.counts"]
    pt, eta, phi, charge = (table[name].astype(np.float64) for name in _NANO)
    rest = table["Muon_mass"] if "Muon_mass" in table else np.full(len(pt), MUON_MASS)
    event = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort([-pt, event])  # by event, hardest first
    owner, first = np.unique(event[order], return_index=True)
    leading = np.full(len(counts), -1)
    leading[owner] = order[first]
    opposite = order[charge[order] * charge[leading[event[order]]] < 0]
    owner, first = np.unique(event[opposite], return_index=True)
    a, b = leading[owner], opposite[first]
    mass = np.full(len(counts), np.nan)
    mass[owner] = _mass_of_polar(*([column[i] for column in (pt, eta, phi, rest)] for i in (a, b)))
    selection = ["the muon of the largest pT with the hardest one of opposite charge"]
    chosen = owner
    if {"run", "event"} <= set(table):
        chosen = _one_per_event(table["run"], table["event"], np.zeros(len(counts)), owner)
        selection.append("each collision once")
    weight = table.get("genWeight")
    unused = tuple(name for name in present if name not in table)
    return _checked(path, mass, chosen, len(counts), tuple(selection), weight, unused, typical)


def _checked(
    path: str | Path,
    mass: np.ndarray,
    chosen: np.ndarray,
    rows: int,
    selection: tuple[str, ...],
    weight: np.ndarray | None,
    unused: tuple[str, ...],
    typical: float,
) -> Dimuons:
    if chosen.size == 0:
        raise InputError(
            f"{path}: expected muon pairs with {', '.join(selection)}, none of {rows} rows is one; check the columns"
        )
    weight = None if weight is None else weight[chosen].astype(np.float64)
    steps = np.diff(mass[chosen])
    if len(steps) >= 4 and steps[0] and np.allclose(steps, steps[0], rtol=1e-6, atol=0):
        raise InputError(
            f"{path}: expected one row per muon pair, got masses in equal steps of {steps[0]:g}, the bins of a histogram; give the pairs"
        )
    found, remedy = mass[chosen], "remove it, or check the unit"
    possible = (found > 0) & (found <= _HIGHEST_MASS)
    faults = [(found, possible, f"positive masses in GeV up to {_HIGHEST_MASS:,.0f}", remedy)]
    faults.append((found, found >= _LOWEST_MASS, f"masses of two muons, from {_LOWEST_MASS:.2f} GeV", remedy))
    if weight is not None:
        faults.append((weight, weight >= 0, "weights of at least 0", "choose a sample without negative ones"))
    for values, good, expected, remedy in faults:
        bad = ~(np.isfinite(values) & good)
        if bad.any():
            place = f"row {int(chosen[bad.argmax()])} (counted from 0)"
            raise InputError(f"{path}: expected {expected}, got {values[bad.argmax()]} in {place}; {remedy}")
    if (middle := np.median(mass[chosen])) > typical:
        expected = f"masses in GeV, most below {typical:,.0f}, got a median of {middle:,.0f}"
        raise InputError(
            f"{path}: expected {expected}; divide by 1000 if they are in MeV, or give a --window at that mass"
        )
    if weight is not None and not weight.any():
        raise InputError(f"{path}: expected weights, got zeros only; correct or remove the column")
    return Dimuons(mass[chosen], rows, selection, weight, unused)
