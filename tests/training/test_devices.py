"""An ensemble split over devices, which the processor plays in a process of its own: their number is fixed at the start of JAX."""

import subprocess
import sys

import pytest

CODE = """
import sys
from pathlib import Path

import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Batch
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import dense, heads
from jaxsci.training import Recipe, Settings, fit_ensemble
from jaxsci.training import adamw

rng = np.random.default_rng(0)
x = rng.normal(size=(96, 3)).astype(np.float32)
data = Batch(x, (x[:, 0] > 0).astype(np.float32), np.ones(96, np.float32))
model = heads.scalar(dense.model(dense.Config(3, hidden=(8,))))
recipe = Recipe(model, objective(model.apply, binary_cross_entropy), adamw(1e-2))
traces = []


def member(hyper):
    traces.append(hyper)
    return recipe._replace(optimizer=adamw(hyper["learning_rate"]))


def train(keys, epochs, **options):
    hyper = {"learning_rate": jax.numpy.array([1e-2, 3e-2, 1e-3, 3e-3])}
    return fit_ensemble(member, hyper, data, data, keys=keys, settings=Settings(epochs, 32), **options)


keys = jax.random.split(jax.random.key(0), 4)
split = jax.device_put(keys, NamedSharding(Mesh(np.array(jax.devices()), ("member",)), PartitionSpec("member")))
alone = train(keys, 4)
traced = len(traces)
together = train(split, 4)
assert len(traces) == 2 * traced, traces  # every program was compiled once, not again for arrays that moved
assert len(together.best_loss.sharding.device_set) == 2
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), alone.params, together.params)

sequential = train(split, 4, sequential=True)
assert len(sequential.best_loss.sharding.device_set) == 2
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), alone.params, sequential.params)

folder = Path(sys.argv[1])
train(split, 2, checkpoints=folder)
resumed = train(split, 4, checkpoints=folder, resume=True)
jax.tree.map(np.testing.assert_array_equal, resumed.params, together.params)
"""


@pytest.mark.slow
def test_members_split_over_devices_train_and_resume_as_on_one(tmp_path):
    command = [sys.executable, "-c", CODE, str(tmp_path / "checkpoints")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
