"""Columns of a table that may say what they should not, named before they are trained on."""

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from jaxsci.data.columns import is_missing, likeness
from jaxsci.data.reading import sentinel
from jaxsci.errors import InputError
from jaxsci.tasks.tables import encoding
from jaxsci.tasks.tables.encoding import Column

__all__ = ["far", "require_no_total", "suspects"]

_FEW = 20  # rows, of which some order or partition may be an accident
_FARTHEST = 20.0  # standard deviations of the training rows, beyond which a network only extrapolates
_SHARE = 5  # rows for each different entry at least, where these are said to tell the target
# Of columns that number rows: that of an index without a name, id, PassengerId, ...
_NAMES = re.compile(
    r"(?i:|unnamed: ?\d+|index|idx|row(?:_?(?:id|no|num(?:ber)?))?|no|nr|num|id)|.*(?:[_ -](?:id|ID|Id)|[a-z](?:ID|Id))"
)


def suspects(inputs: Mapping[str, np.ndarray], target: np.ndarray) -> dict[str, str]:
    """In words what is odd of which column: it names or counts the rows, tells the target, is constant, or has a number for none.

    Args:
        inputs: columns [row], text only where it is not numbers.
        target: [row].
    """
    found = {}
    answers, answer = np.unique(target, return_inverse=True)
    for name, values in inputs.items():
        kinds, place = np.unique(values, return_inverse=True)
        words = _counts(name, values, kinds) or _written(values, kinds) or _tells(place, kinds, answer, answers)
        if words is None and values.dtype.kind != "U" and target.dtype.kind != "U":
            words = _follows(values.astype(np.float64), target.astype(np.float64))
        if words:
            found[name] = words
    return found


def require_no_total(path: object, table: Mapping[str, np.ndarray]) -> None:
    """Raise InputError where the last row is the sum of all others in every column of numbers."""
    numbers = {name: values.astype(np.float64) for name, values in table.items() if values.dtype.kind in "iuf"}
    numbers = {name: values for name, values in numbers.items() if values.any()}

    def is_sum(values: np.ndarray) -> bool:
        rest = values[:-1]
        return bool(abs(values[-1]) > np.abs(rest).max() and np.isclose(values[-1], rest.sum(), rtol=1e-9, atol=0))

    if numbers and len(next(iter(numbers.values()))) > 4 and all(map(is_sum, numbers.values())):
        name, values = next(iter(numbers.items()))
        raise InputError(
            f"{path}: expected rows of one kind, got the sum of all others in the last one, {values[-1]:g} in the column {name}; remove it"
        )


def far(path: object, columns: Sequence[Column], table: Mapping[str, np.ndarray]) -> dict[str, str]:
    """In words, of columns of numbers those with entries far from all training rows, where a network only extrapolates."""
    found = {}
    for column in columns:
        if (
            column.categories is None
            and (numbers := encoding.numbers_of(path, column.name, table[column.name])) is not None
        ):
            distance = np.nan_to_num(np.abs(numbers - column.mean) / column.scale)
            if count := int((distance > _FARTHEST).sum()):
                found[column.name] = (
                    f"{count:,} of {len(numbers):,} rows lie far from those of training in the column {column.name}, such as "
                    f"{numbers[distance.argmax()]:g}, more than {_FARTHEST:g} standard deviations from the mean {column.mean:.4g}"
                )
    return found


def _counts(name: str, values: np.ndarray, kinds: np.ndarray) -> str | None:
    """Whether a column numbers the rows, or names them."""
    rows = len(values)
    if rows > 2 and len(kinds) == rows and values.dtype.kind in "iuf" and np.isfinite(values.astype(np.float64)).all():
        whole = kinds.astype(np.float64)
        if (np.diff(whole) == 1).all():
            return "counts the rows"
        if _NAMES.fullmatch(name) and (whole == np.rint(whole)).all():
            return "seems to number the rows"
    if values.dtype.kind == "U" and rows >= _FEW and len(kinds) > 0.9 * rows:
        return "is another text in nearly every row"
    return None


def _written(values: np.ndarray, kinds: np.ndarray) -> str | None:
    """Whether a column is blank or constant, has one category in two ways, or a number for none."""
    if values.dtype.kind == "U":
        texts = sorted(
            {text.strip() for text in kinds.tolist() if not is_missing(text)},
            key=lambda text: (likeness(text), text),
        )
        alike = ((a, b) for a, b in itertools.pairwise(texts) if likeness(a) == likeness(b))
        if twice := next(alike, None):
            return f"has {twice[0][:20]!r} and {twice[1][:20]!r}, which look alike or differ by case alone"
        kinds = np.array(texts)
    else:
        kinds = kinds[np.isfinite(kinds.astype(np.float64))]
        if (none := sentinel(values.astype(np.float64))) is not None:
            return f"has {none[0]:g} in {none[1]:,} row{'s' * (none[1] > 1)}, far from all others: leave cells without a value blank"
    if len(kinds) == 0:
        return "has no entry and is not used"
    return "is the same in every row" if len(kinds) == 1 and len(values) > 1 else None


def _tells(place: np.ndarray, kinds: np.ndarray, answer: np.ndarray, answers: np.ndarray) -> str | None:
    """Whether entries tell the target of every row, or one of its classes."""
    rows, pairs = len(place), np.unique(place * len(answers) + answer)
    if len(kinds) == 1 or len(answers) == 1:
        return None
    enough = rows / 2 if len(kinds) == len(answers) else rows / _SHARE
    if len(pairs) == len(kinds) < enough and len(answers) <= len(kinds):
        return "tells the target of every row"
    if len(kinds) == 2 < len(answers) < rows / _SHARE:
        for of in range(2):
            inside = np.unique(answer[place == of])
            if len(inside) == 1 and (place == of).sum() == (answer == inside[0]).sum():
                return f"tells the rows of the target {answers[inside[0]]}"
    return None


def _follows(values: np.ndarray, target: np.ndarray) -> str | None:
    """Whether numbers rise, or fall, with the target in every row."""
    there = np.isfinite(values) & np.isfinite(target)
    values, target = values[there], target[there]
    if len(values) < _FEW or min(len(np.unique(values)), len(np.unique(target))) < _FEW / 2:
        return "tells the target of every row" if len(values) > 1 and np.array_equal(values, target) else None
    for sign, words in ((1, "rises"), (-1, "falls")):
        if (np.diff((sign * values)[np.lexsort((sign * values, target))]) >= 0).all():
            return f"{words} with the target in every row"
    return None
