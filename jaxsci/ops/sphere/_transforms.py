"""Spherical harmonic transforms on the rings of a grid: `synthesis` (a_lm -> map) and `analysis` (map -> a_lm), and those of polarization.

All are pure, linear functions of one map, closed under every transformation of JAX; many maps under `vmap` share the Legendre functions.
Memory is that of the maps, the coefficients and a few Legendre functions (for 16 maps or more a table of them all, if it fits into
128 MiB), in derivatives too.

Numbers keep their digits well above the smallest normal number of their dtype (1.2e-38 in float32): XLA sets what is below it to 0,
without a word, so that coefficients or pixels of 1e-35 in float32 lose up to 6 %. The transforms are linear: choose a unit that makes
such data larger, or float64 (2.2e-308).

Why not an existing library: on a CPU jht, which is written in JAX, took 38 to 62 times as long as healpy, and ducc0 and healpy have neither
derivatives nor batching. benchmarks/results/sphere.md compares these transforms with them.
"""

import functools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array
from jaxsci.errors import InputError
from jaxsci.healpix import UNSEEN
from jaxsci.ops.sphere import _ducc as ducc
from jaxsci.ops.sphere._conventions import alm_degrees, alm_lmax
from jaxsci.ops.sphere._grids import Grid, Healpix, rings
from jaxsci.ops.sphere._legendre.functions import check_degree
from jaxsci.ops.sphere._transform_primitives import Backend, Kind, transform, transform_of_zeros


def synthesis(alm: Array, grid: Grid, *, backend: Backend = "jax") -> Array:
    """Evaluate a field on a grid: f(p) = sum_lm a_lm Y_lm(p) over -l <= m <= l at every pixel, with a_l,-m = (-1)^m conj(a_lm).

    Args:
        alm: complex [(lmax + 1)(lmax + 2) / 2] of m >= 0 in HEALPix's order; the imaginary parts of a_l0 are ignored.
        grid: the pixels, HEALPix in RING order.
        backend: what computes it. "jax" runs on every processor. "ducc0" calls the library of this name on the CPU, which must be installed
            (it is GPL): faster there, with the same derivatives and batching, but the program cannot be exported.

    Returns:
        real, of `grid.shape`.

    Raises:
        InputError: the number of coefficients belongs to no lmax, the recursion would underflow at this degree in this dtype, or the
            backend is unknown or not installed.
    """
    expect_shapes("alm [coefficient]", alm)
    if not jnp.iscomplexobj(alm):
        raise InputError(
            f"synthesis: expected complex a_lm, got {alm.dtype}; make them from real coefficients by to_alm"
        )
    lmax = alm_lmax(alm.size)
    check_degree(lmax, alm.real.dtype)
    kind = Kind(grid, lmax, 0, _checked(backend))
    return transform("synthesis", jnp.stack([alm.real, alm.imag])[None], kind)[0].reshape(grid.shape)


def analysis(
    pixels: Array,
    grid: Grid,
    lmax: int,
    *,
    iterations: int = 3,
    ring_weights: Array | None = None,
    backend: Backend = "jax",
) -> Array:
    """Find the coefficients of a map, a_lm = sum_p w_p f(p) conj(Y_lm(p)).

    Jacobi iterations improve them: a <- a + analysis(f - synthesis(a)). On HEALPix the quadrature is approximate and needs some. On the
    other grids it is exact: use `iterations=0`.

    Args:
        pixels: real, of `grid.shape`; `masked` applies a mask.
        grid: the pixels, HEALPix in RING order.
        lmax: the largest degree, at most `grid.lmax`.
        iterations: number of Jacobi iterations.
        ring_weights: [ring], factors of the quadrature weights, as from `healpix_ring_weights`.
        backend: as of `synthesis`.

    Returns:
        complex [(lmax + 1)(lmax + 2) / 2] in HEALPix's order.

    Raises:
        InputError: lmax is too large for the grid or the dtype, the map is not of this grid, or (outside `jit`) has NaN or UNSEEN pixels.
    """
    _check_map(pixels, grid, lmax)
    kind = Kind(grid, lmax, 0, _checked(backend))
    alm = _coefficients(pixels.ravel()[None], kind, iterations, ring_weights)[0]
    return jax.lax.complex(alm[0], alm[1])


