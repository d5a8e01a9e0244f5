"""The disk or the memory is full: one line, and no run that was only begun."""

import errno
import os
import subprocess
import sys

import h5py
import jax
import numpy as np
import pytest

from jaxsci.cli import main as command
from jaxsci.cli import mistakes, processes
from jaxsci.cli.arguments import Place
from tests.command import refused
from tests.runs.small_runs import TRAIN, write_examples


@pytest.mark.parametrize("task", TRAIN)
def test_a_training_that_cannot_write_its_first_files_leaves_no_folder(task, tmp_path, monkeypatch, capsys):
    write_examples(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXSCI_DATA", str(tmp_path / "data"))
    for whole in (0, 1):  # files before the disk is full: none, and config.json
        written = iter([None] * whole)

        def fsync(descriptor, written=written):
            if next(written, errno.ENOSPC):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            line = refused(capsys, "train", task, *TRAIN[task])
        assert "No space left on device; free some disk space" in line
        assert list((tmp_path / "runs" / task).iterdir()) == []


def test_hdf5_on_a_full_disk_is_an_error_and_no_end_of_the_process(tmp_path):
    """In a process that may write only so much to a file: HDF5 by itself would end it with a segmentation fault."""
    code = f"""
import resource, signal
import h5py
import numpy as np
from pathlib import Path
from jaxsci.files import replacing, unfailing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rows = np.random.default_rng(0).random((20_000, 5))
for limit in (resource.RLIM_INFINITY, 500_000, 100_000, 1_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with replacing(Path({str(tmp_path / "x.h5")!r})) as temporary, unfailing(temporary) as target, h5py.File(target, 'w') as file:
            file.create_dataset("x", data=rows, chunks=(1000, 5), compression="gzip")
            file.create_dataset("y", (20_000,), "u1")[:] = 1
    except OSError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"[Errno 27] File too large: '{tmp_path / 'x.h5'}'"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]
    with h5py.File(tmp_path / "x.h5") as file:  # as it was
        np.testing.assert_array_equal(file["x"], np.random.default_rng(0).random((20_000, 5)))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    write_examples(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refused(capsys, "train", "table", *TRAIN["table"], "--runs", "file")
    for number, words in (
        (errno.EFBIG, "allow larger files (ulimit -f)"),
        (errno.EROFS, "choose a place you may write to"),
        (errno.EACCES, "choose a place"),
    ):
        error = OSError(number, os.strerror(number), "runs")
        assert mistakes.of_user(error).startswith(f"runs: {os.strerror(number)}; {words}")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "got too little; take"),
        (
            np._core._exceptions._ArrayMemoryError((10**15,), np.dtype(float)),
            "with shape (1000000000000000,) and data type",
        ),
        (RuntimeError("RESOURCE_EXHAUSTED: x\nlong"), "got too little (RESOURCE_EXHAUSTED: x); take"),
    ],
    ids=["Python", "NumPy", "JAX"],
)
def test_too_little_memory_is_one_line(error, what, monkeypatch, capsys):
    def run(command):
        raise error

    monkeypatch.setattr(command, "run", run)
    line = refused(capsys, "runs")
    assert "expected memory for the arrays of this command" in line
    assert what in line


def test_a_process_of_several_whose_memory_is_too_small_is_not_started_again(monkeypatch, capsys):
    monkeypatch.setattr(processes, "_joined", [])
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: None)
    monkeypatch.setattr(processes, "leave", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    place = Place(distributed=True)
    for words, kind in (("RESOURCE_EXHAUSTED: x", jax.errors.JaxRuntimeError), ("UNAVAILABLE: x", SystemExit)):
        with pytest.raises(kind), processes.joined(place):
            raise jax.errors.JaxRuntimeError(words)
    assert "another process of this job ended (UNAVAILABLE: x)" in capsys.readouterr().err


def test_a_mistake_of_the_program_is_no_line(monkeypatch):
    def run(command):
        raise KeyError("x")

    monkeypatch.setattr(command, "run", run)
    with pytest.raises(KeyError):
        command.main(["runs"])
