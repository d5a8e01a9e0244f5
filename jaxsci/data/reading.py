"""What every reader shares: files by a pattern, whether one can be read, and memory. All trouble is an `InputError` of one line."""

import contextlib
import glob
import gzip
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.errors import InputError

__all__ = [
    "files",
    "free_memory",
    "is_weight_name",
    "reading",
    "require_memory",
    "require_pages",
    "sentinel",
    "unpacked",
]

_BLOCK = 2**20  # bytes
_PAGE = 2**26  # bytes of numbers, and how often more than are stored of them, that a page of ROOT may declare
_PACKED = 10_000
_LARGEST = 2**33  # bytes of a file that is read as a whole, unpacked
_FAR = 3.0  # ranges of all other values, beyond which the same value in several places stands for none
_FARTHEST = 1e6  # of them, beyond which one in a single place does
# What stands for none by custom, beyond one range: nines, the ends of number types, what netCDF and HEALPix fill with.
_CUSTOMARY: tuple[float, ...] = (
    32767,
    32768,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    9.969209968386869e36,
    1.6375e30,
)
_CUSTOMARY += (3.4028234663852886e38, 1.7976931348623157e308, *(10.0**k for k in range(20, 39)))
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")  # of mcEventWeight, event_weight, EVENT-WEIGHT
_WEIGHT = re.compile(r"(.*?)(?:weights?|wgts?)")
# Beside which a weight is that of a body or a molecule, a part of an alloy, or whether somebody has too much of it.
_OF_BODIES = re.compile(
    "kgs?|g|lbs?|oz|body|birth|mol|molar|molecular|atomic|dry|wet|net|gross|light|vehicle|pct|percent|over|under"
)
_ABOUT_WEIGHTS = re.compile(
    "err|errors?|unc|type|index|idx|sum|up|down|dn|decay"
)  # what is none, but says something of them
_CHANGES = {"loss", "gain", "class"}  # behind the weight of a body; loss_weight and class_weight are weights
_OF_EVENTS = {"event", "evt", "mc", "gen", "pu", "sample", "row", "total", "jet", "xsec", "lumi"}


