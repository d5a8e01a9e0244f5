"""What the columns of a file of muon pairs are called."""

import re
from pathlib import Path

from jaxsci.errors import InputError

# What a column may be called, in lower case without blanks and underscores, by what it is.
_NAMES = {
    "mass": ("m", "mass", "invmass", "invariantmass", "dimuonmass", "mmumu", "mll"),
    "run": ("run", "runnumber"),
    "lumi": ("luminosityblock", "lumi", "lumisection", "lumiblock", "ls"),
    "event": ("event", "eventnumber", "evt"),
    "type": ("type",),
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
_UNIT = re.compile(
    r"(?i)(?:\s*[\[(/]\s*|(?<=.)[\s_]+)(?:GeV(?:/c(?:\^?2|²)?)?|rad)\s*[\])]?\s*$"
)  # behind a name; a column in others is unknown
COLLISION = ("run", "lumi", "event")  # what tells one
CARTESIAN = tuple(f"{name}{i}" for i in (1, 2) for name in ("E", "px", "py", "pz"))
POLAR = tuple(f"{name}{i}" for i in (1, 2) for name in ("pt", "eta", "phi"))


def meanings(path: str | Path, present: list[str]) -> dict[str, str]:
    """The columns that are understood, by what they are: "mass", "Q1", ... -> name in the file."""
    found: dict[str, str] = {}
    for name in present:
        key = re.sub(r"[\s_]+", "", _UNIT.sub("", name)).casefold()
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


def require_mass(path: str | Path, meaning: dict[str, str], present: list[str]) -> None:
    """Raise InputError where the columns give no mass."""
    if not any(set(names) <= set(meaning) for names in (("mass",), CARTESIAN, POLAR)):
        raise InputError(
            f"{path}: expected a column M or mass in GeV, or E1, px1, py1, pz1, E2, ..., or pt1, eta1, phi1, pt2, ..., "
            f"found {', '.join(present)[:200]}; rename the columns"
        )
