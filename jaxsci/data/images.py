"""Images of any number of classes, from .npz files and from IDX pairs (the format of MNIST)."""

import gzip
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data import reading as checks
from jaxsci.errors import InputError

__all__ = ["LabeledImages", "pixels", "read", "read_unlabeled"]

_EXPECTED = "images in an .npz file (x [n, height, width(, channel)] and y [n]) or in an IDX file, gzipped or not"

# The type codes of the IDX format (yann.lecun.com/exdb/mnist), numbers big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class LabeledImages(NamedTuple):
    """Images with their classes."""

    x: np.ndarray  # float32 [n, height, width, channel]; images of whole numbers are scaled to [0, 1]
    y: np.ndarray  # int32 [n], every class from 0 to classes - 1 occurs
    classes: int


def read(path: str | Path, labels_path: str | Path | None = None) -> LabeledImages:
    """Read labeled images.

    Whole numbers are divided by 255, or by 65,535 where one is larger than 255 (images of 16 bits); real numbers stay as they are.

    Args:
        path: an .npz file with `x` and `y`, or an IDX file of images.
        labels_path: the IDX file of labels; by default the file beside `path` with "labels-idx1" for "images-idx3" in its name.

    Raises:
        InputError: a file is missing, damaged or of another format, an array is missing or of a wrong shape or type, a pixel is not
            finite, labels are not 0 to k - 1 for at least two classes, or the numbers of images and labels differ.
    """
    with checks.reading(path, _EXPECTED) as path:
        arrays = (
            _read_npz(path, ("x", "y")) if _is_npz(path) else [_read_idx(path), _read_idx_labels(path, labels_path)]
        )
    x = pixels(path, arrays[0])
    y = _classes(path, arrays[1], len(x))
    return LabeledImages(x, y, int(y.max()) + 1)


def read_unlabeled(path: str | Path) -> np.ndarray:
    """Read images alone, float32 [n, height, width, channel], from a file that `read` would take; labels in it are not looked at.

    Raises:
        InputError: as in `read`, but for the labels.
    """
    with checks.reading(path, _EXPECTED) as path:
        return pixels(path, _read_npz(path, ("x",))[0] if _is_npz(path) else _read_idx(path))


def _is_npz(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _read_npz(path: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    # opened here, because numpy.load leaves a file open that it finds damaged
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        if any(name not in arrays for name in names):
            got = ", ".join(arrays.files) or "none"
            raise InputError(
                f"{path}: expected the arrays x [n, height, width(, channel)] and y [n], got {got}; rename them"
            )
        try:
            return [arrays[name] for name in names]
        except ValueError as error:  # a header that is none, or pickled objects
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: expected arrays of numbers, got: {reason}; write it with numpy.savez") from error


def _read_idx_labels(path: Path, labels_path: str | Path | None) -> np.ndarray:
    if labels_path is None:
        if "images" not in path.name:
            raise InputError(
                f"{path}: expected a name with images-idx3 in it, beside which the file with labels-idx1 lies; name the file of labels too"
            )
        labels_path = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    with checks.reading(labels_path, "an IDX file with the labels of these images") as labels_path:
        return _read_idx(labels_path)


def _read_idx(path: Path) -> np.ndarray:
    """An IDX array: 0, 0, type, rank, then the sizes (uint32) and the numbers, all big-endian."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        header = file.read(4)
        if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in _IDX_TYPES or not 1 <= header[3] <= 4:
            raise InputError(
                f"{path}: expected an IDX file or an .npz file, got a file that begins with {header!r}; convert it"
            )
        dtype, sizes = np.dtype(_IDX_TYPES[header[2]]), file.read(4 * header[3])
        shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
        data = file.read()
    if len(sizes) < 4 * header[3] or len(data) != math.prod(shape) * dtype.itemsize:
        raise InputError(
            f"{path}: expected {math.prod(shape) * dtype.itemsize} bytes for an array of shape {list(shape)}, got {len(data)}; "
            "copy or download it again"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def pixels(path: object, x: np.ndarray) -> np.ndarray:
    """Images as float32 [image, height, width, channel]; whole numbers are divided by 255 or 65535, the largest of their range."""
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise InputError(
            f"{path}: expected images [n, height, width] or [n, height, width, channel], got shape {list(x.shape)}; reshape them"
        )
    if x.dtype.kind not in "biuf":
        raise InputError(f"{path}: expected images of numbers, got type {x.dtype}; convert them")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        scaled = x.astype(np.float32)
    if not np.isfinite(scaled).all():
        row = int(np.isfinite(scaled).all(axis=tuple(range(1, x.ndim))).argmin())
        raise InputError(
            f"{path}: expected finite pixels, got NaN or infinity, first in image {row} (counted from 0); remove them"
        )
    if x.dtype.kind in "iu":
        low, high = int(x.min()), int(x.max())
        if low < 0 or high > 65535:
            raise InputError(
                f"{path}: expected whole numbers from 0 to 255 or 65535, got {low} to {high}; scale the images to [0, 1]"
            )
        scaled /= 255 if high <= 255 else 65535
    return scaled if x.ndim == 4 else scaled[..., None]


def _classes(path: Path, y: np.ndarray, images: int) -> np.ndarray:
    if y.shape != (images,):
        raise InputError(
            f"{path}: expected one label for each of {images} images, got labels of shape {list(y.shape)}; give as many"
        )
    if y.dtype.kind not in "iu":
        raise InputError(
            f"{path}: expected whole numbers as labels, got type {y.dtype}; convert them, as in y.astype(int)"
        )
    found = np.unique(y)
    if found[0] < 0:
        raise InputError(
            f"{path}: expected labels from 0, got {found[0]} in row {int(y.argmin())} (counted from 0); recode them"
        )
    if len(found) == 1:
        raise InputError(
            f"{path}: expected at least two classes, got label {found[0]} only; add images of another class"
        )
    if found[-1] != len(found) - 1:
        missing = [label for label in range(len(found) + 10) if label < found[-1] and label not in found]
        raise InputError(
            f"{path}: expected labels 0 to k - 1 without gaps, got up to {found[-1]} without "
            f"{', '.join(map(str, missing[:10]))}; recode them"
        )
    return y.astype(np.int32)