def files(pattern: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that match a pattern, numbers in their names in the order of numbers.

    Raises:
        InputError: there is none, or one of a numbered series is missing.
    """
    if not isinstance(pattern, str | Path):
        return tuple(Path(path) for path in pattern)
    patterns = _without_braces(str(pattern))
    if Path(pattern).exists() or (len(patterns) == 1 and not glob.has_magic(str(pattern))):
        return (Path(pattern),)
    found = sorted((path for one in patterns for path in glob.glob(one, recursive=True)), key=_numbers_as_numbers)
    if not found:
        raise InputError(f"{pattern}: expected files, got a pattern that none matches; check the name and the folder")
    _require_all(pattern, found)
    return tuple(Path(path) for path in found)


def _without_braces(pattern: str) -> list[str]:
    """a{b,c}d as abd and acd."""
    match = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [one for part in match[1].split(",") for one in _without_braces(before + part + after)]


def _numbers_as_numbers(name: str) -> list[Any]:
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _require_all(pattern: str | Path, found: Sequence[str]) -> None:
    """Raise InputError where a series train_0, train_1, ... or train-0-of-9, ... has a gap."""
    series: dict[tuple[str, str], list[int]] = {}
    for name in found:
        match = re.fullmatch(r"(.*?)(\d+)(\D*|-of-\d+\D*)", Path(name).stem)
        if match:
            series.setdefault((match[1], match[3]), []).append(int(match[2]))
    for (before, after), numbers in series.items():
        of = re.match(r"-of-(\d+)", after)
        whole = (
            range(min(numbers), int(of[1]) + min(numbers))
            if of and min(numbers) < 2
            else range(min(numbers), max(numbers) + 1)
        )
        missing = sorted(set(whole) - set(numbers)) if len(numbers) > 1 or of else []
        if missing:
            raise InputError(
                f"{pattern}: expected all files of the series {before}*{after}, got none with the number {missing[0]}"
                f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; put it back, or choose files by a narrower pattern"
            )


@contextlib.contextmanager
def reading(path: str | Path, expected: str) -> Iterator[Path]:
    """Check that `path` is a file with something in it; whatever is raised while it is read becomes an InputError that names it.

    Container libraries (HDF5, ROOT, FITS, zip) raise nearly any exception on a damaged file, so all are taken; the original one is
    the cause of the InputError.
    """
    path = Path(path)
    with _named(path, expected):
        if not path.exists():
            raise InputError(f"{path}: no such file; expected {expected}; check the name and the folder")
        if path.is_dir():
            raise InputError(f"{path}: this is a folder; expected {expected}; name a file in it")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; expected {expected}; copy or download it again")
        yield path


@contextlib.contextmanager
def _named(path: Path, expected: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path}: expected {expected} that fits into memory, got a larger one; use a smaller file"
        ) from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(
            f"{path}: expected {expected}, but it cannot be read: {reason}; if it is damaged or cut short, copy or download it again"
        ) from error


def require_memory(path: str | Path, size: int, what: str) -> None:
    """Raise InputError unless `size` bytes are free: a file may declare any size, and its arrays are made before it is read."""
    free = free_memory()
    if free is not None and size > free:
        raise InputError(
            f"{path}: expected {size / 2**30:.1f} GiB of free memory for {what}, got {free / 2**30:.1f} GiB; use a smaller file"
        )


def unpacked(path: Path) -> bytes:
    """The bytes of a file, those inside it if it is gzipped (told by its content); InputError beyond 8 GiB or what memory is free."""
    limit = min(_LARGEST, (free_memory() or _LARGEST) // 2)
    blocks, size = [], 0
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        while block := file.read(
            _BLOCK
        ):  # a larger read would ask for its memory before there is anything to put in it
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise InputError(
                    f"{path}: expected at most {limit / 2**30:.1f} GiB unpacked, got more; use a smaller file"
                )
    return b"".join(blocks)


def free_memory() -> int | None:
    """Bytes that a process can still get; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def sentinel(values: np.ndarray, *, customary: bool = False) -> tuple[float, int] | None:
    """The value that seems to stand for none among numbers, far from all others as -999 or 1e20, and how often it does; None for none.

    With `customary` only those that do by custom are looked for.
    """
    kinds, times = np.unique(values[np.isfinite(values)].astype(np.float64), return_counts=True)
    if len(kinds) < 3:
        return None
    with np.errstate(over="ignore"):
        for extreme, other, number, rest in (
            (kinds[0], kinds[1], times[0], kinds[-1] - kinds[1]),
            (kinds[-1], kinds[-2], times[-1], kinds[-2] - kinds[0]),
        ):
            usual = _is_customary(float(extreme))
            least = 1.0 if usual else np.inf if customary else _FAR if number > 1 else _FARTHEST
            if abs(extreme - other) > least * rest and (usual or not _is_next(kinds, extreme)):
                return float(extreme), int(number)
    return None


def _is_next(kinds: np.ndarray, extreme: float) -> bool:
    """Whether a number is the next step of a scale by factors, as 1000 behind 1, 10, 100: doses, concentrations, frequencies."""
    positive = kinds[kinds > 0]
    if len(positive) < 3 or extreme != positive[-1]:
        return False
    factors = positive[1:] / positive[:-1]
    return bool(factors[-1] <= 1.01 * np.median(factors[:-1]))


def _is_customary(value: float) -> bool:
    nines = re.fullmatch(r"99+(?:\.9+|\.25)?", f"{abs(value):.10g}") is not None and abs(value) > 100
    return nines or any(abs(abs(value) / known - 1) < 1e-5 for known in _CUSTOMARY)


def require_pages(path: Path, tree: Any) -> None:
    """Raise InputError for an RNTuple of ROOT whose header or footer is not that of its checksum, or that declares far more than it stores.

    The library that reads it believes all numbers of the footer, those of loops too, before it compares the checksum.
    """
    if not hasattr(type(tree), "page_link_list"):
        return
    import xxhash

    for part in ("Header", "Footer"):
        start, stored, length = (tree.member(f"{word}{part}") for word in ("fSeek", "fNBytes", "fLen"))
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(min(stored, _LARGEST))
        if stored == length and content[-8:] != xxhash.xxh3_64_intdigest(content[:-8]).to_bytes(8, "little"):
            raise InputError(f"{path}: expected a {part.lower()} of its checksum, got another; download the file again")
    for page in (page for cluster in tree.page_link_list for column in cluster for page in column.pages):
        declared, stored = 8 * abs(page.num_elements), page.locator.num_bytes
        if declared > max(_PAGE, _PACKED * stored):
            raise InputError(
                f"{path}: expected pages of numbers, got one of {stored:,} bytes for {declared:,}; copy or download the file again"
            )


def is_weight_name(name: str) -> bool:
    """Whether a column of this name is a weight of the rows: `weight`, `w`, `wgt`, `mcEventWeight`, `pu_weight`, `sampleweight`, ..."""
    words = [word.lower() for word in _WORDS.findall(name)]
    found = {place: match[1] for place, word in enumerate(words) if (match := _WEIGHT.fullmatch(word))}
    if words[:1] == ["n"] or any(
        pattern.fullmatch(word) for word in (*words, *found.values()) for pattern in (_OF_BODIES, _ABOUT_WEIGHTS)
    ):
        return False
    return (
        any(_CHANGES.isdisjoint(words[place + 1 :]) for place in found)
        or words == ["w"]
        or (words[-1:] in (["w"], ["wt"]) and _OF_EVENTS.issuperset(words[:-1]) and len(words) > 1)
    )
