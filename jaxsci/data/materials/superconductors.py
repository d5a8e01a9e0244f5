"""Superconductors and what is presumed to be none: readers of the published tables, cleaned by rules that are counted.

SuperCon (National Institute for Materials Science, Japan) holds compositions with their critical temperatures Tc, as exported or as
cleaned by Stanev et al. (npj Comput. Mater. 4, 29, 2018). The list of Hosono et al. (Sci. Technol. Adv. Mater. 16, 033503, 2015),
completed by Konno et al. (Phys. Rev. B 103, 014509, 2021), holds materials that were tested, superconducting or not. Formulas of the
Crystallography Open Database are presumed not to superconduct: nobody has tested most of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from jaxsci.data.materials.compositions import (
    Compositions,
    concatenated,
    contains,
    encode,
    same_composition,
    same_system,
    taken,
)
from jaxsci.data.materials.formula_table import Chunk, Fault, stream
from jaxsci.data.split import split, split_groups
from jaxsci.errors import InputError

__all__ = [
    "Materials",
    "SplitName",
    "clean",
    "family",
    "parts",
    "read_measured",
    "read_presumed",
    "read_tested",
    "read_unreported",
    "repeated_measurements",
    "select",
    "without",
]

SplitName: TypeAlias = Literal["random", "composition", "system"]
FRACTIONS = (
    0.64,
    0.16,
    0.2,
)  # training, validation, test: a fifth for the test, then a fifth of the rest, as published
HIGHEST_TC = 150.0  # K; what SuperCon has above was measured under pressure or is a claim that was not confirmed

FAMILIES = ("cuprate", "iron-based", "heavy-fermion type", "other")

FILES = {  # of the data set "superconductors", by what they are
    "stanev": "stanev_Supercon_data.csv",
    "nims": "supercon_nims_raw.tsv",
    "cod": "konno_cod_garbage_in_2009.csv",
    "hosono": "konno_hosono_2018.csv",
}


class Materials(NamedTuple):
    """Materials with their critical temperatures, and what cleaning did: the number of rows each rule left out, in its order."""

    formulas: np.ndarray  # str [material], as the table writes them
    compositions: Compositions
    tc: np.ndarray  # float32 [material] in K; 0 where it was tested without superconducting, NaN where nothing is known
    cleaning: dict[str, int]


def read_measured(
    name: Literal["stanev", "nims", "own"],
    path: str | Path,
    *,
    merge: bool = False,
    columns: tuple[str | None, str | None] | None = (None, None),
) -> Materials:
    """Measured superconductors, cleaned by the rules of `clean`.

    Args:
        name: "stanev": the table of Stanev et al.: name, Tc in K. "own": any table with such columns. "nims": the export of SuperCon,
            tab-separated, two lines of codes and titles before the header; a fifth of its formulas, all cuprates, have an amount that
            was not measured ("O7-Z") and are left out.
        path: the file.
        merge: whether rows of one composition become one material.
        columns: names of the columns of formulas and of Tc, where the table is one's own; None: found by their usual names. None for
            both together: as in `stream`.

    Raises:
        InputError: the file cannot be read, or more than a third of its rows cannot be used or are hotter than any superconductor.
    """
    layout = _LAYOUTS[name] if columns == (None, None) else {**_LAYOUTS[name], "columns": columns}
    found = _read(path, **layout)
    hot = int((found.tc > HIGHEST_TC).sum())
    if hot > _MOST_LEFT_OUT * len(found.tc):
        raise InputError(
            f"{path}: expected Tc in K, mostly up to {HIGHEST_TC:g}, got {hot:,} of {len(found.tc):,} rows above; convert other units to "
            "K, or leave out what was measured under pressure"
        )
    return clean(found, merge=merge)


def read_unreported(path: str | Path) -> Materials:
    """The compositions of the table of Stanev et al. for which SuperCon has no Tc at all, each once; Tc is NaN.

    They were studied among superconductors, and most of them are none: negatives that look like superconductors, though not proven.
    """
    rows = _read(path, **_LAYOUTS["stanev"])
    missing = _first_of_each(select(rows, rows.tc == 0))
    missing = without(missing, select(rows, rows.tc > 0).compositions, "Tc reported elsewhere")
    return missing._replace(tc=np.full(len(missing.tc), np.nan, np.float32))


def read_tested(path: str | Path) -> Materials:
    """A list of Hosono's in Konno's form: matter, Tc in K, 0 for materials that were tested and did not superconduct.

    Repeated formulas are kept once.
    """
    return _first_of_each(_read(path, with_tc=True, columns=None))


def read_presumed(path: str | Path) -> Materials:
    """Formulas of the Crystallography Open Database in Konno's form: one column, "matter". Tc is NaN: nobody has tested most of them."""
    return _first_of_each(_read(path, with_tc=False))


def clean(materials: Materials, *, merge: bool) -> Materials:
    """Leave out what is no measured temperature, and count by which rule.

    1. Tc = 0, which in SuperCon means "not reported". 2. Tc above 150 K: measured under pressure, or a claim. 3. With `merge`, of the rows
    of one composition (atomic fractions equal to 1/1000) the first is kept, with the median of their Tc.
    """
    reported = materials.tc > 0
    possible = materials.tc <= HIGHEST_TC
    rules = {"Tc not reported": ~reported, f"Tc above {HIGHEST_TC:g} K": ~possible}
    counts = materials.cleaning | {rule: int(rows.sum()) for rule, rows in rules.items()}
    materials = select(materials, reported & possible)._replace(cleaning=counts)
    if not merge:
        return materials
    first, number, order = _groups(same_composition(materials.compositions))
    medians = [np.median(part) for part in np.split(materials.tc[order], np.cumsum(number)[:-1])]
    kept = _first_of_each(materials)
    return kept._replace(tc=np.asarray(medians, np.float32)[np.argsort(first)])


