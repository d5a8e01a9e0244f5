"""The command as a user meets it: results, and one line with exit code 2 for whatever cannot be used."""

import json
import shutil

import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.data import jets
from tests.command import refused, requests_of, write_jets

QUICK = ["--max-jets", "400", "--epochs", "1", "--batch-size", "32"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """One trained run, shared by the tests that only read it."""
    root = tmp_path_factory.mktemp("shared")
    main(["train", "top-tagging", "--tagger", "topodnn", *QUICK, "--runs", str(root / "runs")])
    return root / "runs" / "top-tagging" / "topodnn-1"


SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in (
        "cnn",
        "efn",
        "pfn-attention",
        "efn-attention",
        "pelican",
        "pelican-rest",
        "particlenet",
        "particlenet-batch",
        "part",
    )
]


def require_complete(folder, tagger):
    """What a run of QUICK leaves behind."""
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert sum(evaluation["jets"].values()) == 100  # a quarter of 400
    assert 0 <= evaluation["metrics"]["auc"]["value"] <= 1
    assert np.sum(evaluation["metrics"]["confusion_matrix"]) == 100
    assert ("gain" in evaluation) == (tagger != "mass")
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["seed"] == 1
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1
    drawn = {p.stem for p in (folder / "figures").iterdir()}
    assert drawn - {"mistaken"} == {  # which a tagger without a mistake has none of
        "average_images",
        "calibration",
        "confusion_matrix",
        "learning_curves",
        "roc",
        "scores",
    }
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64") == 2 * len(drawn)  # for light and dark pages
    assert "Training" in page
    assert "1 epoch, " in page
    assert not requests_of(page)


@pytest.mark.parametrize("tagger", ["pfn", *SLOW, "mass"])
def test_every_tagger_leaves_a_complete_run(tagger, tmp_path, capsys):
    main(["train", "top-tagging", "--tagger", tagger, *QUICK])
    folder = tmp_path / "runs" / "top-tagging" / f"{tagger}-1"
    assert str(folder.relative_to(tmp_path) / "report.html") in capsys.readouterr().out.replace("\n", "")
    require_complete(folder, tagger)


def test_the_landscape_network_has_the_published_number_of_parameters():
    import jax

    from jaxsci.tasks.top_tagging import taggers

    params = jax.eval_shape(taggers.tagger("cnn-landscape").model.init, jax.random.key(0))
    # 609,666 with two softmax outputs (arXiv:1902.09914, first block valid); one logit saves 257 of them.
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 609_666 - 257


def test_the_same_seed_gives_the_same_run(run_folder, tmp_path):
    require_complete(run_folder, "topodnn")
    main(["train", "top-tagging", "--tagger", "topodnn", *QUICK])
    ours = json.loads((tmp_path / "runs" / "top-tagging" / "topodnn-1" / "evaluation.json").read_text())
    assert ours == json.loads((run_folder / "evaluation.json").read_text())


def test_predictions_are_those_of_the_evaluation(run_folder, tmp_path, some_jets):
    constituents, labels = some_jets
    own = write_jets(tmp_path / "own.h5", constituents, labels)
    main(["predict", str(run_folder), own, "--out", "scores.npz"])
    main(["predict", str(run_folder), own, "--out", "scores.csv"])
    main(["evaluate", str(run_folder), "--data", own])
    with np.load("scores.npz") as scores:
        right = (scores["logit"] > 0) == (labels == 1)
        assert scores["probability"].shape == (300,)
        assert len((tmp_path / "scores.csv").read_text().splitlines()) == 301
    evaluation = json.loads((run_folder / "evaluations" / "own" / "evaluation.json").read_text())
    assert evaluation["metrics"]["accuracy"]["value"] == pytest.approx(right.mean())
    assert evaluation["part"] == "own.h5"


def test_the_page_says_which_jets_the_run_knows(run_folder, tmp_path, some_jets):
    constituents, labels = some_jets
    padded = np.pad(constituents, ((0, 0), (0, 7), (0, 0)))  # the same jets in a wider file
    main(["evaluate", str(run_folder), "--data", write_jets(tmp_path / "again.h5", padded, labels)])
    known = json.loads((run_folder / "evaluations" / "again" / "evaluation.json").read_text())["known"]
    assert 0.6 * 300 < known < 0.9 * 300  # training and validation are three quarters of the run's 400 jets
    page = (run_folder / "evaluations" / "again" / "report.html").read_text()
    assert f"Warning: {known} of the 300 jets of again.h5 have the inputs of training or validation jets" in page
    assert "never used" not in page
    main(["evaluate", str(run_folder), "--data", write_jets(tmp_path / "new.h5", 1.01 * constituents, labels)])
    page = (run_folder / "evaluations" / "new" / "report.html").read_text()
    assert "None of the 300 jets of new.h5 is among the training or validation jets" in page


