"""Images as float32 on one scale: shapes, channels, units of whole numbers, and numbers that stand for no measurement."""

from pathlib import Path

import numpy as np

from jaxsci.data import reading as checks
from jaxsci.errors import InputError

_LARGEST = 2**16 - 1
_SATURATED = (2**10 - 1, 2**12 - 1, 2**14 - 1)  # of cameras of so many bits, whose files are of 16
_FULL = (2**15 - 1, _LARGEST)  # of saturated pixels of 16 bits, written as real numbers
_LOOKED_AT = 200  # images among whose pixels numbers are looked for that stand for none


def pixels(path: object, x: np.ndarray, unit: int | None = None) -> np.ndarray:
    """Images as float32 [image, height, width, channel]; whole numbers are divided by the unit, else the largest of their range."""
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise InputError(
            f"{path}: expected images [n, height, width] or [n, height, width, channel], got shape {list(x.shape)}; reshape them"
        )
    if x.ndim == 4 and x.shape[1] <= 4 and min(x.shape[2:]) > 4:
        raise InputError(
            f"{path}: expected images [n, height, width, channel], got shape {list(x.shape)} with channels first; transpose it"
        )
    if x.dtype.kind not in "biuf":
        raise InputError(f"{path}: expected images of numbers, got type {x.dtype}; convert them")
    checks.require_memory(str(path), 8 * x.size, "the images as float32")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        scaled = x.astype(np.float32)
    if not np.isfinite(scaled).all():
        row = int(np.isfinite(scaled).all(axis=tuple(range(1, x.ndim))).argmin())
        raise InputError(
            f"{path}: expected finite pixels, got NaN or infinity, first in image {row} (counted from 0); remove them"
        )
    none = checks.sentinel(scaled[:_LOOKED_AT], customary=True) if x.dtype.kind == "f" else None
    if none is not None and none[1] > 1 and none[0] not in _FULL:  # one is a hot pixel
        raise InputError(
            f"{path}: expected pixels that were measured, got {none[0]:g} for none, {none[1]:,} times in the first images; fill them"
        )
    scaled /= find_unit(path, x, unit)
    return scaled if x.ndim == 4 else scaled[..., None]


def find_unit(path: object, x: np.ndarray, wanted: int | None) -> int:
    """What the images are divided by: what is wanted, else what `read` says."""
    if x.dtype.kind not in "iu":
        if wanted not in (None, 1):
            raise InputError(
                f"{path}: expected whole numbers from 0 to {wanted} as in the images for training, got {x.dtype}; write them alike"
            )
        return 1
    low, high = (int(x.min()), int(x.max())) if x.size else (0, 0)
    largest = wanted or _LARGEST
    if low < 0 or high > largest:
        words = (
            "real numbers, or 0 and 1, as in the images for training"
            if wanted == 1
            else f"whole numbers from 0 to {largest}{' as in the images for training' if wanted else ''}"
        )
        remedy = "scale the images to [0, 1]"
        if wanted not in (None, 1):
            remedy = "give images of the same bits, or train anew on all images divided by one number, as real numbers from 0 to 1"
        raise InputError(f"{path}: expected {words}, got {low} to {high}; {remedy}")
    if wanted or high in _SATURATED:
        return wanted or high
    return next(unit for unit in (1, 255, _LARGEST) if high <= unit)


def require_one_scale(path: Path, x: np.ndarray) -> None:
    """Raise InputError where some images reach 1 and others 255 or so, with none between."""
    top = np.abs(x).max(axis=(1, 2, 3))
    low, high = (top > 0) & (top <= 1), top > 16
    if min(low.mean(), high.mean()) > 0.05 and (low | high | (top == 0)).all():
        raise InputError(
            f"{path}: expected images on one scale, got pixels up to {top.max():g} and, as in image {int(low.argmax())} (counted from 0), "
            "up to 1; divide the others by their largest value"
        )
