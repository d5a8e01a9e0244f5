"""The run folder, and a training that is killed at random moments."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.task import Session
from jaxsci.tasks.top_tagging import evaluation as top_tagging

SMALL = ("--tagger", "topodnn", "--max-jets", "1500", "--epochs", "40", "--batch-size", "64")


# A shell starts its jobs in the background without Ctrl-C.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


def command(*arguments, cwd):
    code = LISTENING + "from jaxsci.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def parameters(folder):
    return top_tagging.load(folder).params


def new(root, name=None):
    return runs.new_folder(Session(root, find=lambda data_set, file: root / file, name=name), "t", "cnn")


def test_a_wrong_choice_of_convolutions_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSCI_CONVOLUTION", "fast")
    with pytest.raises(InputError, match="got fast; unset it"):
        new(tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_count_up_and_a_taken_name_is_refused(tmp_path):
    assert new(tmp_path).name == "cnn-1"
    assert new(tmp_path).name == "cnn-2"
    new(tmp_path, "mine")
    with pytest.raises(InputError, match="mine: expected a new run, but it exists; choose another --name"):
        new(tmp_path, "mine")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../evil", "/absolute"])
def test_a_run_stays_in_the_folder_of_runs(tmp_path, name):
    with pytest.raises(InputError, match="--name: expected the name of a folder"):
        new(tmp_path / "runs", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a file of a run folder, found none"),
        ("{", "expected a readable JSON file"),
        ("[1]", "expected the keys task and options"),
        ('{"task": "images", "options": {}}', "expected a run of top-tagging, got one of images"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        runs.read_config(tmp_path, "top-tagging")


@pytest.mark.parametrize("kills", [pytest.param(kills, marks=pytest.mark.slow) for kills in (1, 20)])
def test_a_training_killed_at_random_moments_resumes_bit_for_bit(kills, tmp_path):
    finish(command("train", "top-tagging", *SMALL, "--name", "whole", cwd=tmp_path))
    whole = tmp_path / "runs" / "top-tagging" / "whole"
    victim = whole.with_name("victim")
    moments = random.Random(1)
    process = command("train", "top-tagging", *SMALL, "--name", "victim", cwd=tmp_path)
    while not (victim / "config.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    killed = 0
    for _ in range(kills):
        time.sleep(moments.uniform(0, 6))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
        assert not (victim / "report.html").exists() or process.returncode == 0
        process = command("train", "top-tagging", "--resume", str(victim), cwd=tmp_path)
    finish(process)
    assert killed > 0
    ours, theirs = parameters(victim), parameters(whole)
    for layer, leaves in theirs.items():
        for name, leaf in leaves.items():
            np.testing.assert_array_equal(ours[layer][name], leaf)
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (victim, whole)]
    ours, theirs = ([json.loads(line)["validation_loss"] for line in part] for part in lines)
    assert ours == theirs


def test_ctrl_c_ends_with_130_and_what_to_do(tmp_path):
    process = command("train", "top-tagging", *SMALL, "--epochs", "2000", "--name", "long", cwd=tmp_path)
    checkpoints = tmp_path / "runs" / "top-tagging" / "long" / "checkpoints"
    while not any(checkpoints.glob("*/")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
