"""A run of each task that was trained on two devices: another process with one device evaluates, predicts and goes on as they did."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.runs.small_runs import EXAMPLES, TRAIN, write_examples

FLAG = "--xla_force_host_platform_device_count={}"
WAYS = {
    "table": ["table"],
    "images in parts of batches": ["images", "--devices", "2"],
    "images by members": ["images", "--members", "2"],
    "taggers in parts of batches": ["top-tagging", "--devices", "2"],
    "taggers by members": ["top-tagging", "--members", "2"],
    "anomalies": ["anomalies"],
    "superconductors": ["superconductors"],
}


def jaxsci(devices, folder, *words):
    """Run the command in a process with so many devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FLAG.format(devices)}"
    environment = {
        **os.environ,
        "XLA_FLAGS": flags,
        "JAXSCI_DATA": str(folder / "data"),
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "jaxsci", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def numbers(found, path=()):
    """The numbers of a JSON value by their places."""
    if isinstance(found, dict | list):
        items = found.items() if isinstance(found, dict) else enumerate(found)
        return {place: number for key, of in items for place, number in numbers(of, (*path, key)).items()}
    return {path: found} if type(found) in (int, float) else {}


def table(path):
    """The columns of a file of predictions, numbers as such."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    return {name: [row[name] for row in rows] for name in rows[0]}


def require_close(found, expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        try:
            np.testing.assert_allclose(
                np.float64(found[name]), np.float64(values), rtol=2e-4, atol=2e-5, err_msg=str(name)
            )
        except ValueError:
            assert found[name] == values, name


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_what_two_devices_trained_one_device_reads(way, tmp_path):
    task, *words = WAYS[way]
    write_examples(tmp_path)
    examples = EXAMPLES.get(task, "jets.npz")
    run = f"runs/{task}/run"
    jaxsci(2, tmp_path, "train", task, *TRAIN[task], *words, "--name", "run")
    assert json.loads((tmp_path / run / "config.json").read_text())["device"]["count"] == 2
    measured = numbers(json.loads((tmp_path / run / "evaluation.json").read_text()))
    jaxsci(2, tmp_path, "predict", run, examples, "--out", "two.csv")
    jaxsci(1, tmp_path, "predict", run, examples, "--out", "one.csv")
    require_close(table(tmp_path / "one.csv"), table(tmp_path / "two.csv"))
    for again in (["evaluate", run], ["train", task, "--resume", run]):
        jaxsci(1, tmp_path, *again)
        require_close(numbers(json.loads((tmp_path / run / "evaluation.json").read_text())), measured)
