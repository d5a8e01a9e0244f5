"""Training on a mesh of devices, which the processor plays in a process of its own: their number is fixed at the start of JAX."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# At XLA's level 0, by which most tests compile, trainings with maxima over windows are wrong.
AS_USERS = {"XLA_FLAGS": ""}


def on_eight_devices(*arguments, flags="", **environment):
    flags = f"--xla_force_host_platform_device_count=8 {flags}"
    file = str(Path(__file__).with_name("on_eight_devices.py"))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", file, *arguments],
        env={**os.environ, "XLA_FLAGS": flags, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]


def test_a_training_on_eight_devices():
    on_eight_devices(flags="--xla_backend_optimization_level=0")


@pytest.mark.slow
def test_a_training_on_one_two_four_and_eight_devices_at_length():
    on_eight_devices(JAXSCI_MESH_ALL="1")


@pytest.mark.slow
def test_two_hundred_steps_of_two_processes_are_those_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    script = str(Path(__file__).with_name("two_processes.py"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **AS_USERS}
    alone, together = tmp_path / "alone.npz", tmp_path / "together.npz"
    for tasks in ([(alone,)], [(together, address, str(i)) for i in range(2)]):
        started = [
            subprocess.Popen([sys.executable, script, *task], env=environment, stderr=subprocess.PIPE) for task in tasks
        ]
        for process in started:
            _, said = process.communicate(timeout=600)
            assert process.returncode == 0, said[-3000:]
    with np.load(alone) as wanted, np.load(together) as found:
        assert set(found) == set(wanted)
        for name in wanted:
            assert wanted[name].dtype == name.split()[1]
            tolerance = 1e-5 if wanted[name].dtype == np.float32 else 1e-12  # relative: the order of a sum differs
            atol = tolerance * np.abs(wanted[name]).max()
            np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=atol, err_msg=name)
