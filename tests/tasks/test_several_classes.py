"""Jets of more than two classes: measured right, trained, evaluated, predicted and exported; what cannot be, in one line."""

import csv
import json
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.models import heads
from jaxsci.tasks.top_tagging import class_evaluation
from jaxsci.tasks.top_tagging.options import TAGGERS
from jaxsci.tasks.top_tagging.taggers import Spec, tagger
from tests.command import refused, write_jets

NAMES = "QCD,top,short"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


def test_measures_of_several_classes_by_hand():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    logits = rng.normal(size=(120, 3)) + 0.7 * np.eye(3)[labels]
    found = class_evaluation.classification(logits, labels)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = logits.argmax(1) == labels
    assert found["accuracy"]["value"] == pytest.approx(right.mean())
    assert found["log_loss"]["value"] == pytest.approx(-np.log(probabilities[np.arange(120), labels]).mean(), rel=1e-5)
    for k in range(3):
        signal, background = probabilities[labels == k, k], probabilities[labels != k, k]
        area = (signal[:, None] > background[None]).mean()
        assert found["per_class"]["auc"][k]["value"] == pytest.approx(area, rel=1e-5)
        assert found["per_class"]["recall"][k] == pytest.approx(right[labels == k].mean())
    assert found["auc_macro"]["value"] == pytest.approx(np.mean([a["value"] for a in found["per_class"]["auc"]]))
    # Class 1 against class 0 alone: the third one does not count.
    pair = class_evaluation.rejections(logits, labels, 1, ["a", "b", "c"])
    assert list(pair) == ["a", "c"]
    share = probabilities[:, 1] / (probabilities[:, 1] + probabilities[:, 0])
    cut = np.sort(share[labels == 1])[::-1][19]  # keeps 20 of 40
    passing = (share[labels == 0] >= cut).mean()
    assert pair["a"]["rejection_0.5"]["value"] == pytest.approx(1 / passing, rel=1e-5)
    assert class_evaluation.classification(logits, labels, np.full(120, 2.0)) == found  # equal weights are none


@pytest.mark.slow
def test_examples_of_next_to_no_weight_do_not_count():
    labels = np.arange(120) % 3
    logits = np.random.default_rng(0).normal(size=(120, 3)) + 0.7 * np.eye(3)[labels]
    double = class_evaluation.classification(np.tile(logits, (2, 1)), np.tile(labels, 2))
    weighted = class_evaluation.classification(
        np.tile(logits, (2, 1)), np.tile(labels, 2), np.repeat([2.0, 1e-12], 120)
    )
    for name in ("accuracy", "log_loss", "auc_macro", "f1_macro"):
        assert weighted[name]["value"] == pytest.approx(double[name]["value"], rel=1e-5)


@pytest.mark.parametrize("name", [name for name in TAGGERS if name != "mass"])
def test_every_tagger_has_an_output_for_each_class(name):
    made = tagger(name, Spec(classes=("QCD", "W", "Z", "top")))
    example = np.zeros((1, 5, 4), np.float32)
    example[:, :, 0] = example[:, :, 1] = 1.0
    x = jax.tree.map(lambda leaf: leaf[0], made.inputs(example))
    params = jax.eval_shape(made.model.init, jax.random.key(0))
    assert jax.eval_shape(heads.inference(made.model).apply, params, x).shape == (4,)


def three_classes(number):
    """QCD jets, top jets, and top jets of which the hardest constituents alone are left."""
    sample = jets.read(jets.embedded(), limit=number)
    constituents = np.array(sample.constituents)
    labels = np.array(sample.labels)
    labels[(labels == 1) & (np.arange(number) % 2 == 0)] = 2
    constituents[labels == 2, 6:] = 0
    return constituents, labels


