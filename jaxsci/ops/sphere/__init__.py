"""Spherical harmonics at any points, transforms on grids of rings, and the conventions of their coefficients.

`evaluate` sums a field at points, `synthesis` on a grid; `analysis` finds the coefficients of a map; `convert`, `to_alm` and `from_alm`
lead from one convention and layout to another. `polarization_synthesis` and `polarization_analysis` lead from E and B to Q and U and back.
Coefficients of real harmonics are one vector [(lmax + 1)^2], (l, m) at l^2 + l + m; a_lm of m >= 0 are complex
[(lmax + 1)(lmax + 2) / 2] in HEALPix's order. The places and orderings of HEALPix's pixels are in `jaxsci.healpix`.
"""

from jaxsci.ops.sphere._conventions import (
    GEODESY,
    GEOMAGNETISM,
    HEALPIX,
    ORTHONORMAL,
    Convention,
    alm_degrees,
    alm_index,
    alm_size,
    convert,
    from_alm,
    power_spectrum,
    real_degrees,
    real_index,
    to_alm,
)
from jaxsci.ops.sphere._grids import Equiangular, GaussLegendre, Grid, Healpix, gauss_legendre
from jaxsci.ops.sphere._harmonics import complex_harmonics, evaluate, harmonic_gradients, real_harmonics
from jaxsci.ops.sphere._transforms import (
    analysis,
    healpix_ring_weights,
    masked,
    polarization_analysis,
    polarization_synthesis,
    synthesis,
)

__all__ = [
    "GEODESY",
    "GEOMAGNETISM",
    "HEALPIX",
    "ORTHONORMAL",
    "Convention",
    "Equiangular",
    "GaussLegendre",
    "Grid",
    "Healpix",
    "alm_degrees",
    "alm_index",
    "alm_size",
    "analysis",
    "complex_harmonics",
    "convert",
    "evaluate",
    "from_alm",
    "gauss_legendre",
    "harmonic_gradients",
    "healpix_ring_weights",
    "masked",
    "polarization_analysis",
    "polarization_synthesis",
    "power_spectrum",
    "real_degrees",
    "real_harmonics",
    "real_index",
    "synthesis",
    "to_alm",
]
