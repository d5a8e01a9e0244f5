"""The mass of two muons, from their four-momenta."""

import contextlib
from pathlib import Path

import numpy as np

from jaxsci.data.dimuons._names import CARTESIAN, POLAR
from jaxsci.data.dimuons._values import numbers, refuse
from jaxsci.data.jets import kinematics
from jaxsci.errors import InputError

MUON_MASS = 0.1056583755  # GeV, Particle Data Group 2024
_MOST_OFF_SHELL = 1e-2  # the part by which an energy may fall short of its momentum: files have few digits
_MOST_IN_REST = 0.1  # the part of the energy that may seem to be rest mass where files have few digits
_MOST_APART = 0.2  # the part by which masses may scatter about those of the momenta, which may be measured otherwise
_QUARTERS = (0.25, 0.5, 0.75)
_HEAVIEST = 2.0  # GeV of one lepton, above the tau's 1.8; a muon in MeV has 106


def mass_of_columns(path: str | Path, meaning: dict[str, str], table: dict[str, np.ndarray]) -> np.ndarray:
    """The mass of each pair in GeV: a column, or computed from the momenta of both muons.

    Raises:
        InputError: a number that no muon has, or a column that is not the mass of the momenta beside it, in whatever unit.
    """
    if "mass" not in meaning:
        return _of_momenta(path, meaning, table)
    mass, computed = numbers(path, table, meaning["mass"]), None
    if set(CARTESIAN) <= set(meaning) or set(POLAR) <= set(meaning):
        with contextlib.suppress(InputError):  # of momenta that are not used
            computed = _of_momenta(path, meaning, table)
    if computed is not None:
        with np.errstate(all="ignore"):
            ratio = computed / mass
        low, middle, high = np.quantile(ratio[np.isfinite(ratio)], _QUARTERS) if np.isfinite(ratio).any() else (1, 1, 1)
        if high - low > _MOST_APART * middle:
            raise InputError(
                f"{path}: expected masses of the pairs in {meaning['mass']}, got others than those of the momenta, {low:.3g} to {high:.3g} "
                "times as large in half of the rows; rename one of both"
            )
    return mass


def _of_momenta(path: str | Path, meaning: dict[str, str], table: dict[str, np.ndarray]) -> np.ndarray:
    cartesian = set(CARTESIAN) <= set(meaning)
    wanted = [numbers(path, table, meaning[name]) for name in (CARTESIAN if cartesian else POLAR)]
    if cartesian:
        for name, (energy, *momentum) in (("E1", wanted[:4]), ("E2", wanted[4:])):
            with np.errstate(over="ignore"):
                least = (1 - _MOST_OFF_SHELL) * np.sqrt(np.square(momentum).sum(axis=0))
            refuse(path, meaning[name], energy, energy < least, "an energy of at least the momentum")
            rest = np.sqrt(np.maximum(np.square(energy) - np.square(momentum).sum(axis=0), 0))
            heavy = rest > _HEAVIEST + _MOST_IN_REST * energy
            if np.count_nonzero(heavy) > len(heavy) / 2:
                refuse(
                    path, meaning[name], energy, heavy, f"energies of muons, with rest masses up to {_HEAVIEST:g} GeV"
                )
        return kinematics.mass(np.stack(wanted[:4], axis=-1) + np.stack(wanted[4:], axis=-1))
    rest = [
        numbers(path, table, meaning[n]) if n in meaning else np.full(len(wanted[0]), MUON_MASS) for n in ("m1", "m2")
    ]
    for name, values in zip((*POLAR, "m1", "m2"), (*wanted, *rest), strict=True):
        if name in meaning:
            refuse(path, meaning[name], values, *impossible(name[:-1], values))
    return mass_of_polar([*wanted[:3], rest[0]], [*wanted[3:], rest[1]])


def mass_of_polar(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    """The mass of two muons, each (pt, eta, phi, m)."""
    momenta = []
    with np.errstate(all="ignore"):  # what overflows is refused with its row
        for pt, eta, phi, m in (first, second):
            pz = pt * np.sinh(eta)
            momenta.append(np.stack([np.sqrt(pt**2 + pz**2 + m**2), pt * np.cos(phi), pt * np.sin(phi), pz], axis=-1))
        return kinematics.mass(momenta[0] + momenta[1])


def impossible(what: str, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Which values no muon has, and what is expected."""
    if what == "pt":
        return ~(values > 0), "a pT above 0"
    if what == "phi":
        return ~(np.abs(values) <= 2 * np.pi + 1e-3), "azimuths in radians"
    if what == "m":
        return ~((values >= 0) & (values <= _HEAVIEST)), f"masses of one muon in GeV, 0 to {_HEAVIEST:g}"
    return np.isnan(values), "pseudorapidities"
