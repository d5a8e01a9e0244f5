"""What the parser says, fit for a terminal: a mistake in one line, with what was perhaps meant, and help that is no wider."""

import contextlib
import dataclasses
import difflib
import errno
import io
import os
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import tyro

from jaxsci.errors import InputError

_OTHER_NAMES = {
    "weight-column": "weights",
    "lr": "learning-rate",
    "bs": "batch-size",
    "output": "out",
    "input": "data",
    "dataset": "data",
}
_EVERYWHERE = ("--help", "--version", "--debug")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")  # of colors
_AGAIN = "run the command again, or go on with --resume RUN where a training had begun; nothing was left half-written"
_WORDS: dict[type, str] = {int: "a whole number", float: "a number", Path: "a path", str: "a word", bool: "yes or no"}


@contextlib.contextmanager
def one_line(words: Sequence[str], commands: Mapping[str, Any]) -> Iterator[None]:
    """Where the parser refuses the words, raise an InputError of one line instead of its own page.

    Args:
        words: what was given.
        commands: the type behind each first word: a dataclass of options, or a mapping from second words to such.
    """
    page = io.StringIO()
    try:
        with contextlib.redirect_stderr(page):
            yield
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_found(list(words), commands, page.getvalue())) from None


def _found(words: list[str], commands: Mapping[str, Any], page: str) -> str:
    """The first mistake that is found; what the parser's page says where it is none of the known kinds."""
    name, kind = "jaxsci", commands
    while isinstance(kind, Mapping):
        word = words.pop(0) if words else None
        if word is None or word not in kind:
            got = "nothing" if word is None else word
            known = dict.fromkeys([*kind, *(_EVERYWHERE if name == "jaxsci" else ())])
            return f"{name}: expected one of {', '.join(kind)}, got {got}; {perhaps(got, known, '')}see {name} --help"
        name, kind = f"{name} {word}", kind[word]
    options = {**options_of(kind), **_aliases(kind)}
    name = name.replace("predict-", "predict ")
    remedy = f"see {name} --help"
    places = {text.lower() for text in _required(kind) if not text.startswith("-")}
    for i, word in enumerate(words):
        if not re.match(r"--?[A-Za-z]", word):
            continue
        option, _, value = word.partition("=")
        key = option.lstrip("-").replace("_", "-").removeprefix("no-")
        if key in places:  # which is written without its name
            return f"{name}: expected {' '.join(_required(kind))}, got {option}; leave out {option}, {remedy}"
        if key not in options or not option.startswith("--"):
            known = dict.fromkeys([*(name for name in options if name not in places), "help", "debug"])
            return f"{name}: expected one of its options, got {option}; {perhaps(key, known, '--')}{remedy}"
        given = value or next(iter(words[i + 1 : i + 2]), None)
        if (
            not value
            and options[key] is not bool
            and re.match("-[A-Za-z]", given or "")
            and not perhaps(given[1:], options, "--")
        ):
            return f"{option}: expected a value, got {given}, which reads like an option; write {option}={given}, or {remedy}"
        if fault := _fault(options[key], given):
            return f"{option}: {fault}{remedy}"
    text = _plain(page)
    if "Missing from" in text:
        return f"{name}: expected {' '.join(_required(kind))}, got {' '.join(words) or 'nothing'}; {remedy}"
    if stray := re.search(r"Unrecognized options: (.*)", text):
        return f"{name}: expected no further words, got {stray[1]}; {remedy}"
    return f"{name}: {text}; {remedy}"


def require_seed(seed: int) -> None:
    """Raise InputError for a seed that is none: random keys hold 32 bits: a longer or a negative seed would stand for another one."""
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed: expected a whole number from 0 to {2**32 - 1:,}, got {seed}; choose another")


def require_heeded(typed: Collection[str], options: Any, *others: Any) -> None:
    """Raise InputError for an option that was typed, asks for something, and has no effect in these options and all others."""
    for name, why in getattr(options, "unused", {}).items():
        value = getattr(options, name)
        silent = not value or (value is not True and value == getattr(type(options)(), name))  # off, or as it is anyway
        if name in typed and not silent and all(name in other.unused for other in others):
            raise InputError(f"{_written(name)}: has no effect {why}; leave it out")


def require_no_options(options: Any, resumed: Path, typed: Collection[str]) -> None:
    """Raise InputError where options are given: a training goes on with those it was started with."""
    default = type(options)()
    names = [field.name for field in dataclasses.fields(options)]
    given = [_written(name) for name in names if name in typed or getattr(options, name) != getattr(default, name)]
    if given:
        raise InputError(
            f"--resume {resumed}: expected no options of the training, got {', '.join(given)}; it goes on with those it was started with, "
            "and a training with others is a new run"
        )


def _written(name: str) -> str:
    return "--" + name.replace("_", "-")


def options_of(kind: Any) -> dict[str, Any]:
    """The type of each option of a dataclass, those of its own dataclasses included, by its name as it is written."""
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind).items():
        if name not in {field.name for field in dataclasses.fields(kind)}:
            continue
        found |= options_of(hint) if dataclasses.is_dataclass(hint) else {name.replace("_", "-"): hint}
    return found


