"""Synthesis of real maps and its adjoint: two linear primitives, each the transpose of the other.

With a_lm = r + i s of 0 <= m <= l <= lmax as two rows of real numbers,

    synthesis:         f_p = sum_lm w_m (r_lm Re Y_lm(p) - s_lm Im Y_lm(p)),     w_0 = 1, else 2,
    adjoint synthesis: r_lm = w_m sum_p f_p Re Y_lm(p),     s_lm = -w_m sum_p f_p Im Y_lm(p).

Both are linear, so derivatives of any order keep no residuals; an axis mapped by `vmap` is folded into that of maps. Blocks of a few maps
share the recursion of the Legendre functions (`_legendre_sums`); many maps share a table of these functions if it is small enough
(`_legendre_table`).
"""

from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxsci.core import Array
from jaxsci.ops.convolution import _meshes
from jaxsci.ops.convolution._cpu.blockwise import map_over
from jaxsci.ops.sphere import _azimuth as azimuth
from jaxsci.ops.sphere import _legendre_sums as legendre_sums
from jaxsci.ops.sphere import _legendre_table as legendre_table
from jaxsci.ops.sphere._bands import bands
from jaxsci.ops.sphere._conventions import alm_degrees, alm_size
from jaxsci.ops.sphere._grids import Grid, rings
from jaxsci.ops.sphere._recursion import even_functions, odd_degrees, recursion

Role: TypeAlias = Literal["synthesis", "adjoint_synthesis"]

MAPS_PER_BLOCK = 4  # so many maps that their coefficients on all rings stay in the cache
MANY = 16  # from so many maps on, a table of the Legendre functions pays off
TABLE_BYTES = 2**27  # the largest table
RINGS_BYTES = 2**25  # the Fourier coefficients, of both parities and on all rings, of a block of many maps


def transform(role: Role, x: Array, grid: Grid, lmax: int) -> Array:
    """Bind the primitive of this role: [map, 2, a_lm] -> [map, pixel], or the adjoint."""
    return PRIMITIVES[role].bind(x, grid=grid, lmax=lmax)


def transform_of_zeros(role: Role, like: Array, grid: Grid, lmax: int) -> Array:
    """What `transform` makes of zeros in place of `like`, without computing it."""
    return _meshes.zeros(_abstract(role, jax.typeof(like), grid=grid, lmax=lmax))


def synthesis(alm: Array, grid: Grid, lmax: int) -> Array:
    """The operations of the synthesis, [map, 2, a_lm] -> [map, pixel]."""
    if not _by_table(alm, grid, lmax):
        return map_over(partial(_synthesis, grid=grid, lmax=lmax), alm, length=MAPS_PER_BLOCK)
    tables = [legendre_table.tables(band, lmax, alm.dtype) for band in bands(grid, lmax)]

    def block(alm: Array) -> Array:
        coefficients = legendre_table.unpack(_with_signs(alm, lmax), lmax)
        return _to_pixels([legendre_table.over_degrees(t, coefficients) for t in tables], grid, lmax)

    return map_over(block, alm, length=_group(alm, grid, lmax))


def adjoint_synthesis(pixels: Array, grid: Grid, lmax: int) -> Array:
    """The operations of the adjoint synthesis, [map, pixel] -> [map, 2, a_lm]."""
    length = _group(pixels, grid, lmax)
    if not _by_table(pixels, grid, lmax):
        return map_over(partial(_adjoint, grid=grid, lmax=lmax), pixels, length=length)
    tables = [legendre_table.tables(band, lmax, pixels.dtype) for band in bands(grid, lmax)]

    def block(pixels: Array) -> Array:
        total: list[Array] = []
        for t, sums in zip(tables, _from_pixels(pixels, grid, lmax), strict=True):
            sums = jnp.pad(sums, ((0, 0), (0, 0), (0, lmax + 1 - sums.shape[-1])))
            found = legendre_table.over_rings(t, sums)
            total = [a + b for a, b in zip(total, found, strict=True)] if total else found
        alm = legendre_table.pack(total, lmax)
        twice = jnp.asarray(np.where(alm_degrees(lmax)[1] > 0, 2.0, 1.0), alm.dtype)
        return _with_signs(alm * twice[None, None], lmax)

    return map_over(block, pixels, length=length)


def _by_table(maps: Array, grid: Grid, lmax: int) -> bool:
    known = isinstance(maps.shape[0], int)  # not in a program exported for any number of maps
    bytes_ = maps.dtype.itemsize * legendre_table.size(bands(grid, lmax), lmax)
    return known and maps.shape[0] >= MANY and bytes_ <= TABLE_BYTES


