"""Top tagging on jets that are streamed: the same parts as in memory, and one line where the data or the memory will not do."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.runs.task import Session, silent
from jaxsci.tasks.top_tagging import jobs, streamed
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.task import TASK


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """400 jets in three files, sorted by class."""
    folder = tmp_path_factory.mktemp("jets")
    sample = jets.read(jets.embedded(), limit=400)
    order = np.argsort(sample.labels, kind="stable")
    for number, rows in enumerate(np.array_split(order, 3)):
        with h5py.File(folder / f"train_{number}.h5", "w") as file:
            file.create_dataset(
                "constituents", data=sample.constituents[rows], chunks=(20, *sample.constituents.shape[1:])
            )
            file["labels"] = sample.labels[rows]
    return folder / "train_*.h5"


def options(files, **more):
    return Options(tagger="mass", data=files, stream=True, memory="1.2GB", workers=0, epochs=2, **more)


def session(folder):
    return Session(folder, None, "streamed")


def test_the_same_jets_for_each_part_as_in_memory(files, tmp_path):
    here = streamed.prepare(options(files), streamed.Workers(0), silent)
    there = jobs.prepare(options(files), silent)
    for one, other in zip(here.job.splits, there.splits, strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "v.h5").touch()
    cut = here._replace(validation=10, job=here.job._replace(options=options(files, validation=tmp_path / "v.h5")))
    described = streamed.describe(cut)["split"]["parts"]
    assert [of["examples"] for of in described.values()] == [len(here.splits[0]), 10, len(here.splits[2])]
    pfn = streamed.prepare(replace(options(files), tagger="pfn"), streamed.Workers(0), silent)
    np.testing.assert_allclose(
        pfn.job.scaling.shift, jobs.prepare(replace(options(files), tagger="pfn"), silent).scaling.shift, atol=2e-6
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"memory": "much"}, "--memory: expected a size such as 16GB"),
        ({"memory": "900MB"}, "--memory: expected at least 1.1GB, got 900MB"),
        ({"data": None}, "--stream: expected --data"),
        ({"max_jets": 10}, "--stream: expected no --max-jets"),
        ({"workers": -1}, "--workers: expected a number of processes"),
    ],
)
def test_options_that_cannot_be(files, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        TASK.start(replace(options(files), **changes), session(tmp_path))
    assert not list(Path(tmp_path).glob("*/*"))


def test_without_streaming_the_command_says_that_the_jets_do_not_fit(files, monkeypatch):
    monkeypatch.setattr(jobs, "free_memory", lambda: 10**6)
    with pytest.raises(InputError, match=r"free memory for 400 jets and their inputs, got 0\.0 GiB; add --stream"):
        jobs.prepare(replace(options(files), stream=False), silent)


def test_an_ensemble_is_trained_on_a_stream(files, tmp_path):
    folder = TASK.start(options(files, members=2, batch_size=64), session(tmp_path))
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["members"] == 2
    assert len(set(found["of_members"]["log_loss"]["each"])) == 2
    TASK.evaluate(folder, None, session(tmp_path))
    assert json.loads((folder / "evaluation.json").read_text()) == found
