"""The detectors to beat: how rare the mass of a jet, or the number of its constituents, is among the jets that are normal."""

from typing import Any

import numpy as np

from jaxsci.data.jets.observables import observables

NAMES = ("mass", "number")
_BINS = 64  # of the quantity's logarithm over the range of the normal jets


def learn(constituents: np.ndarray) -> dict[str, Any]:
    """For each baseline the edges of a histogram of normal jets and -ln of its density, ready for JSON."""
    return {name: _histogram(values) for name, values in _quantities(constituents).items()}


def scores(learned: dict[str, Any], constituents: np.ndarray) -> dict[str, np.ndarray]:
    """The score of each baseline [jet]: -ln density, beyond the range of the normal jets that of its emptiest bin."""
    found = {}
    for name, values in _quantities(constituents).items():
        edges, rarity = (np.asarray(learned[name][key], np.float64) for key in ("edges", "rarity"))
        place = np.searchsorted(edges, values, side="right") - 1
        outside = (place < 0) | (place >= len(rarity))
        found[name] = np.where(outside, rarity.max(), rarity[np.clip(place, 0, len(rarity) - 1)])
    return found


def _quantities(constituents: np.ndarray) -> dict[str, np.ndarray]:
    found = observables(constituents)
    return {name: np.log(np.maximum(found[name], 1e-2)).astype(np.float64) for name in NAMES}


def _histogram(values: np.ndarray) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, _BINS)
    # A kernel of three bins, and half a jet in each: an empty bin is rare, not impossible.
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same") + 0.5
    density = smooth / smooth.sum() / np.diff(edges)
    return {"edges": edges.tolist(), "rarity": (-np.log(density)).tolist()}
