"""Labels of examples: whole numbers from 0, or text, whose classes then have names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxsci.data._delimited import is_missing, likeness
from jaxsci.errors import InputError

__all__ = ["coded", "require_classes", "whole"]

_ALPHABET = 10  # classes of one letter, from which on upper and lower case are told apart


def coded(
    path: Path, labels: Mapping[str, np.ndarray], names: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None]:
    """Labels by part as whole numbers, with the names of the classes where they are text.

    Args:
        path: of the file, for the message.
        labels: by part, numbers or text.
        names: of the classes, where they are known; otherwise they are those of the file, in alphabetical order.

    Raises:
        InputError: some are text and others not, an empty one, or one that is no known name.
    """
    written = {part: y.dtype.kind in "SU" for part, y in labels.items()}
    if any(written.values()) != all(written.values()) or (names is not None and not any(written.values())):
        such = "" if names is None else f" such as {', '.join(names)[:100]}"
        raise InputError(
            f"{path}: expected the names of classes{such} as labels of all images, got numbers; write names"
        )
    if not any(written.values()):
        return dict(labels), None
    texts = {part: _text(path, y) for part, y in labels.items()}
    found = (
        tuple(sorted(names)) if names is not None else tuple(np.unique(np.concatenate(list(texts.values()))).tolist())
    )
    if names is None:
        _require_names(path, found)
    known = np.array(found)
    codes = {}
    for part, words in texts.items():
        place = np.minimum(np.searchsorted(known, words), len(found) - 1)
        if (other := np.asarray(known[place] != words)).any():
            row = int(other.argmax())
            raise InputError(
                f"{path}: expected labels {', '.join(found)[:100]} as in training, got {str(words[row])[:40]!r} in row {row} (counted from "
                "0); remove those images"
            )
        codes[part] = place
    if len(found) < 2:
        raise InputError(
            f"{path}: expected at least two classes, got label {found[0]} only; add images of another class"
        )
    return codes, found


def _require_names(path: Path, found: Sequence[str]) -> None:
    """Raise InputError for classes that differ by case alone, unless they are letters, or of which one stands for none."""
    letters = len(found) > _ALPHABET and all(len(name) == 1 for name in found)
    folded = list(found) if letters else [likeness(name) for name in found]
    if twice := next((name for name, alike in zip(found, folded, strict=True) if folded.count(alike) > 1), None):
        raise InputError(
            f"{path}: expected classes that differ by more than case, got {twice[:40]!r} in two ways; write them alike"
        )
    if none := next((name for name in found if is_missing(name) and name.casefold() != "none"), None):
        raise InputError(f"{path}: expected a label for each image, got {none[:40]!r} for none; remove such images")


def _text(path: Path, y: np.ndarray) -> np.ndarray:
    if y.size != len(y):
        raise InputError(
            f"{path}: expected one label for each image, got text of shape {list(y.shape)}; give one column"
        )
    try:
        text = np.strings.strip(np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y).reshape(len(y))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected labels in UTF-8, got {error.object[:40]!r}; decode them") from error
    if (empty := np.asarray(text == "")).any():
        raise InputError(
            f"{path}: expected a label for each image, got an empty one in row {int(empty.argmax())} (counted from 0); remove it"
        )
    return text


def whole(path: Path, y: np.ndarray, images: int, part: str) -> np.ndarray:
    """Labels as one whole number for each image, int64 [n]."""
    where = f"labels of {part} images" if part else "labels"
    if y.shape == (images, 1):
        y = y[:, 0]
    if y.shape != (images,):
        remedy = "give the class of each, as in y.argmax(1)" if y.shape[:1] == (images,) else "give as many"
        raise InputError(
            f"{path}: expected one label for each of {images} images, got {where} of shape {list(y.shape)}; {remedy}"
        )
    if y.dtype.kind not in "biu":
        raise InputError(
            f"{path}: expected whole numbers as labels, got type {y.dtype}; convert them, as in y.astype(int)"
        )
    if y.max(initial=0) > np.iinfo(np.int64).max:
        raise InputError(f"{path}: expected labels from 0, got {y.max()}; recode them")
    return y.astype(np.int64)


def require_classes(path: Path, y: np.ndarray, classes: int | None) -> None:
    """Raise InputError unless the labels are 0 to `classes` - 1, or, where their number is not known, each from 0 to the largest occurs."""
    found = np.unique(y)
    if found[0] < 0:
        raise InputError(
            f"{path}: expected labels from 0, got {found[0]} in row {int(y.argmin())} (counted from 0); recode them"
        )
    if classes is not None:
        if found[-1] >= classes:
            raise InputError(
                f"{path}: expected labels 0 to {classes - 1} as in training, got up to {found[-1]}, first in row "
                f"{int((y >= classes).argmax())} (counted from 0); remove those images"
            )
        return
    if len(found) == 1:
        raise InputError(
            f"{path}: expected at least two classes, got label {found[0]} only; add images of another class"
        )
    if found[-1] != len(found) - 1:
        missing = [label for label in range(len(found) + 10) if label < found[-1] and label not in found]
        raise InputError(
            f"{path}: expected labels 0 to k - 1 without gaps, got up to {found[-1]} without "
            f"{', '.join(map(str, missing[:10]))}; recode them"
        )
