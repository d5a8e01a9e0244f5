"""The detectors to beat: how rare the mass of a jet, or the number of its constituents, is among the jets that are normal, and an
isolation forest of all observables of their substructure.
"""

from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxsci.data.jets.observables import observables
from jaxsci.runs import folder as runs
from jaxsci.tasks.anomalies import forest
from jaxsci.tasks.anomalies.detectors import as_columns
from jaxsci.tasks.anomalies.forest import Forest

NAMES = ("mass", "number")
FOREST = "isolation forest"
Histogram: TypeAlias = dict[str, list[float]]
_HISTOGRAMS_FILE, _FORESTS_FILE = "baselines.json", "isolation_forest.npz"
_BINS = 64  # of the quantity's logarithm over the range of the normal jets


class Baselines(NamedTuple):
    """What was learned of normal jets."""

    histograms: dict[str, Histogram]  # for each of `NAMES` the edges of a histogram and -ln of its density
    forest: Forest | None  # None in runs made before there was one


def learn(constituents: np.ndarray, seed: int) -> Baselines:
    """The baselines of these normal jets.

    Args:
        constituents: [jet, constituent, 4].
        seed: of the forest's cuts.
    """
    found = observables(constituents)
    histograms = {name: _histogram(values) for name, values in _quantities(found).items()}
    return Baselines(histograms, forest.learn(as_columns(found), seed))


def scores(learned: Baselines, constituents: np.ndarray) -> dict[str, np.ndarray]:
    """The score of each baseline [jet]: -ln density, beyond the range of the normal jets that of its emptiest bin; that of the forest."""
    observed, found = observables(constituents), {}
    for name, values in _quantities(observed).items():
        edges, rarity = (np.asarray(learned.histograms[name][key], np.float64) for key in ("edges", "rarity"))
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(rarity) - 1)
        outside = (values < edges[0]) | (
            values > edges[-1]
        )  # the last bin has its upper edge, the largest of the normal jets
        found[name] = np.where(outside, rarity.max(), rarity[place])
    if learned.forest is not None:
        found[FOREST] = forest.scores(learned.forest, as_columns(observed))
    return found


def save(folder: Path, learned: dict[str, Baselines]) -> None:
    """Keep the baselines of each direction with the run."""
    runs.write_record(folder / _HISTOGRAMS_FILE, {normal: found.histograms for normal, found in learned.items()})
    forest.save(folder / _FORESTS_FILE, {n: found.forest for n, found in learned.items() if found.forest is not None})


def read(folder: Path) -> dict[str, Baselines]:
    """Those of a run, by the class that was learned."""
    histograms = runs.read_json(folder / _HISTOGRAMS_FILE, "train the run again")
    file = folder / _FORESTS_FILE
    forests = forest.read(file) if file.exists() else {}
    return {normal: Baselines(found, forests.get(normal)) for normal, found in histograms.items()}


def _quantities(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.log(np.maximum(found[name], 1e-2)).astype(np.float64) for name in NAMES}


def _histogram(values: np.ndarray) -> Histogram:
    counts, edges = np.histogram(values, _BINS)
    # A kernel of three bins, and half a jet in each: an empty bin is rare, not impossible.
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same") + 0.5
    density = smooth / smooth.sum() / np.diff(edges)
    return {"edges": edges.tolist(), "rarity": (-np.log(density)).tolist()}
