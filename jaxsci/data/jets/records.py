"""Jets in open files, read by rows, so that a file larger than the memory can be streamed."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxsci.data._arrays import Rows, load
from jaxsci.data.jets._checks import clean_weights
from jaxsci.data.reading import is_weight_name
from jaxsci.errors import InputError

__all__ = ["Records", "by_ranges", "from_arrays", "weight_names", "weights"]

_HELP = (
    "expected the arrays constituents [n, k, 4], (E, px, py, pz) in GeV padded with zeros, or images [n, height, width], "
    "and labels [n], 1 for top and 0 for background"
)


class Records(NamedTuple):
    """Jets in an open file, with or without labels; not checked yet."""

    images: bool  # ready images [jet, row, column]; otherwise constituents [jet, constituent, 4]
    shape: tuple[int, ...]
    labels: Callable[[], np.ndarray] | None  # all labels [jet]; None where the file has none
    blocks: Callable[[int], Iterator[tuple[np.ndarray, np.ndarray | None]]]  # (jets at once) -> jets and labels
    # (first, one after the last) -> jets and labels; None: not without the rest
    between: Callable[[int, int], tuple[np.ndarray, np.ndarray | None]] | None = None
    stored: int = 1  # jets that the file keeps together
    numbers: Mapping[str, Callable[[], np.ndarray]] = MappingProxyType({})  # other arrays with one number a jet


def by_ranges(
    shape: tuple[int, ...],
    labels: Callable[[], np.ndarray] | None,
    between: Callable[[int, int], tuple[np.ndarray, np.ndarray | None]],
    stored: int,
) -> Records:
    """Constituents of jets that are read by ranges of rows."""

    def blocks(rows: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, shape[0], rows):
            yield between(start, min(start + rows, shape[0]))

    return Records(False, shape, labels, blocks, between, stored)


def from_arrays(path: Path, arrays: Mapping[str, Rows]) -> Records:
    """Jets from the arrays `constituents` or `images`, and `labels` where there are any.

    Raises:
        InputError: an array is missing, or its shape, type or length cannot be.
    """
    found = [name for name in ("constituents", "images") if name in arrays]
    if len(found) != 1:
        raise InputError(
            f"{path}: {_HELP}; found {_names(arrays)}; rename them, and keep one of constituents and images"
        )
    name = found[0]
    jets, labels = arrays[name], arrays.get("labels")
    if len(jets.shape) != 3 or (name == "constituents" and jets.shape[2] != 4) or min(jets.shape[1:]) < 1:
        raise InputError(f"{path}: {_HELP}; {name} has shape {list(jets.shape)}; reshape it")
    mask = next((other for other in arrays if _is_mask(other, arrays[other], jets)), None)
    if mask is not None:
        raise InputError(
            f"{path}: {_HELP}; found {mask} too, which is not read; set to zero what it leaves out, and leave it out"
        )
    if name == "constituents" and jets.unit and not re.match(r"(?i)gev\b|gigaelectron|1$|none$", jets.unit):
        raise InputError(f"{path}: {_HELP}; {name} has the unit {jets.unit[:20]}; convert it to GeV")
    if jets.dtype.kind not in "fiu":
        raise InputError(f"{path}: {_HELP}; {name} has type {jets.dtype}; save real numbers")
    if labels is not None and labels.shape not in (jets.shape[:1], (jets.shape[0], 1)):
        raise InputError(
            f"{path}: {_HELP}; {name} has {jets.shape[0]} rows, labels shape {list(labels.shape)}; give one label a jet"
        )
    if labels is not None and labels.dtype.kind not in "biuf":
        raise InputError(f"{path}: {_HELP}; labels have type {labels.dtype}; save whole numbers")

    def blocks(rows: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        if labels is None:
            yield from ((block, None) for block in jets.blocks(rows))
        else:
            yield from (
                (block, marks.reshape(-1)) for block, marks in zip(jets.blocks(rows), labels.blocks(rows), strict=True)
            )

    def between(first: int, last: int) -> tuple[np.ndarray, np.ndarray | None]:
        assert jets.between is not None
        marks = None if labels is None or labels.between is None else labels.between(first, last).reshape(-1)
        return jets.between(first, last), marks

    every_label = None if labels is None else lambda: load(path, arrays, "labels").reshape(-1)
    numbers = {
        other: partial(_column, path, arrays, other)
        for other, found in arrays.items()
        if other not in (name, "labels")
        and found.shape in (jets.shape[:1], (jets.shape[0], 1))
        and found.dtype.kind in "biuf"
    }
    by_rows = jets.between is not None and (labels is None or labels.between is not None)
    return Records(
        name == "images", jets.shape, every_label, blocks, between if by_rows else None, jets.stored, numbers
    )


def _is_mask(name: str, rows: Rows, jets: Rows) -> bool:
    """Whether an array says which constituents there are: by its name, or by a truth for each."""
    return re.fullmatch(r"(.*_)?masks?", name.lower()) is not None or (
        rows.dtype.kind == "b" and rows.shape[:2] == jets.shape[:2]
    )


def _column(path: Path, arrays: Mapping[str, Rows], name: str) -> np.ndarray:
    return load(path, arrays, name).reshape(-1)


def weights(parts: Sequence[tuple[Path, Records]], name: str) -> np.ndarray:
    """The weights of all jets of some files, float64 [jet].

    Raises:
        InputError: a file has none of that name, or they cannot be weights.
    """
    for path, part in parts:
        if name not in part.numbers:
            there = ", ".join(part.numbers) or "no array with a number a jet"
            raise InputError(
                f"{path}: expected the weights {name}, one number a jet, got {there[:200]}; check --weights"
            )
    return np.concatenate([clean_weights(path, part.numbers[name]()) for path, part in parts])


def weight_names(jets: Records) -> list[str]:
    """Names of arrays with a number a jet that are weights by their name."""
    return [name for name in jets.numbers if is_weight_name(name)]


def _names(arrays: Mapping[str, Rows]) -> str:
    return ", ".join(sorted(arrays)[:10]) or "no arrays"
