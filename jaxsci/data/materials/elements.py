"""Properties of the elements as tables of features, from the database of mendeleev 0.6.0 (MIT license), which is downloaded.

Two tables: "paper", the 22 features of npj Comput. Mater. 9, 71 (2023), and "extended", which adds the occupation of the valence
orbitals, further ionization energies and radii, oxidation states, and the chemical orderings of Mendeleev and Pettifor.
"""

import re
import sqlite3
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.data.reading import reading
from jaxsci.errors import InputError

__all__ = [
    "ElementTable",
    "Feature",
    "TableName",
    "standardized",
    "subshells",
    "table",
    "valence",
]

TableName: TypeAlias = Literal["paper", "extended"]
ELEMENTS = 96  # rows of a table: hydrogen to curium, as in the paper


class Feature(NamedTuple):
    """A property of an element: where it comes from and its unit, "" for a pure number."""

    name: str
    unit: str
    source: str


class ElementTable(NamedTuple):
    """Features of the elements 1 to 96 as they are, in physical units; what nobody has measured is NaN."""

    features: tuple[Feature, ...]  # of the columns
    values: np.ndarray  # float64 [element, feature]


_CRC = "CRC Handbook of Chemistry and Physics, 95th ed. (2014)"
_CONFIGURATION = "counted from the ground-state configuration"
# (column, unit, source); the sources are those that mendeleev documents.
_STORED = tuple(
    Feature(*row)
    for row in (
        ("atomic_number", "", "definition"),
        ("atomic_volume", "cm3/mol", "mendeleev 0.6.0"),
        ("density", "g/cm3", _CRC),
        ("dipole_polarizability", "bohr3", "Schwerdtfeger and Nagle, Mol. Phys. 117 (2019) 1200"),
        ("electron_affinity", "eV", _CRC),
        ("evaporation_heat", "kJ/mol", "mendeleev 0.6.0"),
        ("fusion_heat", "kJ/mol", "mendeleev 0.6.0"),
        ("group_id", "", "IUPAC; none for the f block"),
        ("lattice_constant", "angstrom", "mendeleev 0.6.0"),
        ("melting_point", "K", _CRC),
        ("period", "", "definition"),
        ("specific_heat", "J/(g K)", "mendeleev 0.6.0, at 20 °C"),
        ("thermal_conductivity", "W/(m K)", "mendeleev 0.6.0, at 25 °C"),
        ("vdw_radius", "pm", _CRC),
        ("covalent_radius_pyykko", "pm", "Pyykkö and Atsumi, Chem. Eur. J. 15 (2009) 186"),
        ("en_pauling", "", _CRC),
        ("atomic_weight", "u", "IUPAC, Meija et al., Pure Appl. Chem. 88 (2016) 265"),
        ("atomic_radius_rahm", "pm", "Rahm, Hoffmann and Ashcroft, Chem. Eur. J. 22 (2016) 14625"),
    )
)
_STORED_EXTENDED = tuple(
    Feature(*row)
    for row in (
        ("boiling_point", "K", _CRC),
        ("heat_of_formation", "kJ/mol", _CRC),
        ("atomic_radius", "pm", "Slater, J. Chem. Phys. 41 (1964) 3199"),
        ("covalent_radius_cordero", "pm", "Cordero et al., Dalton Trans. (2008) 2832"),
        ("metallic_radius_c12", "pm", "mendeleev 0.6.0, at coordination 12"),
        ("vdw_radius_alvarez", "pm", "Alvarez, Dalton Trans. 42 (2013) 8617"),
        ("c6_gb", "hartree bohr6", "Gould and Bučko, J. Chem. Theory Comput. 12 (2016) 3603"),
        ("en_ghosh", "", "Ghosh, J. Theor. Comput. Chem. 4 (2005) 21"),
        ("mendeleev_number", "", "Villars et al., J. Alloys Compd. 367 (2004) 167"),
        ("pettifor_number", "", "Pettifor, Solid State Commun. 51 (1984) 31"),
    )
)
# Bravais lattices of the solid elements as mendeleev writes them; "Void": none is known.
LATTICES = ("BCC", "CUB", "DIA", "FCC", "HEX", "MCL", "ORC", "RHL", "SC", "TET", "Void")
BLOCKS = "spdf"
_ORBITALS = {"s": 2, "p": 6, "d": 10, "f": 14}  # electrons in a full subshell


