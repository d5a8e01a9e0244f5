"""Figures as PNG images, the same bytes for the same figure."""

import contextlib
import io
from pathlib import Path

from matplotlib.figure import Figure

from jaxsci.files import replacing
from jaxsci.plots.style import context, dark_ink

__all__ = ["encode", "save"]

PIXELS_PER_INCH = 192  # twice the 96 of a web page: sharp on dense screens and in print


def encode(figure: Figure, *, dark: bool = False) -> bytes:
    """The PNG of a figure, without date or version in it; `dark`: with light ink on a transparent ground, for a dark page."""
    buffer = io.BytesIO()
    with context(), dark_ink(figure) if dark else contextlib.nullcontext():
        ground = "none" if dark else "auto"
        figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None}, facecolor=ground)
    return buffer.getvalue()


def save(figure: Figure, path: str | Path) -> None:
    """Write the PNG of a figure to `path`, whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    content = encode(figure)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
