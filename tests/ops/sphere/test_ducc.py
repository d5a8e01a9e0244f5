"""Transforms by ducc0: the same numbers as ours, under the same transformations of JAX."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.ops.sphere import (
    Equiangular,
    GaussLegendre,
    Healpix,
    alm_size,
    analysis,
    polarization_analysis,
    polarization_synthesis,
    synthesis,
)

pytest.importorskip("ducc0")
LMAX = 5
GRIDS = [Healpix(4), GaussLegendre.of_degree(LMAX), Equiangular(2 * LMAX + 3, 2 * LMAX + 2)]


def coefficients(count, lmax=LMAX):
    parts = np.random.default_rng(0).normal(size=(2, count, alm_size(lmax)))
    return jnp.asarray(parts[0] + 1j * parts[1])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_both_backends_agree(grid):
    alm = coefficients(2)
    f, q = np.random.default_rng(1).normal(size=(2, *grid.shape))

    @partial(jax.jit, static_argnames="backend")
    def all_four(alm, f, q, backend):
        return (
            synthesis(alm[0], grid, backend=backend),
            analysis(f, grid, LMAX, iterations=1, backend=backend),
            polarization_synthesis(*alm, grid, backend=backend),
            polarization_analysis(f, q, grid, LMAX, iterations=0, backend=backend),
        )

    ours, theirs = (all_four(alm, jnp.asarray(f), jnp.asarray(q), backend) for backend in ("jax", "ducc0"))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("x64")
def test_derivatives_and_batches():
    """Second derivatives, mapped over maps: of the sum of the fourth powers of a map by its coefficients, in one direction."""
    grid, alm = Healpix(2), coefficients(3, lmax=3)

    def derivative(alm, backend):
        def loss(parts):
            return jnp.sum(synthesis(jax.lax.complex(*parts), grid, backend=backend) ** 4)

        parts = (alm.real, alm.imag)
        return jax.jvp(jax.grad(loss), (parts,), (parts,))[1]

    ours, theirs = (jax.jit(jax.vmap(partial(derivative, backend=b)))(alm) for b in ("jax", "ducc0"))
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(a).max() > 1
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-9)


def test_float32_stays_float32():
    alm = coefficients(1).astype(jnp.complex64)[0]
    ours, theirs = (synthesis(alm, Healpix(4), backend=b) for b in ("jax", "ducc0"))
    assert theirs.dtype == jnp.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)  # sums of 36 terms of order 1


def test_what_is_missing_or_unknown_is_named(monkeypatch):
    alm = coefficients(1).astype(jnp.complex64)[0]
    with pytest.raises(InputError, match='expected "jax" or "ducc0", got \'healpy\''):
        synthesis(alm, Healpix(2), backend="healpy")
    monkeypatch.setitem(sys.modules, "ducc0", None)
    with pytest.raises(InputError, match="pip install ducc0"):
        synthesis(alm, Healpix(2), backend="ducc0")
