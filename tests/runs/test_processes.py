"""One run trained by two processes, each with one device: the run of one process, whatever happens to them."""

import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.command import refused

SMALL = ("--tagger", "topodnn", "--max-jets", "1500", "--batch-size", "64")
ADDRESS = ("--coordinator", "127.0.0.1:9", "--processes", "2")  # where nobody listens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*ADDRESS, "--process", "1", "--coordinator-timeout", "1"), "an answer from 127.0.0.1:9 within 1 s, got none"),
        ((*ADDRESS,), "expected all three or none of them"),
        ((*ADDRESS, "--process", "2"), "--process: expected a number from 0 to 1, got 2"),
        (("--coordinator", "node", "--processes", "2", "--process", "0"), "expected HOST:PORT, got node"),
        (("--devices", "1000"), "mesh: expected at most "),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, "train", "top-tagging", *SMALL, *options)


def test_an_ensemble_is_for_one_process(capsys):
    assert "got superconductors" in refused(capsys, "train", "superconductors", "--distributed")


def start(cwd, number, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    code = "from jaxsci.cli.main import main; main()"
    command = [sys.executable, "-c", code, "train", "top-tagging", *arguments]
    several = [["--coordinator", address, "--processes", str(number), "--process", str(i)] for i in range(number)]
    options = {"cwd": cwd, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [subprocess.Popen([*command, *(more if number > 1 else ())], **options) for more in several]


def codes(processes):
    for process in processes:
        try:
            process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return [process.returncode for process in processes]


def weights(folder):
    with np.load(folder / "weights.npz") as file:
        return {name: file[name] for name in file.files if file[name].dtype == np.float32}


@pytest.mark.slow
def test_two_processes_train_the_run_of_one_though_killed_and_stopped(tmp_path):
    small = (*SMALL, "--epochs", "30")
    alone, together = (tmp_path / "runs" / "top-tagging" / name for name in ("alone", "together"))
    assert codes(start(tmp_path, 1, *small, "--name", "alone")) == [0]
    arguments = (*small, "--name", "together")
    for ending, number in ((signal.SIGKILL, 2), (signal.SIGTERM, 1), (signal.SIGTERM, 2), (None, 2)):
        processes = start(tmp_path, number, *arguments)
        before = set((together / "checkpoints").glob("[0-9]*"))
        if ending is None:
            assert codes(processes) == [0, 0]
            continue
        while not set((together / "checkpoints").glob("[0-9]*")) - before:
            assert processes[0].poll() is None, processes[0].communicate()
            time.sleep(0.02)
        for process in processes if ending == signal.SIGTERM else processes[-1:]:
            process.send_signal(ending)
        if ending == signal.SIGTERM:
            assert codes(processes) == [75] * number
        else:  # noticed in an exchange, or by JAX for want of a sign of life
            assert codes(processes)[0] in (75, -signal.SIGABRT)
        arguments = ("--resume", str(together))
    assert (together / "report.html").exists()
    assert len(list((tmp_path / "runs" / "top-tagging").iterdir())) == 2
    found, wanted = weights(together), weights(alone)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5 * np.abs(values).max())
