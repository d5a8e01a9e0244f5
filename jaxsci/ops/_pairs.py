"""Arrays over pairs of elements of a set: the linear maps that permutations of the elements leave alone, and nearest neighbors."""

import jax.numpy as jnp

from jaxsci._shapes import expect_shapes
from jaxsci.core import Array

PAIR_MAPS = 15


def pair_maps(x: Array, number: float) -> Array:
    """The fifteen linear maps of an array over pairs to such an array that commute with every permutation of the elements.

    With row sums r_i = sum_j x_ij / N, column sums c_i = sum_j x_ji / N, the diagonal d_i = x_ii, t = sum_ij x_ij / N^2 and
    s = sum_i x_ii / N they are, in this order, at (i, j):

        x_ij, x_ji,  d_i, r_i, c_i,  d_j, r_j, c_j,  1_ij d_i, 1_ij r_i, 1_ij c_i,  t, s,  1_ij t, 1_ij s

    where 1_ij is 1 on the diagonal. Source: Maron et al. 2019, arXiv:1812.09902; means as in PELICAN, arXiv:2211.00454. This is the
    definition; `apply_pair_maps` forms none of these arrays.

    Args:
        x: [n, n, channel], 0 where an element is padding.
        number: N, which makes sums of order 1: a typical number of elements. It is no property of x, so that padding changes nothing.

    Returns:
        [15, n, n, channel].
    """
    vectors, scalars = _reductions(x, number)
    diagonal = jnp.eye(x.shape[0], dtype=x.dtype)[None, :, :, None]
    shape = (1, *x.shape)
    rows = jnp.broadcast_to(vectors[:, :, None], (3, *x.shape))
    everywhere = jnp.broadcast_to(scalars[:, None, None], (2, *x.shape))
    columns = jnp.swapaxes(rows, 1, 2)
    pairs = (x.reshape(shape), jnp.swapaxes(x, 0, 1).reshape(shape))
    return jnp.concatenate([*pairs, rows, columns, diagonal * rows, everywhere, diagonal * everywhere])


def apply_pair_maps(x: Array, kernel: Array, number: float) -> Array:
    """A linear layer that commutes with permutations: einsum("aijc,acd->ijd", pair_maps(x, number), kernel), at the cost of two maps.

    Eleven of the fifteen maps spread a vector or a number over the array: the kernel acts on them before that.

    Args:
        x: [n, n, channel], 0 where an element is padding.
        kernel: [15, channel, output].
        number: N, as in `pair_maps`.

    Returns:
        [n, n, output], not 0 where an element is padding.
    """
    expect_shapes("x [n, n, channel], kernel [map, channel, output]", x, kernel, map=PAIR_MAPS)
    vectors, scalars = _reductions(x, number)
    outputs = kernel.shape[-1]
    both = x @ jnp.concatenate([kernel[0], kernel[1]], axis=-1)  # one wide product is faster than two
    rows, columns, diagonal = (jnp.einsum("aic,acd->id", vectors, kernel[first : first + 3]) for first in (2, 5, 8))
    everywhere, on_diagonal = (jnp.einsum("ac,acd->d", scalars, kernel[first : first + 2]) for first in (11, 13))
    diagonal = diagonal + on_diagonal[None, :]
    spread = rows[:, None] + columns[None, :] + everywhere[None, None]
    eye = jnp.eye(x.shape[0], dtype=x.dtype)[:, :, None]
    return both[..., :outputs] + jnp.swapaxes(both[..., outputs:], 0, 1) + spread + eye * diagonal[:, None]


def pair_means(x: Array, number: float) -> Array:
    """The two linear maps of an array over pairs to numbers that no permutation changes: t and s of `pair_maps`.

    Args:
        x: [n, n, channel], 0 where an element is padding.
        number: N, as in `pair_maps`.

    Returns:
        [2, channel].
    """
    return _reductions(x, number)[1]


def _reductions(x: Array, number: float) -> tuple[Array, Array]:
    """The diagonal, the row sums and the column sums [3, n, channel]; the sums of all and of the diagonal [2, channel]."""
    expect_shapes("x [n, n, channel]", x)
    diagonal = jnp.einsum("iic->ic", x)
    rows, columns = jnp.sum(x, axis=1) / number, jnp.sum(x, axis=0) / number
    return jnp.stack([diagonal, rows, columns]), jnp.stack([jnp.sum(rows, 0) / number, jnp.sum(diagonal, 0) / number])


def nearest_neighbors(points: Array, mask: Array, k: int) -> Array:
    """Who the k nearest neighbors of each point are, as an array of zeros and ones by which a matrix product fetches them.

    `einsum("iaj,jf->iaf", nearest_neighbors(points, mask, k), features)` are the features of the neighbors. On small sets this is faster
    than sorting and indexing, forward and backward. Nothing is differentiated.

    Args:
        points: [n, dimension]; distances are Euclidean.
        mask: bool [n]; False is padding, which is nobody's neighbor.
        k: how many; a point is not its own neighbor.

    Returns:
        [n, k, n] in the dtype of `points`: 1 at (i, a, j) where j is the a-th nearest of i (of equally near ones the first is
        nearer), else 0. Zeros alone where i is padding or has fewer than a neighbors.
    """
    expect_shapes("points [n, dimension], mask [n]", points, mask)
    n = points.shape[0]
    points = jnp.where(mask[:, None], points, jnp.zeros_like(points))
    distance = jnp.sum((points[:, None] - points[None, :]) ** 2, axis=-1)
    possible = mask[:, None] & mask[None, :] & ~jnp.eye(n, dtype=bool)
    distance = jnp.where(possible, distance, jnp.full_like(distance, jnp.inf))
    index = jnp.arange(n)
    earlier = index[:, None] < index[None, :]  # [other, j]
    nearer = (distance[:, :, None] < distance[:, None, :]) | (
        (distance[:, :, None] == distance[:, None, :]) & earlier[None]
    )
    rank = jnp.sum(nearer, axis=1)  # [i, j]: how many are nearer to i than j
    chosen = (rank[:, None, :] == jnp.arange(k)[None, :, None]) & possible[:, None, :]
    return chosen.astype(points.dtype)
