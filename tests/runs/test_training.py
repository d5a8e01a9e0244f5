"""Trainings in a run folder: what is noted of interruptions, and which convolutions are compiled."""

import jax
import numpy as np
import pytest

from jaxsci.core import Batch
from jaxsci.errors import StopTraining
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense
from jaxsci.ops.convolution import choice
from jaxsci.runs import figures
from jaxsci.runs import folder as runs
from jaxsci.runs.task import silent
from jaxsci.tasks import images
from jaxsci.training import Recipe, Settings, adamw

MODEL = dense.model(dense.Config(2, outputs=1, hidden=(3,)))
DATA = Batch(np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32), np.ones(4, np.float32))


def train(folder, loss, *, resume, progress=silent):
    recipe = Recipe(MODEL, loss, adamw(1e-3))
    training = runs.Training(recipe, Settings(epochs=2, batch_size=2), jax.random.key(0))
    return runs.train(folder, training, (DATA, DATA), resume=resume, progress=progress)


def stopped(stage, fraction, words):
    if words.startswith("epoch 1 of 2, "):
        raise StopTraining


def test_only_a_training_that_goes_on_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXSCI_CONVOLUTION", raising=False)
    runs.write_config(tmp_path, "images", images.Options(), {})
    loss = objective(MODEL.apply, squared_error)
    for name in ("fold-1", "fold-2"):
        (tmp_path / name).mkdir()
    train(tmp_path / "fold-1", loss, resume=False)
    with pytest.raises(StopTraining):
        train(tmp_path / "fold-2", loss, resume=False, progress=stopped)
    train(tmp_path / "fold-1", loss, resume=True)  # was over
    assert "resumed" not in runs.read_config(tmp_path)
    monkeypatch.setenv("JAXSCI_CONVOLUTION", "direct")
    train(tmp_path / "fold-2", loss, resume=True)
    (again,) = runs.read_config(tmp_path)["resumed"]
    assert (again["training"], again["epochs"], again["convolution"]) == ("fold-2", 1, "direct")
    page = figures.provenance(tmp_path).text
    assert "Interrupted after epoch 1 of fold-2 and resumed" in page
    assert "with JAXSCI_CONVOLUTION=direct." in page  # the run began without


def test_a_training_compiles_by_the_convolution_of_its_time(tmp_path, monkeypatch):
    traced, plain = [], objective(MODEL.apply, squared_error)

    def loss(params, batch):
        traced.append(choice.costs())
        return plain(params, batch)

    for value in ("direct", "xla"):
        monkeypatch.setenv("JAXSCI_CONVOLUTION", value)
        (tmp_path / value).mkdir()
        traced.clear()
        train(tmp_path / value, loss, resume=False)
        assert set(traced) == {choice.DIRECT if value == "direct" else None}
