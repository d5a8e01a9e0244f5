"""The options of a run as a TOML file: read as if they stood before those on the command line, and written."""

import dataclasses
import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsci.cli.mistakes import perhaps
from jaxsci.errors import InputError
from jaxsci.files import write_text
from jaxsci.runs import schema

# Of one command on one machine, not of the run.
_NOT_OF_THE_RUN = {
    *("config", "save-config", "resume", "trust", "json", "csv"),
    *("distributed", "coordinator", "processes", "process", "coordinator-timeout"),
}


def with_file(words: Sequence[str], name: str, options: Mapping[str, Any]) -> list[str]:
    """The words of a command with the options of its `--config FILE` before them; what is written in words too is left to them.

    Args:
        words: after `jaxsci train TASK`.
        name: of the task, which the file may name as its `task`.
        options: the type of each option by its name, as `mistakes.options_of` gives them.

    Raises:
        InputError: the file is no TOML, of another task, has a key that is no option, or a value of another type.
    """
    paths = [*_values(words, "--config")]
    if not paths:
        return list(words)
    path = Path(paths[-1])
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: expected a file of options, got {error.strerror}; check its name") from error
    except ValueError as error:
        raise InputError(f"{path}: expected TOML such as epochs = 10, got {error}; mend it") from error
    task = content.pop("task", name)
    if task != name:
        raise InputError(f"{path}: expected options of {name}, got those of {task}; give another file")
    known = {key: hint for key, hint in options.items() if key not in _NOT_OF_THE_RUN}
    written = options_in(words)
    found: list[str] = []
    for key, value in content.items():
        option = key.replace("_", "-")
        if option not in known:
            raise InputError(
                f"{path}: expected options of {name}, got {key}; {perhaps(option, known, '')}see jaxsci train {name} --help"
            )
        if key != option and option in content:
            raise InputError(f"{path}: expected {option} once, got {key} too; remove one")
        if not schema.fits(value, known[option]) or value is None:
            raise InputError(f"{path}: expected {key} to be {schema.described(known[option])}, got {value!r}; mend it")
        if key.replace("-", "_") not in written:
            found += _as_words(path, option, value)
    return [*found, *words]


def options_in(words: Sequence[str]) -> set[str]:
    """The names of the fields whose options are among these words, such as learning_rate for --learning-rate=0.1."""
    options = [word.partition("=")[0].removeprefix("--").replace("-", "_") for word in words if word.startswith("--")]
    return {option.removeprefix("no_") for option in options}


def without_file(words: Sequence[str]) -> list[str]:
    """The words that `with_file` gave without its `--config FILE`, whose options are among them."""
    pairs = zip(words, ("", *words), strict=False)
    return [word for word, before in pairs if word.partition("=")[0] != "--config" and before != "--config"]


def _values(words: Sequence[str], option: str) -> list[str]:
    after = [word for before, word in itertools.pairwise(words) if before == option]
    return after + [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]


def _as_words(path: Path, option: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if not isinstance(value, list):
        return [f"--{option}={value}"]
    texts = [str(item) for item in value]
    dashed = [text for text in texts if text.startswith("-")]
    if dashed:
        raise InputError(f"{path}: expected entries of {option} without a leading dash, got {dashed[0]}; rename it")
    return [f"--{option}", *texts] if texts else []


def save(path: Path, name: str, *values: Any) -> None:
    """Write the options of a run, whole or not at all; those that are not set stand there as comments.

    Args:
        path: to write.
        name: of the task.
        values: dataclasses of options.
    """
    lines = [f"# Options of a run, for --config {path.name}; what is written on the command line goes first.", ""]
    lines.append(f"task = {json.dumps(name)}")
    for part in values:
        for field in dataclasses.fields(part):
            option, value = field.name.replace("_", "-"), getattr(part, field.name)
            if option not in _NOT_OF_THE_RUN:
                lines.append(f"# {option} =" if value is None else f"{option} = {_toml(value)}")
    write_text(path, "\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
