"""Grids of rings of equal latitude, on which spherical harmonic transforms are fast: HEALPix, Gauss-Legendre and equal steps."""

import functools
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxsci import healpix
from jaxsci.errors import InputError


@dataclass(frozen=True)
class Healpix:
    """12 nside^2 pixels of equal area in RING order (`jaxsci.healpix` has their places)."""

    nside: int

    def __post_init__(self) -> None:
        healpix.check_nside(self.nside)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a map."""
        return (12 * self.nside**2,)

    @property
    def lmax(self) -> int:
        """The largest degree that is worth an analysis, 3 nside - 1."""
        return 3 * self.nside - 1


@dataclass(frozen=True)
class GaussLegendre:
    """`rings` at the zeros of the Legendre polynomial of this degree, each of `longitudes` points from longitude 0 eastward.

    A field of degree l < rings, 2 l < longitudes, is recovered exactly.
    """

    rings: int
    longitudes: int

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def of_degree(cls, lmax: int) -> "GaussLegendre":
        """The smallest grid for degree `lmax` with an even number of longitudes."""
        return cls(lmax + 1, 2 * lmax + 2)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a map."""
        return (self.rings, self.longitudes)

    @property
    def lmax(self) -> int:
        """The largest degree that an analysis recovers."""
        return min(self.rings - 1, (self.longitudes - 1) // 2)


@dataclass(frozen=True)
class Equiangular:
    """Cells of equal steps in colatitude and longitude, as maps of the Earth have them: points are the centers of the cells.

    Rings lie at theta = (k + 1/2) pi / rings, their points at phi0, phi0 + 2 pi / longitudes, ...; the weights are those of Fejer's first
    rule. A field of degree l, 2 l < rings and 2 l < longitudes, is recovered exactly.
    """

    rings: int
    longitudes: int
    phi0: float = 0.0  # longitude of the first points, radians

    def __post_init__(self) -> None:
        _check(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a map."""
        return (self.rings, self.longitudes)

    @property
    def lmax(self) -> int:
        """The largest degree that an analysis recovers."""
        return (min(self.shape) - 1) // 2


Grid: TypeAlias = Healpix | GaussLegendre | Equiangular


def _check(grid: GaussLegendre | Equiangular) -> None:
    if min(grid.shape) < 1:
        raise InputError(f"{type(grid).__name__}: expected at least one ring and one longitude, got {grid.shape}")


class Rings(NamedTuple):
    """The rings from north to south, each [ring]; the southern ones mirror the northern ones."""

    cos: np.ndarray  # of the colatitude
    sin: np.ndarray
    phi0: np.ndarray  # longitude of the first pixel
    length: np.ndarray  # number of pixels
    weight: np.ndarray  # solid angle that a pixel stands for: of the quadrature


@functools.lru_cache(maxsize=32)
def rings(grid: Grid) -> Rings:
    """Return the geometry of a grid; the arrays are read-only."""
    if isinstance(grid, Healpix):
        cos, sin, phi0, length = healpix.rings(grid.nside)
        weight = np.full(len(cos), 4 * np.pi / (12 * grid.nside**2))
    else:
        gauss = isinstance(grid, GaussLegendre)
        cos, sin, weight = gauss_legendre(grid.rings) if gauss else _fejer(grid.rings)
        phi0 = np.full(grid.rings, grid.phi0 if isinstance(grid, Equiangular) else 0.0)
        length = np.full(grid.rings, grid.longitudes)
        weight = weight * 2 * np.pi / grid.longitudes
    result = Rings(cos, sin, phi0, length, weight)
    for array in result:
        array.setflags(write=False)  # cached: every caller gets the same
    return result


def gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cosine and sine of the n Gauss-Legendre nodes from north to south, and their weights, whose sum is 2; each [n].

    Newton's method in the angle, with differences of P_k and w = 2 / (dP_n / dtheta)^2, keeps all digits of the weights near the poles:
    numpy's leggauss has ten of them at 257 nodes.
    """
    theta = (np.arange(1, (n + 1) // 2 + 1) - 0.25) * np.pi / (n + 0.5)
    for _ in range(8):  # four are enough for any n
        value, slope = _legendre_and_slope(n, theta)
        theta = theta - value / slope
    weight = 2 / _legendre_and_slope(n, theta)[1] ** 2
    cos = np.where(np.arange(1, len(theta) + 1) * 2 == n + 1, 0.0, np.cos(theta))
    return _mirrored(cos, n, -1), _mirrored(np.sin(theta), n), _mirrored(weight, n)


def _fejer(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for theta_k = (k + 1/2) pi / n: w_k = (2 / n) (1 - 2 sum_{j <= n / 2} cos(2 j theta_k) / (4 j^2 - 1))."""
    theta = (np.arange((n + 1) // 2) + 0.5) * np.pi / n
    j = np.arange(1, n // 2 + 1)
    weight = (1 - 2 * np.cos(2 * theta[:, None] * j) @ (1 / (4 * j**2 - 1))) * 2 / n
    cos = np.where(2 * np.arange(len(theta)) + 1 == n, 0.0, np.cos(theta))
    return _mirrored(cos, n, -1), _mirrored(np.sin(theta), n), _mirrored(weight, n)


def _mirrored(north: np.ndarray, n: int, sign: int = 1) -> np.ndarray:
    """The values of n rings from those of the northern ones and the equator."""
    return np.concatenate([north, sign * north[: n // 2][::-1]])


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
