"""The spherical harmonic transform of real maps and its transpose: two linear primitives, each the derivative of the other.

With a_lm = r + i s of 0 <= m <= l <= lmax as two rows of real numbers,

    synthesis:  f_p = sum_lm w_m (r_lm Re Y_lm(p) - s_lm Im Y_lm(p)),     w_0 = 1, else 2,
    projection: r_lm = w_m sum_p f_p Re Y_lm(p),     s_lm = -w_m sum_p f_p Im Y_lm(p).

Both are linear, so that nothing has to be kept for a derivative of any order; a mapped axis is one of maps, a few of which at a time share
the recursion of the Legendre functions.
"""

from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxsci.core import Array
from jaxsci.ops.blockwise import map_over
from jaxsci.ops.sphere import azimuth, legendre_sums
from jaxsci.ops.sphere.bands import bands
from jaxsci.ops.sphere.conventions import alm_degrees, alm_size
from jaxsci.ops.sphere.grids import Grid, rings
from jaxsci.ops.sphere.recursion import even_functions, odd_degrees, recursion

Role: TypeAlias = Literal["synthesis", "projection"]

TOGETHER = 4  # maps whose coefficients on all rings stay in the cache
RINGS_BYTES = (
    2**26
)  # of what an analysis has on all rings of many maps, which then need fewer FFTs, each planned anew in every call


def transform(role: Role, x: Array, grid: Grid, lmax: int) -> Array:
    """[map, 2, a_lm] -> [map, pixel], or back."""
    return PRIMITIVES[role].bind(x, grid=grid, lmax=lmax)


def synthesis(alm: Array, grid: Grid, lmax: int) -> Array:
    """[map, 2, a_lm] -> [map, pixel], written out."""
    return map_over(partial(_synthesis, grid=grid, lmax=lmax), alm, length=TOGETHER)


def projection(pixels: Array, grid: Grid, lmax: int) -> Array:
    """[map, pixel] -> [map, 2, a_lm], written out."""
    of_one = 4 * pixels.dtype.itemsize * sum(len(band.cos) * (band.mmax + 1) for band in bands(grid, lmax))
    length = max(TOGETHER, RINGS_BYTES // of_one)
    return map_over(partial(_projection, grid=grid, lmax=lmax), pixels, length=length)


def _synthesis(alm: Array, grid: Grid, lmax: int) -> Array:
    table = _unpack(_with_signs(alm, lmax), lmax)
    steps = recursion(len(table), table)
    table = even_functions(table, steps)
    north: list[Array] = []
    south: list[Array] = []
    for band in bands(grid, lmax):
        sums = legendre_sums.over_degrees(table, band, steps, lmax)
        even, odd = jnp.split(azimuth.to_pixels(sums, band), 2)
        north.append(even + odd)
        south.insert(0, azimuth.mirrored(even - odd, band))
    return jnp.concatenate(north + south, axis=1)


def _projection(pixels: Array, grid: Grid, lmax: int) -> Array:
    begin, end = 0, pixels.shape[1]
    sums = []
    for band in bands(grid, lmax):
        north = pixels[:, begin : begin + band.pixels]
        south = azimuth.unmirrored(pixels[:, end - band.mirrored_pixels : end], band)
        begin, end = begin + band.pixels, end - band.mirrored_pixels
        found = azimuth.from_pixels(jnp.concatenate([north + south, north - south]), band)
        sums.append(jnp.swapaxes(found.reshape(2, -1, *found.shape[1:]), 0, 1))
    return map_over(partial(_over_rings, grid=grid, lmax=lmax), *sums, length=TOGETHER)


def _over_rings(*sums: Array, grid: Grid, lmax: int) -> Array:
    """Of every band complex [map, parity, ring, order] -> [map, 2, a_lm]."""
    table = jnp.zeros((legendre_sums.columns(lmax), 4 * len(sums[0]), lmax + 1), sums[0].real.dtype)
    steps = recursion(len(table), table)
    for band, part in zip(bands(grid, lmax), sums, strict=True):
        even_and_odd = jnp.swapaxes(part, 0, 1).reshape(-1, *part.shape[2:])
        found = legendre_sums.over_rings(even_and_odd, band, steps, lmax)
        table = table.at[:, :, : band.mmax + 1].add(found)
    twice = jnp.asarray(np.where(np.arange(lmax + 1) > 0, 2.0, 1.0), table.dtype)[None, None, :]
    return _with_signs(_pack(odd_degrees(table * twice, steps), lmax), lmax)


def _with_signs(alm: Array, lmax: int) -> Array:
    """Times the Condon-Shortley phase (-1)^m, without the imaginary parts of m = 0, which a real map has not."""
    m = alm_degrees(lmax)[1]
    sign = np.where(m % 2 == 1, -1.0, 1.0)
    return alm * jnp.asarray(np.stack([sign, np.where(m > 0, sign, 0.0)]), alm.dtype)[None]


def _unpack(alm: Array, lmax: int) -> Array:
    """[map, 2, a_lm] -> [j, parity of l - m, (part, map), order] with l = m + 2 j + parity, 0 beyond lmax."""
    j, parity, m = np.ogrid[: legendre_sums.columns(lmax), :2, : lmax + 1]
    degree = m + 2 * j + parity
    index = np.where(degree <= lmax, m * (2 * lmax + 1 - m) // 2 + degree, alm_size(lmax))
    flat = jnp.pad(jnp.swapaxes(alm, 0, 1).reshape(-1, alm.shape[-1]), ((0, 0), (0, 1)))
    return jnp.moveaxis(jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip"), 0, 2)


def _pack(table: Array, lmax: int) -> Array:
    """The transpose: [j, parity, (part, map), order] -> [map, 2, a_lm]."""
    degree, m = alm_degrees(lmax)
    j, parity = np.divmod(degree - m, 2)
    index = np.ravel_multi_index((j, parity, m), (len(table), 2, lmax + 1))
    flat = jnp.moveaxis(table, 2, 0).reshape(table.shape[2], -1)
    found = jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
    return jnp.swapaxes(found.reshape(2, -1, len(m)), 0, 1)


OTHER: dict[Role, Role] = {"synthesis": "projection", "projection": "synthesis"}


def _abstract(role: Role, x: Any, *, grid: Grid, lmax: int) -> Any:
    size = (int(rings(grid).length.sum()),) if role == "synthesis" else (2, alm_size(lmax))
    return jax.core.ShapedArray((x.shape[0], *size), x.dtype)


def _batch(role: Role, operands: Any, mapped: Any, **params: Any) -> tuple[Array, int]:
    """The batching rule: mapped axes are maps."""
    (x,), (axis,) = operands, mapped
    x = jnp.moveaxis(x, axis, 0)
    result = transform(role, x.reshape(-1, *x.shape[2:]), **params)
    return result.reshape(*x.shape[:2], *result.shape[1:]), 0


def _primitive(role: Role, written_out: Any) -> Primitive:
    primitive = Primitive(f"spherical_harmonic_{role}")
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("grid", "lmax")))
    primitive.def_abstract_eval(partial(_abstract, role))
    ad.deflinear2(primitive, lambda cotangent, _, **params: [transform(OTHER[role], cotangent, **params)])
    batching.primitive_batchers[primitive] = partial(_batch, role)
    mlir.register_lowering(primitive, mlir.lower_fun(written_out, multiple_results=False))
    return primitive


PRIMITIVES: dict[Role, Primitive] = {
    "synthesis": _primitive("synthesis", synthesis),
    "projection": _primitive("projection", projection),
}
