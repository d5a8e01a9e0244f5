"""Indices, normalizations and phases of spherical harmonics, and the factors between them.

The library computes with the orthonormal functions of quantum mechanics and of HEALPix,

    Y_lm(theta, phi) = (-1)^m sqrt((2l + 1) / (4 pi) (l - m)! / (l + m)!) P_lm(cos theta) exp(i m phi),     m >= 0,
    Y_l,-m = (-1)^m conj(Y_lm),

where P_lm = (1 - x^2)^(m/2) d^m P_l / dx^m and (-1)^m is the Condon-Shortley phase. Their real form is

    sqrt(2) Re Y_lm (m > 0),     Y_l0,     sqrt(2) Im Y_l|m| (m < 0).

Coefficients of real harmonics are one vector in the order (l, m) = (0, 0), (1, -1), (1, 0), (1, 1), (2, -2), ...: the index is l^2 + l + m.
A real field has a_l,-m = (-1)^m conj(a_lm), so m >= 0 is enough: `alm` is the complex vector in HEALPix's order, all l of m = 0, then all l
of m = 1, ..., with the index m (2 lmax + 1 - m) / 2 + l.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array
from jaxsci.errors import InputError

Normalization: TypeAlias = Literal["orthonormal", "geodesy", "schmidt"]


@dataclass(frozen=True)
class Convention:
    """A convention of spherical harmonics: the integral of |Y_lm|^2 over the sphere, and whether they have the phase (-1)^m for m > 0.

    "orthonormal": 1. "geodesy": 4 pi (relief and gravity). "schmidt": 4 pi / (2l + 1) (the geomagnetic field).
    """

    normalization: Normalization = "orthonormal"
    condon_shortley: bool = True


HEALPIX = Convention()
ORTHONORMAL = Convention(condon_shortley=False)
GEODESY = Convention("geodesy", condon_shortley=False)
GEOMAGNETISM = Convention("schmidt", condon_shortley=False)


def real_size(lmax: int) -> int:
    """Return the number of real coefficients to degree `lmax`: (lmax + 1)^2."""
    return (lmax + 1) ** 2


def alm_size(lmax: int) -> int:
    """Return the number of complex a_lm, 0 <= m <= l <= lmax."""
    return (lmax + 1) * (lmax + 2) // 2


def real_lmax(size: int) -> int:
    """Return the largest degree of `size` real coefficients."""
    lmax = math.isqrt(size) - 1
    if size < 1 or real_size(lmax) != size:
        raise InputError(
            f"coefficients: expected (lmax + 1)^2 real ones, got {size}; fill the missing ones of the last degree with 0"
        )
    return lmax


def alm_lmax(size: int) -> int:
    """Return the largest degree of `size` complex a_lm."""
    lmax = (math.isqrt(8 * size + 1) - 3) // 2
    if size < 1 or alm_size(lmax) != size:
        raise InputError(f"a_lm: expected (lmax + 1)(lmax + 2) / 2 of m >= 0, got {size}; fill the missing ones with 0")
    return lmax


def real_degrees(lmax: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (l, m) of every real coefficient, each int [(lmax + 1)^2]."""
    index = np.arange(real_size(lmax))
    degree = np.floor(np.sqrt(index)).astype(np.int64)
    return degree, index - degree * degree - degree


def alm_degrees(lmax: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (l, m) of every complex a_lm, each int [(lmax + 1)(lmax + 2) / 2]."""
    m = np.repeat(np.arange(lmax + 1), np.arange(lmax + 1, 0, -1))
    return np.arange(alm_size(lmax)) - alm_index(0, m, lmax), m


def real_index(degree: np.ndarray | int, m: np.ndarray | int) -> np.ndarray | int:
    """Return the index of (l, m) among the real coefficients."""
    return degree * degree + degree + m


def alm_index(degree: np.ndarray | int, m: np.ndarray | int, lmax: int) -> np.ndarray | int:
    """Return the index of (l, m >= 0) among the complex a_lm."""
    return m * (2 * lmax + 1 - m) // 2 + degree


def factor(degree: np.ndarray, m: np.ndarray, convention: Convention) -> np.ndarray:
    """Return the ratio of Y_lm of the convention to the orthonormal Y_lm with the Condon-Shortley phase."""
    scale = {
        "orthonormal": np.ones(degree.shape),
        "geodesy": np.full(degree.shape, 4 * np.pi),
        "schmidt": 4 * np.pi / (2 * degree + 1),
    }
    sign = np.where((m % 2 != 0) & (not convention.condon_shortley), -1.0, 1.0)
    return sign * np.sqrt(scale[convention.normalization])


def convert(coefficients: Array, source: Convention, target: Convention) -> Array:
    """Convert coefficients [..., (lmax + 1)^2] of real harmonics to those of the same field in another convention."""
    degree, m = real_degrees(real_lmax(coefficients.shape[-1]))
    ratio = jnp.asarray(factor(degree, m, source) / factor(degree, m, target), coefficients.dtype)
    return coefficients * jnp.broadcast_to(ratio, coefficients.shape)


def to_alm(coefficients: Array) -> Array:
    """Return a_lm [..., m >= 0] of the field with the real coefficients [..., (lmax + 1)^2], both in the convention HEALPIX.

    a_lm = (c_lm - i c_l,-m) / sqrt(2) for m > 0 and a_l0 = c_l0.
    """
    lmax = real_lmax(coefficients.shape[-1])
    degree, m = alm_degrees(lmax)
    scale = jnp.asarray(np.where(m > 0, math.sqrt(0.5), 1.0), coefficients.dtype)
    scale = jnp.broadcast_to(scale, (*coefficients.shape[:-1], len(m)))
    real = coefficients[..., real_index(degree, m)] * scale
    imag = coefficients[..., real_index(degree, -m)] * scale
    present = jnp.broadcast_to(jnp.asarray(m > 0), imag.shape)
    return jax.lax.complex(real, jnp.where(present, -imag, jnp.zeros_like(imag)))


def from_alm(alm: Array) -> Array:
    """Return the real coefficients [..., (lmax + 1)^2] of the field with these a_lm [..., m >= 0]: the inverse of `to_alm`.

    The imaginary parts of a_l0, which are 0 for a real field, are ignored.
    """
    lmax = alm_lmax(alm.shape[-1])
    degree, m = real_degrees(lmax)
    part = alm[..., alm_index(degree, np.abs(m), lmax)]
    shape = part.shape
    scale = jnp.asarray(np.where(m > 0, math.sqrt(2), np.where(m < 0, -math.sqrt(2), 1.0)), part.real.dtype)
    return jnp.broadcast_to(scale, shape) * jnp.where(jnp.broadcast_to(jnp.asarray(m < 0), shape), part.imag, part.real)


def power_spectrum(alm: Array) -> Array:
    """Return C_l = sum_m |a_lm|^2 / (2l + 1) of a real field, over all 2l + 1 orders: [..., m >= 0] -> [..., lmax + 1]."""
    lmax = alm_lmax(alm.shape[-1])
    degree, m = alm_degrees(lmax)
    weight = jnp.asarray(np.where(m > 0, 2.0, 1.0) / (2 * degree + 1), alm.real.dtype)
    power = (alm.real**2 + alm.imag**2) * jnp.broadcast_to(weight, alm.shape)
    total = jnp.zeros((*alm.shape[:-1], lmax + 1), power.dtype)
    return total.at[..., degree].add(power)