def test_the_page_says_how_to_repeat_the_run(run_folder, tmp_path):
    page = (run_folder / "report.html").read_text()
    command = page.replace("<span>", "").replace("</span>", "")  # which keep the name of an option on one line
    assert (
        "jaxsci train top-tagging --tagger topodnn --no-stream --epochs 1 --batch-size 32 --max-jets 400 --members 1"
        in command
    )
    assert "<dt>Parameters</dt><dd>59,323</dd>" in page  # of the layers 90-300-102-12-6-1
    assert str(run_folder.parents[2]) not in page  # no path of the machine on a page that is mailed
    assert "What the jets look like" in page
    assert "What it sees" not in page


def test_evaluating_again_gives_the_same_numbers(run_folder):
    before = (run_folder / "evaluation.json").read_text()
    main(["evaluate", str(run_folder)])
    assert (run_folder / "evaluation.json").read_text() == before


def test_runs_on_the_same_jets_are_compared(run_folder, tmp_path, capsys):
    main(["train", "top-tagging", "--tagger", "mass", *QUICK, "--runs", str(run_folder.parents[1])])
    capsys.readouterr()
    main(["compare", str(run_folder), str(run_folder.with_name("mass-1"))])
    table = capsys.readouterr().out
    assert "topodnn-1" in table
    assert "mass-1" in table
    assert "auc" in table


@pytest.mark.slow
def test_other_jets_with_the_same_labels_are_other_jets(tmp_path, some_jets, capsys):
    constituents, labels = some_jets
    write_jets(tmp_path / "a.h5", constituents, labels)
    write_jets(tmp_path / "b.h5", 1.01 * constituents, labels)
    for name in "ab":
        options = ["--tagger", "mass", "--epochs", "1", "--batch-size", "32"]
        main(["train", "top-tagging", "--data", f"{name}.h5", "--name", name, *options])
    line = refused(capsys, "compare", "runs/top-tagging/a", "runs/top-tagging/b")
    assert "expected runs of one data and split" in line
    assert "b (this run)" not in (tmp_path / "runs/top-tagging/b/report.html").read_text()


