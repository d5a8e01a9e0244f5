"""What numbers in a file can be jets: four-momenta, images and labels, each fault named by its place in the file."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.data.jets import kinematics
from jaxsci.errors import InputError

# An energy may fall short of the momentum by this share: twice the rounding of half precision (2^-11), so that files of any float
# type pass while exchanged columns do not.
_ENERGY_TOLERANCE = 1e-3
_HIGHEST_ENERGY = (
    50_000.0  # GeV of a jet: a beam of the largest collider that is planned (FCC-hh, 100 TeV); in MeV a jet of 50 GeV
)
_LOWEST_ENERGY = 2.0  # GeV, below that of any jet that was reconstructed; in TeV a jet of 2,000 GeV
_FEW_LOW = 0.1  # the part of the jets that may have less,
_ODD = 5  # and how many of a few jets, such as the last of a file, unless they are most
_HEAVIEST = (
    0.2  # the part of the energy that may be rest mass of constituents; of stable particles in jets it is below 0.1
)
# Azimuths about the beam are uniform: the mean of exp(2 i phi) is 0 up to chance, and to holes of a detector. About x or y it is 0.14 in
# jets of up to 2 in pseudorapidity, which fewer jets cannot tell from chance.
_FEWEST_JETS, _HOLES = 2_000, 0.08
_TURNED = 0.9  # of jets that were turned to one azimuth, or to one axis; with the beam along x or y it is less


class Beam:
    """Whether azimuths about z are uniform, from the jets of a file as they come: components that were exchanged are told so.

    Jets that were turned to a common azimuth or axis say nothing of the beam, and pass. Decided at 2,000 jets and each time they have
    doubled.
    """

    def __init__(self) -> None:
        self._sums = np.zeros(3, np.complex128)  # of exp(2 i phi) about x, y, z
        self._jets, self._next = 0, _FEWEST_JETS
        self._lock = threading.Lock()  # threads read ranges of one file

    def add(self, path: Path, jets: np.ndarray) -> None:
        """Take these constituents [jet, constituent, 4]; InputError where the beam lies along x or y."""
        total = kinematics.jet_momentum(jets)
        planes = ((2, 3), (1, 3), (1, 2))  # across x, y, z
        sums = [np.exp(2j * np.arctan2(total[:, j], total[:, i])).sum() for i, j in planes]
        with self._lock:
            self._sums += sums
            self._jets += len(jets)
            if self._jets < self._next:
                return
            self._next = 2 * self._jets
            anisotropy, chance = np.abs(self._sums) / self._jets, np.sqrt(1 / self._jets)  # of the mean of unit vectors
        if anisotropy[2] < max(_HOLES, 5 * chance) or anisotropy[2] > _TURNED:
            return
        for axis, name in enumerate(("px", "py")):
            if anisotropy[axis] < 3 * chance:
                raise InputError(
                    f"{path}: expected jets at all azimuths about the beam, z, got a beam that seems to lie along {name}, not pz; write "
                    "constituents as (E, px, py, pz)"
                )


def clean_constituents(path: Path, raw: np.ndarray, first_row: int, beam: Beam | None = None) -> np.ndarray:
    """Check the constituents [jet, constituent, 4] of some jets; return them as float32, hardest first.

    Args:
        path: for the message.
        raw: (E, px, py, pz) in GeV of any real type, padded with zeros.
        first_row: number of the first of these jets in the file.
        beam: what is known of the file's beam from other jets of it; None: these are all.

    Raises:
        InputError: a number is not finite, an energy is negative or less than the momentum, a constituent flies along the beam, a jet
            is empty or has more energy than any beam (MeV), a tenth have less than any jet (TeV, or normalized), or constituents are
            too heavy in most (pt, eta, phi, m in place of E, px, py, pz), or the azimuths are uniform about another axis than z.
    """
    # What float32 cannot hold becomes infinite, and is refused as such.
    with np.errstate(over="ignore", invalid="ignore"):
        jets = np.array(raw, np.float32, order="C")
        energy, pt = jets[..., 0], np.hypot(jets[..., 1], jets[..., 2])
        momentum = (1 - _ENERGY_TOLERANCE) * np.hypot(pt, jets[..., 3])
        rest = np.sqrt(np.maximum((energy - momentum) * (energy + momentum), 0)).sum(axis=1)
    faults = (
        (~np.isfinite(jets).all(axis=-1), "finite four-momenta, got NaN or infinity"),
        (energy < 0, "energies of at least 0, got negative energies"),
        (energy < momentum, "E >= |p|, got energies below the momentum"),
        ((pt == 0) & (energy > 0), "pT > 0, got constituents with energy but no pT"),
        ((energy == 0).all(axis=1), "at least one constituent in each jet, got jets without any"),
    )
    remedy = "remove them, or check the order of the columns: (E, px, py, pz) in GeV, padded with zeros"
    _refuse(path, first_row, faults, remedy)
    total = energy.sum(axis=1, dtype=np.float64)
    too_high = f"jets of at most {_HIGHEST_ENERGY:,.0f} GeV, got {total.max():,.0f}"
    _refuse(path, first_row, [(total > _HIGHEST_ENERGY, too_high)], "divide by 1000 if they are in MeV")
    too_low = total < _LOWEST_ENERGY
    few = max(_FEW_LOW * len(jets), min(len(jets) / 2, _ODD))
    if np.count_nonzero(too_low) > few:
        expected = f"jets of at least {_LOWEST_ENERGY:g} GeV, got less in {np.mean(too_low):.0%}, such as {np.median(total[too_low]):.3g}"
        _refuse(
            path, first_row, [(too_low, expected)], "multiply by 1000 if they are in TeV, or undo the normalization"
        )
    at_rest = rest > _HEAVIEST * total
    if np.count_nonzero(at_rest) > len(jets) / 2:
        expected = f"constituents (E, px, py, pz) with masses of at most {_HEAVIEST:.0%} of the energy, got larger ones in most jets"
        _refuse(path, first_row, [(at_rest, expected)], "if they are (pt, eta, phi, m), convert them")
    (beam or Beam()).add(path, jets)
    _sort(jets, np.arange(len(jets)), pt)
    return jets


def hardest_first(raw: np.ndarray) -> np.ndarray:
    """What `clean_constituents` gives of jets that it has checked before."""
    jets = np.array(raw, np.float32, order="C")
    squared = jets[..., 1] ** 2 + jets[..., 2] ** 2
    in_order = (squared[:, 1:] <= squared[:, :-1] * np.float32(1 - 1e-6)).all(axis=1)  # beyond any rounding
    rows = np.flatnonzero(~in_order)
    _sort(jets, rows, np.hypot(jets[rows, :, 1], jets[rows, :, 2]))
    return jets


def _sort(jets: np.ndarray, rows: np.ndarray, pt: np.ndarray) -> None:
    """Put the constituents of these jets in the order of their pT [row, constituent], in place; those of equal pT stay as they are."""
    unsorted = (pt[:, 1:] > pt[:, :-1]).any(axis=1)
    order = np.argsort(-pt[unsorted], axis=1, kind="stable")
    jets[rows[unsorted]] = np.take_along_axis(jets[rows[unsorted]], order[..., None], axis=1)


def clean_images(path: Path, raw: np.ndarray, first_row: int) -> np.ndarray:
    """Check ready jet images [jet, row, column] and return them as float32, each normalized to a total of 1.

    Raises:
        InputError: a pixel is not finite or negative, an image is empty.
    """
    pixels = np.asarray(raw, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite pixels are refused below
        total = pixels.sum(axis=(1, 2))
    faults = (
        (~np.isfinite(pixels), "finite pixels, got NaN or infinity"),
        (pixels < 0, "pixels of at least 0, got negative pixels"),
        (total == 0, "some pT in each image, got images of zeros"),
    )
    _refuse(path, first_row, faults, "remove them, or undo any standardization: a pixel is the pT in it")
    return (pixels / total[:, None, None]).astype(np.float32)


def normalized(raw: np.ndarray) -> np.ndarray:
    """What `clean_images` gives of images that it has checked before."""
    pixels = np.asarray(raw, np.float64)
    return (pixels / pixels.sum(axis=(1, 2))[:, None, None]).astype(np.float32)


def clean_labels(path: Path, raw: np.ndarray, first_row: int, classes: Sequence[str] | None = None) -> np.ndarray:
    """Check that labels [jet] are 1 (top) or 0 (background), or places among the classes; return them as uint8.

    Raises:
        InputError: another value; the message has it and its row.
    """
    wrong = ~np.isin(raw, np.arange(2 if classes is None else len(classes)))
    if wrong.any():
        row = int(wrong.argmax())
        if classes is None:
            expected, remedy = "1 (top) and 0 (background)", "recode them, or name more classes by --class-names"
        else:
            expected = ", ".join(f"{i} ({name})" for i, name in enumerate(classes))
            remedy = "recode them, or name all classes by --class-names"
        raise InputError(
            f"{path}: expected labels {expected}, got {raw[row]} in row {first_row + row} (counted from 0); {remedy}"
        )
    return raw.astype(np.uint8)


def clean_weights(path: Path, raw: np.ndarray) -> np.ndarray:
    """Check the weights [jet] of all jets of a file; return them as float64.

    Raises:
        InputError: one is negative or not finite, or their sum is not positive or beyond float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        weights = np.asarray(raw, np.float64)
        total = weights.sum()
    faults = (
        (~np.isfinite(weights), "finite weights, got NaN or infinity"),
        (weights < 0, "weights of at least 0, got negative ones"),
    )
    _refuse(path, 0, faults, "leave these jets out, or leave out --weights")
    if not 0 < total < np.inf:
        raise InputError(f"{path}: expected weights with a positive sum, got {total:g}; leave out --weights")
    return weights


def _refuse(path: Path, first_row: int, faults: Iterable[tuple[Any, str]], remedy: str) -> None:
    """Raise for the first fault with an entry of its mask [jet, ...] true, naming that entry."""
    for bad, expected in faults:
        if bad.any():
            row, *rest = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
            place = f"jet {first_row + row}" + (f", entry {', '.join(map(str, rest))}" if rest else "")
            raise InputError(f"{path}: expected {expected}, first in {place} (counted from 0); {remedy}")
