"""The pixels of maps [map, pixel] as rows of rings, band by band: two lists, of the northern rings and of their mirror images.

Rows are [map, ring, width]; beyond the length of a shorter ring they hold arbitrary values. Rings run from the pole to the equator in both
lists; the equator has no mirror image, and its row in the second list is 0, or not used.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.ops.sphere._bands import Band, bands, north
from jaxsci.ops.sphere._grids import Grid


def split(pixels: Array, grid: Grid, lmax: int) -> tuple[list[Array], list[Array]]:
    """Maps [map, pixel] to rows of both hemispheres."""
    upper, lower = [], []
    begin, end = 0, pixels.shape[1]
    for band in bands(grid, lmax):
        length = _mirrored(band, grid, lmax)
        upper.append(_rows(pixels[:, begin : begin + band.length.sum()], band.length, band))
        southern = _rows(pixels[:, end - length.sum() : end], length[::-1], band)
        missing = len(band.length) - len(length)
        lower.append(jnp.pad(jnp.flip(southern, 1), ((0, 0), (0, missing), (0, 0))))
        begin, end = begin + band.length.sum(), end - length.sum()
    return upper, lower


def join(upper: Sequence[Array], lower: Sequence[Array], grid: Grid, lmax: int) -> Array:
    """Rows of both hemispheres to maps [map, pixel]."""
    pixels = [_pixels(rows, band.length, band) for rows, band in zip(upper, bands(grid, lmax), strict=True)]
    southern = []
    for rows, band in zip(lower, bands(grid, lmax), strict=True):
        length = _mirrored(band, grid, lmax)
        southern.append(_pixels(jnp.flip(rows[:, : len(length)], 1), length[::-1], band))
    return jnp.concatenate([*pixels, *reversed(southern)], axis=1)


def _mirrored(band: Band, grid: Grid, lmax: int) -> np.ndarray:
    """The lengths of the rings of the band that have a mirror image."""
    part = north(grid, lmax)
    return band.length[:-1] if part.equator and band.last == len(part.cos) else band.length


def _rows(pixels: Array, length: np.ndarray, band: Band) -> Array:
    if band.chirp == 0:
        return pixels.reshape(len(pixels), len(length), band.width)
    start = jnp.asarray(np.cumsum(length) - length, jnp.int32)
    index = start[:, None] + jnp.arange(band.width, dtype=jnp.int32)[None, :]
    return jnp.take(pixels, index, axis=1, mode="clip")


def _pixels(rows: Array, length: np.ndarray, band: Band) -> Array:
    flat = rows.reshape(len(rows), -1)
    if band.chirp == 0:
        return flat
    index = np.arange(length.sum()) + np.repeat(
        np.arange(len(length)) * band.width - np.cumsum(length) + length, length
    )
    return jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
