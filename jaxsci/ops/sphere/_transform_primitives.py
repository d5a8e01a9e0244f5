"""Synthesis of real maps and its adjoint: two linear primitives, each the transpose of the other.

With a_lm = r + i s of 0 <= m <= l <= lmax as two rows of real numbers,

    synthesis:         f_p = sum_lm w_m (r_lm Re Y_lm(p) - s_lm Im Y_lm(p)),     w_0 = 1, else 2,
    adjoint synthesis: r_lm = w_m sum_p f_p Re Y_lm(p),     s_lm = -w_m sum_p f_p Im Y_lm(p).

and of spin 2 with E and B in place of a_lm, four rows, and Q and U in place of f (`_spin`).

Both are linear, so derivatives of any order keep no residuals; an axis mapped by `vmap` is folded into that of maps. Blocks of a few maps
share the recursion of the Legendre functions (`_legendre.sums`); many maps share a table of these functions if it is small enough
(`_legendre.table`). Both may be computed by another library instead (`_ducc`).
"""

from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxsci.core import Array
from jaxsci.ops.convolution import _meshes
from jaxsci.ops.convolution._cpu.blockwise import map_over
from jaxsci.ops.sphere import _azimuth as azimuth
from jaxsci.ops.sphere import _ducc as ducc
from jaxsci.ops.sphere import _spin as spin_2
from jaxsci.ops.sphere._bands import bands, join_pixels, north, split_pixels
from jaxsci.ops.sphere._conventions import alm_degrees, alm_size
from jaxsci.ops.sphere._grids import Grid, rings
from jaxsci.ops.sphere._legendre import sums as legendre_sums
from jaxsci.ops.sphere._legendre import table as legendre_table
from jaxsci.ops.sphere._legendre.recursion import even_functions, legendre_recursion, odd_degrees

Role: TypeAlias = Literal["synthesis", "adjoint_synthesis"]
Backend: TypeAlias = Literal["jax", "ducc0"]

MAPS_PER_BLOCK = 4  # so many maps that their coefficients on all rings stay in the cache
MANY = 16  # from so many maps on, a table of the Legendre functions pays off
TABLE_BYTES = 2**27  # the largest table
RINGS_BYTES = 2**25  # the Fourier coefficients, of both parities and on all rings, of a block of many maps


class Kind(NamedTuple):
    """Which transform: hashable, the parameters of the primitives."""

    grid: Grid
    lmax: int
    spin: int  # 0 or 2
    backend: Backend = "jax"


def transform(role: Role, x: Array, kind: Kind) -> Array:
    """Bind the primitive of this role: [map, 2, a_lm] -> [map, pixel], of spin 2 [map, 4, a_lm] -> [map, 2, pixel]; or the adjoint."""
    return PRIMITIVES[role].bind(x, kind=kind)


def transform_of_zeros(role: Role, like: Array, kind: Kind) -> Array:
    """What `transform` makes of zeros in place of `like`, without computing it."""
    return _meshes.zeros(_abstract(role, jax.typeof(like), kind=kind))


def synthesis(alm: Array, kind: Kind) -> Array:
    """The operations of the synthesis."""
    grid, lmax, spin, backend = kind
    if backend == "ducc0":
        return ducc.synthesis(alm, grid, lmax, spin)
    if spin == 2:
        return map_over(partial(spin_2.synthesis, grid=grid, lmax=lmax), alm, length=MAPS_PER_BLOCK)
    length, family = _group(alm, grid, lmax), legendre_sums.legendre(grid, lmax)
    if not _by_table(alm, grid, lmax):
        return map_over(partial(_synthesis, grid=grid, lmax=lmax), alm, length=MAPS_PER_BLOCK)
    tables = legendre_table.tables(family, lmax, alm.dtype)

    def block(alm: Array) -> Array:
        coefficients = legendre_table.unpack(_with_signs(alm, lmax), lmax)
        return _to_pixels(legendre_table.over_degrees(tables, coefficients), grid, lmax)

    return map_over(block, alm, length=length)


def adjoint_synthesis(pixels: Array, kind: Kind) -> Array:
    """The operations of the adjoint synthesis."""
    grid, lmax, spin, backend = kind
    if backend == "ducc0":
        return ducc.adjoint_synthesis(pixels, grid, lmax, spin)
    if spin == 2:
        return map_over(partial(spin_2.adjoint_synthesis, grid=grid, lmax=lmax), pixels, length=MAPS_PER_BLOCK)
    length, family = _group(pixels, grid, lmax), legendre_sums.legendre(grid, lmax)
    if not _by_table(pixels, grid, lmax):
        return map_over(partial(_adjoint, grid=grid, lmax=lmax), pixels, length=MAPS_PER_BLOCK)
    tables = legendre_table.tables(family, lmax, pixels.dtype)

    def block(pixels: Array) -> Array:
        alm = legendre_table.pack(legendre_table.over_rings(tables, _from_pixels(pixels, grid, lmax)), lmax)
        twice = jnp.asarray(np.where(alm_degrees(lmax)[1] > 0, 2.0, 1.0), alm.dtype)
        return _with_signs(alm * twice[None, None], lmax)

    return map_over(block, pixels, length=length)