def table(name: TableName, database: str | Path) -> ElementTable:
    """A table of features of the elements 1 to 96 in physical units.

    Args:
        name: "paper": the 22 features of npj Comput. Mater. 9, 71, of which the lattice is 11 columns of 0 and 1, so 32 columns.
            "extended": those and 24 more.
        database: elements.db of mendeleev 0.6.0, as `jaxsci data fetch elements` downloads it.

    Returns:
        The table. The paper fills 50 of its gaps from another source; here all are NaN until `standardized` fills them.

    Raises:
        InputError: another name, or a file that is not this database.
    """
    if name not in get_args(TableName):
        raise InputError(f"{name}: expected a table of elements, one of {', '.join(get_args(TableName))}")
    with reading(database, "elements.db of mendeleev 0.6.0") as path:
        rows, energies, states = _query(path, [f.name for f in (*_STORED, *_STORED_EXTENDED)])
    columns: dict[Feature, np.ndarray] = {f: _floats(rows[f.name]) for f in _STORED}
    configurations = [subshells(text) for text in _expanded(rows)]
    blocks = rows["block"]
    columns[Feature("valence", "electrons", _CONFIGURATION)] = np.array(
        [valence(shells, block) for shells, block in zip(configurations, blocks, strict=True)], np.float64
    )
    nist = "NIST Atomic Spectra Database"
    columns[Feature("ionization_energy_1", "eV", nist)] = energies[:, 0]
    columns[Feature("block", "orbital angular momentum", "definition")] = _floats([BLOCKS.index(b) for b in blocks])
    for lattice in LATTICES:
        found = [(value or "Void") == lattice for value in rows["lattice_structure"]]
        columns[Feature(f"lattice_{lattice}", "", "mendeleev 0.6.0")] = _floats(found)
    if name == "extended":
        columns |= {f: _floats(rows[f.name]) for f in _STORED_EXTENDED}
        for degree in (2, 3):
            columns[Feature(f"ionization_energy_{degree}", "eV", nist)] = energies[:, degree - 1]
        for i, which in enumerate(("lowest", "highest")):
            columns[Feature(f"oxidation_state_{which}", "", "Greenwood and Earnshaw, as in mendeleev 0.6.0")] = states[
                :, i
            ]
        columns |= _orbitals(configurations)
    return ElementTable(tuple(columns), np.stack(list(columns.values()), axis=1))


def standardized(table: ElementTable) -> np.ndarray:
    """The features as a network needs them, float32 [element, feature].

    A gap is filled with the mean of its column over the elements that have a value; then each column is shifted to mean 0 and scaled
    to standard deviation 1 over the 96 elements, as in the paper; a column that is 0 or 1 stays as it is.
    """
    values = table.values
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    binary = np.isin(filled, (0, 1)).all(axis=0)
    spread = filled.std(axis=0)
    scaled = (filled - filled.mean(axis=0)) / np.where(spread == 0, 1, spread)
    return np.where(binary, filled, scaled).astype(np.float32)


def subshells(configuration: str) -> dict[tuple[int, str], int]:
    """Electrons in each subshell (n, letter) of a written-out configuration such as "1s2 2s2 2p"."""
    found = re.findall(r"(\d)([spdf])(\d*)", configuration)
    return {(int(n), letter): int(count or 1) for n, letter, count in found}


