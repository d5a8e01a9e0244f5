"""The two transforms by ducc0, the fastest library of them on CPUs (Reinecke, https://gitlab.mpcdf.mpg.de/mtr/ducc), called back from JAX.

ducc0 is GPL and not installed with this library; it is imported when a transform asks for it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from jaxsci.core import Array
from jaxsci.errors import InputError
from jaxsci.ops.sphere._conventions import alm_degrees, alm_size
from jaxsci.ops.sphere._grids import Grid, rings


def synthesis(alm: Array, grid: Grid, lmax: int, spin: int) -> Array:
    """[map, 2, a_lm] -> [map, pixel], of spin 2 [map, 4, a_lm] -> [map, 2, pixel]."""
    pixels = int(rings(grid).length.sum())
    shape = (alm.shape[0], 2, pixels) if spin else (alm.shape[0], pixels)
    return _call(partial(_synthesis, grid, lmax, spin), shape, alm)


def adjoint_synthesis(pixels: Array, grid: Grid, lmax: int, spin: int) -> Array:
    """The transpose of `synthesis`."""
    shape = (pixels.shape[0], 4 if spin else 2, alm_size(lmax))
    return _call(partial(_adjoint, grid, lmax, spin), shape, pixels)


def library() -> Any:
    """The module ducc0.

    Raises:
        InputError: it is not installed.
    """
    try:
        import ducc0
    except ImportError as error:
        raise InputError(
            'backend="ducc0": expected the package ducc0, which is not installed; pip install ducc0, or leave backend out'
        ) from error
    return ducc0


def _call(function: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], x: Array) -> Array:
    # `jax.pure_callback` copies large arguments by the threads that wait for it: on one core for ever.
    def into(context: Any, result: Any, argument: Any) -> None:
        np.asarray(result)[...] = function(np.asarray(argument))

    return buffer_callback(into, jax.ShapeDtypeStruct(shape, x.dtype))(x)


def _synthesis(grid: Grid, lmax: int, spin: int, parts: np.ndarray) -> np.ndarray:
    coefficients = parts[:, ::2] + 1j * parts[:, 1::2]  # [map, 1 or (E, B), a_lm]
    run = partial(library().sht.synthesis, **_geometry(grid, lmax, spin))
    maps = np.stack([run(alm=a.astype(_complex(parts.dtype))) for a in coefficients])
    return maps if spin else maps[:, 0]


def _adjoint(grid: Grid, lmax: int, spin: int, maps: np.ndarray) -> np.ndarray:
    run = partial(library().sht.adjoint_synthesis, **_geometry(grid, lmax, spin))
    m = alm_degrees(lmax)[1]
    found = np.stack([run(map=np.atleast_2d(f)) for f in maps]) * np.where(m > 0, 2.0, 1.0)
    parts = np.stack([found.real, np.where(m > 0, found.imag, 0.0)], axis=2)  # [map, 1 or (E, B), part, a_lm]
    return parts.reshape(len(maps), -1, len(m)).astype(maps.dtype)


def _complex(dtype: Any) -> Any:
    return np.result_type(dtype, np.complex64)


def _geometry(grid: Grid, lmax: int, spin: int) -> dict[str, Any]:
    geometry = rings(grid)
    return {
        "theta": np.arctan2(geometry.sin, geometry.cos),
        "nphi": geometry.length.astype(np.uint64),
        "phi0": geometry.phi0,
        "ringstart": (np.cumsum(geometry.length) - geometry.length).astype(np.uint64),
        "lmax": lmax,
        "spin": spin,
        "nthreads": 0,  # all cores, or DUCC0_NUM_THREADS
    }