def _by_table(maps: Array, grid: Grid, lmax: int) -> bool:
    known = isinstance(maps.shape[0], int)  # not in a program exported for any number of maps
    bytes_ = maps.dtype.itemsize * legendre_table.size(len(north(grid, lmax).cos), lmax)
    return known and maps.shape[0] >= MANY and bytes_ <= TABLE_BYTES


def _group(maps: Array, grid: Grid, lmax: int) -> int:
    """Maps per block that share a table."""
    of_one = 4 * maps.dtype.itemsize * len(north(grid, lmax).cos) * (lmax + 1)
    return max(MAPS_PER_BLOCK, RINGS_BYTES // of_one)


def _synthesis(alm: Array, grid: Grid, lmax: int) -> Array:
    family = legendre_sums.legendre(grid, lmax)
    table = _unpack(_with_signs(alm, lmax), lmax, legendre_sums.columns(family))
    recursion, parity = legendre_recursion(len(table), table)
    return _to_pixels(
        legendre_sums.over_degrees(even_functions(table, recursion, parity), family, recursion), grid, lmax
    )


def _adjoint(pixels: Array, grid: Grid, lmax: int) -> Array:
    family = legendre_sums.legendre(grid, lmax)
    values = _from_pixels(pixels, grid, lmax)
    recursion, parity = legendre_recursion(legendre_sums.columns(family), values.real)
    table = legendre_sums.over_rings(values, family, recursion)
    twice = jnp.asarray(np.where(np.arange(lmax + 1) > 0, 2.0, 1.0), table.dtype)[None, None, :]
    return _with_signs(_pack(odd_degrees(table * twice, recursion, parity), lmax), lmax)


def _to_pixels(sums: Array, grid: Grid, lmax: int) -> Array:
    """E and O, complex [(kind, map), ring, order] -> [map, pixel]: a ring N = E + O and its mirror image S = E - O are one field."""
    even, odd = jnp.split(sums, 2)
    rows = []
    for band in bands(grid, lmax):
        e, o = (x[:, band.first : band.last, : band.mmax + 1] for x in (even, odd))
        rows.append(azimuth.to_rows(*_turned(e, o), band))
    return join_pixels([z.real for z in rows], [z.imag for z in rows], grid, lmax)


def _from_pixels(pixels: Array, grid: Grid, lmax: int) -> Array:
    """The adjoint of `_to_pixels`, [map, pixel] -> complex [(kind, map), ring, order]."""
    found = []
    for band, *rows in zip(bands(grid, lmax), *split_pixels(pixels, grid, lmax), strict=True):
        f, g = azimuth.from_rows(jax.lax.complex(*rows), band)
        e, o = _turned(g, f)
        found.append(jnp.pad(jnp.concatenate([e, o]) / 2, ((0, 0), (0, 0), (0, lmax - band.mmax))))
    return jnp.concatenate(found, axis=1)


def _turned(x: Array, y: Array) -> tuple[Array, Array]:
    """(1 + i) x + (1 - i) y, and (1 - i) x + (1 + i) y."""
    total, difference = x + y, x - y
    turned = jax.lax.complex(-difference.imag, difference.real)
    return total + turned, total - turned


def _with_signs(alm: Array, lmax: int) -> Array:
    """Multiply by the Condon-Shortley phase (-1)^m and set the imaginary parts of m = 0 to 0, as a real map has them."""
    m = alm_degrees(lmax)[1]
    sign = np.where(m % 2 == 1, -1.0, 1.0)
    return alm * jnp.asarray(np.stack([sign, np.where(m > 0, sign, 0.0)]), alm.dtype)[None]


def _unpack(alm: Array, lmax: int, functions: int) -> Array:
    """[map, 2, a_lm] -> [j, parity of l - m, (part, map), order] with l = m + 2 j + parity, 0 beyond lmax."""
    j, parity, m = np.ogrid[:functions, :2, : lmax + 1]
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


def _abstract(role: Role, x: Any, *, kind: Kind) -> Any:
    pixels, spin = int(rings(kind.grid).length.sum()), kind.spin
    size = ((2, pixels) if spin else (pixels,)) if role == "synthesis" else (4 if spin else 2, alm_size(kind.lmax))
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
    primitive.def_impl(jax.jit(primitive.bind, static_argnames="kind"))
    primitive.def_abstract_eval(partial(_abstract, role))
    ad.deflinear2(primitive, partial(_transpose, role))
    batching.primitive_batchers[primitive] = partial(_batch, role)
    mlir.register_lowering(primitive, _meshes.lowering(lambda devices: operations))
    return primitive


PRIMITIVES: dict[Role, Primitive] = {
    "synthesis": _primitive("synthesis", synthesis),
    "adjoint_synthesis": _primitive("adjoint_synthesis", adjoint_synthesis),
}
