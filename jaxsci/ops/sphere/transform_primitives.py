"""The spherical harmonic transform of real maps and its transpose: two linear primitives, each the derivative of the other.

With a_lm = r + i s of 0 <= m <= l <= lmax as two rows of real numbers,

    synthesis:  f_p = sum_lm w_m (r_lm Re Y_lm(p) - s_lm Im Y_lm(p)),     w_0 = 1, else 2,
    projection: r_lm = w_m sum_p f_p Re Y_lm(p),     s_lm = -w_m sum_p f_p Im Y_lm(p).

Both are linear, so that nothing has to be kept for a derivative of any order; a mapped axis is one of maps, which share the
recursion of the Legendre functions.
"""

from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxsci.core import Array
from jaxsci.ops.sphere import azimuth, legendre_sums
from jaxsci.ops.sphere.bands import Band, bands
from jaxsci.ops.sphere.conventions import alm_degrees, alm_size
from jaxsci.ops.sphere.grids import Grid, rings

Role: TypeAlias = Literal["synthesis", "projection"]


def transform(role: Role, x: Array, grid: Grid, lmax: int) -> Array:
    """[map, 2, a_lm] -> [map, pixel], or back."""
    return PRIMITIVES[role].bind(x, grid=grid, lmax=lmax)


def synthesis(alm: Array, grid: Grid, lmax: int) -> Array:
    """[map, 2, a_lm] -> [map, pixel], written out."""
    maps = alm.shape[0]
    table = _even_functions(_unpack(_with_signs(alm, lmax), lmax), lmax)
    north: list[Array] = []
    south: list[Array] = []
    for band in bands(grid, lmax):
        sums = legendre_sums.over_degrees(table[: band.mmax + 1], band, lmax)
        sums = jnp.transpose(
            sums.reshape(band.mmax + 1, 2, maps, 2, -1), (1, 3, 2, 4, 0)
        )  # parity, re/im, map, pair, m
        even, odd = (jax.lax.complex(s[0], s[1]) for s in sums)
        odd = odd * _cosines(band, odd)
        pixels = azimuth.to_pixels(even + odd, even - odd, band)
        north.append(pixels.real)
        south.insert(0, azimuth.mirrored(pixels.imag, band))
    return jnp.concatenate(north + south, axis=1)


def projection(pixels: Array, grid: Grid, lmax: int) -> Array:
    """[map, pixel] -> [map, 2, a_lm], written out."""
    maps, total = pixels.shape
    table = jnp.zeros((lmax + 1, 4 * maps, legendre_sums.columns(lmax, maps)), pixels.dtype)
    begin, end = 0, total
    for band in bands(grid, lmax):
        north = pixels[:, begin : begin + band.pixels]
        south = azimuth.unmirrored(pixels[:, end - band.mirrored_pixels : end], band)
        begin, end = begin + band.pixels, end - band.mirrored_pixels
        north, south = azimuth.from_pixels(jax.lax.complex(north, south), band)
        both = [north + south, (north - south) * _cosines(band, north)]
        sums = jnp.stack([jnp.stack([x.real, x.imag]) for x in both])
        sums = jnp.transpose(sums, (4, 0, 2, 1, 3)).reshape(band.mmax + 1, 4 * maps, -1)
        found = legendre_sums.over_rings(sums, band, lmax)
        table = table + jnp.pad(found, ((0, lmax - band.mmax), (0, 0), (0, 0)))
    twice = jnp.asarray(np.where(np.arange(lmax + 1) > 0, 2.0, 1.0), pixels.dtype)[:, None, None]
    return _with_signs(_pack(_odd_degrees(table * twice, lmax), lmax), lmax)


def _cosines(band: Band, like: Array) -> Array:
    """x = cos(theta), [map = 1, pair, order = 1]; exactly 0 at the equator."""
    return jnp.asarray(band.cos, like.real.dtype)[None, :, None].astype(like.dtype)


