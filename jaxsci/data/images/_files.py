"""Images of any number of classes, from .npz and HDF5 files, and from IDX pairs (the format of MNIST)."""

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsci.data import _arrays as named
from jaxsci.data import reading as checks
from jaxsci.data.images import _labels
from jaxsci.data.images._pixels import find_unit, pixels, require_one_scale
from jaxsci.data.reading import is_weight_name
from jaxsci.data.split import split
from jaxsci.errors import InputError

PARTS = ("training", "validation", "test")
_ARRAYS = "arrays x [n, height, width(, channel)] and y [n], or images and labels, or train_images, train_labels, test_images, ..."
_EXPECTED = f"images in an .npz or HDF5 file ({_ARRAYS}) or in an IDX file, gzipped or not"
# Names of the arrays of images and of labels; {} is the part where a file has its own, as in MedMNIST and Keras.
_NAMES = (("x", "y"), ("images", "labels"), ("data", "labels"))
_PART_NAMES = (("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("{}_x", "{}_y"))
_PART_WORDS = (("train", "training"), ("val", "valid", "validation"), ("test",))

# The type codes of the IDX format (yann.lecun.com/exdb/mnist), numbers big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_BLOCK = 2**20  # bytes


class LabeledImages(NamedTuple):
    """Images with their classes."""

    x: np.ndarray  # float32 [n, height, width, channel]; images of whole numbers are scaled to [0, 1]
    y: np.ndarray  # int32 [n], from 0 to classes - 1
    classes: int
    part: np.ndarray | None = None  # uint8 [n], an index of PARTS where the file has parts of its own
    unit: int = 1  # what whole numbers were divided by, 2^bits - 1; 1 for 0 and 1, and for real numbers
    names: tuple[str, ...] | None = None  # of the classes, where the labels are text


def read(
    path: str | Path,
    labels_path: str | Path | None = None,
    *,
    classes: int | None = None,
    unit: int | None = None,
    names: Sequence[str] | None = None,
) -> LabeledImages:
    """Read labeled images.

    Whole numbers are divided by 255, or by 65,535 where one is larger; but by 1,023, 4,095 or 16,383 where the largest is just that: a
    saturated pixel of a camera of 10, 12 or 14 bits, which writes files of 16. Those that are only 0 and 1, and real numbers, stay as they
    are.

    Args:
        path: an .npz or HDF5 file with `x` and `y` (or `images` and `labels`), or with these for each part, as in `train_images` and
            `test_labels` (MedMNIST) or `x_train` and `y_test` (Keras); or an IDX file of images. The parts follow each other in the
            order of PARTS.
        labels_path: the IDX file of labels of IDX images; by default the file beside `path` with "labels-idx1" for "images-idx3" in its
            name.
        classes: their number, where it is known: labels are then 0 to classes - 1, of which some may be absent. None: every class from
            0 to the largest label occurs, and there are two at least.
        names: of the classes, where they are known: labels are then these. Without them labels that are text have their own.
        unit: that of the images these go with, by which these are then divided, too. None: as said above.

    Raises:
        InputError: a file is missing, damaged or of another format, an array is missing or of a wrong shape or type, a pixel is not
            finite, some images are on another scale than others, channels come first, a label is none of these, a class is not in the
            part for training, there are several arrays to choose from, or the numbers of images and labels differ.
    """
    with checks.reading(path, _EXPECTED) as path:
        found = _read_arrays(path)
        if found and labels_path is not None:
            raise InputError(f"{path}: expected labels in this file alone, got {labels_path} too; leave --labels out")
        pairs = found or {"": (_read_idx(path), _read_idx_labels(path, labels_path))}
    raw = [x for x, _ in pairs.values()]
    _require_alike(path, raw)
    whole = raw[0] if len(raw) == 1 else np.concatenate(raw)
    unit = find_unit(path, whole, unit)
    x = pixels(path, whole, unit)
    require_one_scale(path, x)
    numbered = classes is not None and names is None
    codes, names = _labels.coded(path, {name: y for name, (_, y) in pairs.items()}, names)
    if numbered and names is not None:
        raise InputError(
            f"{path}: expected labels 0 to {classes - 1 if classes else 0} as in training, got text such as {names[0][:40]!r}; recode them"
        )
    labels = {name: _labels.whole(path, codes[name], len(x), name) for name, (x, _) in pairs.items()}
    y = np.concatenate(list(labels.values()))
    _labels.require_classes(path, y, classes if names is None else len(names))
    if "training" in labels and (untaught := np.setdiff1d(y, labels["training"])).size:
        raise InputError(
            f"{path}: expected images of every class for training, got none of class {untaught[0]}, which other parts have; add some"
        )
    numbers = [np.full(len(labels[name]), PARTS.index(name), np.uint8) for name in pairs if name]
    part = np.concatenate(numbers) if numbers else None
    number = len(names) if names is not None else classes or int(y.max()) + 1
    return LabeledImages(x, y.astype(np.int32), number, part, unit, names)


def read_unlabeled(path: str | Path, *, unit: int | None = None) -> np.ndarray:
    """Read images alone, float32 [n, height, width, channel], from a file that `read` would take; labels in it are not looked at.

    `unit` is that of the images these go with, as in `read`.

    Raises:
        InputError: as in `read`, but for the labels.
    """
    with checks.reading(path, _EXPECTED) as path:
        found = _read_arrays(path, labeled=False)
        raw = [x for x, _ in found.values()] if found else [_read_idx(path)]
        _require_alike(path, raw)
        return pixels(path, np.concatenate(raw), unit)


def unused(path: str | Path) -> list[str]:
    """Names of the arrays of a file of images and labels, as `read` takes it, that are neither."""
    with checks.reading(path, _EXPECTED) as path, named.opened(path) as arrays:
        used = {name for pair in _find(path, arrays, True).values() for name in pair}
        return sorted(set(arrays) - used)


def parts(
    images: LabeledImages, *, seed: int, fractions: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the training, validation and test images: those of the file where it has parts, else drawn as `split` does.

    Where the file has no part for validation, it is drawn from the training images in the proportion that `fractions` give.

    Raises:
        InputError: a class has too few images to be in every part that is drawn.
    """
    if images.part is None:
        return split(images.y, seed=seed, fractions=fractions)
    train, validation, test = (np.flatnonzero(images.part == part) for part in range(3))
    if not len(validation):
        keep = fractions[0] / (fractions[0] + fractions[1])
        drawn = split(images.y[train], seed=seed, fractions=(keep, (1 - keep) / 2, (1 - keep) / 2))
        train, validation = train[drawn[0]], train[np.concatenate(drawn[1:])]
    return train, validation, test


def _require_alike(path: Path, parts: Sequence[np.ndarray]) -> None:
    """Raise InputError unless the images of all parts can be prepared together, so that they have one scale."""
    shapes, kinds = {x.shape[1:] for x in parts}, {x.dtype.kind in "iu" for x in parts}
    if len(shapes) > 1 or len(kinds) > 1:
        got = " and ".join(f"{list(x.shape)} of {x.dtype}" for x in parts)
        raise InputError(f"{path}: expected images of one shape and type in all parts, got {got}; write them alike")


def _read_arrays(path: Path, *, labeled: bool = True) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels by part, or under "" where the file has no parts; none for another kind of file."""
    with named.opened(path) as arrays:
        if not arrays:
            if named.is_zip(path):
                raise InputError(f"{path}: expected the {_ARRAYS}, got none; write it with numpy.savez")
            return {}
        if odd := next((name for name in arrays if _would_weight(name, arrays)), None):
            raise InputError(
                f"{path}: expected images and labels, got {odd} too, which is not read; apply it, and leave it out"
            )
        names = _find(path, arrays, labeled)
        if not names:
            got = ", ".join(sorted(arrays))[:200]
            raise InputError(f"{path}: expected the {_ARRAYS}, got {got}; rename them")
        load = {
            part: (named.load(path, arrays, x), named.load(path, arrays, y) if labeled else np.zeros(0))
            for part, (x, y) in names.items()
        }
    if labeled and "" not in load and not {"training", "test"} <= set(load):
        raise InputError(
            f"{path}: expected images for training and test, got those for {', '.join(load)} alone; name them x and y"
        )
    return load


def _would_weight(name: str, arrays: Mapping[str, named.Rows]) -> bool:
    """Whether an array is a mask, or by its name a weight with a number for each image or class."""
    shape = arrays[name].shape
    images = [rows.shape[:1] for rows in arrays.values() if len(rows.shape) > 2]
    weights = is_weight_name(name) and len(shape) == 1 and (shape in images or "class" in name.lower())
    return weights or re.fullmatch("(?i)(.*_)?masks?", name) is not None


def _find(path: Path, arrays: Mapping[str, named.Rows], labeled: bool) -> dict[str, tuple[str, str]]:
    """The names of images and labels by part; none where they are not there."""

    def there(x: str, y: str) -> bool:
        return x in arrays and (y in arrays or not labeled)

    found = {"": [names for names in _NAMES if there(*names)]}
    for part, words in zip(PARTS, _PART_WORDS, strict=True):
        names = [(x.format(word), y.format(word)) for x, y in _PART_NAMES for word in words]
        found[part] = [name for name in names if there(*name)]
    for part, several in found.items():
        images = list(dict.fromkeys(x for x, _ in several))
        if len(images) > 1 or (part and images and found[""]):
            other = images[1] if len(images) > 1 else found[""][0][0]
            raise InputError(f"{path}: expected one array of images, got {images[0]} and {other}; leave one out")
    return {part: several[0] for part, several in found.items() if several}


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
                f"{path}: expected an IDX, .npz or HDF5 file, got a file that begins with {header!r}; convert it"
            )
        dtype, sizes = np.dtype(_IDX_TYPES[header[2]]), file.read(4 * header[3])
        shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
        due = math.prod(shape) * dtype.itemsize
        data, whole = bytearray(), len(sizes) == 4 * header[3]
        # In blocks, and one byte more than is due: a file can declare anything, and a small one can unpack to anything.
        while whole and len(data) <= due and (block := file.read(min(_BLOCK, due + 1 - len(data)))):
            checks.require_memory(path, _BLOCK, "its numbers")
            data += block
    if not whole or len(data) != due:
        got = "more" if len(data) > due else str(len(data))
        raise InputError(
            f"{path}: expected {due} bytes for an array of shape {list(shape)}, got {got}; copy or download it again"
        )
    return np.frombuffer(data, dtype).reshape(shape)
