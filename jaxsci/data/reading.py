"""What every reader shares: a file that can be read, and enough memory for it. All trouble is an `InputError` of one line."""

import contextlib
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

from jaxsci.errors import InputError

__all__ = ["free_memory", "reading", "require_memory", "unpacked"]

_BLOCK = 2**20  # bytes
_LARGEST = 2**33  # bytes of a file that is read as a whole, unpacked


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
