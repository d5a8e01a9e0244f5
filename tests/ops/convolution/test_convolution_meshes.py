"""Convolution and pooling on several devices, in a process that has four."""

import os
import subprocess
import sys
from pathlib import Path


def test_everything_on_four_devices():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", str(Path(__file__).with_name("on_four_devices.py"))]
    child = subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout[-10000:] + child.stderr[-2000:]