def repeated_measurements(materials: Materials) -> tuple[float, int]:
    """The scatter of Tc among rows of one composition: root of the pooled variance in K, and the number of such rows.

    A bound on what a model of the composition can reach on rows that are not merged.
    """
    group = same_composition(materials.compositions)
    _, number, order = _groups(group)
    parts = [p for p in np.split(materials.tc[order].astype(np.float64), np.cumsum(number)[:-1]) if len(p) > 1]
    if not parts:
        raise InputError(
            "expected compositions that were measured more than once, got none; give rows that are not merged"
        )
    squares = sum(((part - part.mean()) ** 2).sum() for part in parts)
    freedom = sum(len(part) - 1 for part in parts)
    return float(np.sqrt(squares / freedom)), sum(map(len, parts))


def without(
    materials: Materials,
    others: Compositions,
    rule: str,
    *,
    akin: Callable[[Compositions], np.ndarray] = same_composition,
) -> Materials:
    """The materials that are not akin to any of the others, as the same composition is or the same system; the rule is counted."""
    group = akin(concatenated(materials.compositions, others))
    mine, theirs = group[: len(materials.tc)], group[len(materials.tc) :]
    return select(materials, ~np.isin(mine, theirs), rule)


def select(materials: Materials, rows: np.ndarray, rule: str | None = None) -> Materials:
    """The materials of these rows (indices or a mask), with the number of the others under the rule that left them out."""
    tc, cleaning = materials.tc[rows], materials.cleaning
    counted = cleaning if rule is None else {**cleaning, rule: len(materials.tc) - len(tc)}
    return Materials(materials.formulas[rows], taken(materials.compositions, rows), tc, counted)


def family(compositions: Compositions) -> np.ndarray:
    """The family by elements alone, int64 [material], an index of FAMILIES.

    Cuprate: copper and oxygen. Iron-based: iron with P, As, S, Se or Te. Heavy-fermion type: Ce, Yb, U, Np or Pu and none of these.
    """
    cuprate = contains(compositions, "Cu") & contains(compositions, "O")
    iron = contains(compositions, "Fe") & contains(compositions, "P", "As", "S", "Se", "Te")
    heavy = contains(compositions, "Ce", "Yb", "U", "Np", "Pu")
    return np.select([cuprate, iron, heavy], [0, 1, 2], default=3)


def parts(
    compositions: Compositions, labels: np.ndarray, name: SplitName, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of training, validation and test.

    Args:
        compositions: of all materials.
        labels: [material] whole numbers, whose proportions the random split keeps.
        name: "random": as published, each material on its own. "composition": materials of one composition stay together.
            "system": all materials of the same elements stay together, so that the test asks for chemistry that was never seen.
        seed: the same seed gives the same parts.
    """
    match name:
        case "random":
            return split(labels, seed=seed, fractions=FRACTIONS)
        case "composition":
            return split_groups(same_composition(compositions), seed=seed, fractions=FRACTIONS)
        case "system":
            return split_groups(same_system(compositions), seed=seed, fractions=FRACTIONS)
    raise InputError(f"{name}: expected a split, one of {', '.join(get_args(SplitName))}")


_LAYOUTS: dict[str, dict[str, Any]] = {
    "stanev": {"with_tc": True},
    "own": {"with_tc": True},
    "nims": {"with_tc": True, "columns": ("element", "tc"), "header_row": 3},
}
_MOST_LEFT_OUT = (
    1 / 3
)  # of the rows that are not under pressure, before a table is refused; of the export of SuperCon it is 22 %
_REASONS: dict[Fault, str] = {
    "formula": "formula not readable",
    "element": "element beyond the table",
    "pressure": "under pressure or in a field",
    "tc": "Tc not a number in K",
    "encoding": "not UTF-8",
    "columns": "another number of fields",
}


def _read(path: str | Path, **layout: Any) -> Materials:
    chunks: list[Chunk] = list(stream(path, skip_bad=True, **layout))
    rows = sum(len(chunk.rows) for chunk in chunks)
    counts = {reason: sum(chunk.bad[fault] for chunk in chunks) for fault, reason in _REASONS.items()}
    counts = {"rows": rows + sum(counts.values())} | {reason: n for reason, n in counts.items() if n}
    if rows == 0 or rows < (1 - _MOST_LEFT_OUT) * (counts["rows"] - counts.get(_REASONS["pressure"], 0)):
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in list(counts.items())[1:])
        first = next(chunk.first_bad for chunk in chunks if chunk.first_bad)
        raise InputError(
            f"{path}: expected formulas, got {counts['rows']:,} rows of which {rows:,} can be used ({reasons}); the first fault: {first}"
        )
    formulas = np.array([text for chunk in chunks for text in chunk.formulas])
    compositions = encode([amounts for chunk in chunks for amounts in chunk.compositions])
    return Materials(formulas, compositions, np.array([t for c in chunks for t in c.tc], np.float32), counts)


def _first_of_each(materials: Materials) -> Materials:
    first, _, _ = _groups(same_composition(materials.compositions))
    return select(materials, np.sort(first), "composition repeated")


def _groups(group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first row of each group, the number of its rows, and all rows ordered by group."""
    _, first, number = np.unique(group, return_index=True, return_counts=True)
    return first, number, np.argsort(group, kind="stable")
