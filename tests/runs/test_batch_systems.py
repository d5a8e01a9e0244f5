"""A run in a batch system: SIGTERM before the time is up, jobs that meet in one folder, and a job that was killed there."""

import random
import signal
import subprocess
import sys
import time

import pytest

from jaxsci.errors import InputError
from jaxsci.runs.training import locked

LONG = ("--tagger", "topodnn", "--max-jets", "1500", "--epochs", "2000", "--batch-size", "64")


def command(*arguments, cwd):
    code = "from jaxsci.cli.main import main; main()"
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=cwd, **options)


def started(folder, *arguments, cwd):
    """A training that has written another checkpoint."""
    before = set((folder / "checkpoints").glob("*"))
    process = command("train", "top-tagging", *arguments, cwd=cwd)
    while not set((folder / "checkpoints").glob("[0-9]*")) - before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_sigterm_ends_a_training_in_time_with_the_code_for_again(times, tmp_path):
    folder = tmp_path / "runs" / "top-tagging" / "long"
    moments = random.Random(3)
    for i in range(times):
        options = ("--resume", str(folder)) if i else (*LONG, "--name", "long")
        process = started(folder, *options, cwd=tmp_path)
        busy = rf"long: expected a run that no other job writes, but process {process.pid} on"
        with pytest.raises(InputError, match=busy), locked(folder):
            pass
        time.sleep(moments.uniform(0, 2))
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert times == 1 or time.monotonic() - began < 10  # alone on the machine, as slow tests are
        assert process.returncode == 75, err
        *epochs, last = err.splitlines()
        assert last.startswith("stopped by SIGTERM")
        assert any("of 2000, validation loss 0." in line for line in epochs)
        assert "Traceback" not in err
    with locked(folder):
        pass


def test_the_lock_of_a_job_that_was_killed_is_free(tmp_path):
    code = """
import sys, time
from pathlib import Path
from jaxsci.runs.training import locked
with locked(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline()
    with pytest.raises(InputError, match="expected a run that no other job writes"), locked(tmp_path):
        pass
    process.kill()
    process.communicate()
    with locked(tmp_path):
        assert f"process {process.pid}" not in (tmp_path / ".lock").read_text()


def test_a_ctrl_c_that_was_dropped_on_its_way_is_heard_at_the_next_step(tmp_path):
    code = """
import os, signal
from jaxsci.cli import batch

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background begin without
with batch.termination():
    batch.stop_if_asked()
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass  # as Python does in a callback of its garbage collector
    try:
        batch.stop_if_asked()
    except KeyboardInterrupt:
        print("heard")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "heard\n", done.stderr
