"""Functions on the sphere: maps in Mollweide projection, power spectra."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import ArrayLike

from jaxsci.errors import InputError
from jaxsci.plots import style
from jaxsci.plots.fit import Curve, Points, draw_curve, draw_points

__all__ = ["Globe", "Mark", "degree_powers", "globes", "regions", "spectrum"]


class Globe(NamedTuple):
    """Values on a grid of latitudes and longitudes; NaN is drawn gray."""

    values: ArrayLike  # [latitude, longitude], the first row north, the first column at the left edge of the map
    title: str
    limit: float | None = None  # of the colors, symmetric about 0; None: that of the first map
    coast: ArrayLike | None = None  # values on such a grid, whose line 0 is drawn


@style.context()
def globes(maps: Sequence[Globe], *, label: str, colors: str = "RdBu_r", columns: int = 1) -> Figure:
    """Whole spheres in Mollweide projection (equal areas), side by side, with a color bar for each different range.

    Args:
        maps: the spheres.
        label: of the color bars, with the unit.
        colors: a matplotlib color map that is symmetric about its middle.
        columns: of panels.

    Raises:
        InputError: no map.
    """
    if not maps:
        raise InputError("globes: expected at least one map, got none")
    rows = -(-len(maps) // columns)
    width = style.WIDTH / columns
    figure = style.figure(rows * (0.5 * width + 0.75))
    panels = figure.subplots(rows, columns, squeeze=False, subplot_kw={"projection": "mollweide"}).ravel()
    first = maps[0].limit or float(np.nanpercentile(np.abs(np.asarray(maps[0].values)), 99))
    for axes, globe in zip(panels, maps, strict=False):
        limit = globe.limit or first
        grid = np.asarray(globe.values, np.float64)
        latitude = np.linspace(np.pi / 2, -np.pi / 2, grid.shape[0] + 1)
        longitude = np.linspace(-np.pi, np.pi, grid.shape[1] + 1)
        axes.set_facecolor("#d0d0d0")
        image = axes.pcolormesh(
            longitude, latitude, np.ma.masked_invalid(grid), cmap=colors, vmin=-limit, vmax=limit, rasterized=True
        )
        if globe.coast is not None:
            _coast(axes, np.asarray(globe.coast, np.float64), (-np.pi, np.pi, -np.pi / 2, np.pi / 2))
        axes.set(title=globe.title, xticks=[], yticks=[])
        bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.6, pad=0.03, aspect=30)
        bar.set_label(label)
        bar.locator = MaxNLocator(5 if columns == 1 else 4)
        bar.update_ticks()
    for axes in panels[len(maps) :]:
        axes.set_visible(False)
    return figure


def _coast(axes: Axes, grid: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """The line 0 of a grid, the first row north, between these longitudes and latitudes."""
    west, east, south, north = extent
    rows, columns = grid.shape
    longitude = west + (np.arange(columns) + 0.5) * (east - west) / columns
    latitude = north - (np.arange(rows) + 0.5) * (north - south) / rows
    if grid.min() < 0 < grid.max():
        lines = axes.contour(longitude, latitude, grid, levels=[0.0], colors="black", linewidths=0.4)
        lines.set_gid(style.ON_COLOR)


@style.context()
def regions(
    maps: Mapping[str, ArrayLike],
    extent: tuple[float, float, float, float],
    *,
    label: str,
    limit: float,
    coast: ArrayLike | None = None,
    colors: str = "RdBu_r",
) -> Figure:
    """A part of the sphere as several maps have it, side by side on one scale, longitude and latitude as straight axes.

    Args:
        maps: by title [row, column], the first row north.
        extent: of all, degrees: west, east, south, north.
        label: of the color bar, with the unit.
        limit: of the colors, symmetric about 0.
        coast: values on such a grid, whose line 0 is drawn.
        colors: a matplotlib color map that is symmetric about its middle.
    """
    figure = style.figure(3.0)
    panels = figure.subplots(1, len(maps), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        image = axes.imshow(
            np.asarray(values), cmap=colors, vmin=-limit, vmax=limit, extent=extent, aspect="auto", rasterized=True
        )
        if coast is not None:
            _coast(axes, np.asarray(coast, np.float64), extent)
        axes.set(title=title, xlabel="longitude (°)")
    panels[0].set(ylabel="latitude (°)")
    figure.colorbar(image, ax=panels, label=label, shrink=0.9, aspect=25, pad=0.02)
    return figure


class Mark(NamedTuple):
    """A place on a spectrum with its error."""

    degree: float
    error: float
    height: float


@style.context()
def spectrum(
    points: Points,
    curves: Mapping[str, Curve],
    *,
    break_at: float | None = None,
    marks: Sequence[Mark] = (),
    ylabel: str = r"$D_\ell = \ell(\ell+1)C_\ell/2\pi$ ($\mu$K$^2$)",
    words: str = "",
) -> Figure:
    """A power spectrum against the degree: measurements over curves with their bands.

    Args:
        points: the measured powers.
        curves: by name.
        break_at: degrees below it are drawn on a logarithmic axis, those above on a linear one, as is usual for the whole range of the
            cosmic microwave background; None: one linear axis.
        marks: places to mark, such as fitted peaks, numbered from 1.
        ylabel: with its unit.
        words: a note in the upper right corner.
    """
    figure = style.figure(4.2)
    if break_at is None:
        panels: list[Axes] = [figure.subplots()]
    else:
        panels = list(figure.subplots(1, 2, sharey=True, width_ratios=[1, 2.2]))
    x = np.asarray(points.x, np.float64)
    sides = [np.full(x.shape, True)] if break_at is None else [x < break_at, x >= break_at]
    for axes, side in zip(panels, sides, strict=True):
        for i, (name, curve) in enumerate(curves.items()):
            draw_curve(axes, name, curve, i)
        half = None if points.half_width is None else np.asarray(points.half_width)[side]
        draw_points(
            axes, Points(x[side], np.asarray(points.y)[side], np.asarray(points.error)[..., side], half, points.label)
        )
    if break_at is not None:
        panels[0].set(xscale="log", xlim=(max(1.5, x.min() * 0.9), break_at))
        panels[0].set_xticks([t for t in (2, 5, 10, 20, 50, 100) if t < break_at])
        panels[0].xaxis.set_major_formatter(ScalarFormatter())
        panels[0].xaxis.set_minor_formatter(NullFormatter())
        panels[1].set(xlim=(break_at, 1.01 * x.max()))
        panels[1].spines["left"].set_color("#c0c0c0")
        panels[1].tick_params(axis="y", length=0)
    _draw_marks(panels[-1], marks)
    top = float(np.nanmax([np.nanmax(np.asarray(points.y)), *(np.nanmax(np.asarray(c.y)) for c in curves.values())]))
    lowest = float(np.nanmin([np.nanmin(np.asarray(points.y)), *(np.nanmin(np.asarray(c.y)) for c in curves.values())]))
    panels[0].set(ylabel=ylabel, ylim=(1.25 * min(0.0, lowest), 1.25 * top))
    figure.supxlabel(r"multipole $\ell$", fontsize=9.5)
    panels[-1].legend(loc="upper right" if not words else "upper left")
    if words:
        panels[-1].text(0.985, 0.97, words, transform=panels[-1].transAxes, ha="right", va="top")
    return figure


def _draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    """Numbered triangles with their errors, above the places that they mark."""
    color = style.color(1)
    for number, mark in enumerate(marks, start=1):
        place = (mark.degree, mark.height * 1.07)
        axes.errorbar(*place, xerr=mark.error, fmt="v", color=color, markersize=5, zorder=6)
        axes.annotate(f"{number}", place, (0, 6), textcoords="offset points", ha="center", color=color)


@style.context()
def degree_powers(spectra: Mapping[str, tuple[ArrayLike, ArrayLike]], *, ylabel: str) -> Figure:
    """Power against degree, both axes logarithmic.

    Args:
        spectra: by name, degrees and powers, each [l]; powers that are not positive are left out.
        ylabel: with the unit.
    """
    figure = style.figure(3.8)
    axes = figure.subplots()
    for i, (name, (degree, power)) in enumerate(spectra.items()):
        x, y = np.asarray(degree, np.float64), np.asarray(power, np.float64)
        use = (x > 0) & (y > 0)
        axes.plot(x[use], y[use], style.dash(8 * i), color=style.color(i), label=style.literal(name), linewidth=1.2)
    axes.set(xscale="log", yscale="log", xlabel=r"degree $\ell$", ylabel=ylabel)
    axes.grid(True)
    axes.legend()
    return figure
