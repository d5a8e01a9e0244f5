"""The materials of a training: which tables, cleaned how, what is presumed not to superconduct, and the splits."""

from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from jaxsci.data.materials import superconductors as sc
from jaxsci.data.materials.compositions import (
    Compositions,
    concatenated,
    contains,
    dense,
    same_composition,
    same_system,
)
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.superconductors import Materials, SplitName
from jaxsci.errors import InputError

TableName: TypeAlias = Literal["stanev", "nims", "own"]
Columns: TypeAlias = tuple[str | None, str | None]  # names of those of formulas and of Tc
PUBLISHED_NEGATIVES = 50_000  # formulas of the COD, drawn at random


class Sources(NamedTuple):
    """Files; None where a training does without."""

    measured: Path  # with Tc
    table: TableName  # its layout
    presumed: Path | None = None  # formulas of the COD
    more: Path | None = None  # the export of SuperCon, whose further compositions are added
    unreported: Path | None = None  # the table of Stanev et al. again, for its entries without Tc
    tested: Path | None = None  # Hosono's list


class Sample(NamedTuple):
    """All materials of a training, and those of the list that are for testing only."""

    formulas: np.ndarray  # str [material]
    compositions: Compositions
    tc: np.ndarray  # float32 [material] in K; NaN where it is presumed not to superconduct
    splits: tuple[np.ndarray, np.ndarray, np.ndarray]  # indices of training, validation, test
    tested: Materials | None
    cleaning: dict[str, dict[str, int]]  # by table: rows that each rule excluded
    repeatability: (
        float | None
    )  # K, standard deviation of repeated measurements of a composition; None where there are none
    studied: np.ndarray  # bool [material], whether it was studied as a superconductor, with or without success

    @property
    def superconducting(self) -> np.ndarray:
        """Bool [material]."""
        return np.isfinite(self.tc)

    @property
    def amounts(self) -> np.ndarray:
        """Inputs of the networks, float32 [material, 96]."""
        return dense(self.compositions, ELEMENTS)


def read_tc(sources: Sources, split: SplitName, seed: int, columns: Columns = (None, None)) -> Sample:
    """Measured superconductors with Tc > 0, row by row as the table has them; compositions of the list are excluded.

    The splits are drawn from the one table. Rows of `sources.more` go to the training split alone, and only those
    whose composition (with the split by systems: whose chemical system) is nowhere in the table.
    """
    tested = _tested(sources)
    measured = _unlisted(sc.read_measured(sources.table, sources.measured, columns=columns), tested)
    train, validation, test = sc.parts(measured.compositions, np.zeros(len(measured.tc), np.int64), split, seed=seed)
    tables = {"superconductors": measured}
    if sources.more is not None:
        more = sc.without(sc.read_measured("nims", sources.more), measured.compositions, "in the other table")
        more = _unlisted(more, tested)
        if split == "system":
            more = sc.without(more, measured.compositions, "same system as in the other table", akin=same_system)
        tables["more for training"] = more
        train = np.concatenate([train, len(measured.tc) + np.arange(len(more.tc))])
    formulas, compositions, tc = _joined(tables)
    studied = np.ones(len(tc), bool)
    splits, cleaning = (train, validation, test), _cleaning(tables, tested)
    return Sample(formulas, compositions, tc, splits, tested, cleaning, _repeatability(measured), studied)


