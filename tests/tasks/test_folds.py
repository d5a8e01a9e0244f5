"""Cross-validation: every example is tested once, by a training that did not see it; resumed it goes on; what cannot be is refused."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.core import Batch
from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.runs.task import Session
from jaxsci.tasks import folds, own_network
from jaxsci.tasks.top_tagging import cross_validation, jobs
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.task import TASK
from tests.command import refused, write_jets


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


def test_each_example_is_in_one_test_part_and_classes_are_dealt_evenly():
    labels = np.repeat([0, 1, 2], [50, 23, 30])
    found = folds.splits(labels, 4, seed=1, share=0.2)
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, _, test in found])), np.arange(103))
    for split in found:
        np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(103))
        counts = np.bincount(labels[split[2]], minlength=3)
        assert np.all(np.abs(counts - np.array([50, 23, 30]) / 4) < 1)
        assert len(split[1]) / (len(split[0]) + len(split[1])) == pytest.approx(0.2, abs=0.03)
    groups = np.repeat(np.arange(20), 5)
    of_groups = folds.splits(np.zeros(100, int), 3, seed=1, share=0.2, groups=groups)
    for train, validation, test in of_groups:
        assert not set(groups[test]) & set(groups[np.concatenate([train, validation])])
        assert not set(groups[train]) & set(groups[validation])
        assert len(validation) == len(np.unique(groups[validation])) * 5 > 0
        assert len(validation) == pytest.approx(0.2 * (len(train) + len(validation)), abs=5)
    assert sorted(len(test) for _, _, test in of_groups) == [30, 35, 35]
    large = np.repeat(np.arange(4), [90, 4, 3, 3])
    with pytest.raises(InputError, match=r"two remain where a fold is left out, .* got one of \d+ examples; take"):
        folds.splits(np.zeros(100, int), 2, seed=1, share=0.2, groups=np.minimum(large, 2))
    with pytest.raises(
        InputError, match=r"training parts of similar size, got 7 and 90 examples; .* of which the largest has 90"
    ):
        folds.splits(np.zeros(100, int), 3, seed=1, share=0.2, groups=large)
    with pytest.raises(InputError, match="at most 23 folds for 23 examples of each class, got 24"):
        folds.splits(labels, 24, seed=1, share=0.2)
    with pytest.raises(InputError, match="at most 20 folds for 20 groups, got 21"):
        folds.splits(np.zeros(100, int), 21, seed=1, share=0.2, groups=groups)


def test_a_batch_is_filled_up_with_examples_of_no_weight():
    batch = Batch({"a": np.arange(6.0).reshape(3, 2)}, np.arange(3), np.ones(3, np.float32))
    longer = folds.alike(batch, 7)
    assert [len(leaf) for leaf in (longer.x["a"], longer.y, longer.weight)] == [7, 7, 7]
    np.testing.assert_array_equal(longer.weight, [1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(longer.x["a"][:3], batch.x["a"])


def test_a_column_that_a_training_part_lacks_is_refused(capsys):
    sparse = np.where(np.arange(60) == 7, 0.5, np.nan)
    np.savez("t.npz", x=np.arange(60.0), sparse=sparse, kind=np.arange(60) % 2)
    train = ["train", "table", "--data", "t.npz", "--target", "kind", "--folds", "3"]
    line = refused(capsys, *train)
    assert "t.npz: expected entries of the column sparse in the training part of each fold, got none" in line
    assert "--ignore sparse" in line
    assert not Path("runs").exists()


def evaluation(folder):
    return json.loads((Path(folder) / "evaluation.json").read_text())


@pytest.mark.slow
def test_a_table_in_folds(capsys):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 150))
    table = {"x": x, "y": y, "kind": np.where(x + y > 0, "up", "down")}
    with Path("t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([table, *zip(*table.values(), strict=True)])
    train = ["train", "table", "--data", "t.csv", "--target", "kind", "--members", "1", "--epochs", "5"]
    main([*train, "--folds", "3", "--learning-rate", "2e-2"])
    folder = Path("runs/table/kind-1")
    found = evaluation(folder)
    assert np.sum(found["confusion_matrix"]) == 150
    accuracy = [of["accuracy"]["value"] for of in found["each"]]
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(accuracy))
    assert found["metrics"]["accuracy"]["deviation"] == pytest.approx(np.std(accuracy, ddof=1))
    assert min(accuracy) > 0.8
    page = (folder / "report.html").read_text()
    assert "not independent" in page
    assert "fold 3" in page
    # Interrupted in its second fold it goes on, and ends the same.
    whole = [(folder / f"fold-{k}" / "weights.npz").read_bytes() for k in (1, 2, 3)]
    (folder / "evaluation.json").unlink()
    (folder / "fold-2" / "fold.json").unlink()
    (folder / "fold-2" / "weights.npz").unlink()
    shutil.rmtree(folder / "fold-3")
    main(["train", "table", "--resume", str(folder)])
    assert evaluation(folder) == found
    assert [(folder / f"fold-{k}" / "weights.npz").read_bytes() for k in (1, 2, 3)] == whole

    for command in (
        ["evaluate", folder],
        ["predict", folder, "t.csv", "--out", "a.csv"],
        ["export", folder, "--out", "a"],
    ):
        assert "got a cross-validation of 3" in refused(capsys, *command)
    Path("u.csv").write_text(Path("t.csv").read_text())
    for words, line in (
        (["--folds", "1"], "--folds: expected at least 2, got 1"),
        (["--folds", "0"], "--folds: expected at least 2, got 0"),
        (["--folds", "500"], "folds for"),
        (["--folds", "3", "--test", "u.csv"], "--test: expected none with --folds"),
    ):
        assert line in refused(capsys, *train, *words)
    assert sorted(path.name for path in Path("runs/table").iterdir()) == ["kind-1"]


def test_options_that_an_earlier_version_ignored_do_not_keep_its_run_from_going_on(monkeypatch):
    monkeypatch.setattr(own_network.platformdirs, "user_state_path", lambda name: Path("home"))
    sample = jets.read(jets.embedded(), limit=40)
    write_jets("mine.h5", sample.constituents, sample.labels)
    Path("net.py").write_text(
        "import math\nfrom jaxsci.models import dense, heads\n"
        "def build(example_shape, outputs):\n"
        "    return heads.scalar(dense.model(dense.Config(inputs=math.prod(example_shape), hidden=())))\n"
    )
    old = Options(data=Path("mine.h5"), folds=2, model="net.py:build", tagger="cnn")
    session = Session(Path("runs"), find=None)
    with pytest.raises(InputError, match="--tagger: expected none beside --model"):
        TASK.start(old, session)
    own = replace(old, tagger=None)
    with pytest.raises(InputError, match="--signal-class: expected none with --folds"):
        TASK.start(replace(own, signal_class="top"), session)
    bare = cross_validation._dealt(jobs.prepare(own, session.progress))
    jobs.new_run(replace(bare.job, options=old), {"folds": 2}, session)
    monkeypatch.setattr(cross_validation, "_train", lambda folder, given, session, resume: given)
    found = TASK.resume(Path("runs/top-tagging/net-1"), session)
    np.testing.assert_array_equal(np.concatenate(found.splits[0]), np.concatenate(bare.splits[0]))


@pytest.mark.slow
def test_jets_in_folds(capsys):
    sample = jets.read(jets.embedded(), limit=301)
    write_jets("mine.h5", sample.constituents, sample.labels)
    train = ["train", "top-tagging", "--tagger", "mass", "--data", "mine.h5", "--epochs", "1"]
    main([*train, "--folds", "2"])
    folder = Path("runs/top-tagging/mass-1")
    found = evaluation(folder)
    assert np.sum(found["confusion_matrix"]) == 301
    assert [sum(np.ravel(of["confusion_matrix"])) for of in found["each"]] == [151, 150]
    assert found["metrics"]["auc"]["value"] > 0.8  # the mass tells tops
    assert "got a cross-validation of 2" in refused(capsys, "study", folder)
    for words in (["--stream"], ["--members", "2"]):
        assert "expected one network on jets in memory with --folds" in refused(capsys, *train, "--folds", "2", *words)
    line = refused(capsys, *train, "--folds", "2", "--class-names", "a,b,c", "--signal-class", "a")
    assert "--signal-class: expected none with --folds" in line
    line = refused(capsys, "sweep", "top-tagging", "--folds", "2", "--trials", "2", "--learning-rate", "1e-3:1e-2")
    assert "--folds: expected one training for each trial of a sweep" in line