def _group(maps: Array, grid: Grid, lmax: int) -> int:
    """Maps per block: large blocks, because every block plans the FFT of each ring length anew."""
    if not isinstance(maps.shape[0], int):
        return MAPS_PER_BLOCK  # an unknown number is padded to whole blocks
    of_one = 4 * maps.dtype.itemsize * sum(len(band.cos) * (band.mmax + 1) for band in bands(grid, lmax))
    return max(MAPS_PER_BLOCK, RINGS_BYTES // of_one)


def _synthesis(alm: Array, grid: Grid, lmax: int) -> Array:
    table = _unpack(_with_signs(alm, lmax), lmax)
    steps = recursion(len(table), table)
    table = even_functions(table, steps)
    return _to_pixels([legendre_sums.over_degrees(table, band, steps, lmax) for band in bands(grid, lmax)], grid, lmax)


def _adjoint(pixels: Array, grid: Grid, lmax: int) -> Array:
    sums = [jnp.swapaxes(found.reshape(2, -1, *found.shape[1:]), 0, 1) for found in _from_pixels(pixels, grid, lmax)]
    return map_over(partial(_over_rings, grid=grid, lmax=lmax), *sums, length=MAPS_PER_BLOCK)


def _to_pixels(sums: list[Array], grid: Grid, lmax: int) -> Array:
    """E and O of every band, complex [(parity, map), ring, order] -> [map, pixel]."""
    north: list[Array] = []
    south: list[Array] = []
    for band, both in zip(bands(grid, lmax), sums, strict=True):
        even, odd = jnp.split(azimuth.to_pixels(both[:, :, : band.mmax + 1], band), 2)
        north.append(even + odd)
        south.insert(0, azimuth.mirrored(even - odd, band))
    return jnp.concatenate(north + south, axis=1)


def _from_pixels(pixels: Array, grid: Grid, lmax: int) -> list[Array]:
    """The adjoint of `_to_pixels`."""
    begin, end = 0, pixels.shape[1]
    sums = []
    for band in bands(grid, lmax):
        north = pixels[:, begin : begin + band.pixels]
        south = azimuth.unmirrored(pixels[:, end - band.mirrored_pixels : end], band)
        begin, end = begin + band.pixels, end - band.mirrored_pixels
        sums.append(azimuth.from_pixels(jnp.concatenate([north + south, north - south]), band))
    return sums


def _over_rings(*sums: Array, grid: Grid, lmax: int) -> Array:
    """Sum over the rings of all bands: for each band complex [map, parity, ring, order] -> [map, 2, a_lm]."""
    table = jnp.zeros((legendre_sums.columns(lmax), 4 * len(sums[0]), lmax + 1), sums[0].real.dtype)
    steps = recursion(len(table), table)
    for band, part in zip(bands(grid, lmax), sums, strict=True):
        even_and_odd = jnp.swapaxes(part, 0, 1).reshape(-1, *part.shape[2:])
        found = legendre_sums.over_rings(even_and_odd, band, steps, lmax)
        table = table.at[:, :, : band.mmax + 1].add(found)
    twice = jnp.asarray(np.where(np.arange(lmax + 1) > 0, 2.0, 1.0), table.dtype)[None, None, :]
    return _with_signs(_pack(odd_degrees(table * twice, steps), lmax), lmax)


def _with_signs(alm: Array, lmax: int) -> Array:
    """Multiply by the Condon-Shortley phase (-1)^m and set the imaginary parts of m = 0 to 0, as a real map has them."""
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


OTHER: dict[Role, Role] = {"synthesis": "adjoint_synthesis", "adjoint_synthesis": "synthesis"}


def _abstract(role: Role, x: Any, *, grid: Grid, lmax: int) -> Any:
    size = (int(rings(grid).length.sum()),) if role == "synthesis" else (2, alm_size(lmax))
    return x.update(shape=(x.shape[0], *size), sharding=_meshes.shared_sharding((x,), [(x, 0, 0)], 1 + len(size)))


def _transpose(role: Role, cotangent: Array, x: Any, **params: Any) -> list[Array]:
    return [_meshes.reshard_as(transform(OTHER[role], cotangent, **params), x.aval)]


def _batch(role: Role, operands: Any, mapped: Any, **params: Any) -> tuple[Array, int]:
    """The batching rule: the mapped axis is folded into that of maps."""
    (x,), (axis,) = operands, mapped
    x = jnp.moveaxis(x, axis, 0)
    result = transform(role, _meshes.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:])), **params)
    return _meshes.reshape(result, (*x.shape[:2], *result.shape[1:])), 0


def _primitive(role: Role, operations: Any) -> Primitive:
    primitive = Primitive(f"spherical_harmonic_{role}")
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("grid", "lmax")))
    primitive.def_abstract_eval(partial(_abstract, role))
    ad.deflinear2(primitive, partial(_transpose, role))
    batching.primitive_batchers[primitive] = partial(_batch, role)
    mlir.register_lowering(primitive, _meshes.lowering(lambda devices: operations))
    return primitive


PRIMITIVES: dict[Role, Primitive] = {
    "synthesis": _primitive("synthesis", synthesis),
    "adjoint_synthesis": _primitive("adjoint_synthesis", adjoint_synthesis),
}
