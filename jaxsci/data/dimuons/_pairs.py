"""One muon pair per collision: chosen without a look at its mass, and checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data import columns
from jaxsci.data.dimuons._masses import MUON_MASS, impossible, mass_of_columns, mass_of_polar
from jaxsci.data.dimuons._names import COLLISION, meanings, require_mass
from jaxsci.data.dimuons._values import charge, letters, numbers, refuse, require_exact, weight_names, weight_of
from jaxsci.errors import InputError

_HIGHEST_MASS = 14_000.0  # GeV, the largest energy of two colliding protons so far; in MeV a pair of 14 GeV
TYPICAL_MASS = 1_000.0  # GeV, which the median of a sample not chosen for it does not exceed; in MeV a pair of 1 GeV
_LOWEST_MASS = 1.99 * MUON_MASS  # of a pair at rest, and rounding; in TeV a pair of 210 GeV
_SELECTING = {"Q1", "Q2", "type", "type1", "type2", *COLLISION}
_NANO = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge")  # of the NanoAOD format of CMS: a list of muons per event
_OF_LISTS = {"Muon_pt": "pt", "Muon_eta": "eta", "Muon_phi": "phi", "Muon_mass": "m"}  # what each is of a muon
COLUMNS = ("M", "mass", *_NANO)  # of which the tree that is meant has most
_NANO_EVENT = ("run", "luminosityBlock", "event")


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
    - `Run` and `Event`, and `luminosityBlock` where it is there: the pair of the largest pt1 + pt2 of each collision (of those of one
      collision in the file the first, where there is no `pt1`, `pt2`);
    - `weight`, `genWeight`, `mcEventWeight`, ... (`reading.is_weight_name`): weights of the events, not negative. Of several that are
      not equal at most one may differ from row to row.

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
    present = columns.names(path, tree=tree, wanted=COLUMNS)
    if set(_NANO) <= set(present):
        return _read_lists(path, tree, present, typical)
    meaning = meanings(path, present)
    require_mass(path, meaning, present)
    weights = [name for name in weight_names(path, present) if name not in meaning.values()]
    table = columns.read(path, tree=tree, only=[*meaning.values(), *weights], nested=weights)
    rows, selection = len(next(iter(table.values()))), []
    mass = mass_of_columns(path, meaning, table)
    keep = np.ones(rows, bool)
    used: set[str] = set()
    if {"Q1", "Q2"} <= set(meaning):
        used |= {"Q1", "Q2"}
        keep &= charge(path, table, meaning["Q1"]) * charge(path, table, meaning["Q2"]) < 0
        selection.append("opposite charges")
    types = [letters(table[meaning[name]]) for name in ("type", "type1", "type2") if name in meaning]
    if types:
        both = types[0] if "type" in meaning else np.char.add(*types) if len(types) == 2 else None
        if both is not None and (both == "GG").any():
            used |= {"type", "type1", "type2"}
            keep &= both == "GG"
            selection.append("two global muons")
    chosen = np.flatnonzero(keep)
    if {"run", "event"} <= set(meaning):
        used |= set(COLLISION)
        collision = [meaning[name] for name in COLLISION if name in meaning]
        require_exact(path, table, collision)
        hardness = np.zeros(rows)
        if {"pt1", "pt2"} <= set(meaning):
            hardness = numbers(path, table, meaning["pt1"]) + numbers(path, table, meaning["pt2"])
        chosen = _one_per_event([table[name] for name in collision], hardness, chosen)
        selection.append("one pair per collision, of the largest pT1 + pT2")
    idle = {meaning[what] for what in _SELECTING - used if what in meaning}
    weight, used_weights = weight_of(path, table, weights)
    idle |= set(present) - set(meaning.values()) - set(used_weights)
    unused = tuple(name for name in present if name in idle)
    return _checked(path, mass, chosen, rows, tuple(selection), weight, unused, typical)


def _one_per_event(numbers: Sequence[np.ndarray], hardness: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of these rows the first of each collision when they are ordered by falling hardness; in the order of the file."""
    order = rows[np.argsort(-hardness[rows], kind="stable")]
    # Numbered first: as float64 neighboring event numbers above 2^53 would be one.
    collisions = np.stack([np.unique(column[order], return_inverse=True)[1] for column in numbers], axis=1)
    _, first = np.unique(collisions, axis=0, return_index=True)
    return np.sort(order[first])


def _read_lists(path: str | Path, tree: str | None, present: list[str], typical: float) -> Dimuons:
    """Pairs from lists of muons: the hardest, with the hardest of the opposite charge."""
    more = [name for name in ("Muon_mass", *_NANO_EVENT) if name in present]
    weights = weight_names(path, present)
    table = columns.read(path, tree=tree, only=(*_NANO, *more, *weights), nested=(*_NANO, "Muon_mass", *weights))
    counts = _counts(path, table)
    pt, eta, phi, charge = (table[name].astype(np.float64) for name in _NANO)
    rest = table["Muon_mass"] if "Muon_mass" in table else np.full(len(pt), MUON_MASS)
    event = np.repeat(np.arange(len(counts)), counts)
    for name, what in _OF_LISTS.items():
        if name in table:
            refuse(path, name, table[name], *impossible(what, table[name]), rows=event)
    refuse(path, "Muon_charge", charge, np.abs(charge) != 1, "charges of -1 and 1", rows=event)
    order = np.lexsort([-pt, event])  # by event, hardest first
    owner, first = np.unique(event[order], return_index=True)
    leading = np.full(len(counts), -1)
    leading[owner] = order[first]
    opposite = order[charge[order] * charge[leading[event[order]]] < 0]
    owner, first = np.unique(event[opposite], return_index=True)
    a, b = leading[owner], opposite[first]
    mass = np.full(len(counts), np.nan)
    mass[owner] = mass_of_polar(*([column[i] for column in (pt, eta, phi, rest)] for i in (a, b)))
    selection = ["the muon of the largest pT with the hardest one of opposite charge"]
    chosen = owner
    if {"run", "event"} <= set(table):
        collision = [name for name in _NANO_EVENT if name in table]
        require_exact(path, table, collision)
        chosen = _one_per_event([table[name] for name in collision], np.zeros(len(counts)), owner)
        selection.append("each collision once")
    weight, used_weights = weight_of(path, table, weights)
    unused = tuple(name for name in present if name not in (*_NANO, *more, *used_weights))
    return _checked(path, mass, chosen, len(counts), tuple(selection), weight, unused, typical)


def _counts(path: str | Path, table: dict[str, np.ndarray]) -> np.ndarray:
    """How many muons each row has; InputError where its lists are of different lengths, or a branch holds no lists."""
    names = [name for name in (*_NANO, "Muon_mass") if name in table]
    expected = f"{path}: expected a list of muons a row in {', '.join(names)}"
    if flat := [name for name in names if f"{name}.counts" not in table]:
        raise InputError(f"{expected}, got one number a row in {flat[0]}; rename it")
    counts = table["Muon_pt.counts"]
    for name in names:
        other = table[f"{name}.counts"]
        if (bad := other != counts).any():
            row = int(bad.argmax())
            raise InputError(
                f"{expected}, all of one length, got {other[row]} of {name} for {counts[row]} of Muon_pt in row {row} (counted from 0); "
                "mend the file"
            )
    return counts


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
