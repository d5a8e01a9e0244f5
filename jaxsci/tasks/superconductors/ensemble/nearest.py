"""Whether a formula is among the materials of a run, and which of those it learned from is nearest, with its Tc."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data.materials.compositions import (
    Compositions,
    dense,
    encode,
    fractions,
    identities,
    same_composition,
    taken,
)
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import Amounts
from jaxsci.errors import InputError
from jaxsci.files import DAMAGED, arrays, replacing
from jaxsci.runs import seen
from jaxsci.tasks.superconductors.samples import Sample

FILE = "materials.npz"
PARTS = ("training", "validation", "test")
OLDER = "not known: trained by an older version"
NONE = "none with an element of it"
_EQUAL = 1e-6  # shares of common atoms that differ by less, as by rounding in float32, are equal


class Known(NamedTuple):
    """The materials of a run; of those it learned from, or was chosen on, each composition once."""

    parts: dict[bytes, str]  # by the identity of a composition, also of the test part
    formulas: np.ndarray  # str [material], as the table writes them
    fractions: np.ndarray  # float32 [96, material]: an element's row is read at once
    tc: np.ndarray  # float32 [material] in K, the median of repeated measurements; NaN where none was reported


def save(folder: Path, sample: Sample) -> None:
    """Write the materials of a run with their Tc and the part of each."""
    part = np.full(len(sample.tc), -1, np.int8)
    for number, rows in enumerate(sample.splits):
        part[rows] = number
    if (part < 0).any():
        raise ValueError(f"expected each material in a part, got {np.sum(part < 0)} of {len(part)} in none")
    with replacing(folder / FILE) as temporary:
        np.savez_compressed(
            temporary, formulas=sample.formulas.astype(str), part=part, tc=sample.tc, **sample.compositions._asdict()
        )


def read(folder: Path) -> Known | None:
    """The materials of a run; None where it was trained by a version that did not keep them.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FILE
    try:
        content = arrays(path)
        compositions = Compositions(content["elements"], content["amounts"])
        formulas, part, tc = content["formulas"], content["part"], content["tc"]
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        raise InputError(f"{path}: expected the materials of the run, got {error}; copy the run again") from error
    names = [identity.tobytes() for identity in identities(compositions)]
    parts = {names[row]: PARTS[part[row]] for row in np.argsort(-part, kind="stable")}  # training goes first
    learned = np.flatnonzero(part < 2)
    group = same_composition(taken(compositions, learned))
    first = learned[np.unique(group, return_index=True)[1]]
    share = dense(Compositions(compositions.elements[first], fractions(taken(compositions, first))), ELEMENTS)
    return Known(parts, formulas[first], np.ascontiguousarray(share.T), _medians(tc[learned], group, len(first)))


def _medians(tc: np.ndarray, group: np.ndarray, number: int) -> np.ndarray:
    """The median of the finite Tc of each group, float32 [group]; NaN where there is none."""
    result = np.full(number, np.nan, np.float32)
    rows = np.flatnonzero(np.isfinite(tc))
    rows = rows[np.lexsort((tc[rows], group[rows]))]
    found, start, count = np.unique(group[rows], return_index=True, return_counts=True)
    low, high = rows[start + (count - 1) // 2], rows[start + count // 2]
    result[found] = (tc[low] + tc[high]) / 2
    return result


def beside(folder: Path, known: Known | None, materials: list[Amounts]) -> dict[str, np.ndarray]:
    """What is known of these compositions besides a prediction, each [material].

    "in_table": the part of the run's table that has the composition, or "no". "nearest": the formula of the material of the training or
    validation part of which most atoms agree, of several equally near one with a reported Tc; "nearest_tc" its measured Tc in K (NaN: none
    reported), "nearest_difference" the percentage of atoms that differ, 100 (1 - sum_i min(f_i, f'_i)) of atomic fractions f.

    Args:
        folder: of the run.
        known: as from `read`.
        materials: what is asked for.
    """
    compositions = encode(materials)
    names = identities(compositions)
    if known is None:
        hit = seen.among(folder, names)
        words = (
            [OLDER] * len(names)
            if hit is None
            else ["training or validation" if one else "not in training or validation" for one in hit]
        )
        empty = np.full(len(names), np.nan, np.float32)
        return _columns(words, [OLDER] * len(names), empty, empty)
    share = dense(Compositions(compositions.elements, fractions(compositions)), ELEMENTS)
    rows, agree = np.zeros(len(share), np.int64), np.zeros(len(share), np.float32)
    reported = np.isfinite(known.tc)
    for i, row in enumerate(share):
        elements = np.flatnonzero(row)
        common = np.minimum(known.fractions[elements], row[elements, None]).sum(axis=0)
        agree[i] = common.max()
        nearest = common > agree[i] - _EQUAL
        rows[i] = np.argmax(nearest * (1 + reported))  # the first of the table whose Tc is reported, or else the first
    like = agree > 0
    return _columns(
        [known.parts.get(name.tobytes(), "no") for name in names],
        np.where(like, known.formulas[rows], NONE),
        np.where(like, known.tc[rows], np.nan).astype(np.float32),
        100 * np.clip(1 - agree, 0, 1),
    )


def _columns(
    part: list[str], nearest: list[str] | np.ndarray, tc: np.ndarray, difference: np.ndarray
) -> dict[str, np.ndarray]:
    return {
        "in_table": np.array(part),
        "nearest": np.asarray(nearest),
        "nearest_tc": tc,
        "nearest_difference": difference,
    }
