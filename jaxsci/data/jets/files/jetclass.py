"""JetClass (arXiv:2202.03772, Zenodo record 6619768): 125 million simulated jets of ten classes in ROOT files of one class each.

A file holds a tree with one entry a jet: lists `part_px`, `part_py`, `part_pz`, `part_energy` in GeV, one number a particle, and the
numbers `label_QCD`, `label_Hbb`, ... of which one is 1. Jets are given the room of the published trainings, 128 particles; of a jet with
more the hardest are kept.

The files of top quarks that decay to quarks, `TTBar_*.root`, and of QCD jets, `ZJetsToNuNu_*.root`, are read as every other sample of
tops and background: `jets.read("{TTBar,ZJetsToNuNu}_*.root")`. All ten classes: `sources.source("*.root", jetclass.all_classes)`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.data.columns import opened_tree
from jaxsci.data.jets import _checks as checks
from jaxsci.data.jets import kinematics
from jaxsci.data.jets.records import Records, by_ranges
from jaxsci.data.reading import is_weight_name, require_memory
from jaxsci.data.sources import Column, Reader
from jaxsci.errors import InputError

__all__ = ["CLASSES", "PARTICLES", "all_classes", "records"]

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
PARTICLES = 128
_MOMENTA = ("part_energy", "part_px", "part_py", "part_pz")
_LABELS = tuple(f"label_{name}" for name in CLASSES)
_BACKGROUND, _TOP = CLASSES.index("QCD"), CLASSES.index("Tbqq")


def all_classes(path: Path) -> Reader:
    """Open a file for reading ranges of rows: `constituents` [jet, 128, 4], float32, and `labels`, uint8, the place in `CLASSES`.

    Raises:
        InputError: a branch is missing, a label is none, or a number cannot be part of a jet.
    """
    tree, beam = _tree(path), checks.Beam()

    def rows(first: int, last: int) -> dict[str, np.ndarray]:
        jets = checks.clean_constituents(path, _constituents(path, tree, first, last), first, beam)
        return {"constituents": jets, "labels": _labels(path, tree, first, last).astype(np.uint8)}

    columns = {"constituents": Column((PARTICLES, 4), "<f4"), "labels": Column((), "|u1")}
    return Reader(tree.num_entries, _stored(tree), columns, rows)


def records(path: Path, names: Sequence[str] | None = None) -> Records:
    """The jets of an open file, hadronic tops with the label 1 and QCD jets with 0, or the place of their class among `names`.

    Raises:
        InputError: a branch is missing, or a name is none of `CLASSES`; a jet of another class, where it is read.
    """
    chosen = (CLASSES[_BACKGROUND], CLASSES[_TOP]) if names is None else tuple(names)
    unknown = [name for name in chosen if name not in CLASSES]
    if unknown:
        raise InputError(f"{path}: expected classes of JetClass, {', '.join(CLASSES)}, got {unknown[0]}; name those")
    tree = _tree(path)
    place = np.array([chosen.index(name) if name in chosen else -1 for name in CLASSES])

    def of_chosen(first: int, last: int) -> np.ndarray:
        classes = _labels(path, tree, first, last)
        other = place[classes] < 0
        if other.any():
            row = int(other.argmax())
            files = "{TTBar,ZJetsToNuNu}_*.root" if names is None else "of these classes alone, or name all classes"
            raise InputError(
                f"{path}: expected jets of the classes {', '.join(f'{name} ({i})' for i, name in enumerate(chosen))}, got "
                f"{CLASSES[classes[row]]} in row {first + row} (counted from 0); take the files {files}"
            )
        return place[classes].astype(np.uint8)

    def between(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        return _constituents(path, tree, first, last), of_chosen(first, last)

    found = by_ranges((tree.num_entries, PARTICLES, 4), lambda: of_chosen(0, tree.num_entries), between, _stored(tree))
    names = [str(name) for name in tree.keys(recursive=False) if is_weight_name(str(name))]
    flat = [name for name in names if tree[name].array(entry_stop=1, library="ak").ndim == 1]
    return found._replace(numbers={name: partial(_weights, path, tree, name) for name in flat})


def _weights(path: Path, tree: Any, name: str) -> np.ndarray:
    """[jet] the numbers of a branch that has one of each."""
    require_memory(path, 16 * tree.num_entries, name)
    return np.asarray(tree[name].array(library="np"), np.float64)


def _tree(path: Path) -> Any:
    tree = opened_tree(path, _LABELS)
    present = set(tree.keys(recursive=False))
    missing = [name for name in (*_MOMENTA, *_LABELS) if name not in present]
    if missing:
        raise InputError(
            f"{path}: expected the branches part_px, ..., label_QCD, ... of JetClass, got a tree {tree.name} without {', '.join(missing)}; "
            "convert the file to HDF5 with the arrays constituents and labels"
        )
    return tree


def _stored(tree: Any) -> int:
    offsets = np.asarray(tree.common_entry_offsets()) if hasattr(tree, "common_entry_offsets") else np.zeros(1)
    return int(np.diff(offsets).max(initial=1))


def _constituents(path: Path, tree: Any, first: int, last: int) -> np.ndarray:
    """[jet, 128, 4], the hardest of each jet, not checked."""
    import awkward as ak

    particles = tree.arrays(list(_MOMENTA), entry_start=first, entry_stop=last, library="ak")
    counts = ak.to_numpy(ak.num(particles[_MOMENTA[0]]))
    width = max(PARTICLES, int(counts.max(initial=0)))
    jets = np.zeros((len(counts), width, 4), np.float32)
    present = np.arange(width) < counts[:, None]
    for place, name in enumerate(_MOMENTA):
        bad = ak.to_numpy(ak.num(particles[name])) != counts
        if bad.any():
            raise InputError(
                f"{path}: expected lists of one length in {', '.join(_MOMENTA)}, got another of {name} in row {first + int(bad.argmax())} "
                "(counted from 0); download the file again"
            )
        jets[..., place][present] = ak.to_numpy(ak.flatten(particles[name]))
    if width > PARTICLES:
        order = np.argsort(-kinematics.pt(jets), axis=1, kind="stable")[:, :PARTICLES]
        jets = np.take_along_axis(jets, order[..., None], axis=1)
    return jets


def _labels(path: Path, tree: Any, first: int, last: int) -> np.ndarray:
    """[jet] the place in `CLASSES`."""
    require_memory(path, 16 * len(_LABELS) * (last - first), "its labels")
    found = tree.arrays(list(_LABELS), entry_start=first, entry_stop=last, library="np")
    marks = np.stack([np.asarray(found[name]) != 0 for name in _LABELS], axis=1)
    wrong = marks.sum(axis=1) != 1
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: expected one of {', '.join(_LABELS)} to be 1, got {int(marks[row].sum())} of them in row {first + row} "
            "(counted from 0); leave the jet out"
        )
    return marks.argmax(axis=1)
