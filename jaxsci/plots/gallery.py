"""What a classifier got wrong: single images in rows, each with a few words of its own, and the confusions in words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["Examples", "confusion_words", "gallery"]

DECADES = 5  # of a logarithmic scale below the brightest pixel


class Examples(NamedTuple):
    """Images with words above each."""

    images: ArrayLike  # [image, row, column] or [image, row, column, channel]
    words: Sequence[str]  # [image]


@style.context()
def gallery(
    rows: Mapping[str, Examples], *, columns: int = 6, colors: str = "gray", logarithmic: bool = False
) -> Figure:
    """Images under the title of their row, on one scale; three channels are shown in color, others by their mean.

    Args:
        rows: by title, which may be empty.
        columns: most images in a line; a row with more goes on in the next line.
        colors: a matplotlib color map, for images without color.
        logarithmic: five decades below the brightest pixel, for images of energies.

    Raises:
        InputError: no image, or other words than images.
    """
    stacks = {title: np.asarray(found.images, np.float64) for title, found in rows.items() if len(found.words)}
    if not stacks:
        raise InputError("gallery: expected at least one image, got none; leave the figure out")
    for title, stack in stacks.items():
        if stack.ndim not in (3, 4) or len(stack) != len(rows[title].words):
            raise InputError(
                f"gallery: expected images [image, row, column] with words for each, got {stack.shape} and {len(rows[title].words)}"
            )
    lines = [
        (title if first == 0 else "", stack[first : first + columns], rows[title].words[first : first + columns])
        for title, stack in stacks.items()
        for first in range(0, len(stack), columns)
    ]
    norm = _norm(np.concatenate([stack.ravel() for stack in stacks.values()]), logarithmic)
    side = style.WIDTH / columns
    figure = style.figure(sum(side + (0.5 if title else 0.25) for title, _, _ in lines))
    heights = [1.3 if title else 1 for title, _, _ in lines]
    parts = figure.subfigures(len(lines), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (title, images, words) in zip(parts, lines, strict=True):
        if title:
            part.suptitle(style.literal(title, longest=80), x=0.01, ha="left", fontsize=9.5)
        for axes, image, text in zip(part.subplots(1, columns, squeeze=False)[0], images, words, strict=False):
            axes.set_title(style.literal(text), fontsize=8)
            color = image.ndim == 3 and image.shape[-1] == 3
            gray = image.mean(-1) if image.ndim == 3 else image
            axes.imshow(np.asarray(norm(image)) if color else gray, norm=None if color else norm, cmap=colors)
        for axes in part.axes:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(bool(axes.images))
    return figure


def _norm(values: np.ndarray, logarithmic: bool) -> Normalize:
    low, high = float(values.min()), float(values.max())
    if not logarithmic:
        return Normalize(low, high if high > low else low + 1)
    high = high if high > 0 else 1.0
    return LogNorm(high / 10**DECADES, high, clip=True)


def confusion_words(counts: ArrayLike, names: Sequence[str], noun: str) -> str:
    """What a confusion matrix shows, for those who do not see it: how many are right, and the most frequent confusion."""
    matrix = np.asarray(counts)
    off = matrix - np.diag(np.diag(matrix))
    words = f"Of {matrix.sum():,} {noun} {np.trace(matrix):,} are told rightly"
    if off.sum() == 0:
        return f"{words}."
    true, predicted = np.unravel_index(off.argmax(), off.shape)
    return f"{words}; most often mistaken: {names[true]} for {names[predicted]}, {off.max():,} times."