def evaluation(folder):
    return json.loads((Path(folder) / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    constituents, labels = three_classes(900)
    write_jets(folder / "train.h5", constituents[:600], labels[:600])
    write_jets(folder / "test.h5", constituents[600:], labels[600:])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train = ["train", "top-tagging", "--tagger", "topodnn", "--epochs", "6", "--learning-rate", "5e-3"]
        main([*train, "--data", "train.h5", "--test", "test.h5", "--class-names", NAMES, "--signal-class", "top"])
    return folder, labels[600:]


@pytest.mark.slow
def test_three_classes_through_the_command(trained, monkeypatch):
    folder, labels = trained
    monkeypatch.chdir(folder)
    run = Path("runs/top-tagging/topodnn-1")
    found = evaluation(run)
    assert found["jets"] == {name: int(np.sum(labels == k)) for k, name in enumerate(NAMES.split(","))}
    assert np.sum(found["metrics"]["confusion_matrix"]) == 300
    assert found["metrics"]["log_loss"]["value"] < 0.9 * np.log(3)  # chance
    assert found["metrics"]["per_class"]["auc"][2]["value"] > 0.85  # few constituents are easy to tell
    assert list(found["rejections"]) == ["QCD", "short"]
    page = (run / "report.html").read_text()
    assert "top against each other class" in page
    assert (run / "figures" / "confusion_matrix.png").exists()
    main(["evaluate", str(run)])
    assert evaluation(run) == found
    main(["evaluate", str(run), "--data", "test.h5"])
    again = evaluation(run / "evaluations" / "test")["metrics"]
    assert again["confusion_matrix"] == found["metrics"]["confusion_matrix"]

    main(["predict", str(run), "test.h5", "--out", "answers.csv"])
    with Path("answers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["class", *(f"probability_{name}" for name in NAMES.split(","))]
    probabilities = np.array([[float(row[f"probability_{name}"]) for name in NAMES.split(",")] for row in rows])
    np.testing.assert_allclose(probabilities.sum(1), 1)
    right = [row["class"] == NAMES.split(",")[label] for row, label in zip(rows, labels, strict=True)]
    assert np.mean(right) == pytest.approx(found["metrics"]["accuracy"]["value"])
    main(["export", str(run), "--out", "three.jaxexport"])
    call = jax.export.deserialize(bytearray(Path("three.jaxexport").read_bytes())).call
    outputs = np.asarray(call(jaxsci.load(run).prepare(jets.read("test.h5", classes=NAMES.split(",")).constituents)))
    likely = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    np.testing.assert_allclose(likely, probabilities, atol=1e-5)


@pytest.mark.slow
def test_what_several_classes_cannot_be_is_said_in_one_line(trained, monkeypatch, capsys):
    folder, _ = trained
    monkeypatch.chdir(folder)
    run = "runs/top-tagging/topodnn-1"
    train = ["train", "top-tagging", "--tagger", "topodnn", "--data", "train.h5"]
    for words, line in (
        ([], "expected labels 1 (top) and 0 (background), got 2"),
        (["--class-names", "a"], "--class-names: expected 2 to 100 different names"),
        (["--class-names", "a,b,a"], "--class-names: expected 2 to 100 different names"),
        (["--class-names", "a,b"], "expected labels 0 (a), 1 (b), got 2"),
        (["--class-names", "a,b,c,d"], "expected jets of all 4 classes, got none of d"),
        (["--class-names", NAMES, "--signal-class", "W"], "--signal-class: expected one of QCD, top, short, got W"),
        (["--class-names", NAMES, "--tagger", "mass"], "expected one for 3 classes, got mass"),
        (["--class-names", NAMES, "--stream"], "--class-names: expected jets that are read whole"),
    ):
        assert line in refused(capsys, *train, *words)
    assert "expected a tagger of two classes, got more" in refused(capsys, "study", run)
    assert sorted(path.name for path in Path("runs/top-tagging").iterdir()) == ["topodnn-1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part"), [("pfn", 0.8), ("efn", 0.97), ("cnn", 0.8), ("pelican", 0.8)]
)  # efn is slow to begin
def test_three_classes_by(name, part, trained, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    train = ["train", "top-tagging", "--tagger", name, "--data", "train.h5", "--class-names", NAMES, "--epochs", "6"]
    main([*train, "--name", name])
    assert evaluation(f"runs/top-tagging/{name}")["metrics"]["log_loss"]["value"] < part * np.log(3)