def _aliases(kind: Any) -> dict[str, Any]:
    """The type of each option of a dataclass, those of its own dataclasses included, by its other names as they are written."""
    found: dict[str, Any] = {}
    for hint in typing.get_type_hints(kind, include_extras=True).values():
        plain, *notes = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        found |= _aliases(plain) if dataclasses.is_dataclass(plain) else {}
        found |= {alias.lstrip("-"): plain for note in notes for alias in getattr(note, "aliases", None) or ()}
    return found


def _required(kind: Any) -> list[str]:
    """What a command cannot do without, as it is written: RUN, --out."""
    missing, positional = dataclasses.MISSING, typing.get_args(tyro.conf.Positional[int])[1]
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing]
    return [
        name.upper() if positional in typing.get_args(hints[name]) else "--" + name.replace("_", "-") for name in fields
    ]


def _fault(hint: Any, value: str | None) -> str | None:
    """What is wrong with the value of an option; None where nothing is."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if kinds == (bool,) or len(kinds) != 1:
        return None
    kind = kinds[0]
    if typing.get_origin(kind) is typing.Literal:
        choices = [str(choice) for choice in typing.get_args(kind)]
        if value in choices:
            return None
        close = difflib.get_close_matches(value or "", choices, 1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"expected one of {', '.join(choices)}, got {value or 'nothing'}; {meant}"
    if value is None or value.startswith("--"):
        return f"expected {_WORDS.get(kind, 'a value')}, got nothing; "
    if kind in (int, float):
        try:
            kind(value)
        except ValueError:
            return f"expected {_WORDS[kind]}, got {value}; "
    return None


def perhaps(word: str, known: Mapping[str, Any], prefix: str) -> str:
    """What was perhaps meant by a word that is not known, as the beginning of a remedy."""
    meant = [_OTHER_NAMES[word]] if _OTHER_NAMES.get(word) in known else difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {prefix}{meant[0]}? " if meant else ""


def _plain(page: str) -> str:
    """The sentences of the parser's page without its frame and its advice."""
    lines = [re.sub(r"[│╭╮╰╯─]+", " ", _ESCAPE.sub("", line)).strip() for line in page.splitlines()]
    text = " ".join(" ".join(line for line in lines if line).split())
    return re.sub(r"\s*(Available subcommands|For full helptext).*", "", text)[:400]


def wrapped(line: str, width: int) -> str:
    """A line of help as lines of at most this width, escape sequences not counted; a choice {a,b,c} is broken at its commas.

    Those of an example end in a backslash, so that it stays a command.
    """
    plain = _ESCAPE.sub("", line)
    if len(plain) <= width or set(line) & set("│╭╰"):
        return line
    lead, example = len(line) - len(line.lstrip(" ")), line.startswith("Example: ")
    indent = "    " if example or plain.startswith("usage:") else " " * (lead and min(lead, width // 3) + 2)
    end = " \\" if example else ""
    room = width - len(end)
    lines = [" " * min(lead, width // 3)]
    for word in line.split():
        whole = len(_ESCAPE.sub("", word)) <= room - len(indent)
        for number, piece in enumerate([word] if whole else re.findall("[^,]*,|[^,]+", word)):
            longer = lines[-1] + " " * (number == 0 and bool(lines[-1].strip())) + piece
            if len(_ESCAPE.sub("", longer)) > room and lines[-1].strip():
                lines.append(indent + piece)
            else:
                lines[-1] = longer
    return f"{end}\n".join(lines)


def of_user(error: Exception) -> str | None:
    """An error in one line where the user can mend it: what was given, the disk, the memory; None for a mistake of the program."""
    of_disk = isinstance(error, OSError)  # of which checkpoints say the same
    exhausted = "RESOURCE_EXHAUSTED" in str(error) and not of_disk
    if isinstance(error, MemoryError) or exhausted:  # of NumPy, or of JAX on any device
        line = (str(error).splitlines() or [""])[0][:200]
        what = f" ({line})" if line else ""  # the size and shape of what was too large; Python itself says nothing
        return f"expected memory for the arrays of this command, got too little{what}; take fewer examples or smaller batches"
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        remedy = {
            errno.ENOSPC: f"free some disk space and {_AGAIN}",
            errno.EDQUOT: f"free some of your disk quota and {_AGAIN}",
            errno.EFBIG: f"allow larger files (ulimit -f) and {_AGAIN}",
            errno.EACCES: "choose a place you may write to and files you may read",
            errno.EROFS: "choose a place you may write to",
            errno.EMFILE: "allow more open files (ulimit -n)",
            errno.ENOENT: "check the path",
        }.get(error.errno, "see --debug for details")
        return f"{where}{os.strerror(error.errno)}; {remedy}"
    return " ".join(str(error).split()) if isinstance(error, InputError | ArithmeticError | OSError) else None
