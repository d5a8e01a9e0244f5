"""The transforms inside `shard_map`, on explicit meshes, and exported for any number of maps. One device has the types of many."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxsci.ops.sphere import GaussLegendre, analysis, synthesis

pytestmark = pytest.mark.usefixtures("x64")

LMAX = 4
GRID = GaussLegendre.of_degree(LMAX)


def loss(pixels):
    """Through both transforms and their iteration."""
    return jnp.sum(synthesis(analysis(pixels, GRID, LMAX, iterations=1), GRID) ** 3)


one_by_one = jax.vmap(jax.value_and_grad(loss))


@pytest.fixture(scope="module")
def expected():
    """Maps, and value and gradient of each."""
    with jax.enable_x64(True):
        maps = jnp.asarray(np.random.default_rng(0).normal(size=(3, *GRID.shape)))
        return maps, jax.jit(one_by_one)(maps)


def mesh_of(kind):
    return jax.make_mesh((1,), ("maps",), axis_types=(kind,))


def equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def test_maps_that_vary_over_a_mesh_axis(expected):
    maps, wanted = expected
    sharded = partial(
        jax.shard_map, mesh=mesh_of(AxisType.Auto), in_specs=P("maps"), out_specs=P("maps"), check_vma=True
    )
    equal(jax.jit(sharded(one_by_one))(maps), wanted)


def test_the_gradient_of_what_all_devices_share_is_their_sum():
    """<S a, f> has the gradient S* f by a, summed over the mesh axis since `a` does not vary along it."""
    rng = np.random.default_rng(1)
    alm = analysis(jnp.asarray(rng.normal(size=GRID.shape)), GRID, LMAX, iterations=0)
    pixels = jnp.asarray(rng.normal(size=GRID.shape))

    def product(alm, pixels):
        return jax.lax.psum(jnp.vdot(synthesis(alm, GRID), pixels), "maps")

    total = jax.shard_map(
        product, mesh=mesh_of(AxisType.Auto), in_specs=(P(), P("maps")), out_specs=P(), check_vma=True
    )
    gradient = jax.jit(jax.grad(total))(alm, pixels)
    np.testing.assert_allclose(
        jnp.sum(gradient * alm).real, jnp.vdot(synthesis(alm, GRID), pixels), rtol=1e-12, atol=1e-12
    )


def test_explicit_shardings_are_those_of_the_maps(expected):
    maps, wanted = expected
    mesh = mesh_of(AxisType.Explicit)
    with jax.set_mesh(mesh):
        found = jax.jit(one_by_one)(jax.device_put(maps, NamedSharding(mesh, P("maps"))))
    assert [jax.typeof(a).sharding.spec for a in found] == [P("maps"), P("maps", None, None)]
    equal(found, wanted)


@pytest.mark.slow
def test_a_program_for_any_number_of_maps(expected):
    maps, wanted = expected
    (number,) = export.symbolic_shape("number")
    program = export.export(jax.jit(one_by_one))(jax.ShapeDtypeStruct((number, *GRID.shape), maps.dtype))
    for count in (1, 3):
        equal(program.call(maps[:count]), [a[:count] for a in wanted])
