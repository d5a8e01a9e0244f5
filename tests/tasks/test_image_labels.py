"""Images whose labels are text, classes of unequal size, and a threshold of one's own."""

import csv
import json

import h5py
import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import main
from jaxsci.data import images
from jaxsci.errors import InputError
from jaxsci.runs import weights
from jaxsci.runs.task import silent
from jaxsci.tasks.images import metrics, rows
from jaxsci.tasks.images.options import Options
from jaxsci.tasks.images.rows import as_batch, read, read_again
from tests.command import refused

TEXT = np.array(["sick", "well", "sick", "odd"])


def write(path, y, **more):
    np.savez(path, x=np.zeros((len(y), 4, 4), np.uint8), y=y, **more)
    return path


def test_images_of_many_channels_are_read_and_named(tmp_path):
    path, notes = tmp_path / "x.npz", []
    x = np.random.default_rng(0).random((20, 16, 16, 16), np.float32)
    np.savez(path, x=x, y=np.arange(20) % 2)
    sample, _ = read(Options(data=path), lambda *said: notes.append(said[-1]))
    np.testing.assert_array_equal(sample.x, x)
    assert f"note: {path} has arrays [16, 16, 16], taken as images of 16 channels, not as volumes" in notes


@pytest.mark.parametrize("labels", [TEXT, TEXT.astype("S"), TEXT[:, None], np.array([" sick", "well ", "sick", "odd"])])
def test_text_is_a_class_by_its_name(tmp_path, labels):
    found = images.read(write(tmp_path / "t.npz", labels))
    assert found.names == ("odd", "sick", "well")
    assert (found.classes, found.y.tolist()) == (3, [1, 2, 1, 0])
    again = images.read(write(tmp_path / "p.npz", np.array(["well", "odd"])), names=("odd", "sick", "well"))
    assert (again.classes, again.y.tolist()) == (3, [2, 0])


@pytest.mark.parametrize(
    ("labels", "known", "words"),
    [
        (np.array(["a", "a"]), {}, "at least two classes, got label a only"),
        (np.array(["a", " "]), {}, r"an empty one in row 1"),
        (np.array(["b", "c"]), {"names": ("a", "b")}, r"labels a, b as in training, got 'c' in row 1"),
        (np.array([0, 1]), {"names": ("a", "b")}, "names of classes such as a, b as labels of all images, got numbers"),
        (np.array(["a", "b"]), {"classes": 2}, "labels 0 to 1 as in training, got text such as 'a'"),
        (np.array([b"\xff", b"a"]), {}, r"labels in UTF-8, got b'\\xff'; decode them"),
        (np.array([["a", "b"], ["b", "a"]]), {}, r"got text of shape \[2, 2\]; give one column"),
    ],
)
def test_what_names_no_class_is_refused(tmp_path, labels, known, words):
    with pytest.raises(InputError, match=words):
        images.read(write(tmp_path / "t.npz", labels), **known)


def test_strings_of_hdf5_are_labels(tmp_path):
    words = np.array(["früh", "late", "früh"])
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = np.zeros((3, 4, 4), np.uint8)
        file.create_dataset("y", data=words.astype(object), dtype=h5py.string_dtype())
    found = images.read(tmp_path / "t.h5")
    assert (found.names, found.y.tolist()) == (("früh", "late"), [0, 1, 0])


def test_numbers_in_one_part_and_text_in_another_are_refused(tmp_path):
    x = np.zeros((2, 4, 4), np.uint8)
    path = tmp_path / "parts.npz"
    np.savez(path, train_images=x, train_labels=np.array(["a", "b"]), test_images=x, test_labels=np.array([0, 1]))
    with pytest.raises(InputError, match="labels of all images, got numbers"):
        images.read(path)


@pytest.mark.parametrize("threshold", [None, 0.1, 0.5, 0.97])
def test_the_answer_is_the_second_class_from_the_threshold_on(threshold):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(500, 2)) * 3
    probability = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    expected = probability >= (threshold or 0.5)
    np.testing.assert_array_equal(metrics.decided(logits, threshold), expected)
    y = rng.integers(2, size=500)
    found = metrics.classification(logits, y, 2, threshold)
    assert found["accuracy"]["value"] == pytest.approx((expected == y).mean(), abs=1e-6)
    assert found["auc"]["value"] == metrics.classification(logits, y, 2)["auc"]["value"]


