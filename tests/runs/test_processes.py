"""One run trained by two processes, each with one device: the run of one process, whatever happens to them."""

import json
import random
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxsci.cli import processes as processes_of_command
from jaxsci.cli.batch import REQUEUE
from jaxsci.cli.processes import OWN_ERROR
from jaxsci.data import jets
from jaxsci.errors import InputError
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
        (("--distributed", "--coordinator", "node:1"), "expected all three or none of them"),  # not the batch system's
        (("--devices", "1000"), "mesh: expected at most "),
        (("--device-memory", "16"), "--device-memory: expected a size such as 16GB, got '16'"),
        (("--device-memory", "100kB", "--epochs", "1"), "fits into 0.1 MB of a device, got one that needs "),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, "train", "top-tagging", *SMALL, *options)


def test_an_ensemble_is_for_one_process(capsys):
    assert "got superconductors" in refused(capsys, "train", "superconductors", "--distributed")


def start(cwd, number, *arguments, before_last=""):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    code = "from jaxsci.cli.main import main; main()"
    commands = [
        [sys.executable, "-c", before + code, "train", "top-tagging", *arguments] for before in ("", before_last)
    ]
    several = [["--coordinator", address, "--processes", str(number), "--process", str(i)] for i in range(number)]
    options = {"cwd": cwd, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen([*commands[more is several[-1]], *(more if number > 1 else ())], **options) for more in several
    ]


def codes(processes):
    for process in processes:
        try:
            process.communicate(timeout=300)
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


LACKS_MEMORY = """
from jaxsci.runs import training
def fit(*arguments, **options):
    raise MemoryError("Unable to allocate 9.00 TiB for an array")
training.fit = fit
"""


@pytest.mark.slow
def test_a_job_of_which_one_process_lacks_memory_is_not_started_again(tmp_path):
    processes = start(tmp_path, 2, *SMALL, "--epochs", "30", before_last=LACKS_MEMORY)
    other, own = ended = codes(processes)
    assert own == OWN_ERROR
    assert other in (75, -signal.SIGABRT)
    assert max(code % 256 for code in ended) != REQUEUE  # what srun gives


@pytest.mark.parametrize(("code", "given"), [(2, OWN_ERROR), (REQUEUE, REQUEUE), (130, 130)])
def test_the_cause_outweighs_what_it_did_to_other_processes(code, given, monkeypatch):
    ended = []
    monkeypatch.setattr(processes_of_command, "_joined", [1])
    monkeypatch.setattr(processes_of_command.os, "_exit", ended.append)
    with pytest.raises(SystemExit):  # not reached in a process that ends
        processes_of_command.leave(code)
    assert ended == [given]
    assert OWN_ERROR > REQUEUE


@pytest.mark.parametrize(
    ("error", "of_another"),
    [
        (jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllReduce failed: Connection closed by peer"), True),
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer"), True),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), False),
        (ValueError("RESOURCE_EXHAUSTED: Out of memory"), False),
        (ValueError("x: expected 3 rows"), False),
        (InputError("UNKNOWN: a file of this name"), False),
    ],
)
def test_what_another_process_did_is_told_from_an_error_of_its_own(error, of_another):
    assert processes_of_command.of_another(error) == of_another


@pytest.mark.slow
def test_two_processes_stream_the_run_of_one_each_its_share(tmp_path):
    sample = jets.read(jets.embedded(), limit=1500)
    for number, rows in enumerate(np.array_split(np.arange(1500), 3)):
        np.savez(tmp_path / f"jets_{number}.npz", constituents=sample.constituents[rows], labels=sample.labels[rows])
    streamed = ("--tagger", "topodnn", "--data", str(tmp_path / "jets_*.npz"), "--stream", "--memory", "1.2GB")
    small = (*streamed, "--workers", "0", "--batch-size", "64", "--epochs", "30")
    alone, together = (tmp_path / "runs" / "top-tagging" / name for name in ("alone", "together"))
    assert codes(start(tmp_path, 1, *small, "--name", "alone")) == [0]
    arguments = (*small, "--name", "together")
    for number, kill in ((2, True), (1, True), (2, False)):
        processes = start(tmp_path, number, *arguments, "--checkpoint-minutes", "0.005")
        if kill:
            assert killed_at_random(together, processes, random.Random(number))
        else:
            assert codes(processes) == [0, 0]
        arguments = ("--resume", str(together))
    digests = [json.loads((folder / "config.json").read_text())["data"]["digest"] for folder in (alone, together)]
    assert digests[0] == digests[1]  # of all jets, of which each process had looked at its share
    found, wanted = weights(together), weights(alone)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-4 * np.abs(values).max())


def killed_at_random(folder, processes, moments):
    """Kill one of the processes some time after the next checkpoint, and wait until the others noticed; False where all ended before."""
    before = set((folder / "checkpoints").glob("[0-9]*"))
    while not set((folder / "checkpoints").glob("[0-9]*")) - before:
        if any(process.poll() is not None for process in processes):
            break
        time.sleep(0.02)
    time.sleep(moments.uniform(0, 2))
    victim = moments.randrange(len(processes))
    processes[victim].kill()
    ended = codes(processes)
    if ended == [0] * len(processes):
        return False
    assert ended[victim] in (-signal.SIGKILL, 0), [process.communicate() for process in processes]
    assert {code for i, code in enumerate(ended) if i != victim} <= {0, 75, -signal.SIGABRT}, ended
    return True


@pytest.mark.slow
@pytest.mark.parametrize(("numbers", "kills"), [((2,), 7), ((4,), 6), ((1, 2, 4), 7)])
def test_a_run_whose_processes_are_killed_at_random_moments_ends_as_if_they_were_not(tmp_path, numbers, kills):
    moments = random.Random(kills)
    small = (*SMALL, "--epochs", "200")  # more than so many lives of at most 2 s bring to an end
    alone, together = (tmp_path / "runs" / "top-tagging" / name for name in ("alone", "together"))
    assert codes(start(tmp_path, numbers[-1], *small, "--name", "alone")) == [0] * numbers[-1]
    arguments = (*small, "--name", "together")
    done = 0
    while done < kills:
        processes = start(tmp_path, moments.choice(numbers), *arguments, "--checkpoint-minutes", "0.005")
        assert killed_at_random(together, processes, moments), (
            f"the training was over after {done} kills; it is too short"
        )
        done += 1
        if together.exists():
            arguments = ("--resume", str(together))
    number = moments.choice(numbers)
    assert codes(start(tmp_path, number, *arguments)) == [0] * number
    found, wanted = weights(together), weights(alone)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        if len(numbers) == 1:
            np.testing.assert_array_equal(found[name], values)
        else:
            np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-4 * np.abs(values).max())
