"""Public data sets and the cache they are downloaded to."""

import contextlib
import hashlib
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from jaxsci.errors import InputError

__all__ = [
    "DataSet",
    "RemoteFile",
    "cache_folder",
    "download",
    "fetch",
    "find",
    "show",
]

_ATTEMPTS = 10  # connections per call; what was received is kept, so that the next call continues there
_BLOCK = 1 << 20  # bytes
_TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte


class RemoteFile(NamedTuple):
    """A file at a public address; size and checksum decide whether what is received is the file."""

    name: str
    url: str
    size: int  # bytes
    checksum: str  # "md5:..." or "sha256:..."


class DataSet(NamedTuple):
    """One entry of the catalogue: the files, license and citation of a data set."""

    title: str
    files: tuple[RemoteFile, ...]
    license: str
    citation: str


def _read_catalogue() -> dict[str, DataSet]:
    """The data sets of `catalogue.toml` by name."""
    text = resources.files("jaxsci.data").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return {
        name: DataSet(**{**entry, "files": tuple(RemoteFile(**file) for file in entry["files"])})
        for name, entry in tomllib.loads(text).items()
    }


CATALOGUE = _read_catalogue()


def cache_folder() -> Path:
    """Where data sets are kept unless a folder is named: the user's cache of this system."""
    import platformdirs

    return platformdirs.user_cache_path("jaxsci")


def fetch(name: str, *, folder: Path | None = None, progress: bool = True) -> list[Path]:
    """Download the files of a data set to `folder`/`name` unless they are there, and check them.

    Args:
        name: a key of `CATALOGUE`.
        folder: None: `cache_folder()`.
        progress: show a bar for each file.

    Returns:
        The paths of the files, in the order of the catalogue.

    Raises:
        InputError: there is no such data set, no network, no room on the disk, or a file is not what its publisher says.
    """
    if name not in CATALOGUE:
        raise InputError(
            f"{name}: expected the name of a data set, one of {', '.join(CATALOGUE)}; see `jaxsci data list`"
        )
    place = (folder or cache_folder()) / name
    with _bars(progress) as bar:
        return [download(file, place, bar(file)) for file in CATALOGUE[name].files]


def find(name: str, file: str, *, folder: Path | None = None) -> Path:
    """Return the path of a downloaded file of a data set.

    Args:
        name: of the data set.
        file: its name.
        folder: as given to `fetch`.

    Raises:
        InputError: it is not there.
    """
    path = (folder or cache_folder()) / name / file
    if not path.exists():
        raise InputError(f"{path}: expected this file, got none; get it with jaxsci data fetch {name}")
    return path


def show(folder: Path | None = None) -> None:
    """Print the catalogue: title, size, license, citation of every data set, and whether it is in the cache."""
    for name, data in CATALOGUE.items():
        place = (folder or cache_folder()) / name
        here = all((place / file.name).exists() for file in data.files)
        size = sum(file.size for file in data.files)
        print(f"{name}: {data.title}")
        print(f"    {len(data.files)} files, {size / 1e6:,.0f} MB, {data.license}; cite {data.citation}")
        print(f"    {'in' if here else 'not yet in'} {place}")


def download(file: RemoteFile, folder: Path, progress: Callable[[int], None] = lambda done: None) -> Path:
    """Download one file to `folder`, continuing where an earlier attempt stopped, and check its size and checksum.

    What was received so far lies in `folder` under the name with ".part" added; the file gets its own name once it is complete and checked.

    Args:
        file: what to download.
        folder: made if it is missing.
        progress: called with the number of bytes received so far.

    Raises:
        InputError: as in `fetch`.
    """
    target, partial = folder / file.name, folder / f"{file.name}.part"
    try:
        if target.exists():
            _verify(target, file, remedy="delete it and fetch it again")
            progress(file.size)
            return target
        folder.mkdir(parents=True, exist_ok=True)
        if _size(partial) > file.size:
            partial.unlink()
        _require_space(file, folder, file.size - _size(partial))
        _transfer_all(file, target, partial, progress)
        try:
            _verify(partial, file, remedy="it was removed; fetch it again, or tell the maintainers if this repeats")
        except InputError:
            partial.unlink()
            raise
        partial.replace(target)
    except OSError as error:
        raise InputError(
            f"{target}: expected a folder that can be written, got: {error.strerror or error}; "
            "make room or name another folder (what was received is kept)"
        ) from error
    return target


def _transfer_all(file: RemoteFile, target: Path, partial: Path, progress: Callable[[int], None]) -> None:
    """Connect until the file is complete, as long as each connection makes progress."""
    for _ in range(_ATTEMPTS):
        before = _size(partial)
        if before >= file.size:
            return
        reason = _transfer(file, partial, progress)
        if _size(partial) <= before:
            break
    if _size(partial) < file.size:
        raise InputError(
            f"{file.url}: expected {file.size} bytes, got {_size(partial)}: {reason or 'the connection ended early'}; "
            f"fetch again to continue, or download this address by hand to {target}"
        )


def _transfer(file: RemoteFile, partial: Path, progress: Callable[[int], None]) -> str:
    """One connection: append to `partial`, or start again if the server cannot continue. Returns why it ended, "" if normally."""
    import requests
    import urllib3

    start = _size(partial)
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code not in (200, 206):
                return f"the server answers {response.status_code} {response.reason}"
            continues = response.status_code == 206
            done = start if continues else 0
            with partial.open("ab" if continues else "wb") as out:
                for block in response.raw.stream(_BLOCK, decode_content=False):  # the file as it is, gzipped or not
                    out.write(block)
                    done += len(block)
                    progress(min(done, file.size))
                    if done > file.size:  # the checksum will tell
                        break
                out.flush()
                os.fsync(out.fileno())
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        return f"no connection ({type(error).__name__})"
    return ""


def _verify(path: Path, file: RemoteFile, *, remedy: str) -> None:
    algorithm, _, expected = file.checksum.partition(":")
    size = _size(path)
    if size != file.size:
        raise InputError(f"{path}: expected {file.size} bytes, got {size}; {remedy}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if digest != expected:
        raise InputError(f"{path}: expected {algorithm} {expected}, got {digest}; {remedy}")


def _require_space(file: RemoteFile, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: expected {needed:,} bytes free for {file.name}, got {free:,}; make room or name another folder"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def _bars(shown: bool) -> Iterator[Callable[[RemoteFile], Callable[[int], None]]]:
    """Yield a function that adds a progress bar for a file and returns the callback that updates it."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), disable=not shown) as bars:

        def bar(file: RemoteFile) -> Callable[[int], None]:
            task = bars.add_task(file.name, total=file.size)
            return lambda done: bars.update(task, completed=done)

        yield bar
