"""Which examples a run was trained on: a short hash of each, so that an evaluation can tell whether it knows them already."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxsci.errors import InputError
from jaxsci.files import replacing
from jaxsci.runs.folder import read_config

__all__ = ["FILE", "among", "claim", "hashes", "overlap", "require_same", "save", "save_hashes"]

FILE = "seen.npy"
_BYTES = 8  # of a hash: two of a million different examples agree with a probability of 3e-8


def save(folder: Path, examples: Iterable[np.ndarray]) -> None:
    """Write the hashes of the training and validation examples of a run.

    Args:
        folder: of the run.
        examples: of each what tells it from others, as arrays of one type.
    """
    save_hashes(folder, hashes(examples))


def save_hashes(folder: Path, known: np.ndarray) -> None:
    """Write the `hashes` of the training and validation examples of a run."""
    with replacing(folder / FILE) as temporary:
        np.save(temporary, np.unique(known))


def overlap(folder: Path, examples: Iterable[np.ndarray]) -> int | None:
    """How many of these examples the run was trained or chosen on; None for a run that did not note its own.

    Raises:
        InputError: the file with the hashes is damaged.
    """
    found = among(folder, examples)
    return None if found is None else int(found.sum())


def among(folder: Path, examples: Iterable[np.ndarray]) -> np.ndarray | None:
    """Which of these examples the run was trained or chosen on, bool [example]; None and errors as of `overlap`."""
    path = folder / FILE
    try:
        known = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: expected the hashes of the run's examples, got {error}; copy the run again"
        ) from error
    return np.isin(hashes(examples), known)


def require_same(folder: Path, digest: str) -> None:
    """Raise InputError where the data of a run are no longer those it was trained on; a digest of an earlier form is not compared.

    Args:
        folder: of the run.
        digest: of what its file holds now, as in config.json.
    """
    data = read_config(folder).get("data", {})
    known = str(data.get("digest", ""))
    if len(known) == len(digest) and known != digest:
        files = data.get("file") or ", ".join(str(file) for file in data.get("files", {}).values() if file)
        raise InputError(
            f"{files}: expected the data that {folder} was trained on (digest {known[:12]}), got others ({digest[:12]}); "
            "put them back, or train a new run"
        )


def claim(part: str, known: int | None, number: int, noun: str) -> str:
    """What a page may say of the examples of an evaluation.

    Args:
        part: "test" for the run's own test part, or the name of another file.
        known: as from `overlap`; None for a test part that was drawn from the same file as the others, of which none is there twice.
        number: of the examples that were evaluated.
        noun: what they are, in the plural.
    """
    where = "the test part" if part == "test" else part
    if part == "test" and not known:
        return "The test part was never used in training nor for any choice."
    if known is None:
        return f"Whether the run was trained on {noun} of {part} is not known: it did not note its examples."
    if known:
        return (
            f"Warning: {known:,} of the {number:,} {noun} of {where} have the inputs of training or validation {noun} of the run. "
            "The figures may be too good by an unknown amount."
        )
    return f"None of the {number:,} {noun} of {part} is among the training or validation {noun} of the run."


def hashes(examples: Iterable[np.ndarray]) -> np.ndarray:
    """A number of 64 bits for each example, which those of equal content share."""
    digests = b"".join(
        hashlib.blake2b(np.ascontiguousarray(example).tobytes(), digest_size=_BYTES).digest() for example in examples
    )
    return np.frombuffer(digests, np.uint64)
