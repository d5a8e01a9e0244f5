"""What an autoencoder keeps: originals beside reconstructions, and its latent space."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style

__all__ = ["latent_space", "reconstructions"]

_ROWS = ("original", "reconstruction", "difference")


@style.context()
def reconstructions(originals: ArrayLike, reconstructed: ArrayLike, *, limit: int = 8) -> Figure:
    """Originals over their reconstructions over the difference (reconstruction - original), a column an image.

    Both share one gray scale, that of the originals shown; three channels are shown in color, any other number by the mean of the
    channels. The difference, a mean over channels, has a scale symmetric about 0. Under it stands the mean squared error per pixel.

    Args:
        originals: [image, row, column] or [image, row, column, channel].
        reconstructed: the same shape.
        limit: most images to show, the first ones. Without images the figure says so.

    Raises:
        InputError: shapes that differ or are no images, or values that are not finite.
    """
    x, y = _images(originals)[:limit], _images(reconstructed)[:limit]
    if np.shape(originals) != np.shape(reconstructed):
        shapes = f"{np.shape(originals)} and {np.shape(reconstructed)}"
        raise InputError(
            f"reconstructions: expected arrays of one shape, got {shapes}; give the images that were encoded"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(
            "reconstructions: expected finite pixels, got NaN or infinity; train with a lower learning rate"
        )
    if not x.size:
        figure = style.figure(2)
        style.note(figure.subplots(), "no images")
        return figure
    side = (style.WIDTH - 1.1) / max(len(x), 4)
    figure = style.figure(min(3 * side * x.shape[1] / x.shape[2] + 0.6, 12), width=side * len(x) + 1.1)
    panels = figure.subplots(3, len(x), squeeze=False)
    reach = float(np.abs((y - x).mean(axis=-1)).max()) or 1.0
    for column, (original, copy) in enumerate(zip(x, y, strict=True)):
        top = _show(panels[0, column], original, x.min(), x.max())
        _show(panels[1, column], copy, x.min(), x.max())
        error = (copy - original).mean(axis=-1)
        bottom = panels[2, column].imshow(error, cmap="RdBu_r", vmin=-reach, vmax=reach)
        panels[2, column].set_xlabel(f"MSE {np.square(copy - original).mean():#.2g}", fontsize=7.5)
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, title in zip(panels[:, 0], _ROWS, strict=True):
        axes.set_ylabel(title, fontsize=8)
    if x.shape[-1] != 3:
        figure.colorbar(top, ax=panels[:2])
    figure.colorbar(bottom, ax=panels[2])
    return figure


def _images(images: ArrayLike) -> np.ndarray:
    """[image, row, column, channel] in float64."""
    array = np.asarray(images, np.float64)
    if array.ndim not in (3, 4):
        raise InputError(f"reconstructions: expected images [image, row, column(, channel)], got shape {array.shape}")
    return array if array.ndim == 4 else array[..., None]


def _show(axes: Axes, image: np.ndarray, low: float, high: float) -> AxesImage:
    if image.shape[-1] == 3:
        return axes.imshow(np.clip((image - low) / ((high - low) or 1.0), 0, 1))
    return axes.imshow(image.mean(axis=-1), cmap="gray", vmin=low, vmax=high)


@style.context()
def latent_space(
    codes: ArrayLike, labels: ArrayLike, names: Sequence[str] | None = None, *, limit: int = 5_000
) -> Figure:
    """Codes in two dimensions, a color a class, the class's name at the median of its codes where no other one stands.

    Two dimensions are drawn as they are; of more the two leading principal components, whose parts of the variance the axes name; one
    as histograms.

    Args:
        codes: [example, latent].
        labels: [example], integers 0 to K - 1.
        names: of the K classes; numbers if none are given.
        limit: most points to draw, an even selection. Without examples the figure says so.

    Raises:
        InputError: arrays that do not match, codes that are not finite, labels outside 0 to K - 1.
    """
    z, y = np.asarray(codes, np.float64), np.asarray(labels)
    if z.ndim != 2 or not z.shape[1] or y.shape != z.shape[:1]:
        raise InputError(
            f"latent space: expected codes [example, latent] and labels [example], got {z.shape} and {y.shape}"
        )
    if not np.isfinite(z).all():
        raise InputError("latent space: expected finite codes, got NaN or infinity; train with a lower learning rate")
    names = [str(k) for k in range(int(y.max(initial=0)) + 1)] if names is None else names
    if y.size and (y.min() < 0 or y.max() >= len(names)):
        raise InputError(
            f"latent space: expected labels 0 to {len(names) - 1}, got {y.min()} to {y.max()}; name every class"
        )
    figure = style.figure(4.8 if z.shape[1] > 1 else 3.4, width=6.2)
    axes = figure.subplots()
    if not len(z):
        style.note(axes, "no examples")
        return figure
    if z.shape[1] == 1:
        _draw_one_dimension(axes, z[:, 0], y, names)
    else:
        points, titles = _in_the_plane(z)
        rows = np.linspace(0, len(z) - 1, min(limit, len(z))).astype(int)
        _draw_plane(axes, points[rows], y[rows], names)
        axes.set(xlabel=titles[0], ylabel=titles[1])
    if len(names) <= 40:  # more would leave no room for the codes; the names are among them
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2, ncols=1 + (len(names) - 1) // 20)
        _keep_readable(axes)
    return figure


def _keep_readable(axes: Axes) -> None:
    """Remove names that would stand on one drawn before; the legend has them all."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # only then the layout is known
    kept: list[Bbox] = []
    for text in list(axes.texts):
        place = text.get_window_extent()
        if any(place.overlaps(other) for other in kept):
            text.remove()
        else:
            kept.append(place)


