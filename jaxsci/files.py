"""Files that are either whole or absent."""

import contextlib
import errno
import io
import json
import os
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.errors import InputError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of an OSError: the disk is full, or no more may be written
DAMAGED = (  # what NumPy, and what unpacks for it, raise of an .npz file some bytes of which are lost or others
    *(OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, EOFError, RuntimeError, SyntaxError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error),
)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by their names, each checked against its checksum, which `numpy.load` does not where less is read.

    Raises:
        Any of `DAMAGED`: the file is.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        if damaged := content.zip.testzip():
            raise zipfile.BadZipFile(f"a damaged {damaged}")
        return {name: content[name] for name in content.files}


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it takes the place of `path`, on any error it is removed.

    The suffix is kept, because writers such as `numpy.savez` choose their format by it. Data reach the disk before the rename,
    so that a crash leaves the old file or the new one, never half of one.

    Raises:
        InputError: there is something that is no file.
        OSError: the folder cannot be written (no space, no permission); `path` is then as it was.
    """
    named, path = path, Path(os.path.realpath(path))  # what a link points to is replaced, and the link stays
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: expected a file to write, got a folder, a device or a pipe; choose another name")
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp creates private files; the result gets the permissions any new file would have.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        if error.errno in NO_ROOM:  # which writing to an open file says without its name
            error.filename = str(named)
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinity are refused: JSON has no such numbers."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def unfailing(path: Path) -> Iterator[io.FileIO]:
    """Yield a new file that takes everything, and where not all could be written, on a full disk, raise OSError at the end.

    For HDF5, which keeps what it could not write, tries again when the process ends, and ends it with a segmentation fault.
    """
    with _Unfailing(path, "w+") as file:
        try:
            yield file
        finally:
            if file.failure is not None:
                raise file.failure


class _Unfailing(io.FileIO):
    """A file that notes the first failure of writing, and from then on only seems to be written."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.failure is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.failure is None else size or 0
        except OSError as error:
            self.failure = error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        if self.failure is None:
            return super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))  # of what was never written
        return len(view)
