"""Curvature of data split over devices, which the processor plays in a process of its own: their number is fixed at the start of JAX."""

import subprocess
import sys

import pytest

CODE = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Batch
from jaxsci.gradients import gauss_newton, hessian
from jaxsci.losses import cross_entropy, objective
from jaxsci.models import dense

rng = np.random.default_rng(0)
data = Batch(rng.normal(size=(48, 3)).astype(np.float32), rng.integers(0, 2, 48), rng.uniform(size=48).astype(np.float32))
split = jax.device_put(data, NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")))
model = dense.model(dense.Config(3, hidden=(4,), outputs=2, activation="tanh"))
params = model.init(jax.random.key(0))
loss = objective(model.apply, cross_entropy)
for make in (lambda d: hessian(loss, params, d, batch_size=16), lambda d: gauss_newton(model.apply, cross_entropy, params, d)):
    operator = make(split)
    x = operator.arguments[1].x
    assert x.shape[0] == 16 or x.shape[1] == 1
    assert {shard.data.shape[0] for shard in x.addressable_shards} == {x.shape[0] // 2}, x.sharding
    alone, together = make(data)(params), operator(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), alone, together)
    program = jax.jit(lambda operator, v: operator(v)).lower(operator, params).compile().as_text()
    assert "all-reduce" in program
assert "all-gather" not in program  # of the outer products of Jacobians: each device adds up its own examples
"""


@pytest.mark.slow
def test_each_device_adds_up_its_share_of_the_data():
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