def polarization_synthesis(e: Array, b: Array, grid: Grid, *, backend: Backend = "jax") -> tuple[Array, Array]:
    """Evaluate linear polarization on a grid: Q +- i U = -sum_lm (E_lm +- i B_lm) (+-2)Y_lm, E and B as HEALPix defines them.

    The sign of U is that of HEALPix (POLCCONV = COSMO): x points to the south and y to the east. In the convention of the IAU x points to
    the north, and U has the other sign.

    Args:
        e, b: complex [(lmax + 1)(lmax + 2) / 2] of m >= 0 in HEALPix's order; degrees 0 and 1 and the imaginary parts of m = 0 are ignored.
        grid: the pixels, HEALPix in RING order.
        backend: as of `synthesis`.

    Returns:
        Q and U, real, each of `grid.shape`.

    Raises:
        InputError: as `synthesis`, or E and B of different numbers.
    """
    expect_shapes("e [coefficient]", e)
    expect_shapes("b [coefficient]", b)
    if not (jnp.iscomplexobj(e) and e.dtype == b.dtype and e.shape == b.shape):
        raise InputError(
            f"polarization_synthesis: expected complex E and B of one lmax, got {e.dtype}{list(e.shape)} and {b.dtype}{list(b.shape)};"
            " fill the missing ones with 0"
        )
    lmax = alm_lmax(e.size)
    _check_spin(lmax)
    check_degree(lmax, e.real.dtype)
    kind = Kind(grid, lmax, 2, _checked(backend))
    q, u = transform("synthesis", jnp.stack([e.real, e.imag, b.real, b.imag])[None], kind)[0]
    return q.reshape(grid.shape), u.reshape(grid.shape)


def polarization_analysis(
    q: Array,
    u: Array,
    grid: Grid,
    lmax: int,
    *,
    iterations: int = 3,
    ring_weights: Array | None = None,
    backend: Backend = "jax",
) -> tuple[Array, Array]:
    """Find E and B of maps of Q and U, the inverse of `polarization_synthesis`, as `analysis` finds a_lm.

    On a part of the sky E and B are not distinct: what is seen of one leaks into the other.

    Args:
        q, u: real, of `grid.shape`, with the sign of U of HEALPix; `masked` applies a mask.
        grid, lmax, iterations, ring_weights, backend: as of `analysis`.

    Returns:
        E and B, each complex [(lmax + 1)(lmax + 2) / 2] in HEALPix's order; degrees 0 and 1 are 0.

    Raises:
        InputError: as `analysis`.
    """
    _check_spin(lmax)
    for pixels in (q, u):
        _check_map(pixels, grid, lmax)
    kind = Kind(grid, lmax, 2, _checked(backend))
    alm = _coefficients(jnp.stack([q.ravel(), u.ravel()])[None], kind, iterations, ring_weights)[0]
    return jax.lax.complex(alm[0], alm[1]), jax.lax.complex(alm[2], alm[3])


def _checked(backend: Backend) -> Backend:
    if backend not in get_args(Backend):
        raise InputError(f'backend: expected "jax" or "ducc0", got {backend!r}; leave it out for "jax"')
    if backend == "ducc0":
        ducc.library()
    return backend


def _coefficients(pixels: Array, kind: Kind, iterations: int, ring_weights: Array | None) -> Array:
    """Quadrature and Jacobi iterations: [map, ..., pixel] -> real and imaginary parts [map, part, a_lm]."""
    weight = jnp.broadcast_to(_weights(kind.grid, pixels.dtype, ring_weights).ravel(), pixels.shape)
    once = jnp.asarray(np.where(alm_degrees(kind.lmax)[1] > 0, 0.5, 1.0), pixels.dtype)[None, None]

    def weighted_sums(pixels: Array) -> Array:
        return transform("adjoint_synthesis", pixels * weight, kind) * once

    def improve(alm: Array, _: None) -> tuple[Array, None]:
        return alm + weighted_sums(pixels - transform("synthesis", alm, kind)), None

    if iterations == 0:
        return weighted_sums(pixels)
    # Starting from 0, so that each transform is compiled only once.
    start = transform_of_zeros("adjoint_synthesis", pixels, kind)
    return jax.lax.scan(improve, start, length=iterations + 1)[0]


def _check_spin(lmax: int) -> None:
    if lmax < 2:
        raise InputError(f"polarization: expected degrees to 2 or more, got {lmax}; E and B begin at degree 2")


