"""Training, validation and test part of a labeled sample."""

import numpy as np

from jaxsci.errors import InputError

__all__ = ["split", "split_groups"]


def split(
    labels: np.ndarray, *, seed: int, fractions: tuple[float, float, float] = (0.6, 0.15, 0.25)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the training, validation and test part: disjoint, covering, each with the class proportions of the whole.

    Each class is permuted by its own random stream and cut at the same fractions, so a part has the expected number of each class to
    within one example. The parts are shuffled: their first n entries are a fair sample too.

    Args:
        labels: [n] whole numbers.
        seed: the same seed and labels give the same parts.
        fractions: of training, validation and test, positive, adding up to 1.

    Returns:
        Three int64 index arrays.

    Raises:
        InputError: a class has too few examples to be in every part.
    """
    if not (min(fractions) > 0 and np.isclose(sum(fractions), 1.0)):
        raise InputError(f"fractions: expected three positive numbers that add up to 1, got {fractions}")
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(labels):
        members = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        cuts = np.rint(np.cumsum(fractions[:2]) * len(members)).astype(np.int64)
        pieces = np.split(members, cuts)
        if min(map(len, pieces)) == 0:
            raise InputError(
                f"labels: expected enough examples of class {label} for training, validation and test, got {len(members)}; "
                "add examples or leave this class out"
            )
        for part, piece in zip(parts, pieces, strict=True):
            part.append(piece)
    rng = np.random.default_rng(seed)
    train, validation, test = (rng.permutation(np.concatenate(part)) for part in parts)
    return train, validation, test


def split_groups(
    groups: np.ndarray, *, seed: int, fractions: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the training, validation and test part, where the members of a group are never parted.

    The groups are drawn in a random order and put where the expected number of examples is missed most; so each part has its fraction
    of the examples to within the largest group.

    Args:
        groups: [n] whole numbers; equal ones stay together.
        seed: the same seed and groups give the same parts.
        fractions: of training, validation and test, positive, adding up to 1.

    Returns:
        Three int64 index arrays, disjoint and covering, each shuffled.

    Raises:
        InputError: there are fewer than three groups, or so large ones that a part stays empty.
    """
    if not (min(fractions) > 0 and np.isclose(sum(fractions), 1.0)):
        raise InputError(f"fractions: expected three positive numbers that add up to 1, got {fractions}")
    rng = np.random.default_rng(seed)
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    missing = np.array(fractions) * len(groups)
    part_of = np.empty(len(sizes), np.int64)
    for group in rng.permutation(len(sizes)):
        part_of[group] = part = int(np.argmax(missing / fractions))
        missing[part] -= sizes[group]
    parts = [rng.permutation(np.flatnonzero(part_of[index] == part)) for part in range(3)]
    if min(map(len, parts)) == 0:
        raise InputError(f"groups: expected enough groups for three parts, got {len(sizes)}; add examples")
    return parts[0], parts[1], parts[2]
