"""Spherical harmonics at arbitrary points, their conventions, and the grids of rings on which maps are kept."""

from jaxsci.ops.sphere._conventions import (
    GEODESY,
    GEOMAGNETISM,
    HEALPIX,
    Convention,
    convert,
    from_alm,
    power_spectrum,
    to_alm,
)
from jaxsci.ops.sphere._grids import GaussLegendre, Healpix
from jaxsci.ops.sphere._harmonics import complex_harmonics, evaluate, harmonic_gradients, real_harmonics
from jaxsci.ops.sphere._pixels import nested_to_ring, nside_of, pixel_angles, ring_to_nested, to_nested, to_ring
from jaxsci.ops.sphere._transforms import UNSEEN, analysis, healpix_ring_weights, masked, synthesis

__all__ = [
    "GEODESY",
    "GEOMAGNETISM",
    "HEALPIX",
    "UNSEEN",
    "Convention",
    "GaussLegendre",
    "Healpix",
    "analysis",
    "complex_harmonics",
    "convert",
    "evaluate",
    "from_alm",
    "harmonic_gradients",
    "healpix_ring_weights",
    "masked",
    "nested_to_ring",
    "nside_of",
    "pixel_angles",
    "power_spectrum",
    "real_harmonics",
    "ring_to_nested",
    "synthesis",
    "to_alm",
    "to_nested",
    "to_ring",
]