def masked(pixels: Array, mask: Array) -> Array:
    """Multiply a map by a mask, with 0 wherever the mask is 0, even if the map is NaN or UNSEEN there.

    Raises:
        InputError: the mask has another shape, or (outside `jit`) removes everything.
    """
    if pixels.shape != mask.shape:
        raise InputError(
            f"mask: expected the shape {pixels.shape} of the map, got {mask.shape}; bring both to the same grid"
        )
    if not isinstance(mask, jax.core.Tracer) and not np.any(np.asarray(mask)):
        raise InputError(
            "mask: expected some pixels that are not 0, got only 0, which removes everything; is it inverted?"
        )
    kept = mask.astype(pixels.dtype)
    return jnp.where(kept != 0, pixels, 0) * kept


@functools.lru_cache(maxsize=8)
def healpix_ring_weights(nside: int, degree: int | None = None) -> np.ndarray:
    """Return factors [ring] of HEALPix's pixel weights that make the quadrature exact for zonal harmonics to this degree.

    Among all such factors those with the smallest sum of squares of (pixels in a ring and its mirror image) times (factor - 1). The tables
    distributed with HEALPix are these, for the degrees 24 (nside 8), 48 (16), 100 (32), 226 (64), 454 (128), 768 (256) and 1700 (512).

    Args:
        nside: of the map.
        degree: even; None: 3 nside, or 2 nside for nside <= 4.

    Raises:
        InputError: a degree that the rings do not determine.
    """
    degree = (3 if nside > 4 else 2) * nside // 2 * 2 if degree is None else degree
    if not 0 <= degree <= 4 * nside - 2:
        raise InputError(
            f"ring weights: expected a degree from 0 to 4 nside - 2 = {4 * nside - 2}, got {degree}; lower it"
        )
    geometry = rings(Healpix(nside))
    half = 2 * nside
    count = geometry.length[:half] * np.where(np.arange(half) < half - 1, 2, 1) / (12 * nside**2)
    norm = np.sqrt(2 * np.arange(0, degree + 1, 2) + 1)[:, None]
    zonal = np.polynomial.legendre.legvander(geometry.cos[:half], degree)[:, ::2].T * norm
    wanted = (np.arange(len(zonal)) == 0) - zonal @ count
    factor = 1 + np.linalg.lstsq(zonal, wanted, rcond=None)[0] / count
    factor = np.concatenate([factor, factor[-2::-1]])
    factor.setflags(write=False)
    return factor


def _weights(grid: Grid, dtype: Any, ring_weights: Array | None) -> Array:
    """The quadrature weight (solid angle) of every pixel, in a shape that broadcasts with the map."""
    geometry = rings(grid)
    if isinstance(grid, Healpix):
        if ring_weights is None:
            return jnp.asarray(geometry.weight[0], dtype)
        expect_shapes("ring_weights [ring]", ring_weights, ring=len(geometry.weight))
        total = 12 * grid.nside**2
        by_ring = jnp.asarray(ring_weights, dtype) * jnp.asarray(geometry.weight[0], dtype)
        return jnp.repeat(by_ring, jnp.asarray(geometry.length, jnp.int32), total_repeat_length=total)
    factor = jnp.ones((), dtype) if ring_weights is None else jnp.asarray(ring_weights, dtype)
    return jnp.broadcast_to((factor * jnp.asarray(geometry.weight, dtype))[:, None], grid.shape)


def _check_map(pixels: Array, grid: Grid, lmax: int) -> None:
    check_degree(lmax, pixels.dtype)
    if pixels.shape != grid.shape:
        raise InputError(
            f"map: expected one map of shape {grid.shape} for {grid}, got {pixels.shape}; use vmap for many"
        )
    if lmax > grid.lmax:
        raise InputError(f"lmax: expected degrees up to {grid.lmax} of {grid}, got {lmax}; a finer map has more")
    if isinstance(pixels, jax.core.Tracer):
        return
    values = np.asarray(pixels)
    bad = np.count_nonzero(~np.isfinite(values) | (values < 0.99 * UNSEEN))
    if bad:
        raise InputError(
            f"map: expected a number in every pixel, got NaN or UNSEEN in {bad:,} of {values.size:,}; use masked(map, mask)"
        )