def _with_signs(alm: Array, lmax: int) -> Array:
    """Times the Condon-Shortley phase (-1)^m, without the imaginary parts of m = 0, which a real map has not."""
    m = alm_degrees(lmax)[1]
    sign = np.where(m % 2 == 1, -1.0, 1.0)
    return alm * jnp.asarray(np.stack([sign, np.where(m > 0, sign, 0.0)]), alm.dtype)[None]


def _unpack(alm: Array, lmax: int) -> Array:
    """[map, 2, a_lm] -> [order, parity of l - m, 2 map, j] with l = m + 2 j + parity, 0 beyond lmax."""
    m, parity, j = np.ogrid[: lmax + 1, :2, : legendre_sums.columns(lmax, len(alm))]
    degree = m + 2 * j + parity
    index = np.where(degree <= lmax, m * (2 * lmax + 1 - m) // 2 + degree, alm_size(lmax))
    flat = jnp.pad(alm.reshape(-1, alm.shape[-1]), ((0, 0), (0, 1)))
    found = jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip")
    return jnp.moveaxis(found, 0, 2)


def _pack(table: Array, lmax: int) -> Array:
    """The transpose: [order, parity, 2 map, j] -> [map, 2, a_lm]."""
    degree, m = alm_degrees(lmax)
    j, parity = np.divmod(degree - m, 2)
    index = np.ravel_multi_index((m, parity, j), (lmax + 1, 2, table.shape[-1]))
    flat = jnp.moveaxis(table, 2, 0).reshape(table.shape[2], -1)
    return jnp.take(flat, jnp.asarray(index, jnp.int32), axis=1, mode="clip").reshape(-1, 2, len(m))


def _odd_recursion(table: Array, lmax: int) -> tuple[Array, Array, Array]:
    """e_2j, 1 / e_2j+1 and e_2j+2 as [j, order]."""
    j = jnp.arange(table.shape[-1], dtype=table.dtype)[:, None]
    order = jnp.arange(lmax + 1, dtype=table.dtype)[None, :]
    shape = (table.shape[-1], lmax + 1)
    e = [
        jnp.sqrt(legendre_sums.epsilon(*map(partial(jnp.broadcast_to, shape=shape), (order, 2 * j + i))))
        for i in range(3)
    ]
    return e[0], 1 / e[1], e[2]


def _even_functions(table: Array, lmax: int) -> Array:
    """Odd functions o_j as x times even ones, a'_j = (o_j - e_2j+2 a'_j+1) / e_2j+1: -> [order, 4 map, j]."""
    _, inverse, after = _odd_recursion(table, lmax)

    def step(last: Array, rows: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        o, inverse, after = rows
        new = (o - after[None, :] * last) * inverse[None, :]
        return new, new

    odd = jnp.moveaxis(table[:, 1], 0, -1).swapaxes(0, 1)  # [j, 2 map, order]
    _, found = jax.lax.scan(step, jnp.zeros_like(odd[0]), (odd, inverse, after), reverse=True)
    return jnp.concatenate([table[:, 0], jnp.moveaxis(found, 0, -1).swapaxes(0, 1)], axis=1)


def _odd_degrees(table: Array, lmax: int) -> Array:
    """The transpose, o_j = (b_j - e_2j o_j-1) / e_2j+1: [order, 4 map, j] -> [order, parity, 2 map, j]."""
    before, inverse, _ = _odd_recursion(table, lmax)

    def step(last: Array, rows: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        b, before, inverse = rows
        new = (b - before[None, :] * last) * inverse[None, :]
        return new, new

    even, odd = jnp.split(table, 2, axis=1)
    odd = jnp.moveaxis(odd, 0, -1).swapaxes(0, 1)
    _, found = jax.lax.scan(step, jnp.zeros_like(odd[0]), (odd, before, inverse))
    return jnp.stack([even, jnp.moveaxis(found, 0, -1).swapaxes(0, 1)], axis=1)


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
