"""Training on a mesh of devices, which the processor plays in a process of its own: their number is fixed at the start of JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def on_eight_devices(*arguments, **environment):
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
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
    on_eight_devices()


@pytest.mark.slow
def test_a_training_on_one_two_four_and_eight_devices_at_length():
    on_eight_devices(JAXSCI_MESH_ALL="1")
