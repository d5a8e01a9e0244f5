"""What a sweep goes on with, and its parts: the same networks and options, and no validation part that was trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.errors import StopTraining
from jaxsci.tasks import own_network
from jaxsci.tasks.sweeps import run as sweeps
from tests.command import refused


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


LINEAR = """
from jaxsci.models import dense

def build(shape, outputs, scale):
    network = dense.model(dense.Config(inputs=64, outputs=outputs, hidden=()))
    return network._replace(apply=lambda params, x: scale * network.apply(params, x.reshape(-1)))
"""


def test_a_sweep_goes_on_by_its_own_words_with_the_networks_it_began_with(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(own_network.platformdirs, "user_state_path", lambda name: tmp_path / "home")

    def stops(*arguments):
        raise StopTraining("asked")

    monkeypatch.setattr(sweeps, "_run", stops)
    np.savez("mine.npz", x=np.random.default_rng(0).random((60, 8, 8), np.float32), y=np.arange(60) % 2)
    for name in ("a.py", "b.py"):
        Path(name).write_text(LINEAR)
    Path("o.toml").write_text("epochs = 2\n")
    words = [
        "--config",
        "o.toml",
        "--data",
        "mine.npz",
        "--model",
        "a.py:build,b.py:build",
        "--model-options",
        "scale=1",
    ]
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "images", *words])
    assert stop.value.code == 75
    folder = tmp_path / "runs/sweeps/images-1"
    assert json.loads((folder / "sweep.json").read_text())["words"] == ["--epochs=2", *words[2:]]
    Path("o.toml").unlink()
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "images", "--resume", str(folder)])
    assert stop.value.code == 75
    Path("b.py").write_text(LINEAR.replace("scale *", "2 * scale *"))
    own_network.keep(tmp_path / "home", "b.py:build")  # trained with on this account, but not by this sweep
    line = refused(capsys, "sweep", "images", "--resume", folder)
    assert "b.py: expected the network that the training began with (SHA-256" in line


def test_the_validation_part_of_a_sweep_is_compared_with_the_training_part(tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    np.savez("table.npz", x=rng.normal(size=60), kind=y)
    np.savez("images.npz", x=rng.random((60, 8, 8), np.float32), y=y)
    sample = jets.read(jets.embedded(), limit=60)
    np.savez("jets.npz", constituents=sample.constituents, labels=sample.labels)
    for task, file, own in (
        ("table", "table.npz", ["--target", "kind"]),
        ("images", "images.npz", ["--model", "dense"]),
        ("top-tagging", "jets.npz", ["--tagger", "mass"]),
    ):
        shutil.copy(file, "copy.npz")
        words = ["--data", file, "--validation", "copy.npz", *own, "--learning-rate", "1e-4:1e-2"]
        line = refused(capsys, "sweep", task, *words)  # of the test part, which is drawn and so wholly in the copy
        assert f"{file}: expected" in line
        assert "for test that are not among those for training or validation, got all" in line
    assert not (tmp_path / "runs").exists()
