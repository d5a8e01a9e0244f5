"""A run that was trained on two devices is read where there is one."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxsci.runs import folder as runs

SETUP = """
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Batch
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import dense, heads
from jaxsci.runs.task import silent
from jaxsci.training import Recipe, Settings, adamw

x = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)
data = Batch(x, (x[:, 0] > 0).astype(np.float32), np.ones(96, np.float32))
model = heads.scalar(dense.model(dense.Config(3, hidden=(8,))))
recipe = Recipe(model, objective(model.apply, binary_cross_entropy), adamw(1e-2))
keys = jax.random.split(jax.random.key(0), 2)
"""
TRAIN = """
import sys
from pathlib import Path

from jaxsci.runs import folder as runs

folder = Path(sys.argv[1])
split = jax.device_put(keys, NamedSharding(Mesh(np.array(jax.devices()), ("member",)), PartitionSpec("member")))
result = runs.train(folder, runs.Training(recipe, Settings(2, 32), split), (data, data), resume=False, progress=silent)
assert len(jax.tree.leaves(result.params)[0].sharding.device_set) == 2
np.save(folder / "outputs.npy", jax.vmap(lambda p: jax.vmap(model.apply, (None, 0))(p, data.x))(result.params))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of an ensemble whose members were trained on two devices, and what SETUP defines."""
    folder = tmp_path_factory.mktemp("run")
    devices = 'import jax; jax.config.update("jax_num_cpu_devices", 2)\n'
    ended = subprocess.run([sys.executable, "-c", devices + SETUP + TRAIN, folder], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    names = {}
    exec(SETUP, names)
    return folder, names


def test_the_weights_come_to_the_device_that_is_there(run):
    folder, names = run
    assert jax.device_count() == 1
    params, history = runs.trained(folder, names["model"], lambda: names["recipe"], names["keys"])
    assert len(history) == 2
    apply = jax.vmap(jax.vmap(names["model"].apply, (None, 0)), (0, None))
    np.testing.assert_allclose(apply(params, names["data"].x), np.load(folder / "outputs.npy"), rtol=1e-5, atol=1e-6)
