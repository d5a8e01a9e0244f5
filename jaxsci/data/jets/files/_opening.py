"""How a file of jets is opened: by its content, whatever its name."""

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.data import _arrays as arrays
from jaxsci.data.jets import compact, records, reference
from jaxsci.data.jets.files import jetclass
from jaxsci.data.jets.records import Records
from jaxsci.data.reading import files, reading
from jaxsci.errors import InputError

EXPECTED = "jets in an HDF5, .npz or JetClass .root file"


@contextlib.contextmanager
def all_opened(pattern: str | Path, classes: Sequence[str] | None = None) -> Iterator[list[tuple[Path, Records]]]:
    """The file, or those that match the pattern, all of one form."""
    with contextlib.ExitStack() as stack:
        parts = [(path, stack.enter_context(opened(path, classes))) for path in files(pattern)]
        (first, like), *others = parts
        for path, part in others:
            found, wanted = (_words(one) for one in (part, like))
            if found != wanted:
                raise InputError(
                    f"{path}: expected {wanted} as in {first}, got {found}; write the files alike, or leave one out"
                )
        yield parts


def _words(source: Records) -> str:
    kind = "images" if source.images else "constituents"
    return f"{kind} {list(source.shape[1:])} {'without' if source.labels is None else 'with'} labels"


@contextlib.contextmanager
def opened(path: str | Path, classes: Sequence[str] | None = None) -> Iterator[Records]:
    """The jets of a file, not checked yet; `classes` as in `sample.read`."""
    import h5py

    with reading(path, EXPECTED) as path:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                yield _not_empty(path, records.from_arrays(path, arrays.npz_arrays(path, archive)))
        elif start.startswith(b"root"):
            yield _not_empty(path, jetclass.records(path, classes))
        elif h5py.is_hdf5(path):
            with h5py.File(path, "r") as hdf5:
                yield _not_empty(path, _hdf5_records(path, hdf5))
        else:
            raise InputError(
                f"{path}: expected {EXPECTED}, got a file that begins with {start!r}; convert it, see `jaxsci data --help`"
            )


def _hdf5_records(path: Path, file: Any) -> Records:
    import h5py

    if file.attrs.get("format") == compact.FORMAT:
        return _compact_records(path)
    table = file.get(reference.KEY)
    if isinstance(table, h5py.Group):
        return reference.records(path, table)
    return records.from_arrays(path, arrays.hdf5_arrays(path, file))


def _compact_records(path: Path) -> Records:
    found = compact.stored(path)
    labels = found.labels

    def blocks(rows: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, len(labels), rows):
            last = min(start + rows, len(labels))
            yield compact.decoded(found, start, last), labels[start:last]

    return Records(False, (len(labels), found.width, 4), lambda: labels, blocks)


def _not_empty(path: Path, source: Records) -> Records:
    if source.shape[0] == 0:
        raise InputError(f"{path}: expected jets, got a file with none (no rows); check how it was written")
    return source
