"""Training, validation and test part of a run: drawn at random, or files of the user's own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from jaxsci.data import reading
from jaxsci.errors import InputError
from jaxsci.runs.task import OnProgress

__all__ = ["NAMES", "Draw", "Lengths", "Splits", "compare", "files", "known", "splits", "words"]

NAMES = ("training", "validation", "test")
Splits: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # the places of the examples of each part among all
Lengths: TypeAlias = tuple[int, int, int]  # examples of --data, --validation and --test, which follow each other
Draw: TypeAlias = Callable[[tuple[float, float, float]], Splits]  # fractions -> three random parts of --data


class Files(Protocol):
    """Options that say where the data of a run are."""

    @property
    def data(self) -> Path | None:
        """What is trained on, and split where the other parts have no file of their own."""

    @property
    def validation(self) -> Path | None:
        """The validation part."""

    @property
    def test(self) -> Path | None:
        """The test part."""


def files(options: Files) -> dict[str, Path]:
    """The user's own files for validation and test, by the name of the part.

    Raises:
        InputError: there is no --data beside them, or a file has two uses.
    """
    own = {name: path for name in NAMES[1:] if (path := getattr(options, name)) is not None}
    if own and options.data is None:
        raise InputError(f"--{next(iter(own))}: expected --data beside it, with what to train on, got none; add it")
    taken: dict[Path, str] = {}
    for name, pattern in {"data": options.data, **own}.items():
        for path in () if pattern is None else reading.files(pattern):
            other = taken.setdefault(path.resolve(), name)
            if other != name:
                raise InputError(
                    f"--{name}: expected another file than --{other}, got {path} for both; a network must be tested on what it was not "
                    "trained on: leave it out for a random split"
                )
    return own


def splits(lengths: Lengths, *, seed: int, fractions: tuple[float, float, float], draw: Draw) -> Splits:
    """The places of the three parts among all examples: those of --data, then those of --validation and --test.

    Where a part has no file of its own it is drawn from --data, in the proportion that the fractions give.

    Args:
        lengths: of the three files; 0 where there is none.
        seed: of the order of the parts that are files.
        fractions: of training, validation and test, adding up to 1.
        draw: three parts of the first `lengths[0]` examples.
    """
    _, validation, test = lengths
    if not validation and not test:
        return draw(fractions)
    ends = np.cumsum(lengths)
    # In a random order, since a file may be sorted and the first of a part are to be a fair sample.
    own = [
        end - length + np.random.default_rng([seed, part]).permutation(length)
        for part, (length, end) in enumerate(zip(lengths, ends, strict=True))
    ]
    if validation and test:
        return own[0], own[1], own[2]
    kept = fractions[0] / (fractions[0] + fractions[2 if validation else 1])
    train, *others = draw((kept, (1 - kept) / 2, (1 - kept) / 2))
    drawn = np.concatenate(others)
    return (train, own[1], drawn) if validation else (train, drawn, own[2])


def compare(options: Files, marks: np.ndarray | None, found: Splits, noun: str, progress: OnProgress) -> dict[str, Any]:
    """What config.json says of the parts of a new run, beside fractions and seed: their files, and how many examples they share.

    Of the validation part those are counted whose inputs are in the training part, and of the test part those in either; where there are
    some, that is said. In one file they may be repeated measurements as well as copies, so that there it is a warning alone.

    Args:
        options: of the run.
        marks: hashes of all examples, as of `seen.hashes`; None where equal ones are no sign that an example is there twice.
        found: the parts.
        noun: what the examples are, in the plural.
        progress: told the warnings.

    Raises:
        InputError: a part is wholly contained in those before it, where some have a file of their own.
    """
    own, shared = files(options), dict[str, int]()
    remedy = "give another file" if own else "figures may be too good"
    if not own and noun == "rows":
        remedy += "; --groups COLUMN keeps rows that belong together in one part"
    pairs = (("validation", found[1], found[0]), ("test", found[2], np.concatenate(found[:2])))
    for name, rows, before in pairs:
        if marks is None:
            break
        count = shared[name] = int(np.isin(marks[rows], marks[before]).sum())
        where = "training" if name == "validation" else "training or validation"
        file = own.get(name, options.data)
        if own and count == len(rows):
            raise InputError(
                f"{file}: expected {noun} for {name} that are not among those for {where}, got all {count:,} of them there too; {remedy}"
            )
        if count:
            same = f"{count:,} of {len(rows):,} {noun} for {name} have the same inputs as some for {where}"
            progress("reading", 1.0, f"warning: {file}: {same}; {remedy}")
    if not own:
        return {"shared": shared} if any(shared.values()) else {}
    described = {
        name: {"file": str(own.get(name, options.data)), "examples": len(rows)}
        for name, rows in zip(NAMES, found, strict=True)
    }
    return {"parts": described, "shared": shared}


def known(config: Mapping[str, Any]) -> int | None:
    """How many test examples of a run are among its training or validation examples; None where that was not noted."""
    return (config["data"]["split"].get("shared") or {}).get("test")


def words(data: Mapping[str, Any]) -> dict[str, str]:
    """A line of a page's summary with the file of each part; nothing where they were drawn from one."""
    parts = data["split"].get("parts")
    if not parts:
        return {}
    return {"Parts": "; ".join(f"{name} {of['examples']:,}, {Path(of['file']).name}" for name, of in parts.items())}
