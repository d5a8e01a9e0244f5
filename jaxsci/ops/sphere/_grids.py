"""Grids of rings of equal latitude, on which spherical harmonic transforms are fast: HEALPix, and Gauss-Legendre, which is exact."""

import functools
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxsci.errors import InputError


@dataclass(frozen=True)
class Healpix:
    """12 nside^2 pixels of equal area in ring order (Gorski et al. 2005, ApJ 622, 759)."""

    nside: int

    def __post_init__(self) -> None:
        if self.nside < 1:
            raise InputError(f"nside must be at least 1, not {self.nside}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a map."""
        return (12 * self.nside**2,)

    @property
    def lmax(self) -> int:
        """The largest degree that is worth an analysis, 3 nside - 1."""
        return 3 * self.nside - 1


@dataclass(frozen=True)
class GaussLegendre:
    """`rings` at the zeros of the Legendre polynomial of this degree, each of `longitudes` points beginning at 0.

    A field of degree l < rings, 2 l < longitudes, is recovered exactly.
    """

    rings: int
    longitudes: int

    def __post_init__(self) -> None:
        if min(self.rings, self.longitudes) < 1:
            raise InputError(f"a grid needs rings and longitudes, not {self.rings} and {self.longitudes}")

    @classmethod
    def of_degree(cls, lmax: int) -> "GaussLegendre":
        """The smallest grid for degree `lmax` with an even number of longitudes."""
        return cls(lmax + 1, 2 * lmax + 2)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a map."""
        return (self.rings, self.longitudes)

    @property
    def lmax(self) -> int:
        """The largest degree that an analysis recovers."""
        return min(self.rings - 1, (self.longitudes - 1) // 2)


Grid: TypeAlias = Healpix | GaussLegendre


class Rings(NamedTuple):
    """The rings from north to south, each [ring]; the southern ones mirror the northern ones."""

    cos: np.ndarray  # of the colatitude
    sin: np.ndarray
    phi0: np.ndarray  # longitude of the first pixel
    length: np.ndarray  # number of pixels
    start: np.ndarray  # index of the first pixel
    weight: np.ndarray  # solid angle that a pixel stands for: of the quadrature


@functools.lru_cache(maxsize=32)
def rings(grid: Grid) -> Rings:
    """The geometry of a grid."""
    cos, sin, phi0, length, weight = _healpix(grid.nside) if isinstance(grid, Healpix) else _gauss_legendre(grid)
    result = Rings(cos, sin, phi0, length, np.cumsum(length) - length, weight)
    for array in result:
        array.setflags(write=False)  # cached: every caller gets the same
    return result


def _healpix(nside: int) -> tuple[np.ndarray, ...]:
    ring = np.arange(1, 4 * nside)
    quarter = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    polar = (quarter / nside) ** 2 / 3  # 1 - |cos| in the polar caps
    cap = quarter < nside
    cos = np.where(cap, np.sign(2 * nside - ring) * (1 - polar), (4 * nside - 2 * ring) / (3 * nside))
    sin = np.sqrt(np.where(cap, polar * (2 - polar), (1 - cos) * (1 + cos)))  # without 1 - cos^2 near the poles
    shifted = cap | ((ring - nside) % 2 == 0)
    phi0 = np.where(shifted, np.pi / (4 * quarter), 0.0)
    return cos, sin, phi0, 4 * quarter, np.full(len(ring), 4 * np.pi / (12 * nside**2))


def _gauss_legendre(grid: GaussLegendre) -> tuple[np.ndarray, ...]:
    cos, sin, weight = gauss_legendre(grid.rings)
    count = np.full(grid.rings, grid.longitudes)
    return cos, sin, np.zeros(grid.rings), count, weight * 2 * np.pi / grid.longitudes


def gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine and sine of the n nodes from north to south, and their weights, whose sum is 2; w = 2 / (dP_n / dtheta)^2.

    By Newton's method in the angle and with differences of P_k, so that weights near the poles keep all their digits: numpy's leggauss has
    ten of them at 257 nodes.
    """
    theta = (np.arange(1, (n + 1) // 2 + 1) - 0.25) * np.pi / (n + 0.5)
    for _ in range(8):  # four are enough for any n
        value, slope = _legendre_and_slope(n, theta)
        theta = theta - value / slope
    weight = 2 / _legendre_and_slope(n, theta)[1] ** 2
    cos = np.where(np.arange(1, len(theta) + 1) * 2 == n + 1, 0.0, np.cos(theta))

    def mirrored(north: np.ndarray, sign: int = 1) -> np.ndarray:
        return np.concatenate([north, sign * north[: n // 2][::-1]])

    return mirrored(cos, -1), mirrored(np.sin(theta)), mirrored(weight)


def _legendre_and_slope(n: int, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P_n(cos theta) and its derivative by theta: (k + 1) (P_{k+1} - P_k) = k (P_k - P_{k-1}) - (2 k + 1) (1 - cos theta) P_k."""
    y = 2 * np.sin(theta / 2) ** 2
    p = np.ones_like(theta)
    step = np.zeros_like(theta)
    for k in range(n):
        step = (k * step - (2 * k + 1) * y * p) / (k + 1)
        p = p + step
    # sin P_n' = n (P_{n-1} - cos P_n) / sin = n (y P_n - step) / sin
    return p, -n * (y * p - step) / np.sin(theta)
