"""Jet images: what a tagger sees, on average and one by one."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["average_images", "single_images"]

DECADES = 5  # of the color scale below the brightest pixel
_AXES = (
    "Δη′ and Δφ′: pseudorapidity and azimuth from the jet's $p_T$-weighted center,\n"
    "after the rotation of the principal axis to the vertical and both reflections"
)


@style.context()
def average_images(
    images_by_class: Mapping[str, ArrayLike], *, half_width: float | None, limit: int = 10_000, noun: str = "jets"
) -> Figure:
    """The average jet image of every class, side by side, with one logarithmic color scale.

    Pixels more than five decades below the brightest, and those no jet reaches, are white.

    Args:
        images_by_class: for each class [jet, row, column], the fraction of the jet's pT in each pixel; columns run along Δη′ from
            left to right, rows along Δφ′ from the top down. A class without jets gets an empty panel.
        half_width: half the side of the image in Δη′ (no unit) and Δφ′ (radians); None where it is unknown: axes in pixels.
        limit: most jets to average in a class, the first ones.
        noun: what the examples are, in the plural.

    Raises:
        InputError: no class, an array that is not [jet, row, column], or pixels that are negative or not finite.
    """
    stacks = _stacks(images_by_class, limit)
    means = {name: stack.mean(axis=0, dtype=np.float64) if len(stack) else None for name, stack in stacks.items()}
    norm = _shared_scale([mean for mean in means.values() if mean is not None])
    figure = style.figure(3.7, width=2.85 * len(means) + 1.3)
    panels = figure.subplots(1, len(means), sharex=True, sharey=True, squeeze=False)
    drawn = None
    for axes, (name, mean) in zip(panels[0], means.items(), strict=True):
        drawn = _show(axes, mean, half_width, norm) or drawn
        axes.set_title(f"{style.literal(name)}, {style.counted(len(stacks[name]), noun)}")
    _label(figure, panels, drawn, r"mean $p_T$ fraction per pixel", half_width)
    return figure


@style.context()
def single_images(images_by_class: Mapping[str, ArrayLike], *, half_width: float | None, jets: int = 4) -> Figure:
    """The first few jet images of every class, a row a class, with one logarithmic color scale.

    Args:
        images_by_class: as for `average_images`.
        half_width: as for `average_images`.
        jets: most jets to show of a class.

    Raises:
        InputError: as for `average_images`.
    """
    stacks = _stacks(images_by_class, jets)
    norm = _shared_scale([image for stack in stacks.values() for image in stack])
    figure = style.figure(1.5 * len(stacks) + 0.95)
    panels = figure.subplots(len(stacks), jets, sharex=True, sharey=True, squeeze=False)
    drawn = None
    for row, (name, stack) in zip(panels, stacks.items(), strict=True):
        for column, axes in enumerate(row):
            drawn = _show(axes, stack[column] if column < len(stack) else None, half_width, norm) or drawn
        row[0].set_title(style.literal(name), loc="left")
    _label(figure, panels, drawn, r"$p_T$ fraction per pixel", half_width)
    return figure


def _stacks(images_by_class: Mapping[str, ArrayLike], limit: int) -> dict[str, np.ndarray]:
    if not images_by_class:
        raise InputError("jet images: expected at least one class, got none; give a mapping from names to arrays")
    return {name: _images(name, images, limit) for name, images in images_by_class.items()}


def _images(name: str, images: ArrayLike, limit: int) -> np.ndarray:
    stack = np.asarray(images)
    if stack.ndim != 3:
        raise InputError(f"{name}: expected images [jet, row, column], got shape {stack.shape}; drop the channel axis")
    stack = stack[:limit]
    if stack.size and not (np.isfinite(stack).all() and stack.min() >= 0):
        raise InputError(f"{name}: expected pT fractions, got negative or non-finite pixels; drop the jets without pT")
    return stack


def _shared_scale(images: list[np.ndarray]) -> LogNorm:
    positive = np.concatenate([image[image > 0] for image in images] or [np.empty(0)])
    if not positive.size:
        return LogNorm(10.0**-DECADES, 1.0)
    low, high = float(positive.min()), float(positive.max())
    return LogNorm(max(low, high / 10**DECADES) if low < high else high / 10, high)


def _show(axes: Axes, image: np.ndarray | None, half_width: float | None, norm: LogNorm) -> AxesImage | None:
    axes.spines[:].set_visible(True)
    if image is None:
        axes.text(0.5, 0.5, "no jets", transform=axes.transAxes, ha="center", va="center", color=style.GRAY)
        axes.set_box_aspect(1)
        return None
    extent = None if half_width is None else (-half_width, half_width, -half_width, half_width)
    visible = np.ma.masked_less(image, float(norm.vmin or 0))
    return axes.imshow(visible, norm=norm, extent=extent, origin="upper", cmap="magma_r")


def _label(
    figure: Figure, panels: np.ndarray, drawn: AxesImage | None, quantity: str, half_width: float | None
) -> None:
    across, down = ("column (pixel)", "row (pixel)") if half_width is None else ("Δη′", "Δφ′ (rad)")
    for axes in panels[:, 0]:
        axes.set_ylabel(down)
    for axes in panels[-1]:
        axes.set_xlabel(across)
    if drawn is not None:
        figure.colorbar(drawn, ax=panels, label=quantity, shrink=0.9, pad=0.02)
    if half_width is not None:
        ticks = np.linspace(-half_width, half_width, 5 if panels.shape[1] < 3 else 3)
        panels[0, 0].set(xticks=ticks, yticks=ticks)  # the others share them
        style.footnote(figure, _AXES)
