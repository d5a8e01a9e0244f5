"""Figures as PNG images, the same bytes for the same figure."""

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from jaxsci.files import replacing
from jaxsci.plots.style import context, dark_ink, laid_out

__all__ = ["encode", "encode_both", "save"]

PIXELS_PER_INCH = 192  # twice the 96 of a web page: sharp on dense screens and in print


def encode(figure: Figure) -> bytes:
    """The PNG of a figure, without date or version in it."""
    canvas = FigureCanvasAgg(figure)  # one, so that texts that were measured for the layout need not be measured again
    with context(), laid_out(figure, PIXELS_PER_INCH):
        return _png(canvas)


def encode_both(figure: Figure) -> tuple[bytes, bytes]:
    """The PNGs of a figure for light pages and, with light ink on a transparent ground, for dark ones."""
    canvas = FigureCanvasAgg(figure)
    with context(), laid_out(figure, PIXELS_PER_INCH):
        light = _png(canvas)
        with dark_ink(figure):
            return light, _png(canvas)


def _png(canvas: FigureCanvasAgg) -> bytes:
    # Not by `savefig`, which goes through all of the figure once more for a layout that is known.
    canvas.draw()
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).save(buffer, "PNG", dpi=(PIXELS_PER_INCH, PIXELS_PER_INCH))
    return buffer.getvalue()


def save(figure: Figure, path: str | Path) -> None:
    """Write the PNG of a figure to `path`, whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    content = encode(figure)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
