"""Top tagging on jets that are streamed: the same parts as in memory, and one line where the data or the memory will not do."""

import json
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxsci.data import jets
from jaxsci.data.jets import _checks as checks
from jaxsci.errors import InputError
from jaxsci.runs import weights
from jaxsci.runs.task import Execution, Session, silent
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
    for one, other in zip(here.splits, there.splits, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(here.hashes(), there.hashes())
    cut = streamed.prepare(options(files), streamed.Workers(0), silent, {"data": {"block": 128, "validation": 10}})
    np.testing.assert_array_equal(cut.splits[1], there.splits[1][:10])
    assert cut.described()["validation"] == len(cut.examples(silent)[1].weight) == 10
    pfn = streamed.prepare(replace(options(files), tagger="pfn"), streamed.Workers(0), silent)
    np.testing.assert_allclose(
        pfn.scaling.shift, jobs.prepare(replace(options(files), tagger="pfn"), silent).scaling.shift, atol=2e-6
    )


def test_an_edited_network_is_built_anew(files, tmp_path):
    network = tmp_path / "own.py"
    own = replace(options(files), tagger=None, model=str(network), input="constituents")
    for size in (2, 3):
        network.write_text(
            "from math import prod\nfrom jaxsci.core import Model\nfrom jaxsci.models import dense\n"
            f"def build(shape):\n    model = dense.model(dense.Config(prod(shape), hidden=({size},)))\n"
            "    return Model(model.init, lambda params, x: model.apply(params, x.reshape(-1)))\n"
        )
        with streamed.opened(own, silent) as job:
            inputs = 4 * job.shape[0]
            assert weights.number(job.tagger.model) == (inputs + 1) * size + size + 1


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


def test_microbatches_by_a_device_s_memory_are_refused_before_a_run_is_made(files, tmp_path):
    with pytest.raises(InputError, match="--device-memory: expected jets in memory, got --stream"):
        TASK.start(options(files), session(tmp_path)._replace(execution=Execution(device_memory=10**9)))
    assert not list(tmp_path.iterdir())


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


def test_jets_are_checked_once_and_a_file_that_changes_is_refused(files, tmp_path, monkeypatch):
    copy = tmp_path / "train_0.h5"
    copy.write_bytes(Path(str(files).replace("*", "0")).read_bytes())
    with h5py.File(copy, "r+") as file:
        file["labels"][::2] = 0
        file["labels"][1::2] = 1
        file["constituents"][:5] = file["constituents"][:5][:, ::-1]  # the hardest last
    checked = []
    clean = checks.clean_constituents
    monkeypatch.setattr(checks, "clean_constituents", lambda *a: checked.append(len(a[1])) or clean(*a))
    run = streamed.prepare(options(copy), streamed.Workers(0), silent)
    jets_read = np.concatenate(list(streamed.Stream(run.source, itemgetter("constituents"), 1).in_order()))
    assert sum(checked) == len(run.labels) == len(jets_read)
    np.testing.assert_array_equal(jets_read, jets.read(copy).constituents)
    other = tmp_path / "other.h5"
    other.write_bytes(copy.read_bytes())
    with h5py.File(other, "r+") as file:
        file["constituents"][0, 0] = np.nan
    other.replace(copy)
    with pytest.raises(InputError, match=r"train_0.h5: expected the file as it was when the work began"):
        list(streamed.Stream(run.source, itemgetter("constituents"), 1).in_order())
    with pytest.raises(InputError, match="finite four-momenta"):
        streamed.prepare(options(copy), streamed.Workers(0), silent)


def test_of_several_processes_each_trusts_the_checks_of_others_on_the_same_files_alone(files, monkeypatch):
    """Copies on the disk of each node may differ."""
    found = streamed.source(files, jets.rows)
    half = int(found.chunks[(len(found.chunks) - 1) // 2])
    monkeypatch.setattr(streamed.jax, "process_count", lambda: 2)
    for offset, known in ((0, len(found)), (1, half)):

        def gathered(own, lengths, offset=offset):
            return np.concatenate([own, own + np.array(offset, own.dtype)])

        monkeypatch.setattr(streamed, "gathered", gathered)
        here, _, _ = streamed._looked_at(found, streamed.Workers(0), silent)
        assert (here.checked.first, here.checked.last) == (0, known)
        last = here.known(len(found) - 1, len(found))
        assert last == (here.checked.files[-1], offset == 0)  # what it did not check must be the same file all the same
        assert isinstance(hash(here), int)


def test_a_file_that_changes_is_refused_though_its_rows_are_those_of_another_process(files, tmp_path):
    copy = tmp_path / "train_0.h5"
    copy.write_bytes(Path(str(files).replace("*", "0")).read_bytes())
    found = streamed.source(copy, jets.rows)
    length = len(found)
    here = found.with_checked(streamed.Checked(found.states(), 0, length // 2))
    assert {"ends"} <= vars(here).keys()  # files are not opened again for their lengths
    rest = np.arange(length // 2, length)
    stream = streamed.Stream(here, itemgetter("constituents"), 1)
    assert sum(map(len, stream.in_order([rest]))) == len(rest)
    other = tmp_path / "other.h5"
    other.write_bytes(copy.read_bytes())
    with h5py.File(other, "r+") as file:
        file["labels"][:] = 1 - file["labels"][:]  # well-formed
    other.replace(copy)
    with pytest.raises(InputError, match=r"train_0.h5: expected the file as it was when the work began"):
        list(stream.in_order([rest]))


def test_images_read_again_are_those_that_were_checked(tmp_path):
    images = np.random.default_rng(0).random((20, 4, 4))
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(20) % 2)
    reader = jets.rows(tmp_path / "images.npz")
    for name, values in reader.rows(3, 9).items():
        np.testing.assert_array_equal(reader.again(3, 9)[name], values)