def test_a_run_whose_digest_covers_less_is_not_compared(run_folder, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(run_folder, old)
    config = json.loads((old / "config.json").read_text())
    del config["checksum"]  # which an earlier version did not write either
    config["data"]["digest"] = config["data"]["digest"][:16]
    (old / "config.json").write_text(json.dumps(config))
    assert "old: expected runs of one version" in refused(capsys, "compare", str(run_folder), str(old))


def test_a_loaded_run_predicts(run_folder, some_jets, tmp_path):
    import jaxsci

    constituents, labels = some_jets
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    shutil.rmtree(copy / "checkpoints")  # neither the state of the training nor its data are needed
    config = json.loads((copy / "config.json").read_text())
    config["options"]["data"] = "gone.h5"
    (copy / "config.json").write_text(json.dumps(config))
    tagger = jaxsci.load(copy)
    predictions = tagger.predict(constituents)
    main(["predict", str(run_folder), write_jets(tmp_path / "own.h5", constituents, labels), "--out", "scores.npz"])
    with np.load("scores.npz") as scores:
        np.testing.assert_array_equal(predictions["logit"], scores["logit"])
    with pytest.raises(jaxsci.InputError, match="expected constituents"):
        tagger.predict(constituents[0])


def test_weights_are_read_as_well_from_an_older_run(run_folder, some_jets, tmp_path):
    import jaxsci

    constituents, _ = some_jets
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    (copy / "weights.npz").unlink()
    old, new = jaxsci.load(copy), jaxsci.load(run_folder)
    np.testing.assert_array_equal(old.predict(constituents)["logit"], new.predict(constituents)["logit"])


def test_a_run_on_other_jets_is_not_compared(run_folder, capsys):
    main(["train", "top-tagging", "--tagger", "mass", *QUICK, "--seed", "2"])
    line = refused(capsys, "compare", str(run_folder), "runs/top-tagging/mass-1")
    assert "expected runs of one data and split" in line


def test_your_own_jet_images(tmp_path, some_jets, capsys):
    from jaxsci.data.jets import images as jet_images

    constituents, labels = some_jets
    np.savez(tmp_path / "mine.npz", images=jet_images.images(constituents, pixels=24), labels=labels)
    main(["train", "top-tagging", "--data", "mine.npz", "--epochs", "1", "--batch-size", "32"])
    main(["predict", "runs/top-tagging/cnn-1", "mine.npz", "--out", "scores.npz"])
    np.savez(tmp_path / "larger.npz", images=jet_images.images(constituents), labels=labels)
    line = refused(capsys, "evaluate", "runs/top-tagging/cnn-1", "--data", "larger.npz")
    assert "expected 24 x 24 pixels as in training, got 40 x 40" in line
    evaluation = json.loads((tmp_path / "runs" / "top-tagging" / "cnn-1" / "evaluation.json").read_text())
    assert "baseline" not in evaluation  # images have no mass
    np.savez(tmp_path / "tiny.npz", images=jet_images.images(constituents, pixels=5), labels=labels)
    refused(capsys, "train", "top-tagging", "--data", "tiny.npz", "--tagger", "cnn-landscape", "--name", "tiny")
    assert not (tmp_path / "runs" / "top-tagging" / "tiny").exists()
    line = refused(capsys, "train", "top-tagging", "--data", "mine.npz", "--tagger", "pfn")
    assert "the others need constituents" in line
    assert not (tmp_path / "runs" / "top-tagging" / "pfn-1").exists()


@pytest.mark.slow
def test_bfloat16_trains(tmp_path):
    main(["train", "top-tagging", "--tagger", "topodnn", *QUICK, "--precision", "bfloat16"])
    assert (tmp_path / "runs" / "top-tagging" / "topodnn-1" / "report.html").exists()


def test_a_run_without_checkpoint(run_folder, tmp_path, capsys, some_jets):
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    shutil.rmtree(copy / "checkpoints")
    (copy / "weights.npz").unlink()
    own = write_jets(tmp_path / "own.h5", *some_jets)
    for arguments in (["evaluate", "copy"], ["predict", "copy", own, "--out", "scores.csv"]):
        line = refused(capsys, *arguments)
        assert "copy: expected a run with weights or a checkpoint, got neither" in line
    assert not (tmp_path / "scores.csv").exists()


def test_no_space_left(run_folder, tmp_path, capsys, monkeypatch):
    import errno
    import os

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sample = jets.read(jets.embedded(), limit=20)
    own = write_jets(tmp_path / "own.h5", sample.constituents, sample.labels)
    monkeypatch.setattr(os, "fsync", full)
    line = refused(capsys, "predict", str(run_folder), own, "--out", "scores.csv")
    assert "No space left" in line
    assert [p.name for p in tmp_path.iterdir()] == ["own.h5"]


def test_unknown_options_and_outputs(run_folder, capsys, tmp_path):
    line = refused(capsys, "train", "top-tagging", "--tagger", "cnm")
    assert "--tagger: expected one of cnn" in line
    assert "did you mean cnn?" in line
    line = refused(capsys, "predict", str(run_folder), "x.h5", "--out", "scores.txt")
    assert "scores.txt" in line
    line = refused(capsys, "train", "top-tagging", "--epochs", "0")
    assert "--epochs" in line


def test_a_run_that_was_stopped_before_its_end_answers_and_says_so(run_folder, tmp_path, capsys):
    stopped, few = tmp_path / "stopped", jets.read(jets.embedded(), limit=10)
    shutil.copytree(run_folder, stopped)
    jet_file = write_jets(tmp_path / "jets.h5", few.constituents, few.labels)
    main(["predict", str(stopped), jet_file, "--out", str(tmp_path / "a.csv")])
    assert "has not come to its end" not in capsys.readouterr().err
    (stopped / "evaluation.json").unlink()
    main(["predict", str(stopped), jet_file, "--out", str(tmp_path / "b.csv")])
    said = capsys.readouterr().err
    assert f"note: {stopped}: this training has not come to its end" in said
    assert f"jaxsci train top-tagging --resume {stopped} goes on with it" in said
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