def _in_the_plane(codes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """[example, 2] and the names of both axes. A component's sign is chosen so that its largest coefficient is positive."""
    if codes.shape[1] == 2:
        return codes, ["Latent 1", "Latent 2"]
    centered = codes - codes.mean(axis=0)
    variances, basis = np.linalg.eigh(centered.T @ centered)
    leading = basis[:, [-1, -2]]
    leading = leading * np.sign(leading[np.abs(leading).argmax(axis=0), [0, 1]])
    parts = variances[[-1, -2]] / max(variances.sum(), np.finfo(float).tiny)
    titles = [
        f"Principal component {i} ({100 * max(part, 0):.1f} % of variance)" for i, part in enumerate(parts, start=1)
    ]
    return centered @ leading, titles


def _draw_plane(axes: Axes, points: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> None:
    for k, name in enumerate(names):
        of_class = points[labels == k]
        text, color = style.literal(name, longest=20), style.color(k, len(names))
        axes.scatter(
            of_class[:, 0],
            of_class[:, 1],
            color=color,
            marker=style.marker(k, len(names)),
            s=7,
            alpha=0.5,
            linewidth=0,
            label=text,
        )
        if len(of_class):
            outline = [withStroke(linewidth=2.5, foreground="white")]
            x, y = np.median(of_class, axis=0)
            # Black on its own white outline, on dark pages too.
            axes.text(x, y, text, ha="center", va="center", weight="bold", path_effects=outline, gid=style.ON_COLOR)


def _draw_one_dimension(axes: Axes, values: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> None:
    edges = np.histogram_bin_edges(values, 50)
    for k, name in enumerate(names):
        counts = np.histogram(values[labels == k], edges)[0]
        fractions = counts / max(counts.sum(), 1)
        label = style.literal(name, longest=20)
        axes.stairs(
            fractions, edges, color=style.color(k, len(names)), linestyle=style.dash(k, len(names)), label=label
        )
    axes.set(xlabel="Latent 1", ylabel="Fraction of the class per bin")