def test_a_run_is_gone_on_with_on_the_scale_it_began_with(tmp_path):
    x = np.arange(40 * 9, dtype=np.uint16).reshape(40, 3, 3)
    x[0, 0, 0] = 4095  # a saturated camera now, whole numbers of 16 bits when the run began
    path = tmp_path / "mine.npz"
    np.savez(path, x=x, y=np.arange(40) % 2)
    folder, options = tmp_path / "run", Options(data=path)
    folder.mkdir()
    digest = weights.digest((x / np.float32(65535))[..., None], (np.arange(40) % 2).astype(np.int32))
    config = {"task": "images", "options": {}, "data": {"unit": 65535, "digest": digest, "file": str(path)}}
    (folder / "config.json").write_text(json.dumps(config))
    sample, _ = read_again(folder, options, silent)
    assert sample.x.max() == np.float32(4095) / np.float32(65535)


@pytest.mark.parametrize("counts", [(90, 10), (5, 5), (3, 20, 77)])
def test_balanced_classes_have_the_same_weight_in_all(counts):
    y = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    sample = images.LabeledImages(np.zeros((len(y), 2, 2, 1), np.float32), y, len(counts))
    weight = np.asarray(as_batch(Options(balance=True), sample, np.arange(len(y))).weight)
    np.testing.assert_allclose(np.bincount(y, weight), len(y) / len(counts), rtol=1e-5)
    assert np.all(np.asarray(as_batch(Options(), sample, np.arange(len(y))).weight) == 1)


def test_names_weights_and_threshold_through_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    y = np.arange(200) % 10 == 0  # rare, and hard to tell
    x = np.random.default_rng(0).normal(size=(200, 4, 4)) + 0.5 * y[:, None, None]
    np.savez("x.npz", x=x.astype(np.float32), y=np.where(y, "sick", "healthy"))
    options = ["--data", "x.npz", "--model", "dense", "--epochs", "2", "--balance", "--threshold", "0.3"]
    main(["train", "images", *options, "--name", "run"])
    assert "note: sick is the answer from a probability of 0.3 on" in capsys.readouterr().err
    found = json.loads((tmp_path / "runs/images/run/evaluation.json").read_text())
    assert (found["names"], found["balance"], found["threshold"]) == (["healthy", "sick"], True, 0.3)
    page = (tmp_path / "runs/images/run/report.html").read_text()
    for words in (
        "sick is the answer from a probability of 0.3 on",
        "each class had the same weight",
        "probability of sick",
    ):
        assert words in page
    main(["predict", "runs/images/run", "x.npz", "--out", "scores.csv"])
    with open("scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["class"] == ("sick" if float(row["probability_sick"]) >= 0.3 else "healthy")
    assert jaxsci.load(tmp_path / "runs/images/run").predict(x)["class"].tolist() == [row["class"] for row in rows]
    np.savez("x.npz", x=x.astype(np.float32), y=np.where(y, "well", "ill"))  # the same classes by other names
    assert "images of classes healthy, sick as in training, got ill, well" in refused(
        capsys, "evaluate", "runs/images/run"
    )
    np.savez("numbers.npz", x=x.astype(np.float32), y=y.astype(int))
    assert "expected the names of classes" in refused(capsys, "evaluate", "runs/images/run", "--data", "numbers.npz")
    for words in (["--threshold", "1.5"], ["--model", "autoencoder", "--threshold", "0.3"]):
        assert "--threshold: " in refused(capsys, "train", "images", "--data", "x.npz", *words)
    assert "--balance: has no effect" in refused(
        capsys, "train", "images", "--data", "x.npz", "--model", "autoencoder", "--balance"
    )


@pytest.mark.parametrize(("factor", "said"), [(255, 1), (1 / 255, 1), (3, 0), (0, 1)])
def test_images_on_another_scale_than_those_of_training_are_warned_of(factor, said):
    x = np.random.default_rng(0).random((20, 5, 5, 1))
    words = []
    rows.warn_of_scale(
        "f.npz", factor * x, {"data": {"top": rows.top_of(x)}}, lambda stage, part, word: words.append(word)
    )
    assert len(words) == said
    rows.warn_of_scale("f.npz", factor * x, {"data": {}}, lambda *_: words.append(""))  # of an earlier version
    assert len(words) == said


def test_arrays_that_may_have_channels_first_are_said(tmp_path):
    x = np.random.default_rng(0).random((24, 7, 6, 6))
    np.savez(tmp_path / "i.npz", x=x, y=np.arange(24) % 2)
    words = []
    rows.read(Options(data=tmp_path / "i.npz"), lambda stage, part, word: words.append(word))
    assert any("taken as images of 6 channels; transpose them" in word for word in words)
