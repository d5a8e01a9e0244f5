"""Lorentz products of four-momenta, and the features of pairs that are made of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci._numerics import safe_sqrt
from jaxsci._shapes import expect_shapes
from jaxsci.core import Array
from jaxsci.errors import InputError

PAIR_FEATURES = ("log_delta_r", "log_kt", "log_z", "log_m2")

_METRIC = np.array([1.0, -1.0, -1.0, -1.0])
# The upper half of the digits of a number: products of such halves are exact.
_UPPER: dict[Any, Any] = {
    np.dtype("float32"): np.uint32(0xFFFFF000),
    np.dtype("float64"): np.uint64(0xFFFFFFFFF8000000),
}
_LEAST = 1e-12  # of what a logarithm is taken: far below what a detector tells apart


def lorentz_products(momenta: Array, remainder: Array | None = None) -> Array:
    """The invariant products p_i . p_j = E_i E_j - px_i px_j - py_i py_j - pz_i pz_j of all pairs, without loss of digits.

    Of two nearly parallel momenta the product is a small difference of large numbers: at an angle of 0.001 float32 would keep no digit.
    Here the rounding errors of products and sums are computed as well and added at the end (twofold precision: Ogita, Rump and Oishi
    2005, SIAM J. Sci. Comput. 26, 1955), so that the products are as exact as the momenta. Derivatives are those of the formula.

    Args:
        momenta: [n, 4], (E, px, py, pz), float32 or float64.
        remainder: [n, 4], what rounding took from the momenta, such as p - float32(p) of a float64 p: a rounded energy alone changes a
            product by 6e-8 E_i E_j, and the squared mass of a fast particle altogether.

    Returns:
        [n, n], symmetric; on the diagonal the squared masses. A momentum of zeros gives zeros.

    Raises:
        InputError: the momenta are of another dtype.
    """
    if momenta.dtype not in _UPPER:
        raise InputError(f"momenta: expected float32 or float64, got {momenta.dtype}; convert them")
    remainder = jnp.zeros_like(momenta) if remainder is None else remainder
    expect_shapes("momenta [n, 4], remainder [n, 4]", momenta, remainder)
    return _products(momenta, remainder)


@jax.custom_jvp
def _products(momenta: Array, remainder: Array) -> Array:
    upper = upper_digits(momenta)
    total = jnp.zeros((momenta.shape[0],) * 2, momenta.dtype)
    rest = _plain(momenta, remainder)
    for axis, sign in enumerate(_METRIC):
        p, h = momenta[:, axis], upper[:, axis]
        product, error = _product((p[:, None], h[:, None]), (p[None, :], h[None, :]))
        total, lost = _sum(total, product if sign > 0 else -product)
        rest = rest + lost + (error if sign > 0 else -error)
    return total + rest


@_products.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (momenta, remainder), (change, further) = primals, tangents
    return _products(momenta, remainder), _plain(momenta, change + further)


@jax.jit  # a call with a name, in whose place another language without bits can round
def upper_digits(x: Array) -> Array:
    """The numbers with the lower half of their digits cut off. By their bits, because a compiler may join products and sums."""
    mask = _UPPER[x.dtype]
    return jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, mask.dtype) & mask, x.dtype)


def _plain(p: Array, q: Array) -> Array:
    """p_i . q_j + q_i . p_j."""
    half = jnp.dot(q, (p * jnp.asarray(_METRIC, p.dtype)[None, :]).T, precision=jax.lax.Precision.HIGHEST)
    return half + half.T


def _product(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    """The rounded product of two numbers, given with the upper halves of their digits, and what rounding lost."""
    (x, high_x), (y, high_y) = a, b
    low_x, low_y = x - high_x, y - high_y
    rounded = x * y
    return rounded, ((high_x * high_y - rounded) + high_x * low_y + low_x * high_y) + low_x * low_y


def _sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum of two numbers, and what rounding lost (Knuth)."""
    rounded = a + b
    part = rounded - a
    return rounded, (a - (rounded - part)) + (b - part)


def pair_features(momenta: Array, mask: Array) -> Array:
    """Four logarithms of each pair of particles that tell how they may have come from one: those of the Particle Transformer.

    With dR^2 = (y_i - y_j)^2 + (phi_i - phi_j)^2 of rapidity y and azimuth, and the transverse momenta pT:

    - `log_delta_r`: ln dR;
    - `log_kt`: ln(min(pT_i, pT_j) dR);
    - `log_z`: ln(min(pT_i, pT_j) / (pT_i + pT_j));
    - `log_m2`: ln (p_i + p_j)^2, from `lorentz_products`.

    Source: Qu, Li and Qian 2022, arXiv:2202.03772; Dreyer and Qu 2021, arXiv:2012.08526.

    Args:
        momenta: [n, 4], (E, px, py, pz), in GeV.
        mask: bool [n]; False is padding, whatever it holds.

    Returns:
        [n, n, 4], symmetric, of order 1 to 10; 0 where a particle is padding, and for the pair of a particle with itself.
    """
    expect_shapes("momenta [n, 4], mask [n]", momenta, mask)
    # Padding is replaced by a real momentum: then nothing there is infinite, and neither is a derivative.
    some = jnp.asarray([2.0, 1.0, 0.0, 0.0], momenta.dtype)
    p = jnp.where(mask[:, None], momenta, some[None, :])
    products = lorentz_products(p)
    m2 = jnp.maximum(jnp.diagonal(products), jnp.zeros((), p.dtype))
    pt = jnp.maximum(safe_sqrt(p[:, 1] ** 2 + p[:, 2] ** 2), jnp.asarray(_LEAST, p.dtype))
    y, phi = jnp.arcsinh(p[:, 3] / jnp.sqrt(m2 + pt**2)), jnp.arctan2(p[:, 2], p[:, 1])
    d_phi = phi[:, None] - phi[None, :]
    d_phi = d_phi - 2 * np.pi * jnp.round(d_phi / (2 * np.pi))
    log_dr = _log((y[:, None] - y[None, :]) ** 2 + d_phi**2) / 2
    softer = jnp.minimum(pt[:, None], pt[None, :])
    pairs = (
        log_dr,
        jnp.log(softer) + log_dr,
        jnp.log(softer / (pt[:, None] + pt[None, :])),
        _log(m2[:, None] + m2[None, :] + 2 * products),
    )
    present = mask[:, None] & mask[None, :] & ~jnp.eye(mask.shape[0], dtype=bool)
    features = jnp.stack(pairs, axis=-1)
    return jnp.where(present[..., None], features, jnp.zeros_like(features))


def _log(x: Array) -> Array:
    return jnp.log(jnp.maximum(x, jnp.asarray(_LEAST, x.dtype)))