def valence(shells: dict[tuple[int, str], int], block: str) -> int:
    """Valence electrons: the outermost shell, and in the d block the d electrons of the shell below it with it.

    Palladium, 4d10, has 10; mendeleev 0.6.0 counts 12.
    """
    outermost = max(n for n, _ in shells)
    if block != "d":
        return sum(count for (n, _), count in shells.items() if n == outermost)
    below = max(n for n, letter in shells if letter == "d")
    return sum(count for (n, letter), count in shells.items() if (n, letter) == (below, "d") or n == below + 1)


def _orbitals(configurations: list[dict[tuple[int, str], int]]) -> dict[Feature, np.ndarray]:
    """Electrons and holes in the highest subshell of each kind that is not part of the noble-gas core."""
    counts = {letter: np.zeros((len(configurations), 2)) for letter in BLOCKS}
    for row, shells in enumerate(configurations):
        core = _core(shells)
        for (_, letter), count in ((shell, n) for shell, n in shells.items() if shell not in core):
            counts[letter][row] = count, _ORBITALS[letter] - count
    return {
        Feature(f"{letter}_{kind}", "electrons" if kind == "electrons" else "holes", _CONFIGURATION): counts[letter][
            :, i
        ]
        for i, kind in enumerate(("electrons", "holes"))
        for letter in BLOCKS
    }


_NOBLE = {
    "He": "1s2",
    "Ne": "2s2 2p6",
    "Ar": "3s2 3p6",
    "Kr": "3d10 4s2 4p6",
    "Xe": "4d10 5s2 5p6",
    "Rn": "4f14 5d10 6s2 6p6",
}


def _core(shells: dict[tuple[int, str], int]) -> set[tuple[int, str]]:
    """The subshells of the largest noble gas that has fewer electrons than the atom."""
    core: set[tuple[int, str]] = set()
    electrons = 0
    for text in _NOBLE.values():
        layer = subshells(text)
        electrons += sum(layer.values())
        if electrons >= sum(shells.values()):
            break
        core |= set(layer)
    return core


def _expanded(rows: dict[str, list]) -> list[str]:
    """The configurations with their noble-gas cores written out."""
    cores, text = {}, ""
    for noble, layer in _NOBLE.items():
        text = f"{text} {layer}"
        cores[f"[{noble}]"] = text
    return [re.sub(r"\[\w+\]", lambda m: cores[m.group()], text) for text in rows["electronic_configuration"]]


def _floats(values: list) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _query(path: Path, names: list[str]) -> tuple[dict[str, list], np.ndarray, np.ndarray]:
    """Columns of the elements, the first three ionization energies [element, 3], and the extreme oxidation states [element, 2]."""
    wanted = ["symbol", "block", "lattice_structure", "electronic_configuration", *names]
    energies = np.full((ELEMENTS, 3), np.nan)
    states = np.full((ELEMENTS, 2), np.nan)
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            found = connection.execute(
                f"SELECT {', '.join(wanted)} FROM elements WHERE atomic_number <= {ELEMENTS} ORDER BY atomic_number"
            ).fetchall()
            for z, degree, energy in connection.execute("SELECT atomic_number, degree, energy FROM ionizationenergies"):
                if z <= ELEMENTS and degree <= 3:
                    energies[z - 1, degree - 1] = energy
            for z, low, high in connection.execute(
                "SELECT atomic_number, min(oxidation_state), max(oxidation_state) FROM oxidationstates GROUP BY atomic_number"
            ):
                if z <= ELEMENTS:
                    states[z - 1] = low, high
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: expected elements.db of mendeleev 0.6.0, but {error}; run `jaxsci data fetch elements`"
        ) from error
    if [row[0] for row in found] != list(SYMBOLS[:ELEMENTS]):
        raise InputError(f"{path}: expected the elements H to Cm, got {len(found)} rows; fetch the file again")
    return dict(zip(wanted, map(list, zip(*found, strict=True)), strict=True)), energies, states