def read_class(
    sources: Sources, split: SplitName, seed: int, columns: Columns = (None, None), *, published: bool
) -> Sample:
    """Superconductors, each composition once, and presumed non-superconductors; compositions of the list are excluded.

    Args:
        sources: the files; `presumed` is required.
        split: how the splits are drawn.
        seed: of the splits, and of the draw of the presumed ones.
        columns: names of the columns of formulas and of Tc in the table of measured ones; None: found by their usual names.
        published: presume what the paper does, 50,000 random formulas of the COD, most of them organic. Otherwise: all formulas of the COD
            that have not both carbon and hydrogen, and the entries of SuperCon without Tc, which look most like superconductors.
    """
    assert sources.presumed is not None
    tested = _tested(sources)
    measured = sc.read_measured(sources.table, sources.measured, merge=True, columns=columns)
    superconductors = {"superconductors": measured}
    if sources.more is not None:
        more = sc.read_measured("nims", sources.more, merge=True)
        known = superconductors["superconductors"].compositions
        superconductors["more superconductors"] = sc.without(more, known, "in the other table")
    presumed = sc.read_presumed(sources.presumed)
    if published:
        drawn = np.random.default_rng(seed).permutation(len(presumed.tc))[:PUBLISHED_NEGATIVES]
        tables = {"COD": sc.select(presumed, np.sort(drawn), "not drawn")}
    else:
        organic = contains(presumed.compositions, "C") & contains(presumed.compositions, "H")
        tables = {"COD": sc.select(presumed, ~organic, "carbon with hydrogen")}
        if sources.unreported is not None:
            tables["SuperCon without Tc"] = sc.read_unreported(sources.unreported)
    known = concatenated(*(table.compositions for table in superconductors.values()))
    for name, table in tables.items():
        tables[name] = sc.without(table, known, "among the above")
        known = concatenated(known, tables[name].compositions)
    tables = {name: _unlisted(table, tested) for name, table in {**superconductors, **tables}.items()}
    formulas, compositions, tc = _joined(tables)
    splits = sc.parts(compositions, np.isfinite(tc).astype(np.int64), split, seed=seed)
    studied = np.concatenate([np.full(len(table.tc), name != "COD") for name, table in tables.items()])
    return Sample(formulas, compositions, tc, splits, tested, _cleaning(tables, tested), None, studied)


def read_asked(path: Path, *, of_class: bool) -> Sample:
    """All materials of another table with Tc as test part, for a run that is to be evaluated on them.

    Of classes, Tc = 0 says that a material was tested and does not superconduct; of temperatures such rows are left out, as in training.

    Raises:
        InputError: the table cannot be read, or has materials of one class or one Tc alone, of which there is nothing to tell.
    """
    table = sc.read_tested(path) if of_class else sc.read_measured("own", path, columns=None)
    tc = np.where(table.tc > 0, table.tc, np.nan).astype(np.float32)
    if len(np.unique(np.isfinite(tc) if of_class else tc)) < 2:
        wanted = "superconductors and others (Tc = 0)" if of_class else "materials of different Tc > 0"
        raise InputError(f"{path}: expected {wanted}, got {len(tc):,} of one kind; give a table with more materials")
    none = np.empty(0, np.int64)
    splits = (none, none, np.arange(len(tc)))
    cleaning = _cleaning({path.name: table}, None)
    return Sample(table.formulas, table.compositions, tc, splits, None, cleaning, None, np.ones(len(tc), bool))


def left_out(cleaning: dict[str, dict[str, int]]) -> list[str]:
    """A line for each table of which the rules of cleaning left out more than a hundredth, as `Sample.cleaning` counts them."""
    lines = []
    for name, counts in cleaning.items():
        rows, left = counts["rows"], counts["left"]
        if rows - left > rows / 100:
            rules = ", ".join(f"{rule} {n:,}" for rule, n in counts.items() if n and rule not in ("rows", "left"))
            lines.append(f"{name}: {rows - left:,} of {rows:,} rows left out ({rules})")
    return lines


def overlap(sample: Sample) -> dict[str, float]:
    """The fraction of test materials whose composition, and whose chemical system, is in the training split too."""
    train, _, test = sample.splits
    fractions = {}
    for name, group in (("composition", same_composition), ("system", same_system)):
        groups = group(sample.compositions)
        fractions[name] = float(np.isin(groups[test], groups[train]).mean())
    return fractions


def _tested(sources: Sources) -> Materials | None:
    return None if sources.tested is None else sc.read_tested(sources.tested)


def _unlisted(materials: Materials, tested: Materials | None) -> Materials:
    return materials if tested is None else sc.without(materials, tested.compositions, "in Hosono's list")


def _joined(tables: dict[str, Materials]) -> tuple[np.ndarray, Compositions, np.ndarray]:
    """Formulas, compositions and Tc of all tables."""
    formulas, compositions, tc, _ = zip(*tables.values(), strict=True)
    return np.concatenate(formulas), concatenated(*compositions), np.concatenate(tc)


def _cleaning(tables: dict[str, Materials], tested: Materials | None) -> dict[str, dict[str, int]]:
    if tested is not None:
        tables = {**tables, "Hosono's list": tested}
    return {name: {**table.cleaning, "left": len(table.tc)} for name, table in tables.items()}


def _repeatability(materials: Materials) -> float | None:
    if len(np.unique(same_composition(materials.compositions))) == len(materials.tc):
        return None
    return sc.repeated_measurements(materials)[0]
