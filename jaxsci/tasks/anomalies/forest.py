"""An isolation forest: how few random cuts set a jet apart from those that were learned. The baseline that knows no density.

Source: Liu, Ting and Zhou 2008, "Isolation Forest", doi:10.1109/ICDM.2008.17.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.errors import InputError
from jaxsci.files import DAMAGED, arrays, replacing

TREES = 100
SAMPLE = 256  # examples that a tree sees
_EULER = 0.5772156649015329


class Forest(NamedTuple):
    """Complete binary trees, whose node k has the children 2 k + 1 and 2 k + 2; a leaf above the last level sends all to the left."""

    features: np.ndarray  # int16 [tree, node]: which feature is cut
    thresholds: np.ndarray  # float32 [tree, node]: below it to the left; infinite in a leaf
    lengths: np.ndarray  # float32 [tree, leaf]: cuts that set an example of the leaf apart, those not made estimated
    normal: float  # mean number of cuts of an example among as many as a tree saw


def learn(examples: np.ndarray, seed: int) -> Forest:
    """Trees of random cuts, each of 256 of the examples or of all where there are fewer.

    Args:
        examples: [example, feature].
        seed: of the samples and of the cuts.
    """
    rng = np.random.default_rng(seed)
    size = min(SAMPLE, len(examples))
    levels = int(np.ceil(np.log2(size)))
    nodes, leaves = 2**levels - 1, 2**levels
    features = np.zeros((TREES, nodes), np.int16)
    thresholds = np.full((TREES, nodes), np.inf, np.float32)
    lengths = np.zeros((TREES, leaves), np.float32)
    for tree in range(TREES):
        waiting = [(0, 0, examples[rng.choice(len(examples), size, replace=False)].astype(np.float32))]
        while waiting:
            node, level, members = waiting.pop()
            low, high = members.min(axis=0), members.max(axis=0)
            cuttable = np.flatnonzero(high > low)
            if level == levels or not cuttable.size:
                leaf = (node + 1) * 2 ** (levels - level) - 1 - nodes  # farthest to the left below it
                lengths[tree, leaf] = level + typical_length(len(members))
                continue
            feature = rng.choice(cuttable)
            # Strictly above the smallest, so that both sides have an example.
            threshold = max(
                np.float32(rng.uniform(low[feature], high[feature])), np.nextafter(low[feature], high[feature])
            )
            features[tree, node], thresholds[tree, node] = feature, threshold
            left = members[:, feature] < threshold
            waiting += [(2 * node + 1, level + 1, members[left]), (2 * node + 2, level + 1, members[~left])]
    return Forest(features, thresholds, lengths, typical_length(max(size, 2)))


def typical_length(examples: int) -> float:
    """c(n), the mean number of cuts of an unsuccessful search in a random tree of n examples: 2 H(n - 1) - 2 (n - 1) / n."""
    if examples <= 1:
        return 0.0
    if examples == 2:
        return 1.0
    return 2 * (np.log(examples - 1.0) + _EULER) - 2 * (examples - 1) / examples


def scores(forest: Forest, examples: np.ndarray) -> np.ndarray:
    """2^(-mean number of cuts / c(n)) of each example [example, feature]: near 1 for what is set apart at once, else 1/2 or less."""
    examples = examples.astype(np.float32)
    rows, nodes = np.arange(len(examples)), forest.features.shape[1]
    total = np.zeros(len(examples))
    for features, thresholds, lengths in zip(*forest[:3], strict=True):
        node = np.zeros(len(examples), np.int64)
        for _ in range(int(np.log2(nodes + 1))):
            node = 2 * node + 1 + (examples[rows, features[node]] >= thresholds[node])
        total += lengths[node - nodes]
    return 2.0 ** (-total / len(forest.lengths) / forest.normal)


def save(path: Path, forests: dict[str, Forest]) -> None:
    """Write forests by their names as one .npz file, whole or not at all."""
    with replacing(path) as file:
        np.savez_compressed(
            file,
            **{f"{name}/{field}": value for name, found in forests.items() for field, value in found._asdict().items()},
        )


def read(path: Path) -> dict[str, Forest]:
    """The forests of such a file.

    Raises:
        InputError: it is damaged.
    """
    try:
        stored = arrays(path)
        names = sorted({key.split("/")[0] for key in stored})
        found: dict[str, dict[str, Any]] = {
            name: {field: stored[f"{name}/{field}"] for field in Forest._fields} for name in names
        }
        return {name: Forest(**values)._replace(normal=float(values["normal"])) for name, values in found.items()}
    except DAMAGED as error:
        raise InputError(f"{path}: expected an isolation forest, got a damaged file; train the run again") from error
