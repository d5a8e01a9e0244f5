"""One look for every figure: colors, sizes, and the context in which figures are made and drawn."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from numpy.typing import ArrayLike

__all__ = [
    "color",
    "context",
    "counted",
    "dark_ink",
    "dash",
    "figure",
    "footnote",
    "laid_out",
    "legend_above",
    "literal",
    "marker",
    "minus",
    "note",
    "palette",
    "wilson",
]

WIDTH = 7.0  # inches, the text width of a page: at 96 pixels an inch what a report shows
ON_COLOR = "on color"  # gid of what stands on colored cells, whose ink does not follow the theme of the page
GRAY = "#767676"  # the lightest gray that is still readable on white (contrast 4.5 : 1, WCAG 2.1)

# Distinguishable with every common color blindness: Okabe and Ito 2008, "Color Universal Design"; yellow, which is faint
# on white, comes last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# For nine and ten classes, where Okabe and Ito's colors would repeat: Petroff 2021, arXiv:2107.02270.
PALETTE_OF_TEN = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", "-.", ":")

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same text on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "image.interpolation": "none",
}


@contextlib.contextmanager
def context() -> Iterator[None]:
    """The library's look inside a `with` block, or, as the decorator `@context()`, inside a function.

    It starts from matplotlib's own defaults, so that a user's matplotlibrc changes no figure, and restores every setting.
    """
    with matplotlib.style.context(["default", _STYLE]):
        yield


@contextlib.contextmanager
def laid_out(figure: Figure, pixels_per_inch: int) -> Iterator[None]:
    """Inside the `with` block everything in the figure has its place, which is found once and not each time it is drawn."""
    layout, before = figure.get_layout_engine(), figure.get_dpi()
    figure.set_dpi(pixels_per_inch)
    if layout is not None:
        layout.execute(figure)
    figure.set_layout_engine("none")  # its result stays
    try:
        yield
    finally:
        figure.set_layout_engine(layout)
        figure.set_dpi(before)


@contextlib.contextmanager
def dark_ink(figure: Figure) -> Iterator[None]:
    """Inside the `with` block the figure has inks for a dark ground, and no ground of its own; afterwards it is as before.

    Black, white and grays are exchanged; colors that would be hard to see are made lighter, which keeps their hue. Images, color maps and
    texts on colored cells stay.
    """
    undo = [(setter, old) for artist in figure.findobj() for setter, old in _inks(artist)]
    for setter, old in undo:
        setter(_on_dark(old))
    try:
        yield
    finally:
        for setter, old in undo:
            setter(old)


def _inks(artist: Artist) -> list[tuple[Callable[[Any], Any], Any]]:
    """The setters of an artist's colors, with what they are."""
    if artist.get_gid() == ON_COLOR:
        return []
    if isinstance(artist, Text):
        return [(artist.set_color, artist.get_color())]
    if isinstance(artist, Line2D):
        marks = [
            (artist.set_markerfacecolor, artist.get_markerfacecolor()),
            (artist.set_markeredgecolor, artist.get_markeredgecolor()),
        ]
        return [(artist.set_color, artist.get_color()), *marks]
    if isinstance(artist, Patch):
        return [(artist.set_edgecolor, artist.get_edgecolor()), (artist.set_facecolor, artist.get_facecolor())]
    if isinstance(artist, Collection) and artist.get_array() is None:
        return [(artist.set_edgecolor, artist.get_edgecolor()), (artist.set_facecolor, artist.get_facecolor())]
    return []


def _on_dark(color: Any) -> Any:
    """The same ink for a dark ground: grays from black to white become light to none, others at least as light as can be seen."""
    if isinstance(color, str) and color in ("none", "auto"):
        return color
    if isinstance(color, np.ndarray) and color.ndim == 2:
        return np.array([_on_dark(tuple(row)) for row in color]).reshape(-1, 4)
    *rgb, alpha = to_rgba(color)
    if max(rgb) - min(rgb) < 0.02:
        return (0, 0, 0, 0) if min(rgb) > 0.99 else (*[0.89 - 0.8 * sum(rgb) / 3] * 3, alpha)
    while np.dot([0.2126, 0.7152, 0.0722], np.power(rgb, 2.2)) < 0.2:  # a contrast of 4.2 with the dark page
        rgb = [value + 0.1 * (1 - value) for value in rgb]
    return (*rgb, alpha)


def figure(height: float, *, width: float = WIDTH) -> Figure:
    """An empty figure of this size in inches; titles, labels and color bars are kept inside and apart."""
    return Figure(figsize=(width, height), layout="constrained")


def palette(classes: int) -> tuple[str, ...]:
    """Colors for so many classes: all different up to ten, and repeated in order beyond that."""
    return PALETTE_OF_TEN if len(PALETTE) < classes <= len(PALETTE_OF_TEN) else PALETTE


def color(index: int, classes: int = 1) -> str:
    """Color number `index` of the palette for so many classes, which starts again after the last."""
    colors = palette(classes)
    return colors[index % len(colors)]


def dash(index: int, classes: int = 1) -> str:
    """A line style that changes when the colors start again, so that 32 lines stay apart."""
    return _DASHES[index // len(palette(classes)) % len(_DASHES)]


def marker(index: int, classes: int = 1) -> str:
    """A marker that changes when the colors start again, so that 64 classes stay apart."""
    return _MARKERS[index // len(palette(classes)) % len(_MARKERS)]


def legend_above(figure: Figure, axes: Axes) -> None:
    """The legend of `axes` above all panels, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 3))


def minus(text: str) -> str:
    """The text of a number with a true minus sign in place of each hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def literal(name: object, *, longest: int = 40) -> str:
    """A user's name as text: at most `longest` characters, "$" not read as mathematics, a leading "_" not as a hidden label."""
    text = " ".join(str(name).split())
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def note(axes: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GRAY, wrap=True)
    axes.set(xticks=[], yticks=[])


def footnote(figure: Figure, text: str) -> None:
    """Small gray text under everything else."""
    figure.supxlabel(text, fontsize=7.5, color=GRAY)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 jet", "10,000 jets"; `noun` is a plural in -s."""
    return f"{number:,} {noun.removesuffix('s') if number == 1 else noun}"


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 68.3 % score interval of a probability, of which `successes` in `trials` were seen.

    (k + 1/2 +- sqrt(k (n - k) / n + 1/4)) / (n + 1): Wilson 1927, J. Am. Statist. Assoc. 22, 209, with z = 1. It has a width
    at k = 0 and k = n. [0, 1] for no trials.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    spread = np.sqrt(k * (1 - k / np.where(n == 0, 1, n)) + 0.25)
    return np.clip((k + 0.5 - spread) / (n + 1), 0, 1), np.clip((k + 0.5 + spread) / (n + 1), 0, 1)
