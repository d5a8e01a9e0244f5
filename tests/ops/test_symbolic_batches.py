"""Every public function of `ops` is exported once for any number of examples, for CPUs, GPUs and TPUs, and computes what it computed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxsci import ops
from jaxsci.ops import sphere

GRID = sphere.GaussLegendre.of_degree(3)
MASK = jnp.ones(5, bool)


def points(function):
    """Of angles; the longitudes are the colatitudes."""
    return lambda theta: function(theta, theta)


# What is exported, and the shape of one example.
FUNCTIONS = {
    "apply_pair_maps": (jax.vmap(lambda x: ops.apply_pair_maps(x, jnp.ones((15, 2, 3), x.dtype), 9.0)), (3, 3, 2)),
    "average_pool": (partial(ops.average_pool, window=2), (4, 4, 2)),
    "conv": (lambda x: ops.conv(x, jnp.ones((3, 3, 4, 8), x.dtype)), (5, 5, 4)),
    "conv_patches": (partial(ops.conv_patches, window=2), (4, 4, 2)),
    "conv_transpose": (lambda y: ops.conv_transpose(y, jnp.ones((3, 3, 4, 8), y.dtype), strides=2), (3, 3, 8)),
    "energy_flow_polynomials": (
        jax.vmap(lambda z: ops.energy_flow_polynomials(z, jnp.abs(z[:, None] - z[None]), ops.flow_graphs(2))),
        (5,),
    ),
    "lorentz_products": (jax.vmap(ops.lorentz_products), (5, 4)),
    "max_pool": (partial(ops.max_pool, window=2), (4, 4, 2)),
    "nearest_neighbors": (jax.vmap(lambda x: ops.nearest_neighbors(x, MASK, 2)), (5, 2)),
    "pair_features": (jax.vmap(lambda p: ops.pair_features(p, MASK)), (5, 4)),
    "pair_maps": (jax.vmap(partial(ops.pair_maps, number=9.0)), (3, 3, 2)),
    "pair_means": (jax.vmap(partial(ops.pair_means, number=9.0)), (3, 3, 2)),
    "analysis": (jax.vmap(lambda f: sphere.analysis(f, GRID, 3, iterations=0)), GRID.shape),
    "complex_harmonics": (points(partial(sphere.complex_harmonics, lmax=2)), ()),
    "convert": (lambda c: sphere.convert(c, sphere.HEALPIX, sphere.GEODESY), (9,)),
    "evaluate": (points(partial(sphere.evaluate, jnp.ones(9, jnp.float32))), ()),
    "from_alm": (lambda c: sphere.from_alm(sphere.to_alm(c)), (9,)),
    "harmonic_gradients": (points(partial(sphere.harmonic_gradients, lmax=2)), ()),
    "masked": (jax.vmap(lambda f: sphere.masked(f, jnp.ones_like(f))), (9,)),
    "polarization_analysis": (
        jax.vmap(lambda f: sphere.polarization_analysis(f, f, GRID, 3, iterations=0)),
        GRID.shape,
    ),
    "polarization_synthesis": (
        jax.vmap(lambda c: sphere.polarization_synthesis(sphere.to_alm(c), sphere.to_alm(c), GRID)),
        (16,),
    ),
    "power_spectrum": (lambda c: sphere.power_spectrum(sphere.to_alm(c)), (9,)),
    "real_harmonics": (points(partial(sphere.real_harmonics, lmax=2)), ()),
    "synthesis": (jax.vmap(lambda c: sphere.synthesis(sphere.to_alm(c), GRID)), (16,)),
    "to_alm": (sphere.to_alm, (9,)),
    "voigt": (lambda x: ops.voigt(x, 0.5, 0.1, 0.2), ()),
}


def test_no_function_is_forgotten():
    of_sizes = {"conv_output_size", "conv_transpose_output_size"}
    of_indices = {
        "alm_degrees",
        "alm_index",
        "alm_size",
        "flow_graphs",
        "gauss_legendre",
        "healpix_ring_weights",
        "real_degrees",
        "real_index",
    }
    public = {
        name
        for room in (ops, sphere)
        for name in room.__all__
        if callable(getattr(room, name)) and not isinstance(getattr(room, name), type)
    }
    assert public - of_sizes - of_indices == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_number_of_examples(name):
    function, shape = FUNCTIONS[name]
    (b,) = export.symbolic_shape("b")
    exported = export.export(jax.jit(function), platforms=["cpu", "cuda", "tpu"])(
        jax.ShapeDtypeStruct((b, *shape), jnp.float32)
    )
    x = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, size=(3, *shape)), jnp.float32)
    for found, expected in zip(jax.tree.leaves(exported.call(x)), jax.tree.leaves(jax.jit(function)(x)), strict=True):
        # Sums of up to a hundred terms in another order.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
