"""What a sweep varies: ranges and lists of the values of options, and the trials drawn from them. Nothing here imports JAX."""

import itertools
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, Union

import numpy as np

from jaxsci.errors import InputError

__all__ = ["Choices", "Dimension", "Range", "dimensions", "draw", "separated"]

_MAY_BE_ZERO = {"weight_decay"}
_EXAMPLE = "--learning-rate 1e-4:1e-2 or --batch-size 64,128"


class Range(NamedTuple):
    """Numbers between two ends, drawn evenly in their logarithm."""

    low: float
    high: float
    whole: bool  # whether they are whole numbers


class Choices(NamedTuple):
    """Values that are tried one by one."""

    values: tuple[Any, ...]


Dimension: TypeAlias = Range | Choices


def separated(words: Sequence[str], options: type) -> tuple[dict[str, str], list[str]]:
    """The values of options that are ranges or lists, by the option's name, and the words that are left.

    Args:
        words: of the command, after the task.
        options: the dataclass of the task's options, whose `swept` names those that may be varied.
    """
    kinds, swept = _kinds(options), options.swept  # type: ignore[attr-defined]
    found: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        option, mark, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or name not in kinds:
            rest.append(word)
            continue
        after = [value] if mark else waiting[:1]
        if not after or not _many(name, kinds[name], after[0], swept):
            rest.append(word)
            continue
        if name not in swept:
            raise InputError(
                f"{option}: expected one value, got {after[0]}; a sweep varies {', '.join(map(_written, swept))}"
            )
        found[name] = after[0]
        waiting = waiting if mark else waiting[1:]
    return found, rest


def dimensions(texts: Mapping[str, str], options: type) -> dict[str, Dimension]:
    """The ranges and lists that were written, each checked.

    Raises:
        InputError: nothing varies, or a range or a list that cannot be.
    """
    if not texts:
        swept = ", ".join(map(_written, options.swept))  # type: ignore[attr-defined]
        raise InputError(f"sweep: expected a range or a list for one of {swept}, got none; write {_EXAMPLE}")
    kinds = _kinds(options)
    return {name: _dimension(name, text, kinds[name]) for name, text in texts.items()}


def draw(space: Mapping[str, Dimension], trials: int, seed: int) -> list[dict[str, Any]]:
    """The values of the trials: all combinations of lists, or so many of them; with a range so many draws.

    Each range is cut into as many parts, equal in the logarithm, as there are trials, and each part has one of them (a Latin hypercube);
    values of lists come equally often. Fewer trials than asked for where lists have no more combinations.

    Raises:
        InputError: fewer than two trials.
    """
    if trials < 2:
        raise InputError(f"--trials: expected at least 2, of which one is chosen, got {trials}; leave it out for 16")
    rng = np.random.default_rng(seed)
    if all(isinstance(dimension, Choices) for dimension in space.values()):
        lists = (dimension.values for dimension in space.values() if isinstance(dimension, Choices))
        every = [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]
        return [every[i] for i in np.sort(rng.permutation(len(every))[:trials])]
    columns = {name: _column(dimension, trials, rng) for name, dimension in space.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _column(dimension: Dimension, trials: int, rng: np.random.Generator) -> list[Any]:
    order = rng.permutation(trials)
    if isinstance(dimension, Choices):
        return [dimension.values[i % len(dimension.values)] for i in order]
    low, high = math.log(dimension.low), math.log(dimension.high)
    values = np.exp(low + (high - low) * (order + rng.random(trials)) / trials)
    if dimension.whole:
        return [int(value) for value in np.clip(np.rint(values), dimension.low, dimension.high)]
    return [float(f"{value:.4g}") for value in values]  # as it is written in tables and files


def _kinds(options: type) -> dict[str, Any]:
    """The type of the values of each option, without the None of a default."""
    found = {}
    for name, hint in typing.get_type_hints(options).items():
        parts = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
        kinds = [part for part in parts if part is not type(None)]
        if len(kinds) == 1 and (kinds[0] in (int, float, str) or typing.get_origin(kinds[0]) is typing.Literal):
            found[name] = kinds[0]
    return found


def _many(name: str, kind: Any, text: str, swept: Sequence[str]) -> bool:
    """Whether a value is a range or a list; text that no sweep varies may have any signs."""
    if kind is str and (name not in swept or "," not in text):
        return False
    return ":" in text or "," in text


def _dimension(name: str, text: str, kind: Any) -> Dimension:
    option, numbers = _written(name), kind in (int, float)
    if "," not in text and not numbers:
        low, _, high = text.partition(":")
        raise InputError(f"{option}: expected a list such as {low},{high}, got {text}; ranges are for numbers")
    parts = text.split("," if "," in text else ":")
    if not numbers:
        return _choices(option, text, parts, kind)
    values = [_number(option, part, text, kind) for part in parts]
    if "," in text:
        least = 0 if name in _MAY_BE_ZERO else None
        for value in values:
            if not value > 0 and value != least:
                raise InputError(f"{option}: expected positive numbers, got {value:g} in {text}; leave it out")
        return Choices(tuple(dict.fromkeys(values)))
    if len(values) != 2:
        raise InputError(f"{option}: expected LOW:HIGH, got {text}; write a list with commas")
    low, high = values
    if not low > 0:
        raise InputError(
            f"{option}: expected a range above 0, in which numbers are drawn evenly in their logarithm, got {text}; for 0 give a list"
        )
    if not low < high:
        remedy = f"write {parts[1]}:{parts[0]}" if high < low else f"write {option} {parts[0]}"
        raise InputError(f"{option}: expected LOW:HIGH with LOW below HIGH, got {text}; {remedy}")
    return Range(low, high, kind is int)


def _choices(option: str, text: str, parts: Sequence[str], kind: Any) -> Choices:
    known = typing.get_args(kind)
    for part in parts:
        if not part or (known and part not in known):
            among = f"of {', '.join(known)}" if known else "without gaps"
            raise InputError(f"{option}: expected a list {among}, got {part or 'nothing'} in {text}; mend it")
    return Choices(tuple(dict.fromkeys(parts)))


def _number(option: str, part: str, text: str, kind: Any) -> Any:
    try:
        value = kind(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        example = "as in 32:256 or 64,128" if kind is int else "as in 1e-4:1e-2 or 1e-4,1e-3"
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option}: expected {what}, {example}, got {text}; mend it") from None
    return value


def _written(name: str) -> str:
    return "--" + name.replace("_", "-")
