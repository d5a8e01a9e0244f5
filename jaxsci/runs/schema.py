"""Whether the JSON files of a run hold what they should: edited by hand, damaged, or of another version, they end in one line."""

import dataclasses
import hashlib
import json
import types
import typing
from pathlib import Path
from typing import Any, Union

from jaxsci.errors import InputError

__all__ = ["described", "fits", "is_sealed", "require_options", "require_whole", "sealed", "unsealed"]

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
_SEAL = "checksum"
# Where files lie, which may change: entries of options and of data by these names are not in the checksum.
_PLACES = {
    "options": ("data", "labels", "validation", "test", "mask", "cross", "grid"),
    "data": ("file", "files"),
}
_REMEDY = "copy the run again, or use the version of jaxsci that wrote it"


def require_options(where: Path, values: Any, options: type) -> None:
    """Raise InputError unless `values` are options of this dataclass, each of its type; absent ones have their default.

    Args:
        where: the config.json they are from, for the message.
        values: as JSON has them.
        options: a dataclass whose fields are numbers, text, paths, flags, choices, or tuples of these.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected options as an object, got {_short(values)}; {_REMEDY}")
    hints = typing.get_type_hints(options)
    known = [field.name for field in dataclasses.fields(options)]
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{where}: expected options of this version, got {name}; {_REMEDY}")
        if not fits(value, hints[name]):
            raise InputError(
                f"{where}: expected options.{name} to be {described(hints[name])}, got {_short(value)}; {_REMEDY}"
            )


def require_whole(where: Path, data: Any, *names: str, least: int = 1) -> None:
    """Raise InputError unless each of these entries of `data` is a whole number of at least `least`, or a list of such."""
    for name in names:
        value = data.get(name) if isinstance(data, dict) else None
        numbers = value if isinstance(value, list) and value else [value]
        if not all(type(number) is int and number >= least for number in numbers):
            raise InputError(
                f"{where}: expected data.{name} to be of whole numbers from {least}, got {_short(value)}; {_REMEDY}"
            )


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content with its checksum, by which `unsealed` knows whether it was changed since."""
    return {**content, _SEAL: _checksum(content)}


def unsealed(where: Path, content: Any, remedy: str) -> Any:
    """The content without its checksum, which an earlier version or another file does not have.

    Raises:
        InputError: it is no longer what was written.
    """
    if not isinstance(content, dict) or _SEAL not in content:
        return content
    rest = {name: value for name, value in content.items() if name != _SEAL}
    if content[_SEAL] != _checksum(rest):
        raise InputError(
            f"{where}: expected what was written, by its checksum, got a file that was edited; put back what it was, or {remedy}"
        )
    return rest


def is_sealed(path: Path) -> bool:
    """Whether a JSON file has a checksum."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and _SEAL in found


def _checksum(content: dict[str, Any]) -> str:
    """32 hexadecimal digits of SHA-256, without the places of files."""
    fixed = {
        name: {key: of for key, of in value.items() if key not in _PLACES[name]} if name in _PLACES else value
        for name, value in content.items()
        if isinstance(value, dict) or name not in _PLACES
    }
    return hashlib.sha256(json.dumps(json.loads(json.dumps(fixed)), sort_keys=True).encode()).hexdigest()[:32]


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value, as JSON or TOML have it, is of the type of an option."""
    for kind in _kinds(hint):
        origin = typing.get_origin(kind)
        if origin is typing.Literal:
            right = value in typing.get_args(kind)
        elif origin is tuple:
            right = isinstance(value, list | tuple) and all(fits(item, typing.get_args(kind)[0]) for item in value)
        elif kind is float:
            right = type(value) in (int, float)
        else:
            right = type(value) is (str if kind is Path else kind)
        if right:
            return True
    return False


def described(hint: Any) -> str:
    """The type of an option in words."""
    words = []
    for kind in _kinds(hint):
        if typing.get_origin(kind) is typing.Literal:
            words += [str(choice) for choice in typing.get_args(kind)]
        elif kind is not type(None):
            inside = described(typing.get_args(kind)[0]) if typing.get_args(kind) else ""
            words.append(_WORDS.get(kind, f"a list of {inside}" if inside else "a list"))
    return " or ".join(words)


def _short(value: Any) -> str:
    return repr(value)[:60]
