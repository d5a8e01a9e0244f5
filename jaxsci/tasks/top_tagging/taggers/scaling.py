"""Inputs of order 1 for networks of sets: measured on the training jets, kept with the run, the same ever after."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jaxsci.core import WeightedSet
from jaxsci.tasks.top_tagging.taggers import Tagger

ANGLES = 2  # the first so many features are angles to the axis, which a rotation mixes
JETS = 2000  # enough for means to a percent


class Scaling(NamedTuple):
    """(element - shift) * scale and weight * weight: order 1 for each feature, and for the sum of the weights of a jet.

    The last is what a network that adds up its particles needs most: with 66 of them the first outputs are tens, and the first epoch is
    lost on their size.
    """

    shift: tuple[float, ...]  # [feature]; 0 for angles
    scale: tuple[float, ...]  # [feature]; one for all angles
    weight: float

    def __call__(self, x: WeightedSet) -> WeightedSet:
        """The set on this scale; padding stays 0."""
        number, room, features = x.elements.shape
        shift, scale = (np.tile(np.asarray(each, np.float32), room) for each in (self.shift, self.scale))
        rows = (
            x.elements.reshape(number, room * features) - shift
        ) * scale  # long rows are faster than one of a few features
        elements = rows.reshape(x.elements.shape)
        elements[x.weights == 0] = 0
        return x._replace(elements=elements, weights=x.weights * np.float32(self.weight))


def measure(tagger: Tagger, constituents: np.ndarray) -> Scaling:
    """The scaling of jets like these, [jet, constituent, 4]."""
    x = tagger.inputs(constituents[:JETS])
    elements = np.asarray(x.elements, np.float64)[np.asarray(x.weights) != 0]
    shift = np.concatenate([np.zeros(ANGLES), elements[:, ANGLES:].mean(axis=0)])
    spread = np.sqrt(np.mean((elements - shift) ** 2, axis=0))
    spread[:ANGLES] = np.sqrt(np.mean(spread[:ANGLES] ** 2))
    scale = 1 / np.where(spread > 0, spread, 1)
    weight = 1 / np.mean(np.sum(x.weights, axis=1, dtype=np.float64))
    return Scaling(tuple(np.round(shift, 6).tolist()), tuple(np.round(scale, 6).tolist()), float(np.round(weight, 6)))


def of_run(config: dict[str, Any]) -> Scaling | None:
    """The scaling a run was trained with; None for one without, as all were before there was any."""
    kept = config["data"].get("scaling")
    return None if kept is None else Scaling(tuple(kept["shift"]), tuple(kept["scale"]), kept["weight"])


def scaled(tagger: Tagger, scaling: Scaling | None) -> Tagger:
    """The tagger with inputs on this scale."""
    return tagger if scaling is None else replace(tagger, inputs=lambda jets: scaling(tagger.inputs(jets)))
