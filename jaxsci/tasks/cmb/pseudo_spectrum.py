"""Angular power spectra on a part of the sky: the coupling of degrees by a mask, and its removal (MASTER).

On the whole sky C_l = sum_m a_lm^2 / (2l + 1). A mask W multiplies the sky and couples degrees: the pseudo-spectrum of the masked sky
has the mean sum_l' M_ll' C_l'. Source: Hivon et al. 2002, Astrophys. J. 567, 2.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array
from jaxsci.ops.sphere import gauss_legendre


class Bins(NamedTuple):
    """Bands of degrees in which l (l + 1) C_l is taken as constant."""

    first: np.ndarray  # int [bin], the lowest degree of each
    last: np.ndarray  # int [bin], the highest, included

    @property
    def centers(self) -> np.ndarray:
        """The mean degree of each bin."""
        return (self.first + self.last) / 2


def bins(first: int, last: int, width: int) -> Bins:
    """Bands of this width from `first` on; what is left below `last` is not used."""
    starts = np.arange(first, last - width + 2, width)
    return Bins(starts, starts + width - 1)


def coupling(mask_power: Array, lmax: int, orders: tuple[int, int] = (0, 0)) -> Array:
    """M [l, l'] for degrees up to `lmax` of a mask with the power spectrum W_l [l], which should reach to 2 lmax.

    M_ll' = (2l' + 1) / (8 pi) int d_l d_l' sum_k (2k + 1) W_k P_k dz: the squared Wigner 3j symbols of the usual form are this integral
    of polynomials, which Gauss-Legendre nodes do exactly. `orders` m, m' are those of the Wigner functions d_l = d^l_mm': 0, 0 for
    temperature (then d_l = P_l), 2, 0 for TE, 2, 2 for the sum EE + BB and 2, -2 for the difference EE - BB.
    """
    expect_shapes("mask_power [degree]", mask_power)
    highest = mask_power.shape[0] - 1
    z, _, weights = gauss_legendre(lmax + highest // 2 + 1)
    p = np.polynomial.legendre.legvander(z, highest)
    degree = np.arange(max(lmax, highest) + 1)
    dtype = mask_power.dtype
    correlation = jnp.asarray(p * (2 * degree[: highest + 1] + 1), dtype) @ mask_power
    low = jnp.asarray(wigner(z, lmax, orders), dtype)
    kernel = low.T @ (low * (jnp.asarray(weights, dtype) * correlation)[:, None])
    return kernel * jnp.asarray((2 * degree[: lmax + 1] + 1) / (8 * np.pi), dtype)[None, :]


def wigner(z: np.ndarray, lmax: int, orders: tuple[int, int]) -> np.ndarray:
    """The Wigner functions d^l_mm'(arccos z) of the orders 0, 0 or 2, m', up to a sign: [..., l], 0 below the larger order.

    l r_{l+1} d^{l+1} = (2l + 1) (l (l + 1) z - m m') d^l - (l + 1) r_l d^{l-1} with r_l^2 = (l^2 - m^2) (l^2 - m'^2).
    """
    if orders == (0, 0):
        return np.polynomial.legendre.legvander(z, lmax)
    m, n = orders
    found = np.zeros((*z.shape, lmax + 1))
    found[..., 2] = {2: (1 + z) ** 2 / 4, 0: np.sqrt(6) / 4 * (1 - z**2), -2: (1 - z) ** 2 / 4}[n]
    for k in range(2, lmax):
        root, next_root = (np.sqrt((i * i - m * m) * (i * i - n * n)) for i in (k, k + 1))
        this = (2 * k + 1) * (k * (k + 1) * z - m * n) * found[..., k] - (k + 1) * root * found[..., k - 1]
        found[..., k + 1] = this / (k * next_root)
    return found


def coupling_of(matrix: Array, degrees: np.ndarray) -> Array:
    """M [l, l'] from the matrix [coefficient, coefficient'] that takes the true a_lm to the pseudo a_lm.

    Exact for whatever is done to the sky on the way: pixels, a mask, the removal of monopole and dipole.
    """
    lmax = int(degrees.max())
    member = jnp.asarray(degrees[:, None] == np.arange(lmax + 1), matrix.dtype)
    return (member.T @ matrix**2 @ member) / (2 * jnp.arange(lmax + 1) + 1).astype(matrix.dtype)[:, None]


def decoupled(pseudo: Array, coupling: Array, window: Array, noise: Array, bins: Bins) -> tuple[Array, Array]:
    """Bandpowers D_b, the mean of l (l + 1) C_l / 2 pi in each bin, from a pseudo-spectrum.

    Args:
        pseudo: [l], of the masked map; vmap for many.
        coupling: [l, l'], as from `coupling`.
        window: [l], w_l^2 by which the pixels (and a beam) reduced C_l.
        noise: [l], mean pseudo-spectrum of the noise.
        bins: the bands; they should begin at 2.

    Returns:
        D_b [bin], and the matrix [bin, l] whose product with D_l = l (l + 1) C_l / 2 pi of a model is to be compared with it.
    """
    size = coupling.shape[0]
    degree = np.arange(size)
    scale = jnp.asarray(degree * (degree + 1) / (2 * np.pi), pseudo.dtype)
    inside = (degree >= bins.first[:, None]) & (degree <= bins.last[:, None])
    average = jnp.asarray(inside / inside.sum(1, keepdims=True), pseudo.dtype) * scale[None, :]
    inverse = jnp.where(scale > 0, 1 / jnp.where(scale > 0, scale, 1.0), 0.0)
    response = coupling * (window * inverse)[None, :]  # of the pseudo-spectrum to D_l'
    banded = average @ response @ jnp.asarray(inside.T, pseudo.dtype)
    return jnp.linalg.solve(banded, average @ (pseudo - noise)), jnp.linalg.solve(banded, average @ response)
